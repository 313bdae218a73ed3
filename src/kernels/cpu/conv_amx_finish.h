// SPDX-License-Identifier: Apache-2.0
// How finished sums leave the AMX kernels: a writer for each frequent kind of convolution, with a loop of its own.
#ifndef CF_KERNELS_CPU_CONV_AMX_FINISH_H
#define CF_KERNELS_CPU_CONV_AMX_FINISH_H

#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/conv_store.h"

enum { CF_TILE = 16, CF_BLOCK_WIDTH = 2 * CF_PANEL };

// Writes `count` pixels of a store, from `first` on.
typedef void cf_amx_writer(const cf_conv_store *s, int first, int count);

// The frequent activations. Any residual type, read as FP32.
typedef struct {
    v_f32 scale, shift, inverse, add_scale;
    v_i32 zero, add_zero;
    cf_dtype add_dtype;
    int32_t coarse, affine;
} cf_finish;

// What 16 sums become; of the residual `lanes` numbers are there. sums and from point to the first of them; scale and
// bias are theirs.
CF_INLINE v_f32 cf_finished_value(const cf_finish *f, const float *sums, const float *scale, const float *bias,
                                  const char *from, int lanes, int quantised, int act, int exact, int add) {
    v_f32 value = v_load(sums), more = v_zero();
    if (quantised)
        value = v_fma(v_from_i32(v_load_i32((const int32_t *)(const void *)sums)), v_load(scale), v_load(bias));
    if (add) more = v_read(from, f->add_dtype, lanes, f->add_scale, f->add_zero);
    if (add && f->coarse) value = v_add(value, more);
    value = exact ? v_act(act, value) : v_act_rounded(act, value);
    if (f->affine) value = v_fma(value, f->scale, f->shift);
    if (add && !f->coarse) value = v_add(value, more);
    return value;
}

CF_INLINE void cf_write_panels(const cf_conv_store *s, int first, int count, int quantised, int act, cf_dtype dtype,
                               int add) {
    int size = cf_dtype_size(dtype), lanes = s->channels < V_LANES ? s->channels : V_LANES;
    int beyond = s->channels - lanes; // lanes of the second panel
    cf_finish f = {.scale = v_set(s->attr->scale),
                   .shift = v_set(s->attr->shift),
                   .inverse = v_set(size > 1 ? 1 : 1 / s->out_tensor->scale),
                   .zero = v_set_i32(s->out_tensor->zero),
                   .add_scale = v_set(add ? s->add_tensor->scale : 1),
                   .add_zero = v_set_i32(add ? s->add_tensor->zero : 0),
                   .add_dtype = add ? s->add_tensor->dtype : CF_F32,
                   .coarse = add ? s->attr->coarse : 0,
                   .affine = s->attr->affine};
    int beside = V_LANES * cf_dtype_size(f.add_dtype);
    const float *sums = (const float *)s->sums + first * CF_BLOCK_WIDTH;
    char *out = s->out + first * s->out_pixel;
    for (int m = 0; m < count; m++, sums += CF_BLOCK_WIDTH, out += s->out_pixel) {
        const char *from = add ? s->add + ((s->x + first + m) >> f.coarse) * s->add_pixel : NULL;
        v_f32 low = cf_finished_value(&f, sums, s->scale, s->bias, from, lanes, quantised, act, dtype == CF_F32, add);
        if (!beyond) {
            v_write(out, dtype, lanes, low, f.inverse, f.zero);
            continue;
        }
        v_f32 high = cf_finished_value(&f, sums + V_LANES, s->scale + V_LANES, s->bias + V_LANES,
                                       add ? from + beside : NULL, beyond, quantised, act, dtype == CF_F32, add);
        if (dtype == CF_BF16 && beyond == V_LANES) { // one store of a whole cache line
            _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            continue;
        }
        v_write(out, dtype, V_LANES, low, f.inverse, f.zero);
        v_write(out + V_LANES * size, dtype, beyond, high, f.inverse, f.zero);
    }
}

// Any activation.
CF_INLINE void cf_write_any(const cf_conv_store *s, int first, int count, int quantised) {
    cf_conv_store part = *s;
    part.sums = (const float *)s->sums + (int64_t)first * s->width;
    part.out += first * s->out_pixel;
    part.x += first;
    part.pixels = count;
    cf_store_any(&part, quantised);
}

#define CF_WRITER(name, ...)                                                                                           \
    static void name(const cf_conv_store *s, int first, int count) {                                                   \
        __VA_ARGS__;                                                                                                   \
    }
CF_WRITER(cf_write_any_sums, cf_write_any(s, first, count, 0))
CF_WRITER(cf_write_any_quantised, cf_write_any(s, first, count, 1))

// Writers by kind of sums, activation, type and residual.
#define CF_WRITERS_OF_TYPE(q, act, dtype)                                                                              \
    CF_WRITER(cf_write_##q##act##dtype##0, cf_write_panels(s, first, count, q, CF_ACT_##act, CF_##dtype, 0))           \
    CF_WRITER(cf_write_##q##act##dtype##1, cf_write_panels(s, first, count, q, CF_ACT_##act, CF_##dtype, 1))
#define CF_WRITERS_OF_ACT(q, act)                                                                                      \
    CF_WRITERS_OF_TYPE(q, act, F32)                                                                                    \
    CF_WRITERS_OF_TYPE(q, act, BF16) CF_WRITERS_OF_TYPE(q, act, U8) CF_WRITERS_OF_TYPE(q, act, S8)
#define CF_WRITERS(q) CF_WRITERS_OF_ACT(q, NONE) CF_WRITERS_OF_ACT(q, RELU) CF_WRITERS_OF_ACT(q, SILU)
CF_WRITERS(0)
CF_WRITERS(1)

#define CF_PAIR(q, act, dtype)                                                                                         \
    { cf_write_##q##act##dtype##0, cf_write_##q##act##dtype##1 }
#define CF_TYPES(q, act)                                                                                               \
    { CF_PAIR(q, act, F32), CF_PAIR(q, act, BF16), CF_PAIR(q, act, U8), CF_PAIR(q, act, S8) }
#define CF_ACTS(q)                                                                                                     \
    { CF_TYPES(q, NONE), CF_TYPES(q, RELU), CF_TYPES(q, SILU) }

static cf_amx_writer *cf_amx_writer_of(const cf_problem *problem, int quantised) {
    static cf_amx_writer *const table[2][3][4][2] = {CF_ACTS(0), CF_ACTS(1)};
    const cf_conv_attr *attr = &problem->attr.conv;
    int act = attr->act == CF_ACT_NONE ? 0 : attr->act == CF_ACT_RELU ? 1 : attr->act == CF_ACT_SILU ? 2 : -1;
    cf_dtype dtype = problem->out[0].dtype;
    int type = dtype == CF_F32 ? 0 : dtype == CF_BF16 ? 1 : dtype == CF_U8 ? 2 : 3;
    if (act < 0 || problem->out[0].c % CF_PANEL) return quantised ? cf_write_any_quantised : cf_write_any_sums;
    return table[quantised][act][type][problem->inputs > 1];
}

#endif
