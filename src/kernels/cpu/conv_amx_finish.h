// SPDX-License-Identifier: Apache-2.0
// How finished sums leave the AMX kernels: a writer for each frequent kind of convolution, with a loop of its own.
#ifndef CF_KERNELS_CPU_CONV_AMX_FINISH_H
#define CF_KERNELS_CPU_CONV_AMX_FINISH_H

#include <math.h>

#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/conv_store.h"

enum { CF_TILE = 16, CF_BLOCK_WIDTH = 2 * CF_PANEL, CF_COLD_BYTES = 512 << 10 };

// 1 if a thread's share of an output or a residual is more than the second cache may still hold: it is called for.
static inline int cf_amx_is_cold(const cf_call *call, const cf_tensor *tensor) {
    int64_t numbers = (int64_t)call->images * tensor->h * tensor->w * tensor->c;
    return numbers * cf_dtype_size(tensor->dtype) / call->problem->threads > CF_COLD_BYTES;
}

// Writes `count` pixels of a store, from `first` on.
typedef void cf_amx_writer(const cf_conv_store *s, int first, int count);

// The frequent activations. Any residual type, read as FP32. unit: what values are multiplied by for an output of
// bytes, 1 otherwise; without a residual scale and shift hold it already.
typedef struct {
    v_f32 scale, shift, unit, add_scale;
    v_i32 add_zero;
    __m512i zero; // of bytes, as 16-bit numbers
    cf_dtype add_dtype;
    int32_t coarse, affine;
} cf_finish;

// What 16 sums become; of the residual `lanes` numbers are there. sums and from point to the first of them; scale and
// bias are theirs.
CF_INLINE v_f32 cf_finished_value(const cf_finish *f, const float *sums, const float *scale, const float *bias,
                                  const char *from, int lanes, int quantised, int act, cf_dtype dtype, int add) {
    v_f32 value = v_load(sums), more = v_zero();
    int bytes = cf_dtype_size(dtype) == 1;
    if (quantised)
        value = v_fma(v_from_i32(v_load_i32((const int32_t *)(const void *)sums)), v_load(scale), v_load(bias));
    if (add) more = v_read(from, f->add_dtype, lanes, f->add_scale, f->add_zero);
    if (add && f->coarse) value = v_add(value, more);
    value = v_act_for(dtype, act, value);
    if (f->affine || (bytes && !add)) value = v_fma(value, f->scale, f->shift);
    if (add && !f->coarse) value = v_add(value, more);
    return bytes && add ? v_mul(value, f->unit) : value;
}

// Stores the bytes of a pixel's two panels; of one pixel, or two, where there is one panel (`beyond` 0).
CF_INLINE void cf_put_bytes(const cf_conv_store *s, char *out, __m256i bytes, int lanes, int beyond, int pixels) {
    if (beyond == V_LANES) {
        _mm256_storeu_si256((__m256i *)out, bytes);
    } else if (beyond) {
        _mm256_mask_storeu_epi8(out, (1u << s->channels) - 1, bytes);
    } else {
        v_put_8(out, lanes, _mm256_castsi256_si128(bytes));
        if (pixels == 2) v_put_8(out + s->out_pixel, lanes, _mm256_extracti128_si256(bytes, 1));
    }
}

