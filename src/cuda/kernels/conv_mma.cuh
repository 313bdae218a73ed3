// SPDX-License-Identifier: Apache-2.0
// Convolution by mma (HMMA, IMMA): compute capability 7.5 and up, 16-bit operands with FP32 sums, bytes with int32
// sums, exact in any order; 8.0 and up, FP32 operands by three products of TF32 (mma.cuh); 8.9 and up, E4M3 with FP32
// sums. The work of a block, one of SPLITS that share a tile. ARGS: cf_conv_args, of bytes (requantise.cuh)
// cf_conv_int8_args, of E4M3 cf_conv_e4m3_args.
#pragma once

#include "cuda/kernels/conv_loader.cuh"
#include "cuda/kernels/conv_tile.cuh"
#include "cuda/mma.cuh"

// A warp's sums, MI x NI pieces of 16 pixels x 8 channels, and adding the products of 32 bytes of terms to them.
template <typename T, int MI, int NI> struct conv_sums {
    typename conv_sum<T>::type of[MI][NI][4];

    __device__ __forceinline__ void add(const uint32_t (&a)[MI][4], const uint32_t (&b)[NI / 2][4]) {
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
            for (int j = 0; j < NI; j++) {
                uint32_t b0 = b[j / 2][j % 2 * 2], b1 = b[j / 2][j % 2 * 2 + 1];
                if constexpr (cf_is_same<T, uint8_t>::value)
                    cf_multiply_bytes(of[i][j], a[i], b0, b1);
                else
                    cf_multiply<T>(of[i][j], a[i], b0, b1);
            }
    }
    __device__ __forceinline__ void end_step() {}
};

// FP32. Tensor cores cut off what an addition would round, always towards zero: each instruction's eight terms are
// summed from nothing, the small products first, and added by ordinary additions. The 32 terms of a step make a sum of
// their own, since the error of a sum grows with its length.
template <int MI, int NI> struct conv_sums<float, MI, NI> {
    float of[MI][NI][4], chunk[MI][NI][4];

    __device__ __forceinline__ void add(const uint32_t (&a)[MI][4], const uint32_t (&b)[NI / 2][4]) {
        cf_split<4> right[NI / 2];
#pragma unroll
        for (int j = 0; j < NI / 2; j++) right[j] = cf_split_tf32(b[j]);
#pragma unroll
        for (int i = 0; i < MI; i++) {
            cf_split<4> left = cf_split_tf32(a[i]);
#pragma unroll
            for (int j = 0; j < NI; j++) {
                const cf_split<4> &r = right[j / 2];
                int pair = j % 2 * 2;
                float eight[4] = {};
                cf_multiply_tf32(eight, left.low, r.high[pair], r.high[pair + 1]);
                cf_multiply_tf32(eight, left.high, r.low[pair], r.low[pair + 1]);
                cf_multiply_tf32(eight, left.high, r.high[pair], r.high[pair + 1]);
#pragma unroll
                for (int k = 0; k < 4; k++) chunk[i][j][k] += eight[k];
            }
        }
    }
    __device__ __forceinline__ void end_step() {
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
            for (int j = 0; j < NI; j++)
#pragma unroll
                for (int k = 0; k < 4; k++) of[i][j][k] += chunk[i][j][k], chunk[i][j][k] = 0.f;
    }
};

template <typename T, int ROWS, int COLUMNS, int DOWN, int ACROSS, int STAGES, int SPLITS, typename ARGS>
__device__ __forceinline__ void conv_mma(const ARGS &args) {
    constexpr int THREADS = DOWN * ACROSS * 32, WARP_ROWS = ROWS / DOWN, WARP_COLUMNS = COLUMNS / ACROSS;
    constexpr int MI = WARP_ROWS / 16, NI = WARP_COLUMNS / 8;
    constexpr int A_BYTES = ROWS * CONV_ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * CONV_ROW_BYTES;
    static_assert(WARP_ROWS % 16 == 0 && WARP_COLUMNS % 16 == 0, "ldmatrix reads 16 rows");
    extern __shared__ __align__(1024) unsigned char shared[];

    const cf_conv_args &a = conv_of(args);
    int rank = SPLITS > 1 ? blockIdx.x % SPLITS : 0;
    typename conv_sum<T>::index tile = blockIdx.x / SPLITS;
    int m0 = tile / a.columns * ROWS, o0 = tile % a.columns * COLUMNS;
    conv_share share = share_of<SPLITS>(a.steps, rank);
    conv_loader<sizeof(T), ROWS, COLUMNS, THREADS> loader;
    loader.start(a, m0, o0, share.first);
    loader.template begin<STAGES - 1, STAGE_BYTES>(args, shared, o0, share.count);

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int warp_row = warp / ACROSS * WARP_ROWS, warp_column = warp % ACROSS * WARP_COLUMNS;
    // ldmatrix: lane l gives the address of row l % 8 of matrix l / 8. Of A: rows 0-7 and 8-15 of one chunk, then of
    // the next; of B: channels 0-7 of one chunk and the next, then channels 8-15.
    uint32_t a_row = warp_row + lane % 16, a_chunk = lane / 16;
    uint32_t b_row = warp_column + lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
    conv_sums<T, MI, NI> sum = {};
    int stage = 0;
    for (int step = 0; step < share.count; step++) {
        cf_wait_copies<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < share.count) {
            unsigned char *to = shared + (stage + STAGES - 1) % STAGES * STAGE_BYTES;
            loader.copy_weights(a, to + A_BYTES, o0, 0);
            loader.copy_pixels(args, to);
            loader.advance(a);
        }
        cf_end_copies();
        const unsigned char *from = shared + stage * STAGE_BYTES;
#pragma unroll
        for (int k = 0; k < CONV_CHUNKS / 2; k++) {
            uint32_t af[MI][4], bf[NI / 2][4];
#pragma unroll
            for (int i = 0; i < MI; i++)
                cf_load_matrices(af[i],
                                 from + (a_row + i * 16) * CONV_ROW_BYTES + ((k * 2 + a_chunk) ^ (a_row % 8)) * 16);
#pragma unroll
            for (int j = 0; j < NI / 2; j++)
                cf_load_matrices(bf[j], from + A_BYTES + (b_row + j * 16) * CONV_ROW_BYTES +
                                            ((k * 2 + b_chunk) ^ (b_row % 8)) * 16);
            sum.add(af, bf);
        }
        sum.end_step();
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }

    // All reads of the stages are over: the sums take their place.
    cf_wait_copies<0>();
    __syncthreads();
    auto sums = reinterpret_cast<typename conv_sum<T>::type *>(shared);
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int row = warp_row + i * 16 + h * 8 + lane / 4, column = warp_column + j * 8 + lane % 4 * 2;
                put_sums(sums + row * sums_line(COLUMNS) + column, sum.of[i][j][2 * h], sum.of[i][j][2 * h + 1]);
            }
    store_tile<T, ROWS, COLUMNS, THREADS, SPLITS>(args, sums, m0, o0, rank);
}
