// SPDX-License-Identifier: Apache-2.0
// FP32 convolution whose results are bf16, with AVX-512 and the processor's own rounding: the stem of bf16 networks,
// which reads exact pixels.
#include "base/cpu.h"
#include "kernels/cpu/conv_avx512.h"

CF_INLINE __m512 dot(__m512 sums, __m512i a, __m512i b) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sums);
}

enum { dot_chunk = CF_SUM_CHUNK, dot_finish = CF_BF16, dot_f16 = 0 };
CF_MICRO_TABLE_AVX512(micro, dot)

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

static int finishes(const cf_problem *problem) {
    return cf_micro_finishes(problem, (cf_dtype)dot_finish);
}

static const char *refuse(const cf_problem *problem) {
    return problem->out[0].dtype != CF_BF16 ? "results are not bf16" : cf_conv_refuse(problem, CF_F32);
}

static void run(const cf_call *call, const cf_team *team) {
    static const cf_conv_machine machine = {{20, 14, 0}, 2, micro, store, finishes};
    cf_conv_run(call, team, &machine);
}

const cf_kernel cf_conv_f32_bf16_avx512 = {.name = "conv_f32_bf16_avx512",
                                           .op = CF_OP_CONV,
                                           .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                           .refuse = refuse,
                                           .packed_size = cf_conv_packed_size,
                                           .pack = cf_conv_pack,
                                           .run = run};
