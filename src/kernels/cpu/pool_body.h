// SPDX-License-Identifier: Apache-2.0
// upsample, max_pool, avg_pool, global_pool over vectors of channels. Included once per instruction set.
#include <string.h>

#include "kernels/cpu/rows.h"

// Each input pixel goes to its four places.
static void upsample_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int same = stored_alike(in, out);
    long begin, end;
    cf_team_range(team, (long)call->images * in->h * in->w, &begin, &end);
    place at = place_of(in, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(in, &at)) {
        const char *source = pixel_at(in, at);
        char *first = cf_tensor_at(out, at.n, 2 * at.y, 2 * at.x);
        long right = out->pixel * to.size, below = out->row * to.size;
        size_t bytes = (size_t)in->c * (size_t)to.size;
        if (same)
            memcpy(first, source, bytes);
        else
            for (EACH_VECTOR(i, left, in->c))
                real_write(first + i * to.size, to, real_read(source + i * from.size, from, left), left);
        memcpy(first + right, first, bytes);
        memcpy(first + below, first, bytes);
        memcpy(first + below + right, first, bytes);
    }
}

// The taps of one window that lie inside the map.
typedef struct {
    const char *first; // the top left one
    int rows, cols, whole;
} pool_window;

static pool_window window_at(const cf_call *call, place at) {
    const cf_pool_attr *attr = &call->problem->attr.pool;
    const cf_tensor *in = &call->in[0];
    int top = at.y * attr->stride - attr->pad_top, left = at.x * attr->stride - attr->pad_left;
    int bottom = top + attr->kernel < in->h ? top + attr->kernel : in->h;
    int right = left + attr->kernel < in->w ? left + attr->kernel : in->w;
    top = top > 0 ? top : 0;
    left = left > 0 ? left : 0;
    pool_window window = {.rows = bottom > top ? bottom - top : 0, .cols = right > left ? right - left : 0};
    window.whole = window.rows == attr->kernel && window.cols == attr->kernel;
    if (window.rows && window.cols) window.first = cf_tensor_at(in, at.n, top, left);
    return window;
}

// Calls the body with `tap` at each tap of the window.
#define EACH_TAP(window, tap, row_step, pixel_step)                                                                    \
    for (int ky = 0; ky < (window).rows; ky++)                                                                         \
        for (const char *tap = (window).first + ky * (row_step), *stop = tap + (window).cols * (pixel_step);           \
             tap != stop; tap += (pixel_step))

static inline __attribute__((always_inline)) void max_pool_loop(const cf_call *call, real_format from, real_format to,
                                                                long begin, long end) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    long row = in->row * from.size, step = in->pixel * from.size;
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        pool_window window = window_at(call, at);
        char *result = pixel_at(out, at);
        for (EACH_VECTOR(i, left, out->c)) {
            v_f32 most = window.whole ? real_read(window.first + i * from.size, from, left) : v_zero();
            EACH_TAP(window, tap, row, step) most = v_max(real_read(tap + i * from.size, from, left), most);
            real_write(result + i * to.size, to, most, left);
        }
    }
}

static void max_pool_run(const cf_call *call, const cf_team *team) {
    const real_format f32 = REAL_F32, bf16 = REAL_BF16;
    real_format from = real_format_of(&call->in[0]), to = real_format_of(&call->out[0]);
    long begin, end;
    pixel_share(call, team, &begin, &end);
    if (from.dtype == CF_F32 && to.dtype == CF_F32)
        max_pool_loop(call, f32, f32, begin, end);
    else if (from.dtype == CF_BF16 && to.dtype == CF_BF16)
        max_pool_loop(call, bf16, bf16, begin, end);
    else
        max_pool_loop(call, from, to, begin, end);
}

static void avg_pool_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int kernel = call->problem->attr.pool.kernel;
    v_f32 share = v_set(1 / (float)(kernel * kernel));
    long row = in->row * from.size, step = in->pixel * from.size, begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        pool_window window = window_at(call, at);
        char *result = pixel_at(out, at);
        for (EACH_VECTOR(i, left, out->c)) {
            v_f32 sum = v_zero();
            EACH_TAP(window, tap, row, step) sum = sum + real_read(tap + i * from.size, from, left);
            real_write(result + i * to.size, to, sum * share, left);
        }
    }
}

// Shared by vectors of channels: the map is read once, V_LANES channels at a time. Sums of rows are added up apart, so
// that rounding grows with h + w, not with h * w.
static void global_pool_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int vectors = (in->c + V_LANES - 1) / V_LANES;
    v_f32 share = v_set(1 / ((float)in->h * (float)in->w));
    long begin, end;
    cf_team_range(team, (long)call->images * vectors, &begin, &end);
    for (long job = begin; job < end; job++) {
        int n = (int)(job / vectors), i = (int)(job % vectors) * V_LANES;
        int left = in->c - i < V_LANES ? in->c - i : V_LANES;
        v_f32 sum = v_zero();
        for (int y = 0; y < in->h; y++) {
            v_f32 line = v_zero();
            const char *at = (const char *)cf_tensor_at(in, n, y, 0) + (long)i * from.size;
            for (int x = 0; x < in->w; x++, at += in->pixel * from.size) line = line + real_read(at, from, left);
            sum = sum + line;
        }
        real_write((char *)cf_tensor_at(out, n, 0, 0) + (long)i * to.size, to, sum * share, left);
    }
}

static const char *pool_refuse(const cf_problem *problem) {
    return problem->in[0].dtype == CF_I32 || problem->out[0].dtype == CF_I32 ? "integers" : NULL;
}

#define POOL_KERNEL(op_name, enumerator)                                                                               \
    const cf_kernel V_ISA(cf_##op_name) = {.name = #op_name "_" V_ISA_NAME,                                            \
                                           .op = CF_OP_##enumerator,                                                   \
                                           .cpu = V_CPU,                                                               \
                                           .refuse = pool_refuse,                                                      \
                                           .run = op_name##_run};
POOL_KERNEL(upsample, UPSAMPLE)
POOL_KERNEL(max_pool, MAX_POOL)
POOL_KERNEL(avg_pool, AVG_POOL)
POOL_KERNEL(global_pool, GLOBAL_POOL)
