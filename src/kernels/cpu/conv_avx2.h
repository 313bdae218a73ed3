// SPDX-License-Identifier: Apache-2.0
// The AVX2 microkernel as a template over the type: conv_avx2.c and conv_int8_avxvnni.c bring their products.
#ifndef CF_KERNELS_CPU_CONV_AVX2_H
#define CF_KERNELS_CPU_CONV_AVX2_H

#include <string.h>

#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/conv_store.h"

// Longest run, by the 16 registers: two sums a pixel, the weights of a group, one for the input.
enum { CF_AVX2_RUN = 6 };

// The weights of one group of K for 16 outputs, unpacked: outputs 0..7 and 8..15, then what a type needs beyond that.
typedef struct {
    __m256i part[4];
} cf_avx2_weights;

typedef cf_avx2_weights (*cf_avx2_unpack)(const char *from);
typedef void (*cf_avx2_dot)(__m256 *sums, int32_t group, const cf_avx2_weights *w);

// As they are: 16 groups of 32 bits.
CF_INLINE cf_avx2_weights cf_avx2_as_they_are(const char *from) {
    return (cf_avx2_weights){
        {_mm256_loadu_si256((const __m256i *)from), _mm256_loadu_si256((const __m256i *)(from + 32))}};
}

// chunk: groups that are summed before the sum joins the total (0: all).
CF_INLINE void cf_micro_avx2(cf_avx2_unpack unpack, cf_avx2_dot dot, const cf_conv_tile *tile, int pixels, int chunk) {
    const cf_conv_geometry *g = tile->geometry;
    int pending = 0, flushed = 0;
    __m256 sums[2 * CF_AVX2_RUN];
#pragma GCC unroll 6
    for (int m = 0; m < pixels; m++) {
        sums[2 * m] = _mm256_loadu_ps(tile->start);
        sums[2 * m + 1] = _mm256_loadu_ps((const float *)tile->start + 8);
    }
    const char *weight = tile->weight;
    int64_t step = g->step;
    for (int row = 0; row < g->rows; row++)
        for (int col = 0; col < g->cols; col++) {
            const char *first = tile->in + row * g->row_step + col * g->col_step, *second = first + 3 * step;
            for (int taken, rest = g->groups; rest > 0; rest -= taken) {
                taken = chunk && rest > chunk ? chunk : rest;
                for (int left = taken; left > 0; left--) {
                    cf_avx2_weights w = unpack(weight);
#pragma GCC unroll 6
                    for (int m = 0; m < pixels; m++) {
                        int32_t group;
                        memcpy(&group, (m < 3 ? first : second) + m % 3 * step, 4);
                        dot(sums + 2 * m, group, &w);
                    }
                    first += 4, second += 4;
                    __asm__("" : "+r"(first), "+r"(second)); // or GCC makes a pointer of every pixel
                    weight += CF_PANEL * 4;
                }
                pending += taken;
                if (chunk && pending >= chunk) {
                    cf_micro_flush(tile, sums, 2 * pixels, flushed);
                    flushed = 1;
                    pending = 0;
                }
            }
            if (g->tail) { // a group that is not full: read no further than its values
                cf_avx2_weights w = unpack(weight);
#pragma GCC unroll 6
                for (int m = 0; m < pixels; m++) {
                    int32_t group = 0;
                    memcpy(&group, (m < 3 ? first : second) + m % 3 * step, (size_t)(g->tail * 4 / g->group));
                    dot(sums + 2 * m, group, &w);
                }
                weight += CF_PANEL * 4;
            }
        }
    if (flushed)
        cf_micro_flush(tile, sums, 2 * pixels, 1);
    else
        cf_micro_flush(tile, sums, 2 * pixels, 0);
}

// Defines the microkernels of `type` up to four and six pixels: of dot_`type`, which `unpack` suits.
#define CF_MICRO_AVX2(type, unpack, chunk, pixels)                                                                     \
    static void micro_##type##_##pixels(const cf_conv_tile *tile) {                                                    \
        cf_micro_avx2(unpack, dot_##type, tile, pixels, chunk);                                                        \
    }
#define CF_MICRO_AVX2_4(type, unpack, chunk)                                                                           \
    CF_MICRO_AVX2(type, unpack, chunk, 1)                                                                              \
    CF_MICRO_AVX2(type, unpack, chunk, 2)                                                                              \
    CF_MICRO_AVX2(type, unpack, chunk, 3) CF_MICRO_AVX2(type, unpack, chunk, 4)
#define CF_MICRO_AVX2_6(type, unpack, chunk)                                                                           \
    CF_MICRO_AVX2_4(type, unpack, chunk)                                                                               \
    CF_MICRO_AVX2(type, unpack, chunk, 5) CF_MICRO_AVX2(type, unpack, chunk, 6)
#define CF_RUNS_AVX2_4(type) micro_##type##_1, micro_##type##_2, micro_##type##_3, micro_##type##_4
#define CF_RUNS_AVX2_6(type) CF_RUNS_AVX2_4(type), micro_##type##_5, micro_##type##_6

typedef void (*const cf_avx2_table[CF_CONV_RUNS])(const cf_conv_tile *);

#endif
