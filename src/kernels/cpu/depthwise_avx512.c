// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution with AVX-512.
#include "base/cpu.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/depthwise.h"

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

CF_DEPTHWISE_RUN(run_f32, CF_F32, store)
CF_DEPTHWISE_RUN(run_bf16, CF_BF16, store)
CF_DEPTHWISE_RUN(run_f16, CF_F16, store)
CF_DEPTHWISE_RUN(run_u8, CF_U8, store)
CF_DEPTHWISE_RUN(run_s8, CF_S8, store)

static void run(const cf_call *call, const cf_team *team) {
    switch (call->in[0].dtype) {
    case CF_F32: run_f32(call, team); break;
    case CF_BF16: run_bf16(call, team); break;
    case CF_F16: run_f16(call, team); break;
    case CF_U8: run_u8(call, team); break;
    default: run_s8(call, team); break;
    }
}

const cf_kernel cf_depthwise_avx512 = {.name = "conv_depthwise_avx512",
                                       .op = CF_OP_CONV,
                                       .cpu = CF_CPU_AVX2 | CF_CPU_AVX512,
                                       .refuse = cf_depthwise_refuse,
                                       .packed_size = cf_depthwise_packed_size,
                                       .pack = cf_depthwise_pack,
                                       .run = run};
