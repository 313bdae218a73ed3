// SPDX-License-Identifier: Apache-2.0
// Convolution of bytes by wgmma (IGMMA): compute capability 9.0 only. conv_wgmma.cu with the loader and the end of
// conv_int8.cu.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_int8.cuh"
#include "cuda/wgmma_bytes.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
template <int ROWS, int COLUMNS, int DOWN, int ACROSS, int STAGES>
__device__ __forceinline__ void conv_int8(const cf_conv_int8_args &a) {
    static_assert(ACROSS == 1 && DOWN % 4 == 0 && STAGES >= 3, "whole warp groups; loads run two steps behind");
    constexpr int THREADS = DOWN * 32, GROUPS = DOWN / 4, MI = ROWS / 64 / GROUPS, LINE = int8_sums_line(COLUMNS);
    constexpr int A_BYTES = ROWS * INT8_ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * INT8_ROW_BYTES;
    static_assert(ROWS == MI * GROUPS * 64, "a warp group has whole products");
    extern __shared__ __align__(1024) unsigned char shared[];

    int m0 = blockIdx.x / a.conv.columns * ROWS, o0 = blockIdx.x % a.conv.columns * COLUMNS, steps = a.conv.steps;
    conv_int8_loader<ROWS, COLUMNS, THREADS> loader;
    loader.start(a, m0, o0);
    // Weights are constants: they need not wait for the kernel before.
#pragma unroll
    for (int s = 0; s < STAGES - 2; s++)
        if (s < steps) loader.copy_weights(a, shared + s * STAGE_BYTES + A_BYTES, o0, s);
    cf_wait_before();
    cf_let_next_start();
#pragma unroll
    for (int s = 0; s < STAGES - 2; s++) {
        if (s < steps) loader.copy_pixels(a, shared + s * STAGE_BYTES);
        cf_end_copies();
        loader.advance(a);
    }

    // The same for all threads of a warp, and the compiler should know.
    int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    int sum[MI][COLUMNS / 2] = {};
    int stage = 0, next = STAGES - 2;
    for (int step = 0; step < steps; step++) {
        cf_wait_copies<STAGES - 3>();
        cf_show_to_tensor_cores();
        __syncthreads();
        const unsigned char *from = shared + stage * STAGE_BYTES;
        cf_begin_products();
#pragma unroll
        for (int k = 0; k < CF_CONV_INT8_STEP / 32; k++)
#pragma unroll
            for (int i = 0; i < MI; i++)
                cf_byte_product<COLUMNS>::add(sum[i],
                                              cf_describe(from + (group * MI + i) * 64 * INT8_ROW_BYTES + k * 32),
                                              cf_describe(from + A_BYTES + k * 32));
        cf_end_products();
        // The stage filled now was read two steps ago: all warp groups have waited for that before the barrier.
        if (step + STAGES - 2 < steps) {
            unsigned char *to = shared + next * STAGE_BYTES;
            loader.copy_weights(a, to + A_BYTES, o0, 0);
            loader.copy_pixels(a, to);
            loader.advance(a);
        }
        cf_end_copies();
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
        cf_wait_products<1>();
    }

    cf_wait_products<0>();
    cf_wait_copies<0>();
    __syncthreads();
    // All reads of the stages are over: the sums take their place.
    int *sums = reinterpret_cast<int *>(shared);
    int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int row = (group * MI + i) * 64 + warp * 16 + h * 8 + lane / 4, column = j * 8 + lane % 4 * 2;
                *reinterpret_cast<int2 *>(sums + row * LINE + column) =
                    make_int2(sum[i][4 * j + 2 * h], sum[i][4 * j + 2 * h + 1]);
            }
    cf_requantise_tile<ROWS, COLUMNS, LINE, THREADS>(a, sums, m0, o0);
}

#define BODY(...) conv_int8<__VA_ARGS__>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(unused, instruction, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                       \
    CF_GLOBAL __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                                             \
        cf_conv_##instruction##_u8_##ROWS##x##COLUMNS(const __grid_constant__ cf_conv_int8_args a) {                   \
        BODY(ROWS, COLUMNS, DOWN, ACROSS, STAGES)                                                                      \
    }

CF_CONV_INT8_WGMMA_TILES(KERNEL, )
