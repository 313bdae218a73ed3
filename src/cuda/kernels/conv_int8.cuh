// SPDX-License-Identifier: Apache-2.0
// Tiles of an int8 convolution's operands into shared memory.
#pragma once

#include "cuda/copy.cuh"
#include "cuda/kernels/requantise.cuh"

enum { INT8_CHUNKS = 8, INT8_ROW_BYTES = CF_CONV_INT8_STEP };

// Integers from one row of sums in shared memory to the next: 8 banks on, so that the eight rows that a warp writes at
// once lie in different banks.
__host__ __device__ constexpr int int8_sums_line(int columns) {
    return columns + 8;
}

// Copies tiles of ROWS pixels and COLUMNS channels, one step after the other. Every thread copies one chunk column of
// every (THREADS / 8)th row. Taps outside the image read the zero point of each channel.
template <int ROWS, int COLUMNS, int THREADS> struct conv_int8_loader {
    static constexpr int STRIDE = THREADS / INT8_CHUNKS;
    static constexpr int A = ROWS / STRIDE, B = (COLUMNS + STRIDE - 1) / STRIDE;
    static_assert(ROWS % STRIDE == 0 && STRIDE % 8 == 0, "rows of a thread differ by multiples of 8");

    int32_t pixel[A];   // where tap (0, 0) of the row's pixel lies, perhaps outside the image, in units of 16 bytes
    uint32_t inside[A]; // bit t: tap t lies inside
    const char *weight; // of the first row
    uint32_t place;     // of the first row's chunk within a tile; the others are at multiples of STRIDE rows
    int row;
    int tap, c, kx; // of the chunk's first term
    int64_t offset; // bytes from tap (0, 0), channel 0, to there

    __device__ void start(const cf_conv_int8_args &args, int m0, int o0) {
        const cf_conv_args &a = args.conv;
        int chunk = threadIdx.x % INT8_CHUNKS, term = chunk * 16;
        row = threadIdx.x / INT8_CHUNKS;
        place = row * INT8_ROW_BYTES + ((chunk ^ (row % 8)) * 16);
        weight = static_cast<const char *>(a.weight) + (int64_t)(o0 + row) * a.steps * CF_CONV_INT8_STEP + term;
        tap = term / a.in.c;
        c = term - tap * a.in.c;
        int ky = tap / a.attr.kernel_w;
        kx = tap - ky * a.attr.kernel_w;
        offset = ky * a.in.row + kx * a.in.pixel + c;
#pragma unroll
        for (int i = 0; i < A; i++) {
            unsigned m = m0 + row + i * STRIDE;
            if (a.flat_in) {
                inside[i] = m < (unsigned)a.pixels;
                pixel[i] = (int32_t)(m * a.in.pixel / 16);
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
            pixel[i] = (int32_t)(cf_at(a.in, n, y0, x0, 0) / 16);
        }
    }

    // Weights of a step that lies `ahead` steps after the present one.
    __device__ __forceinline__ void copy_weights(const cf_conv_int8_args &args, unsigned char *to, int o0,
                                                 int ahead) const {
        const cf_conv_args &a = args.conv;
        int64_t line = (int64_t)a.steps * INT8_ROW_BYTES;
#pragma unroll
        for (int i = 0; i < B; i++) {
            int r = row + i * STRIDE;
            if (COLUMNS % STRIDE && r >= COLUMNS) break;
            bool there = o0 + r < a.out.c;
            const char *from = weight + (int64_t)ahead * INT8_ROW_BYTES + i * STRIDE * line;
            cf_copy16<false>(to + place + i * STRIDE * INT8_ROW_BYTES,
                             there ? from : static_cast<const char *>(a.weight), there);
        }
    }

    __device__ __forceinline__ void copy_pixels(const cf_conv_int8_args &args, unsigned char *to) const {
        const char *data = static_cast<const char *>(args.conv.in.data) + offset;
        const char *zero = reinterpret_cast<const char *>(args.zero) + c;
#pragma unroll
        for (int i = 0; i < A; i++) {
            bool there = __funnelshift_rc(inside[i], 0, tap) & 1; // 0 where tap is 32 or more
            cf_copy16<true>(to + place + i * STRIDE * INT8_ROW_BYTES, there ? data + (int64_t)pixel[i] * 16 : zero,
                            true);
        }
    }

    __device__ __forceinline__ void advance(const cf_conv_int8_args &args) {
        const cf_conv_args &a = args.conv;
        weight += INT8_ROW_BYTES;
        c += CF_CONV_INT8_STEP;
        offset += INT8_ROW_BYTES;
        while (c >= a.in.c) {
            c -= a.in.c;
            tap++;
            offset += a.in.pixel - a.in.c;
            if (++kx == a.attr.kernel_w) {
                kx = 0;
                offset += a.in.row - a.attr.kernel_w * a.in.pixel;
            }
        }
    }
};
