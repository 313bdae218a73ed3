// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in FP32, FP16 and bytes, and from FP16 to bytes, 32 channels at a time, with AVX-512.
#include "base/cpu.h"
#include "kernels/cpu/depthwise_wide.h"

CF_WIDE_TYPES(CF_F32, CF_F32)
CF_WIDE_TYPES(CF_F16, CF_F16)
CF_WIDE_TYPES(CF_F16, CF_U8)
CF_WIDE_TYPES(CF_F16, CF_S8)
CF_WIDE_TYPES(CF_U8, CF_U8)
CF_WIDE_TYPES(CF_S8, CF_S8)

static const cf_wide_table *table_of(const cf_problem *problem) {
    cf_dtype to = problem->out[0].dtype;
    switch (problem->in[0].dtype) {
    case CF_F32: return to == CF_F32 ? &table_CF_F32CF_F32 : NULL;
    case CF_F16:
        return to == CF_F16  ? &table_CF_F16CF_F16
               : to == CF_U8 ? &table_CF_F16CF_U8
               : to == CF_S8 ? &table_CF_F16CF_S8
                             : NULL;
    case CF_U8: return to == CF_U8 ? &table_CF_U8CF_U8 : NULL;
    case CF_S8: return to == CF_S8 ? &table_CF_S8CF_S8 : NULL;
    default: return NULL;
    }
}

static const char *refuse(const cf_problem *problem) {
    return table_of(problem) ? cf_wide_refuse(problem) : "types";
}

static void run(const cf_call *call, const cf_team *team) {
    cf_wide_run(call, team, table_of(call->problem));
}

const cf_kernel cf_depthwise_wide_avx512 = {.name = "conv_depthwise_wide_avx512",
                                            .op = CF_OP_CONV,
                                            .cpu = CF_CPU_AVX2 | CF_CPU_AVX512,
                                            .refuse = refuse,
                                            .packed_size = cf_wide_packed_size,
                                            .pack = cf_wide_pack,
                                            .run = run};
