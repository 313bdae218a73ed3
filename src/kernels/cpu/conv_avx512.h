// SPDX-License-Identifier: Apache-2.0
// The AVX-512 microkernels and the way out, as a template over the type: conv_{f32,bf16,int8}_avx512.c set DOT, START
// and the like, and get the table of every run length for 1 and 2 panels.
#ifndef CF_KERNELS_CPU_CONV_AVX512_H
#define CF_KERNELS_CPU_CONV_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/act_avx512.h"
#include "kernels/cpu/conv_panel.h"

#define CF_INLINE static inline __attribute__((always_inline))

// dot(sums, 16 copies of a group of one pixel, a group of 16 outputs)
typedef __m512 (*cf_dot)(__m512 sums, __m512i a, __m512i b);

// One group of K for all pixels. Pixel m lies at at[m / 3] + m % 3 * step: addresses of x86 can add once or twice
// `step`, so that 14 pixels need five pointers instead of fourteen.
CF_INLINE void cf_micro_step(cf_dot dot, __m512 *sums, int pixels, int panels, const char *const *at, int64_t step,
                             const char *weight, int64_t panel, int offset) {
    __m512i b[3];
#pragma GCC unroll 3
    for (int p = 0; p < panels; p++) b[p] = _mm512_loadu_si512(weight + p * panel + offset * CF_PANEL);
#pragma GCC unroll 28
    for (int m = 0; m < pixels; m++) {
        int32_t group;
        memcpy(&group, at[m / 3] + m % 3 * step + offset, 4);
        __m512i a = _mm512_set1_epi32(group);
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++) sums[m * panels + p] = dot(sums[m * panels + p], a, b[p]);
    }
}

CF_INLINE void cf_micro_avx512(cf_dot dot, const cf_conv_tile *tile, int pixels, int panels) {
    const cf_conv_geometry *g = tile->geometry;
    __m512 sums[CF_CONV_RUNS];
#pragma GCC unroll 28
    for (int m = 0; m < pixels; m++)
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++)
            sums[m * panels + p] = _mm512_loadu_ps((const float *)tile->start + p * CF_PANEL);
    const char *weight = tile->weight;
    int64_t panel = tile->panel, step = g->step;
    for (int row = 0; row < g->rows; row++)
        for (int col = 0; col < g->cols; col++) {
            const char *at[(CF_CONV_RUNS + 2) / 3];
#pragma GCC unroll 10
            for (int i = 0; i < (pixels + 2) / 3; i++)
                at[i] = tile->in + row * g->row_step + col * g->col_step + i * 3 * step;
            int left = g->groups;
            for (; left >= 4; left -= 4) {
#pragma GCC unroll 4
                for (int u = 0; u < 4; u++) cf_micro_step(dot, sums, pixels, panels, at, step, weight, panel, 4 * u);
#pragma GCC unroll 10
                for (int i = 0; i < (pixels + 2) / 3; i++) {
                    at[i] += 16;
                    __asm__("" : "+r"(at[i])); // or GCC makes a pointer of every pixel and spills them
                }
                weight += 4 * CF_PANEL * 4;
            }
            for (; left > 0; left--) {
                cf_micro_step(dot, sums, pixels, panels, at, step, weight, panel, 0);
#pragma GCC unroll 10
                for (int i = 0; i < (pixels + 2) / 3; i++) at[i] += 4;
                weight += CF_PANEL * 4;
            }
            if (g->tail) { // a group that is not full: read no further than its values
                __m512i b[3];
                for (int p = 0; p < panels; p++) b[p] = _mm512_loadu_si512(weight + p * panel);
#pragma GCC unroll 28
                for (int m = 0; m < pixels; m++) {
                    int32_t group = 0;
                    memcpy(&group, at[m / 3] + m % 3 * step, (size_t)(g->tail * 4 / g->group));
#pragma GCC unroll 3
                    for (int p = 0; p < panels; p++)
                        sums[m * panels + p] = dot(sums[m * panels + p], _mm512_set1_epi32(group), b[p]);
                }
                weight += CF_PANEL * 4;
            }
        }
#pragma GCC unroll 28
    for (int m = 0; m < pixels * panels; m++) _mm512_store_ps((float *)tile->sums + m * CF_PANEL, sums[m]);
}

CF_INLINE __m512 cf_load_avx512(const void *from, cf_dtype dtype, __mmask16 mask, __m512 scale, __m512i zero) {
    switch (dtype) {
    case CF_BF16: {
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from));
        return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
    }
    case CF_U8:
    case CF_S8: {
        __m128i bytes = _mm_maskz_loadu_epi8(mask, from);
        __m512i wide = dtype == CF_U8 ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes);
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(wide, zero)), scale);
    }
    default: return _mm512_maskz_loadu_ps(mask, from);
    }
}

// Round to nearest even; NaN stays NaN.
CF_INLINE __m256i cf_to_bf16_avx512(__m512 value) {
    __m512i bits = _mm512_castps_si512(value),
            odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

// Steps are counted by a product with 1 / scale.
CF_INLINE void cf_save_avx512(void *to, cf_dtype dtype, __mmask16 mask, __m512 value, __m512 inverse, __m512i zero) {
    switch (dtype) {
    case CF_BF16: _mm256_mask_storeu_epi16(to, mask, cf_to_bf16_avx512(value)); break;
    case CF_U8:
    case CF_S8: {
        // Limits before the conversion: beyond int32 it would give the smallest integer.
        __m512 steps = _mm512_mul_ps(value, inverse);
        steps = _mm512_max_ps(_mm512_min_ps(steps, _mm512_set1_ps(1024)), _mm512_set1_ps(-1024));
        __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(steps), zero);
        if (dtype == CF_S8)
            _mm_mask_storeu_epi8(to, mask, _mm512_cvtsepi32_epi8(whole));
        else
            _mm_mask_storeu_epi8(to, mask, _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512())));
        break;
    }
    default: _mm512_mask_storeu_ps(to, mask, value); break;
    }
}

