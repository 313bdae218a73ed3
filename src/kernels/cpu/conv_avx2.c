// SPDX-License-Identifier: Apache-2.0
// Convolution with AVX2: FP32 by fused multiply-adds; bf16 widened to FP32 on the way in (exact products, FP32 sums);
// int8 widened to 16 bits and multiplied in pairs, because the 8-bit product of AVX2 saturates.
#include <string.h>

#include "base/cpu.h"
#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/conv_store.h"

// Longest runs, by the 16 registers: two sums a pixel, the weights of a group, one or two for the input.
enum { F32_RUN = 6, BF16_RUN = 4, INT8_RUN = 4 };

// The weights of one group of K for 16 outputs, unpacked: outputs 0..7 and 8..15, then what a type needs beyond that.
typedef struct {
    __m256i part[4];
} weights;

typedef weights (*unpack_function)(const char *from);
typedef void (*dot_function)(__m256 *sums, int32_t group, const weights *w);

CF_INLINE weights unpack_f32(const char *from) {
    return (weights){{_mm256_loadu_si256((const __m256i *)from), _mm256_loadu_si256((const __m256i *)(from + 32))}};
}

CF_INLINE void dot_f32(__m256 *sums, int32_t group, const weights *w) {
    __m256 a = _mm256_castsi256_ps(_mm256_set1_epi32(group));
    sums[0] = _mm256_fmadd_ps(a, _mm256_castsi256_ps(w->part[0]), sums[0]);
    sums[1] = _mm256_fmadd_ps(a, _mm256_castsi256_ps(w->part[1]), sums[1]);
}

// Even values moved up, odd ones cut off: parts 0, 1 and 2, 3.
CF_INLINE weights unpack_bf16(const char *from) {
    weights w = unpack_f32(from);
    __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    w.part[2] = _mm256_and_si256(w.part[0], high);
    w.part[3] = _mm256_and_si256(w.part[1], high);
    w.part[0] = _mm256_slli_epi32(w.part[0], 16);
    w.part[1] = _mm256_slli_epi32(w.part[1], 16);
    return w;
}

CF_INLINE void dot_bf16(__m256 *sums, int32_t group, const weights *w) {
    __m256i both = _mm256_set1_epi32(group);
    __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000u)));
    for (int i = 0; i < 2; i++) {
        sums[i] = _mm256_fmadd_ps(even, _mm256_castsi256_ps(w->part[i]), sums[i]);
        sums[i] = _mm256_fmadd_ps(odd, _mm256_castsi256_ps(w->part[2 + i]), sums[i]);
    }
}

// Bytes 0, 2 and 1, 3 of each group as 16-bit values.
CF_INLINE weights unpack_int8(const char *from) {
    weights w = unpack_f32(from);
    for (int i = 0; i < 2; i++) {
        w.part[2 + i] = _mm256_srai_epi16(w.part[i], 8);
        w.part[i] = _mm256_srai_epi16(_mm256_slli_epi16(w.part[i], 8), 8);
    }
    return w;
}

CF_INLINE void dot_bytes(__m256 *sums, __m256i bytes, const weights *w) {
    __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi32(0x00ff00ff)), odd = _mm256_srli_epi16(bytes, 8);
    for (int i = 0; i < 2; i++) {
        __m256i pairs = _mm256_add_epi32(_mm256_madd_epi16(even, w->part[i]), _mm256_madd_epi16(odd, w->part[2 + i]));
        sums[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sums[i]), pairs));
    }
}

CF_INLINE void dot_u8(__m256 *sums, int32_t group, const weights *w) {
    dot_bytes(sums, _mm256_set1_epi32(group), w);
}

CF_INLINE void dot_s8(__m256 *sums, int32_t group, const weights *w) { // with 128 added: the top bit flipped
    dot_bytes(sums, _mm256_xor_si256(_mm256_set1_epi32(group), _mm256_set1_epi32((int)0x80808080u)), w);
}

// chunk: groups that are summed before the sum joins the total (0: all).
CF_INLINE void micro(unpack_function unpack, dot_function dot, const cf_conv_tile *tile, int pixels, int chunk) {
    const cf_conv_geometry *g = tile->geometry;
    int pending = 0, flushed = 0;
    __m256 sums[2 * F32_RUN];
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
                    weights w = unpack(weight);
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
                weights w = unpack(weight);
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

#define MICRO(type, unpack, chunk, pixels)                                                                             \
    static void micro_##type##_##pixels(const cf_conv_tile *tile) {                                                    \
        micro(unpack, dot_##type, tile, pixels, chunk);                                                                \
    }
#define MICRO_4(type, unpack, chunk)                                                                                   \
    MICRO(type, unpack, chunk, 1)                                                                                      \
    MICRO(type, unpack, chunk, 2) MICRO(type, unpack, chunk, 3) MICRO(type, unpack, chunk, 4)
MICRO_4(f32, unpack_f32, CF_SUM_CHUNK)
MICRO(f32, unpack_f32, CF_SUM_CHUNK, 5)
MICRO(f32, unpack_f32, CF_SUM_CHUNK, 6)
MICRO_4(bf16, unpack_bf16, 0)
MICRO_4(u8, unpack_int8, 0)
MICRO_4(s8, unpack_int8, 0)

typedef void (*const micro_table[CF_CONV_RUNS])(const cf_conv_tile *);
static micro_table micro_f32[1] = {{micro_f32_1, micro_f32_2, micro_f32_3, micro_f32_4, micro_f32_5, micro_f32_6}};
static micro_table micro_bf16[1] = {{micro_bf16_1, micro_bf16_2, micro_bf16_3, micro_bf16_4}};
static micro_table micro_u8[1] = {{micro_u8_1, micro_u8_2, micro_u8_3, micro_u8_4}};
static micro_table micro_s8[1] = {{micro_s8_1, micro_s8_2, micro_s8_3, micro_s8_4}};

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

static void store_int8(const cf_conv_store *s) {
    cf_store_any(s, 1);
}

static const char *refuse(const cf_problem *problem) {
    return problem->in[0].dtype == CF_F16 ? "an FP16 input" : cf_conv_refuse(problem, problem->in[0].dtype);
}

const cf_conv_machine cf_conv_f32_avx2_machine = {{F32_RUN}, 1, micro_f32, store, NULL};

static void run(const cf_call *call, const cf_team *team) {
    static const cf_conv_machine bf16 = {{BF16_RUN}, 1, micro_bf16, store, NULL},
                                 u8 = {{INT8_RUN}, 1, micro_u8, store_int8, NULL},
                                 s8 = {{INT8_RUN}, 1, micro_s8, store_int8, NULL};
    switch (call->in[0].dtype) {
    case CF_F32: cf_conv_run(call, team, &cf_conv_f32_avx2_machine); break;
    case CF_BF16: cf_conv_run(call, team, &bf16); break;
    case CF_U8: cf_conv_run(call, team, &u8); break;
    default: cf_conv_run(call, team, &s8); break;
    }
}

const cf_kernel cf_conv_avx2 = {.name = "conv_avx2",
                                .op = CF_OP_CONV,
                                .cpu = CF_CPU_AVX2,
                                .refuse = refuse,
                                .packed_size = cf_conv_packed_size,
                                .pack = cf_conv_pack,
                                .run = run};
