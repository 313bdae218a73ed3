// SPDX-License-Identifier: Apache-2.0
// Eight neighbouring elements of a quantised tensor (U8, S8), which are 8 bytes, as FP32 and back.
#pragma once

#include "cuda/device.cuh"

// What makes S8 bits U8 ones of the same value, with a zero point 128 higher: the top bit flipped.
__device__ __forceinline__ uint32_t cf_sign_bits(const cf_tensor &t) {
    return t.dtype == CF_S8 ? 0x80808080u : 0;
}

__device__ __forceinline__ int cf_unsigned_zero(const cf_tensor &t) {
    return t.dtype == CF_S8 ? t.zero + 128 : t.zero;
}

__device__ __forceinline__ void cf_from_bytes(const cf_tensor &t, uint2 bits, float (&v)[8]) {
    uint32_t sign = cf_sign_bits(t);
    const uint32_t word[2] = {bits.x ^ sign, bits.y ^ sign};
    int zero = cf_unsigned_zero(t);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = (float)((int)(word[i / 4] >> i % 4 * 8 & 255) - zero) * t.scale;
}

// Rounds to nearest even and saturates; `inverse` is 1 / scale.
__device__ __forceinline__ uint2 cf_to_bytes(const cf_tensor &t, const float (&v)[8], float inverse) {
    uint32_t sign = cf_sign_bits(t), word[2] = {};
    float zero = (float)cf_unsigned_zero(t);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int stored = __float2int_rn(fminf(fmaxf(fmaf(v[i], inverse, zero), 0.f), 255.f));
        word[i / 4] |= (uint32_t)stored << i % 4 * 8;
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
