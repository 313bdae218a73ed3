// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution from bf16 to bf16 with AVX-512 and the processor's own rounding.
#include "base/cpu.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/depthwise.h"

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

CF_DEPTHWISE_RUN(run, CF_BF16, store)

static const char *refuse(const cf_problem *problem) {
    if (problem->in[0].dtype != CF_BF16 || problem->out[0].dtype != CF_BF16) return "not from bf16 to bf16";
    return cf_depthwise_refuse(problem);
}

const cf_kernel cf_depthwise_bf16_avx512 = {.name = "conv_depthwise_bf16_avx512",
                                            .op = CF_OP_CONV,
                                            .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                            .refuse = refuse,
                                            .packed_size = cf_depthwise_packed_size,
                                            .pack = cf_depthwise_pack,
                                            .run = run};
