// SPDX-License-Identifier: Apache-2.0
// The AVX-512 microkernel as a template over the type: conv_{f32,bf16,f16,int8}_avx512.c bring their dot product and
// get the table of every run length for 1 and 2 panels.
#ifndef CF_KERNELS_CPU_CONV_AVX512_H
#define CF_KERNELS_CPU_CONV_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/conv_store.h"

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

// What a microkernel can do to its FP32 sums before they leave the registers: no activation or ReLU, affine block,
// residual of the output's type; FP32, bf16 or FP16 out; channels in eights.
CF_INLINE int cf_micro_finishes(const cf_problem *problem, cf_dtype dtype) {
    const cf_conv_attr *attr = &problem->attr.conv;
    return (attr->act == CF_ACT_NONE || attr->act == CF_ACT_RELU) && !attr->coarse && problem->out[0].c % 8 == 0 &&
           problem->out[0].dtype == dtype && (problem->inputs < 2 || problem->in[1].dtype == dtype);
}

CF_INLINE __m512 cf_micro_get(const char *from, cf_dtype dtype, int lanes) {
    const v_f32 one = v_set(1);
    return v_read(from, dtype, lanes, one, v_set_i32(0));
}

// quantised: the sums are int32, and every channel has a scale and a bias.
CF_INLINE void cf_micro_finish(const cf_conv_store *s, const __m512 *sums, int pixels, int panels, cf_dtype dtype,
                               int quantised, int add) {
    __mmask16 relu = s->attr->act == CF_ACT_RELU ? 0xffff : 0;
    __m512 scale = v_set(s->attr->affine ? s->attr->scale : 1), shift = v_set(s->attr->affine ? s->attr->shift : 0);
    int size = cf_dtype_size(dtype), half = s->channels % V_LANES; // the last panel has eight channels
    char *out = s->out;
    const char *more = add ? s->add + s->x * s->add_pixel : NULL;
#pragma GCC unroll 28
    for (int m = 0; m < pixels; m++, out += s->out_pixel, more += s->add_pixel)
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++) {
            __m512 value = sums[m * panels + p];
            if (quantised)
                value = v_fma(v_from_i32(_mm512_castps_si512(value)), v_load(s->scale + p * V_LANES),
                              v_load(s->bias + p * V_LANES));
            value = _mm512_mask_max_ps(value, relu, value, v_zero());
            value = v_fma(value, scale, shift);
            if (p == panels - 1 && half) {
                if (add) value = v_add(value, cf_micro_get(more + p * V_LANES * size, dtype, 8));
                if (dtype == CF_BF16)
                    _mm_storeu_si128((__m128i *)(out + p * V_LANES * size), _mm256_castsi256_si128(v_to_bf16(value)));
                else if (dtype == CF_F16)
                    _mm_storeu_si128((__m128i *)(out + p * V_LANES * size), _mm256_castsi256_si128(v_to_f16(value)));
                else
                    _mm256_storeu_ps((float *)(out + p * V_LANES * size), _mm512_castps512_ps256(value));
                continue;
            }
            if (add) value = v_add(value, cf_micro_get(more + p * V_LANES * size, dtype, V_LANES));
            v_write(out + p * V_LANES * size, dtype, V_LANES, value, scale, v_set_i32(0));
        }
}

// What int8's microkernels finish: bytes and half precision, bytes behind SiLU too; no residual; whole panels.
// ReLU is a lower bound, which it is not before an affine block of negative scale.
CF_INLINE int cf_micro_finishes_quantised(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    cf_dtype dtype = problem->out[0].dtype;
    int bytes = dtype == CF_U8, half = dtype == CF_BF16 || dtype == CF_F16;
    if (problem->inputs > 1 || (problem->out[0].c % V_LANES && !cf_conv_pairs(problem))) return 0;
    switch (attr->act) {
    case CF_ACT_NONE: return bytes || half;
    case CF_ACT_RELU: return half || (bytes && !(attr->affine && attr->scale < 0));
    case CF_ACT_SILU: return bytes;
    default: return 0;
    }
}

