// SPDX-License-Identifier: Apache-2.0
// What the convolution kernels share: from sums to stored outputs, eight channels at a time.
#pragma once

#include "cuda/bytes.cuh"
#include "cuda/conv_args.h"

// Eight channels of one pixel in FP32.
struct cf_eight {
    float v[8];
};

__device__ __forceinline__ float2 cf_unpack(uint32_t bits, __half) {
    return __half22float2(*reinterpret_cast<__half2 *>(&bits));
}

__device__ __forceinline__ float2 cf_unpack(uint32_t bits, __nv_bfloat16) {
    return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
}

__device__ __forceinline__ uint32_t cf_pack(float low, float high, __half) {
    __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}

__device__ __forceinline__ uint32_t cf_pack(float low, float high, __nv_bfloat16) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}

template <typename T> __device__ __forceinline__ cf_eight cf_unpack8(uint4 bits) {
    cf_eight e;
    const uint32_t word[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 pair = cf_unpack(word[i], T());
        e.v[2 * i] = pair.x, e.v[2 * i + 1] = pair.y;
    }
    return e;
}

template <typename T> __device__ __forceinline__ uint4 cf_pack8(const cf_eight &e) {
    return make_uint4(cf_pack(e.v[0], e.v[1], T()), cf_pack(e.v[2], e.v[3], T()), cf_pack(e.v[4], e.v[5], T()),
                      cf_pack(e.v[6], e.v[7], T()));
}

__device__ __forceinline__ cf_eight cf_load8_f32(const float *from) {
    float4 a = reinterpret_cast<const float4 *>(from)[0], b = reinterpret_cast<const float4 *>(from)[1];
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

__device__ __forceinline__ void cf_load(const float *from, float &to) {
    to = *from;
}
__device__ __forceinline__ void cf_load(const __half *from, float &to) {
    to = __half2float(*from);
}
__device__ __forceinline__ void cf_load(const __nv_bfloat16 *from, float &to) {
    to = __bfloat162float(*from);
}
__device__ __forceinline__ void cf_store(float *to, float v) {
    *to = v;
}
__device__ __forceinline__ void cf_store(__half *to, float v) {
    *to = __float2half_rn(v);
}
__device__ __forceinline__ void cf_store(__nv_bfloat16 *to, float v) {
    *to = __float2bfloat16_rn(v);
}

// The first `count` of eight elements; the rest is 0.
template <typename T> __device__ __forceinline__ cf_eight cf_get_some(const void *data, int64_t at, int count) {
    const T *from = static_cast<const T *>(data) + at;
    cf_eight e = {};
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < count) cf_load(from + i, e.v[i]);
    return e;
}

template <typename T>
__device__ __forceinline__ void cf_put_some(void *data, int64_t at, int count, const cf_eight &e) {
    T *to = static_cast<T *>(data) + at;
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < count) cf_store(to + i, e.v[i]);
}

// Eight elements from `at` on, of which `count` exist, of a quantised tensor. vector: they start at a multiple of 8
// bytes.
__device__ __forceinline__ cf_eight cf_get8_bytes(const cf_tensor &t, int64_t at, int count, int vector) {
    cf_eight e = {};
    if (vector && count == 8) {
        cf_from_bytes(t, cf_load_bytes(t, at), e.v);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (i < count) e.v[i] = cf_get(t, at + i);
    }
    return e;
}

__device__ __forceinline__ void cf_put8_bytes(const cf_tensor &t, int64_t at, int count, int vector,
                                              const cf_eight &e) {
    if (vector && count == 8) {
        cf_store_bytes(t, at, cf_to_bytes(t, e.v, 1.f / t.scale));
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (i < count) cf_put(t, at + i, e.v[i]);
    }
}

// The same of a tensor of any type. vector: they start at a multiple of 16 bytes (8 where elements are bytes).
__device__ __forceinline__ cf_eight cf_get8(const cf_tensor &t, int64_t at, int count, int vector) {
    const char *from = static_cast<const char *>(t.data);
    if (cf_is_bytes(t)) return cf_get8_bytes(t, at, count, vector);
    if (vector && count == 8) {
        if (t.dtype == CF_F32) return cf_load8_f32(reinterpret_cast<const float *>(from) + at);
        uint4 bits = *reinterpret_cast<const uint4 *>(from + at * 2);
        return t.dtype == CF_F16 ? cf_unpack8<__half>(bits) : cf_unpack8<__nv_bfloat16>(bits);
    }
    if (t.dtype == CF_F32) return cf_get_some<float>(from, at, count);
    if (t.dtype == CF_F16) return cf_get_some<__half>(from, at, count);
    return cf_get_some<__nv_bfloat16>(from, at, count);
}

