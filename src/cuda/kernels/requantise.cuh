// SPDX-License-Identifier: Apache-2.0
// What happens to the sums of an int8 convolution: offset, scale and bias of each channel, activation, affine block,
// residual (any type), rounding to the output's type. For whatever instruction made the sums.
#pragma once

#include "cuda/bytes.cuh"
#include "cuda/conv_int8_args.h"
#include "cuda/kernels/conv_tile.cuh"

// Eight sums as they lie in memory.
struct cf_eight_sums {
    int v[8];
};

__device__ __forceinline__ cf_eight_sums cf_load8_s32(const int *from) {
    int4 a = reinterpret_cast<const int4 *>(from)[0], b = reinterpret_cast<const int4 *>(from)[1];
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

// Channels o .. o+7 of output pixel m, whatever the types and strides. o is a multiple of 8.
__device__ __forceinline__ void cf_requantise8(const cf_conv_int8_args &a, unsigned m, int o, cf_eight_sums sums) {
    cf_eight scale = cf_load8_f32(a.scale + o), e;
    cf_eight_sums offset = cf_load8_s32(a.offset + o);
#pragma unroll
    for (int i = 0; i < 8; i++) e.v[i] = (float)(sums.v[i] + offset.v[i]) * scale.v[i];
    cf_conv_finish8(a.conv, m, o, e);
}

// The eight elements that start at `at` of a residual whose vectors are aligned: U8, or 16 bits.
__device__ __forceinline__ uint4 cf_load_residual(const cf_tensor &t, int64_t at) {
    const char *from = static_cast<const char *>(t.data);
    if (t.dtype == CF_U8) {
        uint2 bits = *reinterpret_cast<const uint2 *>(from + at);
        return make_uint4(bits.x, bits.y, 0, 0);
    }
    return *reinterpret_cast<const uint4 *>(from + at * 2);
}

__device__ __forceinline__ void cf_add_residual(const cf_tensor &t, uint4 bits, cf_eight &e) {
    cf_eight r;
    if (t.dtype == CF_U8)
        cf_from_bytes(t, make_uint2(bits.x, bits.y), r.v);
    else
        r = t.dtype == CF_F16 ? cf_unpack8<__half>(bits) : cf_unpack8<__nv_bfloat16>(bits);
#pragma unroll
    for (int i = 0; i < 8; i++) e.v[i] += r.v[i];
}

// The usual case of store_tile: eight channels from o on in rows first, first + STEP .. below `end`, vectors at
// regular distances, ReLU, SiLU or no activation. Several rows at once, so that their latencies overlap.
template <int LINE, int STEP>
__device__ __forceinline__ void cf_requantise_rows(const cf_conv_int8_args &a, const int *sums, int m0, int o,
                                                   int first, int end) {
    enum { AT_ONCE = 4 };
    const cf_tensor &out = a.conv.out, &residual = a.conv.residual;
    cf_eight bias = cf_load8_f32(a.conv.bias + o), factor = cf_load8_f32(a.scale + o);
    cf_eight_sums offset = cf_load8_s32(a.offset + o);
    float scale = a.conv.attr.affine ? a.conv.attr.scale : 1.f, shift = a.conv.attr.affine ? a.conv.attr.shift : 0.f;
    float inverse = 1.f / out.scale;
    for (int row = first; row < end; row += AT_ONCE * STEP) {
        cf_eight e[AT_ONCE];
        uint4 more[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int r = min(row + i * STEP, end - 1);
            if (residual.data) more[i] = cf_load_residual(residual, (int64_t)(m0 + r) * residual.pixel + o);
            cf_eight_sums s = cf_load8_s32(sums + r * LINE);
#pragma unroll
            for (int k = 0; k < 8; k++) e[i].v[k] = fmaf((float)(s.v[k] + offset.v[k]), factor.v[k], bias.v[k]);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            cf_usual_end8(a.conv.attr.act, scale, shift, e[i]);
            if (residual.data) cf_add_residual(residual, more[i], e[i]);
            int r = row + i * STEP;
            if (r >= end) continue;
            int64_t at = (int64_t)(m0 + r) * out.pixel + o;
            if (out.dtype == CF_U8)
                cf_store_bytes(out, at, cf_to_bytes(out, e[i].v, inverse));
            else
                *reinterpret_cast<uint4 *>(static_cast<__half *>(out.data) + at) = cf_pack8<__half>(e[i]);
        }
    }
}

// As store_tile of the other types; bytes are never split.
template <typename T, int ROWS, int COLUMNS, int THREADS, int SPLITS>
__device__ __forceinline__ void store_tile(const cf_conv_int8_args &a, const int *sums, int m0, int o0, int) {
    static_assert(SPLITS == 1);
    constexpr int EIGHTS = COLUMNS / 8, STEP = THREADS / EIGHTS, LINE = sums_line(COLUMNS);
    const cf_conv_args &conv = a.conv;
    __syncthreads();
    int first = threadIdx.x / EIGHTS, column = threadIdx.x % EIGHTS * 8, o = o0 + column;
    int end = min(ROWS, conv.pixels - m0);
    if (first >= STEP || o >= conv.out.c) return;
    bool usual =
        (conv.out.dtype == CF_U8 || conv.out.dtype == CF_F16) && conv.flat_out && conv.vector_out &&
        conv.attr.act <= CF_ACT_SILU && o + 8 <= conv.out.c &&
        (!conv.residual.data || (conv.residual.dtype != CF_F32 && conv.residual.dtype != CF_S8 &&
                                 conv.residual.dtype != CF_E4M3 && conv.flat_residual && conv.vector_residual));
    if (usual)
        cf_requantise_rows<LINE, STEP>(a, sums + column, m0, o, first, end);
    else
        for (int row = first; row < end; row += STEP)
            cf_requantise8(a, m0 + row, o, cf_load8_s32(sums + row * LINE + column));
}