CF_INLINE void cf_write_panels(const cf_conv_store *s, int first, int count, int quantised, int act, cf_dtype dtype,
                               int add) {
    int size = cf_dtype_size(dtype), lanes = s->channels < V_LANES ? s->channels : V_LANES;
    int beyond = s->channels - lanes; // lanes of the second panel
    float unit = size > 1 ? 1 : 1 / s->out_tensor->scale, held = add ? 1 : unit;
    cf_finish f = {.scale = v_set(held * (s->attr->affine ? s->attr->scale : 1)),
                   .shift = v_set(held * (s->attr->affine ? s->attr->shift : 0)),
                   .unit = v_set(unit),
                   .zero = _mm512_set1_epi16((int16_t)s->out_tensor->zero),
                   .add_scale = v_set(add ? s->add_tensor->scale : 1),
                   .add_zero = v_set_i32(add ? s->add_tensor->zero : 0),
                   .add_dtype = add ? s->add_tensor->dtype : CF_F32,
                   .coarse = add ? s->attr->coarse : 0,
                   .affine = s->attr->affine};
    int beside = V_LANES * cf_dtype_size(f.add_dtype);
    const float *sums = (const float *)s->sums + first * CF_BLOCK_WIDTH;
    char *out = s->out + first * s->out_pixel;
    for (int m = 0, pixels; m < count; m += pixels, sums += pixels * CF_BLOCK_WIDTH, out += pixels * s->out_pixel) {
        const char *from = add ? s->add + ((s->x + first + m) >> f.coarse) * s->add_pixel : NULL;
        v_f32 low = cf_finished_value(&f, sums, s->scale, s->bias, from, lanes, quantised, act, dtype, add);
        v_f32 high = low;
        pixels = 1;
        if (beyond) {
            high = cf_finished_value(&f, sums + V_LANES, s->scale + V_LANES, s->bias + V_LANES,
                                     add ? from + beside : NULL, beyond, quantised, act, dtype, add);
        } else if (size == 1 && m + 1 < count) { // bytes of one panel: the next pixel is the other vector
            if (add) from = s->add + ((s->x + first + m + 1) >> f.coarse) * s->add_pixel;
            high = cf_finished_value(&f, sums + CF_BLOCK_WIDTH, s->scale, s->bias, from, lanes, quantised, act, dtype,
                                     add);
            pixels = 2;
        }
        if (size == 1) {
            cf_put_bytes(s, out, v_to_bytes(dtype, low, high, f.zero), lanes, beyond, pixels);
        } else if (dtype == CF_BF16 && beyond == V_LANES) { // one store of a whole cache line
            _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        } else {
            v_write(out, dtype, lanes, low, f.unit, f.add_zero);
            if (beyond) v_write(out + V_LANES * size, dtype, beyond, high, f.unit, f.add_zero);
        }
    }
}

// Quantised sums to bytes without a residual, where no value leaves int32 (cf_amx_bounded): as cf_write_panels, with as
// few instructions as can be, since those are what int8 waits for. ReLU is a bound of bytes.
CF_INLINE v_f32 cf_on_line(const float *sums, cf_line line, v_f32 unit, v_f32 shift, int act) {
    v_f32 value = v_fma(v_from_i32(v_load_i32((const int32_t *)(const void *)sums)), line.scale, line.bias);
    return act == CF_ACT_SILU ? v_fma(v_act_for(CF_U8, act, value), unit, shift) : value;
}

CF_INLINE void cf_write_bounded(const cf_conv_store *s, int first, int count, int act, cf_dtype dtype) {
    int lanes = s->channels < V_LANES ? s->channels : V_LANES, beyond = s->channels - lanes;
    const cf_tensor *to = s->out_tensor;
    v_f32 unit = v_set((s->attr->affine ? s->attr->scale : 1) / to->scale);
    v_f32 shift = v_set((s->attr->affine ? s->attr->shift : 0) / to->scale + (float)to->zero);
    // ReLU's zero, behind an affine block the least or the greatest value.
    __m256i bound = v_words_to_bytes(dtype, _mm512_packs_epi32(v_to_i32(shift), v_to_i32(shift)));
    int greatest = s->attr->affine && s->attr->scale < 0;
    cf_line low_line = cf_line_of(s->scale, s->bias, unit, shift, act), high_line = low_line;
    int distance = beyond ? V_LANES : CF_BLOCK_WIDTH; // of one panel: the next pixel is the other vector
    if (beyond) high_line = cf_line_of(s->scale + V_LANES, s->bias + V_LANES, unit, shift, act);
    const float *sums = (const float *)s->sums + first * CF_BLOCK_WIDTH;
    char *out = s->out + first * s->out_pixel;
    for (int m = 0, pixels; m < count; m += pixels, sums += pixels * CF_BLOCK_WIDTH, out += pixels * s->out_pixel) {
        pixels = beyond || m + 1 == count ? 1 : 2;
        v_f32 low = cf_on_line(sums, low_line, unit, shift, act);
        v_f32 high = beyond || pixels == 2 ? cf_on_line(sums + distance, high_line, unit, shift, act) : low;
        __m256i bytes = v_words_to_bytes(dtype, _mm512_packs_epi32(v_to_i32(low), v_to_i32(high)));
        if (act == CF_ACT_RELU && dtype == CF_U8)
            bytes = greatest ? _mm256_min_epu8(bytes, bound) : _mm256_max_epu8(bytes, bound);
        if (act == CF_ACT_RELU && dtype == CF_S8)
            bytes = greatest ? _mm256_min_epi8(bytes, bound) : _mm256_max_epi8(bytes, bound);
        cf_put_bytes(s, out, bytes, lanes, beyond, pixels);
    }
}

