// SPDX-License-Identifier: Apache-2.0
// Convolution with AVX2: FP32 by fused multiply-adds; bf16 widened to FP32 on the way in (exact products, FP32 sums);
// int8 widened to 16 bits and multiplied in pairs, because the 8-bit product of AVX2 saturates.
#include "base/cpu.h"
#include "kernels/cpu/conv_avx2.h"

// Longest run of types that need more registers for weights and inputs.
enum { WIDENED_RUN = 4 };

CF_INLINE void dot_f32(__m256 *sums, int32_t group, const cf_avx2_weights *w) {
    __m256 a = _mm256_castsi256_ps(_mm256_set1_epi32(group));
    sums[0] = _mm256_fmadd_ps(a, _mm256_castsi256_ps(w->part[0]), sums[0]);
    sums[1] = _mm256_fmadd_ps(a, _mm256_castsi256_ps(w->part[1]), sums[1]);
}

// Even values moved up, odd ones cut off: parts 0, 1 and 2, 3.
CF_INLINE cf_avx2_weights unpack_bf16(const char *from) {
    cf_avx2_weights w = cf_avx2_as_they_are(from);
    __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    w.part[2] = _mm256_and_si256(w.part[0], high);
    w.part[3] = _mm256_and_si256(w.part[1], high);
    w.part[0] = _mm256_slli_epi32(w.part[0], 16);
    w.part[1] = _mm256_slli_epi32(w.part[1], 16);
    return w;
}

CF_INLINE void dot_bf16(__m256 *sums, int32_t group, const cf_avx2_weights *w) {
    __m256i both = _mm256_set1_epi32(group);
    __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000u)));
    for (int i = 0; i < 2; i++) {
        sums[i] = _mm256_fmadd_ps(even, _mm256_castsi256_ps(w->part[i]), sums[i]);
        sums[i] = _mm256_fmadd_ps(odd, _mm256_castsi256_ps(w->part[2 + i]), sums[i]);
    }
}

// Bytes 0, 2 and 1, 3 of each group as 16-bit values.
CF_INLINE cf_avx2_weights unpack_int8(const char *from) {
    cf_avx2_weights w = cf_avx2_as_they_are(from);
    for (int i = 0; i < 2; i++) {
        w.part[2 + i] = _mm256_srai_epi16(w.part[i], 8);
        w.part[i] = _mm256_srai_epi16(_mm256_slli_epi16(w.part[i], 8), 8);
    }
    return w;
}

CF_INLINE void dot_bytes(__m256 *sums, __m256i bytes, const cf_avx2_weights *w) {
    __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi32(0x00ff00ff)), odd = _mm256_srli_epi16(bytes, 8);
    for (int i = 0; i < 2; i++) {
        __m256i pairs = _mm256_add_epi32(_mm256_madd_epi16(even, w->part[i]), _mm256_madd_epi16(odd, w->part[2 + i]));
        sums[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sums[i]), pairs));
    }
}

CF_INLINE void dot_u8(__m256 *sums, int32_t group, const cf_avx2_weights *w) {
    dot_bytes(sums, _mm256_set1_epi32(group), w);
}

CF_INLINE void dot_s8(__m256 *sums, int32_t group, const cf_avx2_weights *w) { // with 128 added: the top bit flipped
    dot_bytes(sums, _mm256_xor_si256(_mm256_set1_epi32(group), _mm256_set1_epi32((int)0x80808080u)), w);
}

CF_MICRO_AVX2_6(f32, cf_avx2_as_they_are, CF_SUM_CHUNK)
CF_MICRO_AVX2_4(bf16, unpack_bf16, 0)
CF_MICRO_AVX2_4(u8, unpack_int8, 0)
CF_MICRO_AVX2_4(s8, unpack_int8, 0)

static cf_avx2_table micro_f32[1] = {{CF_RUNS_AVX2_6(f32)}};
static cf_avx2_table micro_bf16[1] = {{CF_RUNS_AVX2_4(bf16)}};
static cf_avx2_table micro_u8[1] = {{CF_RUNS_AVX2_4(u8)}};
static cf_avx2_table micro_s8[1] = {{CF_RUNS_AVX2_4(s8)}};

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

static void store_int8(const cf_conv_store *s) {
    cf_store_any(s, 1);
}

static const char *refuse(const cf_problem *problem) {
    return problem->in[0].dtype == CF_F16 ? "an FP16 input" : cf_conv_refuse(problem, problem->in[0].dtype);
}

const cf_conv_machine cf_conv_f32_avx2_machine = {{CF_AVX2_RUN}, 1, micro_f32, store, NULL};

static void run(const cf_call *call, const cf_team *team) {
    static const cf_conv_machine bf16 = {{WIDENED_RUN}, 1, micro_bf16, store, NULL},
                                 u8 = {{WIDENED_RUN}, 1, micro_u8, store_int8, NULL},
                                 s8 = {{WIDENED_RUN}, 1, micro_s8, store_int8, NULL};
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
