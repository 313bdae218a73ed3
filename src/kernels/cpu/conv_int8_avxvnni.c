// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AVX-VNNI, the byte products of processors without AVX-512 (Intel's from Alder Lake on, those of
// small cores alone too): four products a lane and an exact int32 sum, where AVX2 has to widen. Signed
// activations are made unsigned by adding 128 (the top bit flipped), which packing took into account.
#include "base/cpu.h"
#include "kernels/cpu/conv_avx2.h"

CF_INLINE void dot_bytes(__m256 *sums, __m256i bytes, const cf_avx2_weights *w) {
    for (int i = 0; i < 2; i++)
        sums[i] = _mm256_castsi256_ps(_mm256_dpbusd_avx_epi32(_mm256_castps_si256(sums[i]), bytes, w->part[i]));
}

CF_INLINE void dot_u8(__m256 *sums, int32_t group, const cf_avx2_weights *w) {
    dot_bytes(sums, _mm256_set1_epi32(group), w);
}

CF_INLINE void dot_s8(__m256 *sums, int32_t group, const cf_avx2_weights *w) {
    dot_bytes(sums, _mm256_xor_si256(_mm256_set1_epi32(group), _mm256_set1_epi32((int)0x80808080u)), w);
}

CF_MICRO_AVX2_6(u8, cf_avx2_as_they_are, 0)
CF_MICRO_AVX2_6(s8, cf_avx2_as_they_are, 0)
static cf_avx2_table micro_u8[1] = {{CF_RUNS_AVX2_6(u8)}};
static cf_avx2_table micro_s8[1] = {{CF_RUNS_AVX2_6(s8)}};

static void store(const cf_conv_store *s) {
    cf_store_any(s, 1);
}

static const char *refuse(const cf_problem *problem) {
    return cf_conv_refuse(problem, problem->in[0].dtype == CF_S8 ? CF_S8 : CF_U8);
}

static void run(const cf_call *call, const cf_team *team) {
    static const cf_conv_machine machines[] = {{{CF_AVX2_RUN}, 1, micro_u8, store, NULL},
                                               {{CF_AVX2_RUN}, 1, micro_s8, store, NULL}};
    cf_conv_run(call, team, &machines[call->in[0].dtype == CF_S8]);
}

const cf_kernel cf_conv_int8_avxvnni = {.name = "conv_int8_avxvnni",
                                        .op = CF_OP_CONV,
                                        .cpu = CF_CPU_AVX2 | CF_CPU_AVX_VNNI,
                                        .refuse = refuse,
                                        .packed_size = cf_conv_packed_size,
                                        .pack = cf_conv_pack,
                                        .run = run};