// int32 sums to bytes with as few instructions as can be: without SiLU, scales, an affine block and the zero point are
// one multiply-add (so ties may fall to the other side than in v_write). What exceeds int32 is converted to 0x80000000,
// the most of unsigned numbers that saturate.
CF_INLINE void cf_micro_finish_bytes(const cf_conv_store *s, const __m512 *sums, int pixels, int panels, int act) {
    const cf_tensor *to = s->out_tensor;
    v_f32 unit = v_set((s->attr->affine ? s->attr->scale : 1) / to->scale);
    v_f32 shift = v_set((s->attr->affine ? s->attr->shift : 0) / to->scale + (float)to->zero);
    v_f32 least = act == CF_ACT_RELU ? v_max(shift, v_zero()) : v_zero();
#pragma GCC unroll 3
    for (int p = 0; p < panels; p++) {
        cf_line line = cf_line_of(s->scale + p * V_LANES, s->bias + p * V_LANES, unit, shift, act);
        char *out = s->out + p * V_LANES;
#pragma GCC unroll 28
        for (int m = 0; m < pixels; m++, out += s->out_pixel) {
            v_f32 value = v_fma(v_from_i32(_mm512_castps_si512(sums[m * panels + p])), line.scale, line.bias);
            if (act == CF_ACT_SILU) value = v_fma(v_act_for(CF_U8, CF_ACT_SILU, value), unit, shift);
            _mm_storeu_si128((__m128i *)out, _mm512_cvtusepi32_epi8(v_to_i32(v_max(value, least))));
        }
    }
}

// dtype: see CF_MICRO.
CF_INLINE void cf_micro_finish_as(const cf_conv_store *s, const __m512 *sums, int pixels, int panels, cf_dtype dtype) {
    if (dtype != CF_U8 && s->add)
        cf_micro_finish(s, sums, pixels, panels, dtype, 0, 1);
    else if (dtype != CF_U8)
        cf_micro_finish(s, sums, pixels, panels, dtype, 0, 0);
    else if (s->out_tensor->dtype == CF_BF16)
        cf_micro_finish(s, sums, pixels, panels, CF_BF16, 1, 0);
    else if (s->out_tensor->dtype == CF_F16)
        cf_micro_finish(s, sums, pixels, panels, CF_F16, 1, 0);
    else if (s->attr->act == CF_ACT_SILU)
        cf_micro_finish_bytes(s, sums, pixels, panels, CF_ACT_SILU);
    else
        cf_micro_finish_bytes(s, sums, pixels, panels, s->attr->act);
}

// FP16 products are summed in FP16, 32 sums a vector: of the even and the odd channels of each output. Adds them as
// FP32 numbers to `totals` (again 0: there are none yet) and starts them from zero.
CF_INLINE void cf_micro_flush_f16(float *totals, __m512 *sums, int count, int again) {
#pragma GCC unroll 28
    for (int i = 0; i < count; i++) {
        float *total = totals + i * 2 * V_LANES;
        __m512i halves = _mm512_castps_si512(sums[i]);
        __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves)),
               high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
        _mm512_store_ps(total, again ? v_add(_mm512_load_ps(total), low) : low);
        _mm512_store_ps(total + V_LANES, again ? v_add(_mm512_load_ps(total + V_LANES), high) : high);
        sums[i] = v_zero();
    }
}

// Even plus odd channels, times the step of the weights, plus the bias: totals of FP16 products become sums.
CF_INLINE void cf_micro_total_f16(const cf_conv_tile *tile, const float *totals, __m512 *sums, int pixels, int panels) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
                  odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
#pragma GCC unroll 3
    for (int p = 0; p < panels; p++) {
        __m512 scale = _mm512_loadu_ps(tile->scale + p * CF_PANEL),
               bias = _mm512_loadu_ps((const float *)tile->start + p * CF_PANEL);
#pragma GCC unroll 28
        for (int m = 0; m < pixels; m++) {
            const float *total = totals + (m * panels + p) * 2 * V_LANES;
            __m512 low = _mm512_load_ps(total), high = _mm512_load_ps(total + V_LANES);
            sums[m * panels + p] = v_fma(
                v_add(_mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high)), scale, bias);
        }
    }
}