CF_INLINE void cf_store_rows_avx512(const cf_conv_store *s, int act, int quantised, cf_dtype out, int add) {
    cf_dtype add_dtype = add ? s->add_tensor->dtype : CF_F32;
    int out_size = cf_dtype_size(out), add_size = cf_dtype_size(add_dtype);
    __m512 scale = _mm512_set1_ps(s->attr->scale), shift = _mm512_set1_ps(s->attr->shift);
    __m512 inverse = _mm512_set1_ps(out == CF_U8 || out == CF_S8 ? 1 / s->out_tensor->scale : 1);
    __m512 add_scale = _mm512_set1_ps(add ? s->add_tensor->scale : 1);
    __m512i zero = _mm512_set1_epi32(s->out_tensor->zero), add_zero = _mm512_set1_epi32(add ? s->add_tensor->zero : 0);
    for (int c = 0; c < s->channels; c += CF_PANEL) {
        __mmask16 mask = s->channels - c >= CF_PANEL ? 0xffff : (__mmask16)((1u << (s->channels - c)) - 1);
        for (int m = 0; m < s->pixels; m++) {
            const char *sums = (const char *)s->sums + ((int64_t)m * s->width + c) * 4;
            __m512 value;
            if (quantised) {
                value = _mm512_cvtepi32_ps(_mm512_load_si512(sums));
                value = _mm512_fmadd_ps(value, _mm512_loadu_ps(s->scale + c), _mm512_loadu_ps(s->bias + c));
            } else {
                value = _mm512_load_ps(sums);
            }
            value = cf_act_avx512(act, value);
            if (s->attr->affine) value = _mm512_fmadd_ps(value, scale, shift);
            if (add)
                value = _mm512_add_ps(value, cf_load_avx512(s->add + m * s->add_pixel + c * add_size, add_dtype, mask,
                                                            add_scale, add_zero));
            cf_save_avx512(s->out + m * s->out_pixel + c * out_size, out, mask, value, inverse, zero);
        }
    }
}

CF_INLINE void cf_store_act_avx512(const cf_conv_store *s, int act, int quantised, int add) {
    switch (s->out_tensor->dtype) {
    case CF_F32: cf_store_rows_avx512(s, act, quantised, CF_F32, add); break;
    case CF_BF16: cf_store_rows_avx512(s, act, quantised, CF_BF16, add); break;
    case CF_U8: cf_store_rows_avx512(s, act, quantised, CF_U8, add); break;
    default: cf_store_rows_avx512(s, act, quantised, CF_S8, add); break;
    }
}

CF_INLINE void cf_store_avx512(const cf_conv_store *s, int quantised) {
    int add = s->add != NULL;
    switch (s->attr->act) {
    case CF_ACT_NONE:
        if (add)
            cf_store_act_avx512(s, CF_ACT_NONE, quantised, 1);
        else
            cf_store_act_avx512(s, CF_ACT_NONE, quantised, 0);
        break;
    case CF_ACT_RELU:
        if (add)
            cf_store_act_avx512(s, CF_ACT_RELU, quantised, 1);
        else
            cf_store_act_avx512(s, CF_ACT_RELU, quantised, 0);
        break;
    case CF_ACT_SILU: cf_store_act_avx512(s, CF_ACT_SILU, quantised, add); break;
    case CF_ACT_GELU: cf_store_act_avx512(s, CF_ACT_GELU, quantised, add); break;
    case CF_ACT_SIGMOID: cf_store_act_avx512(s, CF_ACT_SIGMOID, quantised, add); break;
    default: cf_store_act_avx512(s, CF_ACT_CLAMP, quantised, add); break;
    }
}

// Defines the microkernels of `dot` for every length, and the table of them.
#define CF_MICRO(dot, pixels, panels)                                                                                  \
    static void dot##_##pixels##_##panels(const cf_conv_tile *tile) {                                                  \
        cf_micro_avx512(dot, tile, pixels, panels);                                                                    \
    }
#define CF_FOR_RUNS_14(X, dot, panels)                                                                                 \
    X(dot, 1, panels)                                                                                                  \
    X(dot, 2, panels) X(dot, 3, panels) X(dot, 4, panels) X(dot, 5, panels) X(dot, 6, panels) X(dot, 7, panels)        \
        X(dot, 8, panels) X(dot, 9, panels) X(dot, 10, panels) X(dot, 11, panels) X(dot, 12, panels)                   \
            X(dot, 13, panels) X(dot, 14, panels)
#define CF_FOR_RUNS_20(X, dot, panels)                                                                                 \
    CF_FOR_RUNS_14(X, dot, panels)                                                                                     \
    X(dot, 15, panels) X(dot, 16, panels) X(dot, 17, panels) X(dot, 18, panels) X(dot, 19, panels) X(dot, 20, panels)
#define CF_MICRO_NAME(dot, pixels, panels) dot##_##pixels##_##panels,
#define CF_MICRO_TABLE_AVX512(table, dot)                                                                              \
    CF_FOR_RUNS_20(CF_MICRO, dot, 1)                                                                                   \
    CF_FOR_RUNS_14(CF_MICRO, dot, 2)                                                                                   \
    static void (*const table[2][CF_CONV_RUNS])(const cf_conv_tile *) = {{CF_FOR_RUNS_20(CF_MICRO_NAME, dot, 1)},      \
                                                                         {CF_FOR_RUNS_14(CF_MICRO_NAME, dot, 2)}};

#endif
