// SPDX-License-Identifier: Apache-2.0
// AVX-VNNI's products by the same instruction of AVX-512 VNNI, so that its kernel is checked, and timed, where there is
// the one and not the other. Forced in front of the kernel, which the checker compiles a second time.
#ifndef CF_CHECKOPS_AVXVNNI_EMULATED_H
#define CF_CHECKOPS_AVXVNNI_EMULATED_H

#include <immintrin.h>

#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32(sums, a, b) _mm256_dpbusd_epi32(sums, a, b)
#define cf_conv_int8_avxvnni emulated_conv_int8_avxvnni

#endif
