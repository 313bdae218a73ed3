// SPDX-License-Identifier: Apache-2.0
// Pixels and rows for the *_body.h files of this folder: walking them, and bringing channels into FP32 buffers. Include
// simd_avx512.h or simd_avx2.h first. The bodies write arithmetic with the compiler's vector operators: a + b, a * b.
#ifndef CF_KERNELS_CPU_ROWS_H
#define CF_KERNELS_CPU_ROWS_H

#include "kernels/cpu/simd_act.h"
#include "kernels/kernel.h"

// Channels a body keeps in a buffer on the stack; bodies refuse wider tensors.
enum { ROW_MOST = 2048 };

// How a tensor stores real values.
typedef struct {
    cf_dtype dtype;
    int size; // bytes of one
    float scale, inverse;
    int32_t zero;
} real_format;

#define REAL_F32 ((real_format){CF_F32, 4, 1, 1, 0})
#define REAL_BF16 ((real_format){CF_BF16, 2, 1, 1, 0})
#define REAL_F16 ((real_format){CF_F16, 2, 1, 1, 0})

static inline real_format real_format_of(const cf_tensor *tensor) {
    real_format format = {tensor->dtype, cf_dtype_size(tensor->dtype), 1, 1, 0};
    if (tensor->dtype == CF_S8 || tensor->dtype == CF_U8) {
        format.scale = tensor->scale;
        format.inverse = 1 / tensor->scale;
        format.zero = tensor->zero;
    }
    return format;
}

// The first `lanes` (0..V_LANES) values as FP32.
CF_INLINE v_f32 real_read(const void *from, real_format format, int lanes) {
    return v_read(from, format.dtype, lanes, v_set(format.scale), v_set_i32(format.zero));
}

CF_INLINE void real_write(void *to, real_format format, v_f32 value, int lanes) {
    v_write(to, format.dtype, lanes, value, v_set(format.inverse), v_set_i32(format.zero));
}

// A place in the images of a tensor.
typedef struct {
    int n, y, x;
} place;

static inline place place_of(const cf_tensor *tensor, long pixel) {
    long size = (long)tensor->h * tensor->w;
    return (place){(int)(pixel / size), (int)(pixel % size / tensor->w), (int)(pixel % tensor->w)};
}

static inline void place_next(const cf_tensor *tensor, place *at) {
    if (++at->x < tensor->w) return;
    at->x = 0;
    if (++at->y < tensor->h) return;
    at->y = 0;
    at->n++;
}

static inline void *pixel_at(const cf_tensor *tensor, place at) {
    return cf_tensor_at(tensor, at.n, at.y, at.x);
}

// Row r of a sequence that may be laid out as a map.
static inline void *row_at(const cf_tensor *tensor, int n, int r) {
    return tensor->h == 1 ? cf_tensor_at(tensor, n, 0, r) : cf_tensor_at(tensor, n, r / tensor->w, r % tensor->w);
}

// This member's share of the pixels of out[0] over all images.
static inline void pixel_share(const cf_call *call, const cf_team *team, long *begin, long *end) {
    cf_team_range(team, (long)call->images * call->out[0].h * call->out[0].w, begin, end);
}

// Vectors over `count` values: for (EACH_VECTOR(i, left, count)) handles values i .. i+left-1.
#define EACH_VECTOR(i, left, count)                                                                                    \
    int i = 0, left = (count) < V_LANES ? (count) : V_LANES;                                                           \
    i < (count);                                                                                                       \
    i += V_LANES, left = (count)-i < V_LANES ? (count)-i : V_LANES

// Stored elements to FP32. `to` has room for whole vectors.
static inline void row_to_f32(float *to, const void *from, real_format format, int count) {
    const char *at = from;
    for (EACH_VECTOR(i, left, count)) v_store(to + i, real_read(at + (long)i * format.size, format, left));
}

static inline void row_from_f32(void *to, real_format format, const float *from, int count) {
    char *at = to;
    for (EACH_VECTOR(i, left, count)) real_write(at + (long)i * format.size, format, v_load(from + i), left);
}

static inline int stored_alike(const cf_tensor *a, const cf_tensor *b) {
    int quantised = a->dtype == CF_S8 || a->dtype == CF_U8;
    return a->dtype == b->dtype && (!quantised || (a->scale == b->scale && a->zero == b->zero));
}

// Why a body cannot take these tensors, or NULL: real values only, and rows that fit the buffers.
static inline const char *refuse_wide_or_whole(const cf_problem *problem) {
    for (int i = 0; i < problem->inputs; i++) {
        if (problem->in[i].dtype == CF_I32) return "integers as an operand";
        if (problem->in[i].c > ROW_MOST) return "more channels than the row buffer holds";
    }
    if (problem->out[0].dtype == CF_I32) return "integers as the result";
    return problem->out[0].c > ROW_MOST ? "more channels than the row buffer holds" : NULL;
}

#endif
