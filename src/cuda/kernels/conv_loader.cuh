// SPDX-License-Identifier: Apache-2.0
// Tiles of both operands of a convolution as a matrix product into shared memory, whatever the type and the
// instruction.
//
// Rows are output pixels, columns output channels, terms (tap, input channel) pairs, in steps of 128 bytes. A row
// of a tile in shared memory is one step of a row: the bytes lie in eight chunks of 16, chunk c at place c ^ (row % 8),
// which is what wgmma calls 128-byte swizzling and keeps ldmatrix free of bank conflicts.
#pragma once

#include "cuda/conv_int8_args.h"
#include "cuda/copy.cuh"
#include "cuda/device.cuh"

enum { CONV_CHUNKS = 8, CONV_ROW_BYTES = 128 };

// What all matrix kernels are given, whatever else.
__device__ __forceinline__ const cf_conv_args &conv_of(const cf_conv_args &a) {
    return a;
}
__device__ __forceinline__ const cf_conv_args &conv_of(const cf_conv_int8_args &a) {
    return a.conv;
}
__device__ __forceinline__ const cf_conv_args &conv_of(const cf_conv_e4m3_args &a) {
    return a.conv;
}

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

    // Starts the copies of the first AHEAD of `steps` steps, each into a stage of its own. Weights are constants: they
    // need not wait for the kernel before.
    template <int AHEAD, int STAGE_BYTES, typename ARGS>
    __device__ __forceinline__ void begin(const ARGS &args, unsigned char *stages, int o0, int steps) {
        const cf_conv_args &a = conv_of(args);
#pragma unroll
        for (int s = 0; s < AHEAD; s++)
            if (s < steps) copy_weights(a, stages + s * STAGE_BYTES + ROWS * CONV_ROW_BYTES, o0, s);
        cf_wait_before();
        cf_let_next_start();
#pragma unroll
        for (int s = 0; s < AHEAD; s++) {
            if (s < steps) copy_pixels(args, stages + s * STAGE_BYTES);
            cf_end_copies();
            advance(a);
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

    // Taps outside the image are zeros,
    __device__ __forceinline__ void copy_pixels(const cf_conv_args &a, unsigned char *to) const {
        const char *data = static_cast<const char *>(a.in.data);
        copy_taps(to, data + offset, data, false);
    }

    __device__ __forceinline__ void copy_pixels(const cf_conv_e4m3_args &a, unsigned char *to) const {
        copy_pixels(a.conv, to);
    }

    // of bytes the zero point of each channel.
    __device__ __forceinline__ void copy_pixels(const cf_conv_int8_args &a, unsigned char *to) const {
        copy_taps(to, static_cast<const char *>(a.conv.in.data) + offset, reinterpret_cast<const char *>(a.zero) + c,
                  true);
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

  private:
    // From `data` where the tap lies inside; elsewhere from `outside`, or zeros.
    __device__ __forceinline__ void copy_taps(unsigned char *to, const char *data, const char *outside,
                                              bool copy_outside) const {
#pragma unroll
        for (int i = 0; i < A; i++) {
            bool there = __funnelshift_rc(inside[i], 0, tap) & 1; // 0 where tap is 32 or more
            cf_copy16<true>(to + place + i * STRIDE * CONV_ROW_BYTES, there ? data + (int64_t)pixel[i] * 16 : outside,
                            copy_outside || there);
        }
    }
};
