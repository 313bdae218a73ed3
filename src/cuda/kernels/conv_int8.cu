// SPDX-License-Identifier: Apache-2.0
// Convolution of unsigned bytes by signed ones on tensor cores (mma): int32 sums, exact in any order.
//
// As conv_mma.cu: rows are output pixels, columns output channels, terms (tap, input channel) pairs; a row of a tile in
// shared memory is one step of 128 bytes in eight chunks of 16, chunk c at place c ^ (row % 8).
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_int8.cuh"
#include "cuda/mma.cuh"

template <int ROWS, int COLUMNS, int DOWN, int ACROSS, int STAGES>
__device__ __forceinline__ void conv_int8(const cf_conv_int8_args &a) {
    constexpr int THREADS = DOWN * ACROSS * 32, WARP_ROWS = ROWS / DOWN, WARP_COLUMNS = COLUMNS / ACROSS;
    constexpr int MI = WARP_ROWS / 16, NI = WARP_COLUMNS / 8, LINE = int8_sums_line(COLUMNS);
    constexpr int A_BYTES = ROWS * INT8_ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * INT8_ROW_BYTES;
    static_assert(WARP_ROWS % 16 == 0 && WARP_COLUMNS % 16 == 0, "ldmatrix reads 16 rows");
    extern __shared__ __align__(1024) unsigned char shared[];

    int m0 = blockIdx.x / a.conv.columns * ROWS, o0 = blockIdx.x % a.conv.columns * COLUMNS, steps = a.conv.steps;
    conv_int8_loader<ROWS, COLUMNS, THREADS> loader;
    loader.start(a, m0, o0);
    // Weights are constants: they need not wait for the kernel before.
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++)
        if (s < steps) loader.copy_weights(a, shared + s * STAGE_BYTES + A_BYTES, o0, s);
    cf_wait_before();
    cf_let_next_start();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) loader.copy_pixels(a, shared + s * STAGE_BYTES);
        cf_end_copies();
        loader.advance(a);
    }

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int warp_row = warp / ACROSS * WARP_ROWS, warp_column = warp % ACROSS * WARP_COLUMNS;
    // ldmatrix: lane l gives the address of row l % 8 of matrix l / 8. Of A: rows 0-7 and 8-15 of terms 0-15, then of
    // 16-31; of B: channels 0-7 of terms 0-15 and 16-31, then channels 8-15.
    uint32_t a_row = warp_row + lane % 16, a_chunk = lane / 16;
    uint32_t b_row = warp_column + lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
    int sum[MI][NI][4] = {};
    int stage = 0;
    for (int step = 0; step < steps; step++) {
        cf_wait_copies<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) {
            unsigned char *to = shared + (stage + STAGES - 1) % STAGES * STAGE_BYTES;
            loader.copy_weights(a, to + A_BYTES, o0, 0);
            loader.copy_pixels(a, to);
            loader.advance(a);
        }
        cf_end_copies();
        const unsigned char *from = shared + stage * STAGE_BYTES;
#pragma unroll
        for (int k = 0; k < CF_CONV_INT8_STEP / 32; k++) {
            uint32_t af[MI][4], bf[NI / 2][4];
#pragma unroll
            for (int i = 0; i < MI; i++)
                cf_load_matrices(af[i],
                                 from + (a_row + i * 16) * INT8_ROW_BYTES + ((k * 2 + a_chunk) ^ (a_row % 8)) * 16);
#pragma unroll
            for (int j = 0; j < NI / 2; j++)
                cf_load_matrices(bf[j], from + A_BYTES + (b_row + j * 16) * INT8_ROW_BYTES +
                                            ((k * 2 + b_chunk) ^ (b_row % 8)) * 16);
#pragma unroll
            for (int i = 0; i < MI; i++)
#pragma unroll
                for (int j = 0; j < NI; j++)
                    cf_multiply_bytes(sum[i][j], af[i], bf[j / 2][j % 2 * 2], bf[j / 2][j % 2 * 2 + 1]);
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }

    // All reads of the stages are over: the sums take their place.
    cf_wait_copies<0>();
    __syncthreads();
    int *sums = reinterpret_cast<int *>(shared);
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int row = warp_row + i * 16 + h * 8 + lane / 4, column = warp_column + j * 8 + lane % 4 * 2;
                *reinterpret_cast<int2 *>(sums + row * LINE + column) =
                    make_int2(sum[i][j][2 * h], sum[i][j][2 * h + 1]);
            }
    cf_requantise_tile<ROWS, COLUMNS, LINE, THREADS>(a, sums, m0, o0);
}

#define KERNEL(unused, instruction, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                       \
    CF_GLOBAL __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                                             \
        cf_conv_##instruction##_u8_##ROWS##x##COLUMNS(const __grid_constant__ cf_conv_int8_args a) {                   \
        conv_int8<ROWS, COLUMNS, DOWN, ACROSS, STAGES>(a);                                                             \
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
