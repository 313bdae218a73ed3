// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AVX-512 VNNI: unsigned activations times signed weights, int32 sums. Signed activations are
// made unsigned by adding 128 (the top bit flipped), which packing took into account.
#include "base/cpu.h"
#include "kernels/cpu/conv_avx512.h"

CF_INLINE __m512 dot_u8(__m512 sums, __m512i a, __m512i b) {
    return _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sums), a, b));
}

CF_INLINE __m512 dot_s8(__m512 sums, __m512i a, __m512i b) {
    return dot_u8(sums, _mm512_xor_si512(a, _mm512_set1_epi32((int)0x80808080u)), b);
}

enum { dot_u8_chunk = 0, dot_u8_finish = CF_U8, dot_u8_f16 = 0 };
CF_MICRO_TABLE_AVX512(micro_u8, dot_u8)
enum { dot_s8_chunk = 0, dot_s8_finish = CF_I32, dot_s8_f16 = 0 };
CF_MICRO_TABLE_AVX512(micro_s8, dot_s8)

static void store(const cf_conv_store *s) {
    cf_store_any(s, 1);
}

static const char *refuse(const cf_problem *problem) {
    return cf_conv_refuse(problem, problem->in[0].dtype == CF_S8 ? CF_S8 : CF_U8);
}

static void run(const cf_call *call, const cf_team *team) {
    static const cf_conv_machine machines[] = {{{20, 14, 0}, 2, micro_u8, store, cf_micro_finishes_quantised},
                                               {{20, 14, 0}, 2, micro_s8, store, NULL}};
    cf_conv_run(call, team, &machines[call->in[0].dtype == CF_S8]);
}

const cf_kernel cf_conv_int8_avx512 = {.name = "conv_int8_avx512",
                                       .op = CF_OP_CONV,
                                       .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_VNNI,
                                       .refuse = refuse,
                                       .packed_size = cf_conv_packed_size,
                                       .pack = cf_conv_pack,
                                       .run = run};
