// SPDX-License-Identifier: Apache-2.0
// Convolution of unsigned bytes by signed ones by mma: one kernel for each int8 tile of cuda/conv_tiles.h, and one for
// inputs that are not aligned.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_mma.cuh"
#include "cuda/kernels/requantise.cuh"

#define KERNEL(unused, instruction, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                       \
    CF_GLOBAL __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                                             \
        cf_conv_##instruction##_u8_##ROWS##x##COLUMNS(const __grid_constant__ cf_conv_int8_args a) {                   \
        conv_mma<uint8_t, ROWS, COLUMNS, DOWN, ACROSS, STAGES, 1>(a);                                                  \
    }

CF_CONV_INT8_MMA_TILES(KERNEL, )
CF_CONV_INT8_MMA_WIDE_TILES(KERNEL, )

// The same packed weights, eight outputs a thread: for inputs whose channels do not start at a multiple of 16 bytes.
CF_GLOBAL cf_conv_u8_unaligned(const __grid_constant__ cf_conv_int8_args a) {
    cf_wait_before();
    const cf_conv_args &conv = a.conv;
    unsigned eights = (conv.out.c + 7) / 8, i = blockIdx.x * blockDim.x + threadIdx.x, m = i / eights;
    if (m >= (unsigned)conv.pixels) return;
    int o = (int)(i - m * eights) * 8;
    unsigned line = m / (unsigned)conv.out.w, ox = m - line * conv.out.w, n = line / (unsigned)conv.out.h,
             oy = line - n * conv.out.h;
    int64_t stride = (int64_t)conv.steps * CF_CONV_INT8_STEP;
    const int8_t *weight = static_cast<const int8_t *>(conv.weight) + o * stride;
    cf_eight_sums sums = {};
    for (int tap = 0; tap < conv.attr.kernel_h * conv.attr.kernel_w; tap++) {
        int y = (int)oy * conv.attr.stride + tap / conv.attr.kernel_w - conv.attr.pad_top;
        int x = (int)ox * conv.attr.stride + tap % conv.attr.kernel_w - conv.attr.pad_left;
        bool inside = y >= 0 && y < conv.in.h && x >= 0 && x < conv.in.w;
        const uint8_t *in = inside ? static_cast<const uint8_t *>(conv.in.data) + cf_at(conv.in, n, y, x, 0) : a.zero;
        for (int c = 0; c < conv.in.c; c++, weight++)
#pragma unroll
            for (int k = 0; k < 8; k++)
                if (o + k < conv.out.c) sums.v[k] += in[c] * weight[k * stride];
    }
    cf_requantise8(a, m, o, sums);
}
