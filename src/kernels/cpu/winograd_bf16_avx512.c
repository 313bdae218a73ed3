// SPDX-License-Identifier: Apache-2.0
// Winograd's 3x3 convolution with AVX-512 BF16 dot products: of inputs and weights rounded to bf16 behind the
// transform.
#include "base/cpu.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/winograd.h"

static void run(const cf_call *call, const cf_team *team) {
    wino_run(CF_BF16, call, team, &cf_conv_bf16_avx512_machine);
}

// Rounding behind the transform costs more than rounding before it, and narrow layers gain the least speed.
enum { LEAST_CHANNELS = 64 };

static const char *refuse(const cf_problem *problem) {
    if (problem->in[0].c < LEAST_CHANNELS || problem->out[0].c < LEAST_CHANNELS) return "few channels";
    return wino_refuse(problem, CF_BF16);
}

static size_t scratch_size(const cf_problem *problem) {
    return wino_scratch(problem, cf_conv_bf16_avx512_machine.most_panels);
}

const cf_kernel cf_winograd_bf16_avx512 = {.name = "conv_winograd_bf16_avx512",
                                           .op = CF_OP_CONV,
                                           .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                           .refuse = refuse,
                                           .packed_size = wino_packed_size,
                                           .pack = wino_pack,
                                           .scratch_size = scratch_size,
                                           .run = run};
