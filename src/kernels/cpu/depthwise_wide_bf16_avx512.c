// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in bf16, 32 channels at a time, with AVX-512 and the processor's own rounding.
#include "base/cpu.h"
#include "kernels/cpu/depthwise_wide.h"

CF_WIDE_TYPE(CF_BF16)

static const char *refuse(const cf_problem *problem) {
    return cf_wide_refuse(problem, CF_BF16);
}

const cf_kernel cf_depthwise_wide_bf16_avx512 = {.name = "conv_depthwise_wide_bf16_avx512",
                                                 .op = CF_OP_CONV,
                                                 .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                                 .refuse = refuse,
                                                 .packed_size = cf_wide_packed_size,
                                                 .pack = cf_wide_pack,
                                                 .run = run_CF_BF16};
