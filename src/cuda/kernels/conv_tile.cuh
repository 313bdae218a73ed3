// SPDX-License-Identifier: Apache-2.0
// Convolution as a matrix product, the parts that do not depend on the instruction: tiles of both operands into shared
// memory, sums out of it.
//
// Rows are output pixels, columns output channels, terms (tap, input channel) pairs, in steps of 128 bytes. A row
// of a tile in shared memory is one step of a row: the bytes lie in eight chunks of 16, chunk c at place c ^ (row % 8),
// which is what wgmma calls 128-byte swizzling and keeps ldmatrix free of bank conflicts.
#pragma once

#include "cuda/cluster.cuh"
#include "cuda/copy.cuh"
#include "cuda/kernels/conv.cuh"

enum { CONV_CHUNKS = 8, CONV_ROW_BYTES = 128 };

// Copies tiles of ROWS pixels and COLUMNS channels of elements of SIZE bytes, one step after the other. Every thread
// copies one chunk column of every (THREADS / 8)th row.
template <int SIZE, int ROWS, int COLUMNS, int THREADS> struct conv_loader {
    static constexpr int STEP = CONV_ROW_BYTES / SIZE, CHUNK = 16 / SIZE; // terms of a step, of a chunk
    static constexpr int STRIDE = THREADS / CONV_CHUNKS;
    static constexpr int A = ROWS / STRIDE, B = (COLUMNS + STRIDE - 1) / STRIDE;
    static_assert(ROWS % STRIDE == 0 && STRIDE % 8 == 0, "rows of a thread differ by multiples of 8");

    int32_t pixel[A];   // where tap (0, 0) of the row's pixel lies, perhaps outside the image, in units of 16 bytes
    uint32_t inside[A]; // bit t: tap t lies inside
    const char *weight; // of the first row
    uint32_t place;     // of the first row's chunk within a tile; the others are at multiples of STRIDE rows
    int row;
    int tap, c, kx; // of the chunk's first term
    int64_t offset; // bytes from tap (0, 0), channel 0, to there

    __device__ void start(const cf_conv_args &a, int m0, int o0, int first_step) {
        int chunk = threadIdx.x % CONV_CHUNKS;
        row = threadIdx.x / CONV_CHUNKS;
        place = row * CONV_ROW_BYTES + ((chunk ^ (row % 8)) * 16);
        int term = first_step * STEP + chunk * CHUNK;
        weight = static_cast<const char *>(a.weight) + ((int64_t)(o0 + row) * a.steps * STEP + term) * SIZE;
        tap = term / a.in.c;
        c = term - tap * a.in.c;
        int ky = tap / a.attr.kernel_w;
        kx = tap - ky * a.attr.kernel_w;
        offset = (ky * a.in.row + kx * a.in.pixel + c) * SIZE;
#pragma unroll
        for (int i = 0; i < A; i++) {
            unsigned m = m0 + row + i * STRIDE;
            if (a.flat_in) {
                inside[i] = m < (unsigned)a.pixels;
                pixel[i] = (int32_t)(m * a.in.pixel / CHUNK);
                continue;
            }
            unsigned line = m / (unsigned)a.out.w, ox = m - line * a.out.w, n = line / (unsigned)a.out.h,
                     oy = line - n * a.out.h;
            int y0 = (int)oy * a.attr.stride - a.attr.pad_top, x0 = (int)ox * a.attr.stride - a.attr.pad_left;
            // Taps left .. right-1 of a line of the window lie inside.
            int left = max(0, -x0), right = min(a.attr.kernel_w, a.in.w - x0);
            uint32_t line_mask = right > left ? (1u << right) - (1u << left) : 0, mask = 0;
            if (m >= (unsigned)a.pixels) line_mask = 0;
            for (int y = 0; y < a.attr.kernel_h; y++)
                if (y0 + y >= 0 && y0 + y < a.in.h) mask |= line_mask << (y * a.attr.kernel_w);
            inside[i] = mask;
            pixel[i] = (int32_t)(cf_at(a.in, n, y0, x0, 0) / CHUNK);
        }
    }

    // Weights of a step that lies `ahead` steps after the present one.
    __device__ __forceinline__ void copy_weights(const cf_conv_args &a, unsigned char *to, int o0, int ahead) const {
        int64_t line = (int64_t)a.steps * CONV_ROW_BYTES;
#pragma unroll
        for (int i = 0; i < B; i++) {
            int r = row + i * STRIDE;
            if (COLUMNS % STRIDE && r >= COLUMNS) break;
            bool there = o0 + r < a.out.c;
            const char *from = weight + (int64_t)ahead * CONV_ROW_BYTES + i * STRIDE * line;
            cf_copy16<false>(to + place + i * STRIDE * CONV_ROW_BYTES,
                             there ? from : static_cast<const char *>(a.weight), there);
        }
    }

    __device__ __forceinline__ void copy_pixels(const cf_conv_args &a, unsigned char *to) const {
#pragma unroll
        for (int i = 0; i < A; i++) {
            bool there = __funnelshift_rc(inside[i], 0, tap) & 1; // 0 where tap is 32 or more
            cf_copy16<true>(to + place + i * STRIDE * CONV_ROW_BYTES,
                            there ? static_cast<const char *>(a.in.data) + (int64_t)pixel[i] * 16 + offset
                                  : static_cast<const char *>(a.in.data),
                            there);
        }
    }

    __device__ __forceinline__ void advance(const cf_conv_args &a) {
        weight += CONV_ROW_BYTES;
        c += STEP;
        offset += CONV_ROW_BYTES;
        while (c >= a.in.c) {
            c -= a.in.c;
            tap++;
            offset += (a.in.pixel - a.in.c) * SIZE;
            if (++kx == a.attr.kernel_w) {
                kx = 0;
                offset += (a.in.row - a.attr.kernel_w * a.in.pixel) * SIZE;
            }
        }
    }
};

// The steps that this block of a cluster sums.
struct conv_share {
    int first, count;
};

template <int SPLITS> __device__ __forceinline__ conv_share share_of(int steps, int rank) {
    if (SPLITS == 1) return {0, steps};
    int each = (steps + SPLITS - 1) / SPLITS, first = min(rank * each, steps);
    return {first, min(each, steps - first)};
}

// Floats from one row of sums in shared memory to the next: 8 banks on, so that the eight rows that a warp writes at
// once lie in different banks.
__host__ __device__ constexpr int sums_line(int columns) {
    return columns + 8;
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
            if (a.attr.act == CF_ACT_RELU) {
#pragma unroll
                for (int k = 0; k < 8; k++) e[i].v[k] = fmaxf(e[i].v[k], 0.f);
            } else if (a.attr.act == CF_ACT_SILU) {
#pragma unroll
                for (int k = 0; k < 8; k++) e[i].v[k] *= cf_quick_sigmoid(e[i].v[k]);
            }
#pragma unroll
            for (int k = 0; k < 8; k++) e[i].v[k] = fmaf(e[i].v[k], scale, shift);
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