__device__ __forceinline__ void cf_put8(const cf_tensor &t, int64_t at, int count, int vector, const cf_eight &e) {
    char *to = static_cast<char *>(t.data);
    if (cf_is_bytes(t)) {
        cf_put8_bytes(t, at, count, vector, e);
    } else if (vector && count == 8) {
        if (t.dtype == CF_F32) {
            float4 *wide = reinterpret_cast<float4 *>(reinterpret_cast<float *>(to) + at);
            wide[0] = make_float4(e.v[0], e.v[1], e.v[2], e.v[3]);
            wide[1] = make_float4(e.v[4], e.v[5], e.v[6], e.v[7]);
        } else {
            *reinterpret_cast<uint4 *>(to + at * 2) =
                t.dtype == CF_F16 ? cf_pack8<__half>(e) : cf_pack8<__nv_bfloat16>(e);
        }
    } else if (t.dtype == CF_F32) {
        cf_put_some<float>(to, at, count, e);
    } else if (t.dtype == CF_F16) {
        cf_put_some<__half>(to, at, count, e);
    } else {
        cf_put_some<__nv_bfloat16>(to, at, count, e);
    }
}

// 1 / (1 + exp(-x)) to a few units in the last place of FP32.
__device__ __forceinline__ float cf_quick_sigmoid(float x) {
    return __fdividef(1.f, 1.f + __expf(-x));
}

__device__ __forceinline__ void cf_activate8(int act, cf_eight &e) {
    if (act == CF_ACT_NONE) return;
    if (act == CF_ACT_RELU) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = fmaxf(e.v[i], 0.f);
    } else if (act == CF_ACT_SILU) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] *= cf_quick_sigmoid(e.v[i]);
    } else if (act == CF_ACT_SIGMOID) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = cf_quick_sigmoid(e.v[i]);
    } else if (act == CF_ACT_GELU) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = cf_activate(CF_ACT_GELU, e.v[i]);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = cf_activate(CF_ACT_CLAMP, e.v[i]);
    }
}

// The usual end: ReLU, SiLU or no activation, then an affine block (scale 1, shift 0 where there is none).
__device__ __forceinline__ void cf_usual_end8(int act, float scale, float shift, cf_eight &e) {
    if (act == CF_ACT_RELU) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = fmaxf(e.v[i], 0.f);
    } else if (act == CF_ACT_SILU) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] *= cf_quick_sigmoid(e.v[i]);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) e.v[i] = fmaf(e.v[i], scale, shift);
}

// Elements between an image's start and pixel m of all pixels in a row: m counts images * out.h * out.w.
__device__ __forceinline__ int64_t cf_pixel_offset(const cf_conv_args &a, const cf_tensor &t, int flat, unsigned m) {
    if (flat) return m * t.pixel;
    unsigned row = m / (unsigned)a.out.w, x = m - row * a.out.w, n = row / (unsigned)a.out.h, y = row - n * a.out.h;
    return cf_at(t, n, y, x, 0);
}

// Bias, activation, affine block, residual, store: channels o .. o+7 of output pixel m. o is a multiple of 8.
// EXACT: exponentials to the last place, for FP32 throughout; what is rounded to 16 bits does not see the difference.
template <bool EXACT = false>
__device__ __forceinline__ void cf_conv_finish8(const cf_conv_args &a, unsigned m, int o, cf_eight e) {
    int count = min(8, a.out.c - o);
    cf_eight bias = cf_load8_f32(a.bias + o);
#pragma unroll
    for (int i = 0; i < 8; i++) e.v[i] += bias.v[i];
    if (EXACT) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = cf_activate(a.attr.act, e.v[i]);
    } else {
        cf_activate8(a.attr.act, e);
    }
    if (a.attr.affine) {
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] = e.v[i] * a.attr.scale + a.attr.shift;
    }
    if (a.residual.data) {
        int64_t at = cf_pixel_offset(a, a.residual, a.flat_residual, m) + o;
        cf_eight residual = cf_get8(a.residual, at, count, a.vector_residual);
#pragma unroll
        for (int i = 0; i < 8; i++) e.v[i] += residual.v[i];
    }
    cf_put8(a.out, cf_pixel_offset(a, a.out, a.flat_out, m) + o, count, a.vector_out, e);
}
