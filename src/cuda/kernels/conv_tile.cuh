// SPDX-License-Identifier: Apache-2.0
// Convolution as a matrix product, the end of a tile that does not depend on the instruction: from sums in shared
// memory to the output. Of bytes: requantise.cuh.
#pragma once

#include "cuda/cluster.cuh"
#include "cuda/kernels/conv.cuh"

// The steps that this block of a cluster sums.
struct conv_share {
    int first, count;
};

template <int SPLITS> __device__ __forceinline__ conv_share share_of(int steps, int rank) {
    if (SPLITS == 1) return {0, steps};
    int each = (steps + SPLITS - 1) / SPLITS, first = min(rank * each, steps);
    return {first, min(each, steps - first)};
}

// Sums from one row of them in shared memory to the next: 8 banks on, so that the eight rows that a warp writes at
// once lie in different banks.
__host__ __device__ constexpr int sums_line(int columns) {
    return columns + 8;
}

// What the operands' type T is summed in; what counts tiles (unsigned numbers divide in fewer instructions, but those
// of the other types are what was measured).
template <typename T> struct conv_sum {
    using type = float;
    using index = int;
};
template <> struct conv_sum<uint8_t> {
    using type = int;
    using index = unsigned;
};

// Two sums side by side into shared memory.
__device__ __forceinline__ void put_sums(float *to, float first, float second) {
    *reinterpret_cast<float2 *>(to) = make_float2(first, second);
}
__device__ __forceinline__ void put_sums(int *to, int first, int second) {
    *reinterpret_cast<int2 *>(to) = make_int2(first, second);
}

template <typename T> struct conv_dtype;
template <> struct conv_dtype<__half> { static constexpr int value = CF_F16; };
template <> struct conv_dtype<__nv_bfloat16> { static constexpr int value = CF_BF16; };

// Eight sums of one row of the tile; of a cluster the total of all its blocks.
template <int SPLITS> __device__ __forceinline__ cf_eight total8(const float *at) {
    if (SPLITS == 1) return cf_load8_f32(at);
    cf_eight e = {};
#pragma unroll
    for (int rank = 0; rank < SPLITS; rank++) {
        cf_eight part;
        cf_load8_of_rank(at, rank, part.v);
#pragma unroll
        for (int k = 0; k < 8; k++) e.v[k] += part.v[k];
    }
    return e;
}

// The usual case of store_tile: eight channels from o on in rows first, first + STEP .. below `end`, outputs and
// residual of type T at regular distances, ReLU, SiLU or no activation. Several rows at once, so that their latencies
// overlap.
template <typename T, int LINE, int STEP, int SPLITS>
__device__ __forceinline__ void store_rows(const cf_conv_args &a, const float *sums, int m0, int o, int first,
                                           int end) {
    constexpr int AT_ONCE = SPLITS == 1 ? 4 : 2;
    cf_eight bias = cf_load8_f32(a.bias + o);
    uint4 *out = reinterpret_cast<uint4 *>(static_cast<T *>(a.out.data) + m0 * a.out.pixel + o);
    const uint4 *residual =
        reinterpret_cast<const uint4 *>(static_cast<const T *>(a.residual.data) + m0 * a.residual.pixel + o);
    unsigned out_line = a.out.pixel / 8, residual_line = a.residual.pixel / 8;
    float scale = a.attr.affine ? a.attr.scale : 1.f, shift = a.attr.affine ? a.attr.shift : 0.f;
    for (int row = first; row < end; row += AT_ONCE * STEP) {
        cf_eight e[AT_ONCE];
        uint4 more[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int r = min(row + i * STEP, end - 1);
            if (a.residual.data) more[i] = residual[(uint64_t)r * residual_line];
            e[i] = total8<SPLITS>(sums + r * LINE);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
#pragma unroll
            for (int k = 0; k < 8; k++) e[i].v[k] += bias.v[k];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            cf_usual_end8(a.attr.act, scale, shift, e[i]);
            if (a.residual.data) {
                cf_eight r = cf_unpack8<T>(more[i]);
#pragma unroll
                for (int k = 0; k < 8; k++) e[i].v[k] += r.v[k];
            }
            int r = row + i * STEP;
            if (r < end) out[(uint64_t)r * out_line] = cf_pack8<T>(e[i]);
        }
    }
}

// Whether store_rows knows the case.
template <typename T> __device__ __forceinline__ bool is_usual(const cf_conv_args &a) {
    constexpr int DTYPE = conv_dtype<T>::value;
    return a.out.dtype == DTYPE && a.flat_out && a.vector_out && a.attr.act <= CF_ACT_SILU &&
           (!a.residual.data || (a.residual.dtype == DTYPE && a.flat_residual && a.vector_residual));
}

// From the sums of a tile, [ROWS][sums_line(COLUMNS)] in shared memory, to the output. With SPLITS blocks each of them
// adds up and finishes its share of the rows. A thread keeps its eight columns.
template <typename T, int ROWS, int COLUMNS, int THREADS, int SPLITS>
__device__ __forceinline__ void store_tile(const cf_conv_args &a, const float *sums, int m0, int o0, int rank) {
    constexpr int EIGHTS = COLUMNS / 8, STEP = THREADS / EIGHTS, LINE = sums_line(COLUMNS), SHARE = ROWS / SPLITS;
    constexpr bool EXACT = sizeof(T) == 4; // FP32 throughout
    if (SPLITS > 1)
        cf_cluster_barrier();
    else
        __syncthreads();
    int first = threadIdx.x / EIGHTS, column = threadIdx.x % EIGHTS * 8, o = o0 + column;
    int end = min((rank + 1) * SHARE, a.pixels - m0);
    if (first < STEP && o < a.out.c) {
        first += rank * SHARE;
        bool usual = false;
        if constexpr (!EXACT) {
            usual = is_usual<T>(a) && o + 8 <= a.out.c;
            if (usual) store_rows<T, LINE, STEP, SPLITS>(a, sums + column, m0, o, first, end);
        }
        if (!usual)
            for (int row = first; row < end; row += STEP)
                cf_conv_finish8<EXACT>(a, m0 + row, o, total8<SPLITS>(sums + row * LINE + column));
    }
    if (SPLITS > 1) cf_cluster_barrier(); // the others may still read what is here
}
