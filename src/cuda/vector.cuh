// SPDX-License-Identifier: Apache-2.0
// Runs of neighbouring channels as FP32: W = 8 (16 bytes of F16 or BF16, 8 of U8, S8 or E4M3, twice 16 of F32; offsets
// are multiples of 8 and the first element lies at a multiple of as many bytes, see cf_cuda_wide) or W = 1 (anything).
#pragma once

#include "cuda/bytes.cuh"

// Elements between the first one and pixel p, in raster order, of image n.
__device__ __forceinline__ int64_t cf_pixel(const cf_tensor &t, int n, uint32_t p) {
    int64_t image = n * t.image;
    if (t.row == t.w * t.pixel) return image + p * t.pixel;
    return image + p / t.w * t.row + p % t.w * t.pixel;
}

__device__ __forceinline__ float2 cf_pair(__half2 v) {
    return __half22float2(v);
}

__device__ __forceinline__ float2 cf_pair(__nv_bfloat162 v) {
    return __bfloat1622float2(v);
}

// Eight elements that share 16 bytes.
template <class Pair> __device__ __forceinline__ void cf_unpack(uint4 bits, float (&v)[8]) {
    Pair pairs[4];
    memcpy(pairs, &bits, sizeof bits);
    for (int i = 0; i < 4; i++) {
        float2 two = cf_pair(pairs[i]);
        v[2 * i] = two.x, v[2 * i + 1] = two.y;
    }
}

__device__ __forceinline__ void cf_load_floats(const float *from, float (&v)[8]) {
    float4 low = reinterpret_cast<const float4 *>(from)[0], high = reinterpret_cast<const float4 *>(from)[1];
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

__device__ __forceinline__ void cf_load_floats(const float *from, float (&v)[1]) {
    v[0] = *from;
}

__device__ __forceinline__ void cf_load(const cf_tensor &t, int64_t at, float (&v)[8]) {
    if (t.dtype == CF_F16)
        cf_unpack<__half2>(*reinterpret_cast<const uint4 *>(static_cast<const __half *>(t.data) + at), v);
    else if (t.dtype == CF_BF16)
        cf_unpack<__nv_bfloat162>(*reinterpret_cast<const uint4 *>(static_cast<const __nv_bfloat16 *>(t.data) + at), v);
    else if (t.dtype == CF_F32)
        cf_load_floats(static_cast<const float *>(t.data) + at, v);
    else
        cf_from_bytes(t, cf_load_bytes(t, at), v);
}

__device__ __forceinline__ void cf_load(const cf_tensor &t, int64_t at, float (&v)[1]) {
    v[0] = cf_get(t, at);
}

__device__ __forceinline__ void cf_store(const cf_tensor &t, int64_t at, const float (&v)[8]) {
    uint4 bits;
    if (t.dtype == CF_F16) {
        __half2 pairs[4];
        for (int i = 0; i < 4; i++) pairs[i] = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
        memcpy(&bits, pairs, sizeof bits);
        *reinterpret_cast<uint4 *>(static_cast<__half *>(t.data) + at) = bits;
    } else if (t.dtype == CF_BF16) {
        __nv_bfloat162 pairs[4];
        for (int i = 0; i < 4; i++) pairs[i] = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
        memcpy(&bits, pairs, sizeof bits);
        *reinterpret_cast<uint4 *>(static_cast<__nv_bfloat16 *>(t.data) + at) = bits;
    } else if (t.dtype == CF_F32) {
        float4 *to = reinterpret_cast<float4 *>(static_cast<float *>(t.data) + at);
        to[0] = make_float4(v[0], v[1], v[2], v[3]);
        to[1] = make_float4(v[4], v[5], v[6], v[7]);
    } else {
        cf_store_bytes(t, at, cf_to_bytes(t, v, 1.f / t.scale));
    }
}

__device__ __forceinline__ void cf_store(const cf_tensor &t, int64_t at, const float (&v)[1]) {
    cf_put(t, at, v[0]);
}
