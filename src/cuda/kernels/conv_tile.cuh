// SPDX-License-Identifier: Apache-2.0
// Convolution as a matrix product, the parts that do not depend on the instruction: tiles of both operands into shared
// memory, sums out of it.
//
// Rows are output pixels, columns output channels, terms (tap, input channel) pairs, in steps of CF_CONV_STEP. A row
// of a tile in shared memory is one step of a row: 128 bytes in eight chunks of 16, chunk c at place c ^ (row % 8),
// which is what wgmma calls 128-byte swizzling and keeps ldmatrix free of bank conflicts.
#pragma once

#include "cuda/cluster.cuh"
#include "cuda/copy.cuh"
#include "cuda/kernels/conv.cuh"

enum { CONV_CHUNKS = 8, CONV_ROW_BYTES = 128 };

// Copies tiles of ROWS pixels and COLUMNS channels, one step after the other. Every thread copies one chunk column of
// every (THREADS / 8)th row.
template <int ROWS, int COLUMNS, int THREADS> struct conv_loader {
    static constexpr int STRIDE = THREADS / CONV_CHUNKS;
    static constexpr int A = ROWS / STRIDE, B = (COLUMNS + STRIDE - 1) / STRIDE;
    static_assert(ROWS % STRIDE == 0 && STRIDE % 8 == 0, "rows of a thread differ by multiples of 8");

    const char *pixel[A]; // where tap (0, 0) of the row's pixel lies, perhaps outside the image
    uint32_t inside[A];   // bit t: tap t lies inside
    const char *weight;   // of the first row
    uint32_t place;       // of the first row's chunk within a tile; the others are at multiples of STRIDE rows
    int row;
    int tap, c, kx; // of the chunk's first term
    int64_t offset; // bytes from tap (0, 0), channel 0, to there

    __device__ void start(const cf_conv_args &a, int m0, int o0, int first_step) {
        int chunk = threadIdx.x % CONV_CHUNKS;
        row = threadIdx.x / CONV_CHUNKS;
        place = row * CONV_ROW_BYTES + ((chunk ^ (row % 8)) * 16);
        int term = first_step * CF_CONV_STEP + chunk * 8;
        weight = static_cast<const char *>(a.weight) + ((int64_t)(o0 + row) * a.steps * CF_CONV_STEP + term) * 2;
        tap = term / a.in.c;
        c = term - tap * a.in.c;
        int ky = tap / a.attr.kernel_w;
        kx = tap - ky * a.attr.kernel_w;
        offset = (ky * a.in.row + kx * a.in.pixel + c) * 2;
#pragma unroll
        for (int i = 0; i < A; i++) {
            unsigned m = m0 + row + i * STRIDE;
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
            pixel[i] = static_cast<const char *>(a.in.data) + cf_at(a.in, n, y0, x0, 0) * 2;
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
            cf_copy16(to + place + i * STRIDE * CONV_ROW_BYTES, there ? from : static_cast<const char *>(a.weight),
                      there);
        }
    }

    __device__ __forceinline__ void copy_pixels(const cf_conv_args &a, unsigned char *to) const {
#pragma unroll
        for (int i = 0; i < A; i++) {
            bool there = __funnelshift_rc(inside[i], 0, tap) & 1; // 0 where tap is 32 or more
            cf_copy16(to + place + i * STRIDE * CONV_ROW_BYTES,
                      there ? pixel[i] + offset : static_cast<const char *>(a.in.data), there);
        }
    }

    __device__ __forceinline__ void advance(const cf_conv_args &a) {
        weight += CONV_ROW_BYTES;
        c += CF_CONV_STEP;
        offset += CONV_ROW_BYTES;
        while (c >= a.in.c) {
            c -= a.in.c;
            tap++;
            offset += (a.in.pixel - a.in.c) * 2;
            if (++kx == a.attr.kernel_w) {
                kx = 0;
                offset += (a.in.row - a.attr.kernel_w * a.in.pixel) * 2;
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

// From the sums of a tile, [ROWS][sums_line(COLUMNS)] in shared memory, to the output. With SPLITS blocks each of them
// adds up and finishes its share of the rows.
template <int ROWS, int COLUMNS, int THREADS, int SPLITS>
__device__ __forceinline__ void store_tile(const cf_conv_args &a, const float *sums, int m0, int o0, int rank) {
    constexpr int EIGHTS = COLUMNS / 8, COUNT = ROWS / SPLITS * EIGHTS;
    if (SPLITS > 1)
        cf_cluster_barrier();
    else
        __syncthreads();
    for (int i = threadIdx.x; i < COUNT; i += THREADS) {
        int row = i / EIGHTS + rank * (ROWS / SPLITS), column = i % EIGHTS * 8;
        if (m0 + row >= a.pixels || o0 + column >= a.out.c) continue;
        const float *at = sums + row * sums_line(COLUMNS) + column;
        cf_eight e;
        if (SPLITS == 1) {
            e = cf_load8_f32(at);
        } else {
            e = cf_eight{};
#pragma unroll
            for (int other = 0; other < SPLITS; other++) {
                cf_eight part;
                cf_load8_of_rank(at, other, part.v);
#pragma unroll
                for (int k = 0; k < 8; k++) e.v[k] += part.v[k];
            }
        }
        cf_conv_finish8(a, m0 + row, o0 + column, e);
    }
    if (SPLITS > 1) cf_cluster_barrier(); // the others may still read what is here
}
