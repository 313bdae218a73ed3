// SPDX-License-Identifier: Apache-2.0
// Convolution by wgmma (HGMMA): compute capability 9.0 only. Each warp group of four warps multiplies its rows of the
// tile, straight from shared memory; while the tensor cores work on one step, the copies of later ones are started.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_tile.cuh"
#include "cuda/wgmma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
template <typename T, int ROWS, int COLUMNS, int DOWN, int ACROSS, int STAGES, int SPLITS>
__device__ __forceinline__ void conv_wgmma(const cf_conv_args &a) {
    static_assert(ACROSS == 1 && DOWN % 4 == 0 && STAGES >= 3, "whole warp groups; loads run two steps behind");
    constexpr int THREADS = DOWN * 32, GROUPS = DOWN / 4, MI = ROWS / 64 / GROUPS;
    constexpr int A_BYTES = ROWS * CONV_ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * CONV_ROW_BYTES;
    static_assert(ROWS == MI * GROUPS * 64, "a warp group has whole products");
    extern __shared__ __align__(1024) unsigned char shared[];

    int rank = SPLITS > 1 ? blockIdx.x % SPLITS : 0, tile = blockIdx.x / SPLITS;
    int m0 = tile / a.columns * ROWS, o0 = tile % a.columns * COLUMNS;
    conv_share share = share_of<SPLITS>(a.steps, rank);
    conv_loader<2, ROWS, COLUMNS, THREADS> loader;
    loader.start(a, m0, o0, share.first);
    // Weights are constants: they need not wait for the kernel before.
#pragma unroll
    for (int s = 0; s < STAGES - 2; s++)
        if (s < share.count) loader.copy_weights(a, shared + s * STAGE_BYTES + A_BYTES, o0, s);
    cf_wait_before();
    cf_let_next_start();
#pragma unroll
    for (int s = 0; s < STAGES - 2; s++) {
        if (s < share.count) loader.copy_pixels(a, shared + s * STAGE_BYTES);
        cf_end_copies();
        loader.advance(a);
    }

    // The same for all threads of a warp, and the compiler should know.
    int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    float sum[MI][COLUMNS / 2] = {};
    int stage = 0, next = STAGES - 2;
    for (int step = 0; step < share.count; step++) {
        cf_wait_copies<STAGES - 3>();
        cf_show_to_tensor_cores();
        __syncthreads();
        const unsigned char *from = shared + stage * STAGE_BYTES;
        cf_begin_products();
#pragma unroll
        for (int k = 0; k < CF_CONV_STEP / 16; k++)
#pragma unroll
            for (int i = 0; i < MI; i++)
                cf_matrix_product<COLUMNS>::add(sum[i],
                                                cf_describe(from + (group * MI + i) * 64 * CONV_ROW_BYTES + k * 32),
                                                cf_describe(from + A_BYTES + k * 32), T());
        cf_end_products();
        // The stage filled now was read two steps ago: all warp groups have waited for that before the barrier.
        if (step + STAGES - 2 < share.count) {
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
    float *sums = reinterpret_cast<float *>(shared);
    int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int row = (group * MI + i) * 64 + warp * 16 + h * 8 + lane / 4, column = j * 8 + lane % 4 * 2;
                *reinterpret_cast<float2 *>(sums + row * sums_line(COLUMNS) + column) =
                    make_float2(sum[i][4 * j + 2 * h], sum[i][4 * j + 2 * h + 1]);
            }
    store_tile<T, ROWS, COLUMNS, THREADS, SPLITS>(a, sums, m0, o0, rank);
}

#define BODY(T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS)                                                           \
    conv_wgmma<T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(name, T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS, BLOCKS)                                           \
    CF_GLOBAL CF_CLUSTER(SPLITS) __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                          \
        cf_conv_wgmma_##name##_##ROWS##x##COLUMNS##_k##SPLITS(const __grid_constant__ cf_conv_args a) {                \
        BODY(T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS)                                                           \
    }
#define KERNELS(unused, instruction, ...) KERNEL(f16, __half, __VA_ARGS__) KERNEL(bf16, __nv_bfloat16, __VA_ARGS__)

CF_CONV_WGMMA_TILES(KERNELS, )
