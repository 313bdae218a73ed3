// SPDX-License-Identifier: Apache-2.0
// FP16 convolution with AVX-512 FP16: twice as many multiply-adds an instruction as in FP32.
//
// Sums of 32 products and then some are FP16 numbers, of even and of odd channels by themselves; totals are FP32. Such
// a sum errs by about 2^-10 of itself, half of what rounding the result to bf16 does.
#include "base/cpu.h"
#include "kernels/cpu/conv_avx512.h"

CF_INLINE __m512 dot(__m512 sums, __m512i a, __m512i b) {
    return (__m512)_mm512_fmadd_ph((__m512h)a, (__m512h)b, (__m512h)sums);
}

enum { dot_chunk = CF_F16_CHUNK, dot_finish = CF_F16, dot_f16 = 1 };
CF_MICRO_TABLE_AVX512(micro, dot)

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

static int finishes(const cf_problem *problem) {
    return cf_micro_finishes(problem, (cf_dtype)dot_finish);
}

static const char *refuse(const cf_problem *problem) {
    return cf_conv_refuse(problem, CF_F16);
}

const cf_conv_machine cf_conv_f16_avx512_machine = {{20, 14, 0}, 2, micro, store, finishes};

static void run(const cf_call *call, const cf_team *team) {
    cf_conv_run(call, team, &cf_conv_f16_avx512_machine);
}

const cf_kernel cf_conv_f16_avx512 = {.name = "conv_f16_avx512",
                                      .op = CF_OP_CONV,
                                      .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_FP16,
                                      .refuse = refuse,
                                      .packed_size = cf_conv_packed_size,
                                      .pack = cf_conv_pack,
                                      .run = run};
