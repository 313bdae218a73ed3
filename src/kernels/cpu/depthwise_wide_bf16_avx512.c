// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution from bf16, to bf16 by the processor's own rounding or to bytes, 32 channels at a time.
#include "base/cpu.h"
#include "kernels/cpu/depthwise_wide.h"

CF_WIDE_TYPES(CF_BF16, CF_BF16)
CF_WIDE_TYPES(CF_BF16, CF_U8)
CF_WIDE_TYPES(CF_BF16, CF_S8)

static const cf_wide_table *table_of(const cf_problem *problem) {
    if (problem->in[0].dtype != CF_BF16) return NULL;
    switch (problem->out[0].dtype) {
    case CF_BF16: return &table_CF_BF16CF_BF16;
    case CF_U8: return &table_CF_BF16CF_U8;
    case CF_S8: return &table_CF_BF16CF_S8;
    default: return NULL;
    }
}

static const char *refuse(const cf_problem *problem) {
    return table_of(problem) ? cf_wide_refuse(problem) : "types";
}

static void run(const cf_call *call, const cf_team *team) {
    cf_wide_run(call, team, table_of(call->problem));
}

const cf_kernel cf_depthwise_wide_bf16_avx512 = {.name = "conv_depthwise_wide_bf16_avx512",
                                                 .op = CF_OP_CONV,
                                                 .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                                 .refuse = refuse,
                                                 .packed_size = cf_wide_packed_size,
                                                 .pack = cf_wide_pack,
                                                 .run = run};
