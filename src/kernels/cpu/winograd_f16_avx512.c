// SPDX-License-Identifier: Apache-2.0
// Winograd's 3x3 convolution with AVX-512 FP16: of inputs and weights rounded to FP16 behind the transform.
#include "base/cpu.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/winograd.h"

static void run(const cf_call *call, const cf_team *team) {
    wino_run(CF_F16, call, team, &cf_conv_f16_avx512_machine);
}

static const char *refuse(const cf_problem *problem) {
    return wino_refuse(problem, CF_F16);
}

static size_t scratch_size(const cf_problem *problem) {
    return wino_scratch(problem, cf_conv_f16_avx512_machine.most_panels);
}

const cf_kernel cf_winograd_f16_avx512 = {.name = "conv_winograd_f16_avx512",
                                          .op = CF_OP_CONV,
                                          .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_FP16,
                                          .refuse = refuse,
                                          .packed_size = wino_packed_size,
                                          .pack = wino_pack,
                                          .scratch_size = scratch_size,
                                          .run = run};
