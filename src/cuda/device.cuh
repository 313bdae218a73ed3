// SPDX-License-Identifier: Apache-2.0
// What all CUDA C kernels share: elements by type, waiting for the kernel before, sums over a warp.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <stdint.h>

#include "kernels/tensor.h"

template <typename A, typename B> struct cf_is_same { static constexpr bool value = false; };
template <typename A> struct cf_is_same<A, A> { static constexpr bool value = true; };

#define CF_GLOBAL extern "C" __global__ void

// Kernels are launched so that they may start while the one before still runs: whatever reads or writes memory that
// another kernel touches comes after this. Every kernel calls it, once, on every thread.
__device__ __forceinline__ void cf_wait_before() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Says that the next kernel may be started (it still waits for all of this one's writes by cf_wait_before).
__device__ __forceinline__ void cf_let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Elements between the first one and channel c of pixel (y, x) of image n.
__device__ __forceinline__ int64_t cf_at(const cf_tensor &t, int n, int y, int x, int c) {
    return n * t.image + y * t.row + x * t.pixel + c;
}

// E4M3, where the chip converts it: plans of others have none.
__device__ __forceinline__ float2 cf_from_two_e4m3(uint32_t bits) {
#if __CUDA_ARCH__ >= 890
    __half2_raw pair = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)bits, __NV_E4M3);
    return __half22float2(*reinterpret_cast<__half2 *>(&pair));
#else
    return make_float2(0.f, 0.f);
#endif
}

// Rounded to nearest even, saturated, in the low half of the result.
__device__ __forceinline__ uint32_t cf_two_e4m3(float low, float high) {
#if __CUDA_ARCH__ >= 890
    return __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, __NV_E4M3);
#else
    return 0;
#endif
}

// The element at an offset, as FP32, whatever the type. The branch is the same for all threads.
__device__ __forceinline__ float cf_get(const cf_tensor &t, int64_t at) {
    switch (t.dtype) {
    case CF_F32: return static_cast<const float *>(t.data)[at];
    case CF_F16: return __half2float(static_cast<const __half *>(t.data)[at]);
    case CF_BF16: return __bfloat162float(static_cast<const __nv_bfloat16 *>(t.data)[at]);
    case CF_S8: return t.scale * (static_cast<const int8_t *>(t.data)[at] - t.zero);
    case CF_U8: return t.scale * (static_cast<const uint8_t *>(t.data)[at] - t.zero);
    case CF_I32: return static_cast<const int32_t *>(t.data)[at];
    case CF_E4M3: return t.scale * cf_from_two_e4m3(static_cast<const uint8_t *>(t.data)[at]).x;
    }
    return 0;
}

// Stores round to nearest even; 8-bit types saturate.
__device__ __forceinline__ void cf_put(const cf_tensor &t, int64_t at, float value) {
    switch (t.dtype) {
    case CF_F32: static_cast<float *>(t.data)[at] = value; break;
    case CF_F16: static_cast<__half *>(t.data)[at] = __float2half_rn(value); break;
    case CF_BF16: static_cast<__nv_bfloat16 *>(t.data)[at] = __float2bfloat16_rn(value); break;
    case CF_S8:
        static_cast<int8_t *>(t.data)[at] = (int8_t)fminf(fmaxf(rintf(value / t.scale) + t.zero, -128.f), 127.f);
        break;
    case CF_U8:
        static_cast<uint8_t *>(t.data)[at] = (uint8_t)fminf(fmaxf(rintf(value / t.scale) + t.zero, 0.f), 255.f);
        break;
    case CF_I32: static_cast<int32_t *>(t.data)[at] = (int32_t)value; break;
    case CF_E4M3: static_cast<uint8_t *>(t.data)[at] = (uint8_t)cf_two_e4m3(value / t.scale, 0.f); break;
    }
}

// The formulas of graph/op.h in FP32.
__device__ __forceinline__ float cf_activate(int act, float x) {
    switch (act) {
    case CF_ACT_RELU: return fmaxf(x, 0.f);
    case CF_ACT_SILU: return x / (1.f + expf(-x));
    case CF_ACT_GELU: return 0.5f * x * (1.f + erff(x * 0.70710678118654752f));
    case CF_ACT_SIGMOID: return 1.f / (1.f + expf(-x));
    case CF_ACT_CLAMP: return fminf(fmaxf(x, -10.f), 10.f);
    default: return x;
    }
}

__device__ __forceinline__ float cf_warp_sum(float v) {
    for (int lane = 16; lane > 0; lane /= 2) v += __shfl_xor_sync(0xffffffffu, v, lane);
    return v;
}

__device__ __forceinline__ float cf_warp_max(float v) {
    for (int lane = 16; lane > 0; lane /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, lane));
    return v;
}
