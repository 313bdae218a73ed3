// SPDX-License-Identifier: Apache-2.0
// Convolution by wgmma (HGMMA, IGMMA): compute capability 9.0 only. Each warp group of four warps multiplies its rows
// of the tile, straight from shared memory; while the tensor cores work on one step, the copies of later ones are
// started. Parameters as conv_mma's.
#pragma once

#include "cuda/kernels/conv_loader.cuh"
#include "cuda/kernels/conv_tile.cuh"
#include "cuda/wgmma_bytes.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
template <typename T, int ROWS, int COLUMNS, int DOWN, int ACROSS, int STAGES, int SPLITS, typename ARGS>
__device__ __forceinline__ void conv_wgmma(const ARGS &args) {
    static_assert(ACROSS == 1 && DOWN % 4 == 0 && STAGES >= 3, "whole warp groups; loads run two steps behind");
    constexpr int THREADS = DOWN * 32, GROUPS = DOWN / 4, MI = ROWS / 64 / GROUPS;
    constexpr int A_BYTES = ROWS * CONV_ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * CONV_ROW_BYTES;
    static_assert(ROWS == MI * GROUPS * 64, "a warp group has whole products");
    extern __shared__ __align__(1024) unsigned char shared[];

    const cf_conv_args &a = conv_of(args);
    int rank = SPLITS > 1 ? blockIdx.x % SPLITS : 0;
    typename conv_sum<T>::index tile = blockIdx.x / SPLITS;
    int m0 = tile / a.columns * ROWS, o0 = tile % a.columns * COLUMNS;
    conv_share share = share_of<SPLITS>(a.steps, rank);
    conv_loader<sizeof(T), ROWS, COLUMNS, THREADS> loader;
    loader.start(a, m0, o0, share.first);
    loader.template begin<STAGES - 2, STAGE_BYTES>(args, shared, o0, share.count);

    // The same for all threads of a warp, and the compiler should know.
    int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    typename conv_sum<T>::type sum[MI][COLUMNS / 2] = {};
    int stage = 0, next = STAGES - 2;
    for (int step = 0; step < share.count; step++) {
        cf_wait_copies<STAGES - 3>();
        cf_show_to_tensor_cores();
        __syncthreads();
        const unsigned char *from = shared + stage * STAGE_BYTES;
        cf_begin_products();
#pragma unroll
        for (int k = 0; k < CONV_ROW_BYTES / 32; k++)
#pragma unroll
            for (int i = 0; i < MI; i++) {
                uint64_t left = cf_describe(from + (group * MI + i) * 64 * CONV_ROW_BYTES + k * 32);
                uint64_t right = cf_describe(from + A_BYTES + k * 32);
                if constexpr (sizeof(T) == 1)
                    cf_byte_product<COLUMNS>::add(sum[i], left, right);
                else
                    cf_matrix_product<COLUMNS>::add(sum[i], left, right, T());
            }
        cf_end_products();
        // The stage filled now was read two steps ago: all warp groups have waited for that before the barrier.
        if (step + STAGES - 2 < share.count) {
            unsigned char *to = shared + next * STAGE_BYTES;
            loader.copy_weights(a, to + A_BYTES, o0, 0);
            loader.copy_pixels(args, to);
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
    auto sums = reinterpret_cast<typename conv_sum<T>::type *>(shared);
    int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int row = (group * MI + i) * 64 + warp * 16 + h * 8 + lane / 4, column = j * 8 + lane % 4 * 2;
                put_sums(sums + row * sums_line(COLUMNS) + column, sum[i][4 * j + 2 * h], sum[i][4 * j + 2 * h + 1]);
            }
    store_tile<T, ROWS, COLUMNS, THREADS, SPLITS>(args, sums, m0, o0, rank);
}
#endif
