// SPDX-License-Identifier: Apache-2.0
// Convolution of E4M3 by mma: one kernel for each tile of CF_CONV_E4M3_MMA_TILES, and one for inputs that are not
// aligned.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_mma.cuh"

// Channels o .. o+7 of output pixel m from their sums. o is a multiple of 8.
__device__ __forceinline__ void finish_e4m3(const cf_conv_e4m3_args &a, unsigned m, int o, cf_eight e) {
    cf_eight unit = cf_load8_f32(a.unit + o);
#pragma unroll
    for (int k = 0; k < 8; k++) e.v[k] *= unit.v[k];
    cf_conv_finish8(a.conv, m, o, e);
}

// As store_tile of the other types; E4M3 is never split.
template <typename T, int ROWS, int COLUMNS, int THREADS, int SPLITS>
__device__ __forceinline__ void store_tile(const cf_conv_e4m3_args &a, const float *sums, int m0, int o0, int) {
    static_assert(SPLITS == 1);
    constexpr int EIGHTS = COLUMNS / 8, STEP = THREADS / EIGHTS, LINE = sums_line(COLUMNS);
    __syncthreads();
    int column = threadIdx.x % EIGHTS * 8, end = min(ROWS, a.conv.pixels - m0);
    if (o0 + column >= a.conv.out.c) return;
    for (int row = threadIdx.x / EIGHTS; row < end; row += STEP)
        finish_e4m3(a, m0 + row, o0 + column, cf_load8_f32(sums + row * LINE + column));
}

#define KERNEL(unused, instruction, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                       \
    CF_GLOBAL __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                                             \
        cf_conv_##instruction##_e4m3_##ROWS##x##COLUMNS(const __grid_constant__ cf_conv_e4m3_args a) {                 \
        conv_mma<__nv_fp8_e4m3, ROWS, COLUMNS, DOWN, ACROSS, STAGES, 1>(a);                                            \
    }

CF_CONV_E4M3_MMA_TILES(KERNEL, )

// The same packed weights, eight outputs a thread.
CF_GLOBAL cf_conv_e4m3_unaligned(const __grid_constant__ cf_conv_e4m3_args a) {
    cf_wait_before();
    const cf_conv_args &conv = a.conv;
    unsigned eights = (conv.out.c + 7) / 8, i = blockIdx.x * blockDim.x + threadIdx.x, m = i / eights;
    if (m >= (unsigned)conv.pixels) return;
    int o = (int)(i - m * eights) * 8;
    unsigned row = m / (unsigned)conv.out.w, ox = m - row * conv.out.w, n = row / (unsigned)conv.out.h,
             oy = row - n * conv.out.h;
    int64_t line = (int64_t)conv.steps * CF_CONV_STEP_BYTES;
    const uint8_t *weight = static_cast<const uint8_t *>(conv.weight) + o * line;
    cf_eight e = {};
    for (int tap = 0; tap < conv.attr.kernel_h * conv.attr.kernel_w; tap++, weight += conv.in.c) {
        int y = (int)oy * conv.attr.stride + tap / conv.attr.kernel_w - conv.attr.pad_top;
        int x = (int)ox * conv.attr.stride + tap % conv.attr.kernel_w - conv.attr.pad_left;
        if (y < 0 || y >= conv.in.h || x < 0 || x >= conv.in.w) continue;
        const uint8_t *in = static_cast<const uint8_t *>(conv.in.data) + cf_at(conv.in, n, y, x, 0);
        for (int c = 0; c < conv.in.c; c++)
#pragma unroll
            for (int k = 0; k < 8; k++)
                if (o + k < conv.out.c)
                    e.v[k] = fmaf(cf_from_two_e4m3(in[c]).x, cf_from_two_e4m3(weight[k * line + c]).x, e.v[k]);
    }
    finish_e4m3(a, m, o, e);
}
