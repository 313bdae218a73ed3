// SPDX-License-Identifier: Apache-2.0
// FP32 numbers as sums of three bf16 ones, for products on AMX tiles.
//
// x = hi + mid + lo, each the bf16 nearest to what is left, exact to 24 bits. Of the nine products of two such sums the
// six largest are added (hi*hi, hi*mid, mid*hi, hi*lo, mid*mid, lo*hi); what is dropped is below 2^-24 of the product.
//
// A tile register takes pairs of values in 32 bits: channels c and c + 16 of 32, so that vectors of FP32 are packed by
// shifts.
#ifndef CF_KERNELS_CPU_SPLIT_BF16_H
#define CF_KERNELS_CPU_SPLIT_BF16_H

#include "kernels/cpu/simd_avx512.h"

enum {
    CF_SPLIT_PARTS = 3,
    CF_SPLIT_CHANNELS = 32, // in a tile register
    CF_SPLIT_TILE = 1024,   // bytes of one
};

// Bits of bf16 that are the upper halves of a and b, as pairs (a, b).
CF_INLINE __m512i cf_upper_halves(__m512i a, __m512i b) {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(a, 16), b);
}

// hi, mid and lo of a and b, as pairs. To nearest; lo needs no rounding, it has 8 bits at most.
CF_INLINE void cf_split(__m512 a, __m512 b, __m512i to[CF_SPLIT_PARTS]) {
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
#pragma GCC unroll 2
    for (int i = 0; i < CF_SPLIT_PARTS - 1; i++) {
        __m512i near_a = _mm512_add_epi32(_mm512_castps_si512(a), half);
        __m512i near_b = _mm512_add_epi32(_mm512_castps_si512(b), half);
        to[i] = cf_upper_halves(near_a, near_b);
        a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_and_si512(near_a, upper)));
        b = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_and_si512(near_b, upper)));
    }
    to[CF_SPLIT_PARTS - 1] = cf_upper_halves(_mm512_castps_si512(a), _mm512_castps_si512(b));
}

// The parts of 16 outputs' weights of channels c and c + 16 to where tile registers want them, `distance` bytes from
// one part to the next. tile: of hi.
CF_INLINE void cf_split_weights(__m512 low, __m512 high, char *tile, size_t distance, int c) {
    __m512i parts[CF_SPLIT_PARTS];
    cf_split(low, high, parts);
#pragma GCC unroll 3
    for (int part = 0; part < CF_SPLIT_PARTS; part++)
        _mm512_storeu_si512(tile + (size_t)part * distance + c * 64, parts[part]);
}

// Weights `stride` floats apart from `from` on; zeroes where a bit of `lanes` is not set.
CF_INLINE __m512 cf_gather_weights(const float *from, int32_t stride, __mmask16 lanes) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, _mm512_mullo_epi32(lane, _mm512_set1_epi32(stride)),
                                    from, 4);
}

#endif