// True when no sum of int32 becomes a number beyond it in units of the output.
static int cf_amx_bounded(const cf_problem *problem, const float *scale, const float *bias) {
    const cf_conv_attr *attr = &problem->attr.conv;
    float unit = (attr->affine ? fabsf(attr->scale) : 1) / problem->out[0].scale;
    float shift = (attr->affine ? fabsf(attr->shift) : 0) / problem->out[0].scale;
    for (int o = 0; o < problem->out[0].c; o++)
        if (!(fabsf(scale[o]) * unit < 0.25f && fabsf(bias[o]) * unit + shift < 0x1p29f)) return 0;
    return 1;
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
#define CF_WRITERS_BOUNDED(act)                                                                                        \
    CF_WRITER(cf_write_bounded_##act##U8, cf_write_bounded(s, first, count, CF_ACT_##act, CF_U8))                      \
    CF_WRITER(cf_write_bounded_##act##S8, cf_write_bounded(s, first, count, CF_ACT_##act, CF_S8))
CF_WRITERS_BOUNDED(NONE)
CF_WRITERS_BOUNDED(RELU)
CF_WRITERS_BOUNDED(SILU)

#define CF_PAIR(q, act, dtype)                                                                                         \
    { cf_write_##q##act##dtype##0, cf_write_##q##act##dtype##1 }
#define CF_TYPES(q, act)                                                                                               \
    { CF_PAIR(q, act, F32), CF_PAIR(q, act, BF16), CF_PAIR(q, act, U8), CF_PAIR(q, act, S8) }
#define CF_ACTS(q)                                                                                                     \
    { CF_TYPES(q, NONE), CF_TYPES(q, RELU), CF_TYPES(q, SILU) }

#define CF_BOUNDED(act)                                                                                                \
    { cf_write_bounded_##act##U8, cf_write_bounded_##act##S8 }

// scale and bias of int32 sums; NULL: sums are FP32 and hold the bias.
static cf_amx_writer *cf_amx_writer_of(const cf_problem *problem, const float *scale, const float *bias) {
    static cf_amx_writer *const table[2][3][4][2] = {CF_ACTS(0), CF_ACTS(1)};
    static cf_amx_writer *const bounded_table[3][2] = {CF_BOUNDED(NONE), CF_BOUNDED(RELU), CF_BOUNDED(SILU)};
    const cf_conv_attr *attr = &problem->attr.conv;
    int act = attr->act == CF_ACT_NONE ? 0 : attr->act == CF_ACT_RELU ? 1 : attr->act == CF_ACT_SILU ? 2 : -1;
    cf_dtype dtype = problem->out[0].dtype;
    int type = dtype == CF_F32 ? 0 : dtype == CF_BF16 ? 1 : dtype == CF_U8 ? 2 : 3;
    int quantised = scale != NULL;
    if (act < 0) return quantised ? cf_write_any_quantised : cf_write_any_sums;
    if (quantised && type >= 2 && problem->inputs == 1 && cf_amx_bounded(problem, scale, bias))
        return bounded_table[act][type - 2];
    return table[quantised][act][type][problem->inputs > 1];
}

#endif
