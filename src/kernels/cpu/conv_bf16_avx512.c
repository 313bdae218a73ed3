// SPDX-License-Identifier: Apache-2.0
// bf16 convolution with AVX-512 BF16 dot products: exact products, FP32 sums; denormals count as zero.
#include "base/cpu.h"
#include "kernels/cpu/conv_avx512.h"

CF_INLINE __m512 dot(__m512 sums, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sums, (__m512bh)b, (__m512bh)a);
}

enum { dot_chunk = 0, dot_finish = CF_BF16, dot_f16 = 0 };
CF_MICRO_TABLE_AVX512(micro, dot)

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

static int finishes(const cf_problem *problem) {
    return cf_micro_finishes(problem, (cf_dtype)dot_finish);
}

static const char *refuse(const cf_problem *problem) {
    return cf_conv_refuse(problem, CF_BF16);
}

const cf_conv_machine cf_conv_bf16_avx512_machine = {{20, 14, 0}, 2, micro, store, finishes};

static void run(const cf_call *call, const cf_team *team) {
    cf_conv_run(call, team, &cf_conv_bf16_avx512_machine);
}

const cf_kernel cf_conv_bf16_avx512 = {.name = "conv_bf16_avx512",
                                       .op = CF_OP_CONV,
                                       .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                       .refuse = refuse,
                                       .packed_size = cf_conv_packed_size,
                                       .pack = cf_conv_pack,
                                       .run = run};
