// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in FP32, FP16 and bytes, 32 channels at a time, with AVX-512.
#include "base/cpu.h"
#include "kernels/cpu/depthwise_wide.h"

CF_WIDE_TYPE(CF_F32)
CF_WIDE_TYPE(CF_F16)
CF_WIDE_TYPE(CF_U8)
CF_WIDE_TYPE(CF_S8)

static const char *refuse(const cf_problem *problem) {
    cf_dtype dtype = problem->in[0].dtype;
    if (dtype != CF_F32 && dtype != CF_F16 && dtype != CF_U8 && dtype != CF_S8) return "type";
    return cf_wide_refuse(problem, dtype);
}

static void run(const cf_call *call, const cf_team *team) {
    switch (call->in[0].dtype) {
    case CF_F32: run_CF_F32(call, team); break;
    case CF_F16: run_CF_F16(call, team); break;
    case CF_U8: run_CF_U8(call, team); break;
    default: run_CF_S8(call, team); break;
    }
}

const cf_kernel cf_depthwise_wide_avx512 = {.name = "conv_depthwise_wide_avx512",
                                            .op = CF_OP_CONV,
                                            .cpu = CF_CPU_AVX2 | CF_CPU_AVX512,
                                            .refuse = refuse,
                                            .packed_size = cf_wide_packed_size,
                                            .pack = cf_wide_pack,
                                            .run = run};
