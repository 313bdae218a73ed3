// SPDX-License-Identifier: Apache-2.0
// Eight neighbouring elements of a quantised tensor (U8, S8, E4M3), which are 8 bytes, as FP32 and back.
#pragma once

#include "cuda/device.cuh"

// What makes S8 bits U8 ones of the same value, with a zero point 128 higher: the top bit flipped.
__device__ __forceinline__ uint32_t cf_sign_bits(const cf_tensor &t) {
    return t.dtype == CF_S8 ? 0x80808080u : 0;
}

__device__ __forceinline__ int cf_unsigned_zero(const cf_tensor &t) {
    return t.dtype == CF_S8 ? t.zero + 128 : t.zero;
}

// From 2^23 on FP32 has no fractions, and its last bits are an integer's: additions make bytes and numbers of each
// other at several times the rate of conversions.
enum { CF_WHOLE = 1 << 23 };

// Byte i of a word, less a whole number: `base` is CF_WHOLE and that number.
__device__ __forceinline__ float cf_byte_less(uint32_t word, int i, float base) {
    return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7440 + i)) - base;
}

// A number rounded to nearest even and saturated to a byte, which is the lowest of the result.
__device__ __forceinline__ uint32_t cf_byte_bits(float v) {
    return __float_as_uint(fminf(fmaxf(v, 0.f), 255.f) + 1.5f * CF_WHOLE);
}

// Two of them, in the low half of the result.
__device__ __forceinline__ uint32_t cf_two_bytes(float low, float high) {
    return __byte_perm(cf_byte_bits(low), cf_byte_bits(high), 0x0040);
}

__device__ __forceinline__ bool cf_is_bytes(const cf_tensor &t) {
    return t.dtype == CF_U8 || t.dtype == CF_S8 || t.dtype == CF_E4M3;
}

__device__ __forceinline__ void cf_from_bytes(const cf_tensor &t, uint2 bits, float (&v)[8]) {
    if (t.dtype == CF_E4M3) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 two = cf_from_two_e4m3((i < 2 ? bits.x : bits.y) >> i % 2 * 16 & 0xffff);
            v[2 * i] = two.x * t.scale, v[2 * i + 1] = two.y * t.scale;
        }
        return;
    }
    uint32_t sign = cf_sign_bits(t);
    const uint32_t word[2] = {bits.x ^ sign, bits.y ^ sign};
    float base = (float)(CF_WHOLE + cf_unsigned_zero(t));
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = cf_byte_less(word[i / 4], i % 4, base) * t.scale;
}

// Rounds to nearest even and saturates; `inverse` is 1 / scale.
__device__ __forceinline__ uint2 cf_to_bytes(const cf_tensor &t, const float (&v)[8], float inverse) {
    if (t.dtype == CF_E4M3) {
        uint32_t two[4];
#pragma unroll
        for (int i = 0; i < 4; i++) two[i] = cf_two_e4m3(v[2 * i] * inverse, v[2 * i + 1] * inverse);
        return make_uint2(two[0] | two[1] << 16, two[2] | two[3] << 16);
    }
    uint32_t sign = cf_sign_bits(t), word[2];
    float zero = (float)cf_unsigned_zero(t);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float *four = v + i * 4;
        uint32_t low = cf_two_bytes(fmaf(four[0], inverse, zero), fmaf(four[1], inverse, zero));
        word[i] = __byte_perm(low, cf_two_bytes(fmaf(four[2], inverse, zero), fmaf(four[3], inverse, zero)), 0x5410);
    }
    return make_uint2(word[0] ^ sign, word[1] ^ sign);
}

// Offsets are multiples of 8 and the first element lies at a multiple of 8 bytes.
__device__ __forceinline__ uint2 cf_load_bytes(const cf_tensor &t, int64_t at) {
    return *reinterpret_cast<const uint2 *>(static_cast<const uint8_t *>(t.data) + at);
}

__device__ __forceinline__ void cf_store_bytes(const cf_tensor &t, int64_t at, uint2 bits) {
    *reinterpret_cast<uint2 *>(static_cast<uint8_t *>(t.data) + at) = bits;
}