// chunk: how many groups of FP32 or FP16 products are summed before the sum joins the total (0: all); see
// conv_store.h. finish: see CF_MICRO. f16: the sums are FP16.
CF_INLINE void cf_micro_avx512(cf_dot dot, const cf_conv_tile *tile, int pixels, int panels, int chunk, cf_dtype finish,
                               int f16) {
    const cf_conv_geometry *g = tile->geometry;
    int pending = 0, flushed = 0;
    float totals[CF_CONV_RUNS * 2 * V_LANES] __attribute__((aligned(64))); // of FP16 sums alone
    __asm__("" : "=m"(totals)); // the first flush fills them, which GCC cannot see
    __m512 sums[CF_CONV_RUNS];
#pragma GCC unroll 28
    for (int m = 0; m < pixels; m++)
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++)
            sums[m * panels + p] = f16 ? v_zero() : _mm512_loadu_ps((const float *)tile->start + p * CF_PANEL);
    const char *weight = tile->weight;
    int64_t panel = tile->panel, step = g->step;
    for (int row = 0; row < g->rows; row++)
        for (int col = 0; col < g->cols; col++) {
            const char *at[(CF_CONV_RUNS + 2) / 3];
#pragma GCC unroll 10
            for (int i = 0; i < (pixels + 2) / 3; i++)
                at[i] = tile->in + row * g->row_step + col * g->col_step + i * 3 * step;
            for (int left, rest = g->groups; rest > 0; rest -= left) {
                int taken = left = chunk && rest > chunk ? chunk : rest;
                for (; left >= 4; left -= 4) {
#pragma GCC unroll 4
                    for (int u = 0; u < 4; u++)
                        cf_micro_step(dot, sums, pixels, panels, at, step, weight, panel, 4 * u);
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
                left = taken;
                pending += taken;
                if (chunk && pending >= chunk) {
                    if (f16)
                        cf_micro_flush_f16(totals, sums, pixels * panels, flushed);
                    else
                        cf_micro_flush(tile, sums, pixels * panels, flushed);
                    flushed = 1;
                    pending = 0;
                }
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
                pending++;
            }
        }
    if (f16) {
        cf_micro_flush_f16(totals, sums, pixels * panels, flushed);
        cf_micro_total_f16(tile, totals, sums, pixels, panels);
    } else if (flushed && tile->finish) {
#pragma GCC unroll 28
        for (int i = 0; i < pixels * panels; i++)
            sums[i] = _mm512_add_ps(_mm512_load_ps((const float *)tile->sums + i * CF_PANEL), sums[i]);
    } else if (flushed) {
        cf_micro_flush(tile, sums, pixels * panels, 1);
        return;
    }
    if (finish != CF_I32 && tile->finish) {
        cf_micro_finish_as(tile->finish, sums, pixels, panels, finish);
        return;
    }
#pragma GCC unroll 28
    for (int m = 0; m < pixels * panels; m++) _mm512_store_ps((float *)tile->sums + m * CF_PANEL, sums[m]);
}

// Defines the microkernels of `dot` for every length, and the table of them. `dot`_chunk, `dot`_f16: see
// cf_micro_avx512; `dot`_finish: the type of the outputs that they can finish, CF_U8 for what
// cf_micro_finishes_quantised allows, CF_I32 for none.
#define CF_MICRO(dot, pixels, panels)                                                                                  \
    static void dot##_##pixels##_##panels(const cf_conv_tile *tile) {                                                  \
        cf_micro_avx512(dot, tile, pixels, panels, dot##_chunk, (cf_dtype)dot##_finish, dot##_f16);                    \
    }
// clang-format off
#define CF_FOR_RUNS_14(X, dot, panels)                                                                                 \
    X(dot, 1, panels) X(dot, 2, panels) X(dot, 3, panels) X(dot, 4, panels) X(dot, 5, panels) X(dot, 6, panels)        \
    X(dot, 7, panels) X(dot, 8, panels) X(dot, 9, panels) X(dot, 10, panels) X(dot, 11, panels) X(dot, 12, panels)     \
    X(dot, 13, panels) X(dot, 14, panels)
// clang-format on
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
