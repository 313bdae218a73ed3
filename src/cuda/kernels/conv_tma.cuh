// SPDX-License-Identifier: Apache-2.0
// Convolution by wgmma whose operands the copy engine brings: compute capability 9.0 only.
//
// A block stays on its multiprocessor and makes one tile after the other. One thread starts copies, up to STAGES steps
// ahead and into the next tile; a warp group each multiplies what has arrived. Groups share a tile, or take turns: each
// has its own, and while one finishes its sums, the others multiply. Sums go through shared memory, 16 pixels of a warp
// at a time, from where the copy engine stores them.
#pragma once

#include "cuda/conv_args.h"
#include "cuda/conv_tma_args.h"
#include "cuda/copy.cuh"
#include "cuda/kernels/conv.cuh"
#include "cuda/mma.cuh"
#include "cuda/tma.cuh"
#include "cuda/wgmma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
enum { TMA_ROW_BYTES = 128 };

// Channels that a warp stores at once, and the bytes of such a piece: 16 pixels.
__host__ __device__ constexpr int piece_width(int columns) {
    return columns % 64 ? 32 : 64;
}

// Where 16 bytes of a row of a piece lie: the pattern of the map's swizzle.
template <int WIDTH> __device__ __forceinline__ uint32_t piece_place(int row, int chunk) {
    return WIDTH == 64 ? row * 128 + ((chunk ^ (row % 8)) * 16) : row * 64 + ((chunk ^ (row / 2 % 4)) * 16);
}

// Copies the residual of a piece into its slot.
template <typename T, int WIDTH>
__device__ __forceinline__ void copy_residual(const cf_conv_tma_args &a, unsigned char *slot, int m, int o) {
    constexpr int CHUNKS = WIDTH / 8;
#pragma unroll
    for (int i = threadIdx.x % 32; i < 16 * CHUNKS; i += 32) {
        int row = i / CHUNKS, chunk = i % CHUNKS;
        bool there = m + row < a.pixels && o + chunk * 8 < a.outputs;
        const T *from = static_cast<const T *>(a.residual);
        cf_copy16<false>(slot + piece_place<WIDTH>(row, chunk),
                         there ? from + (m + row) * a.residual_pixel + o + chunk * 8 : from, there);
    }
}

// Ends one piece: 16 pixels from m on, WIDTH channels from o on; `sum` as wgmma left it. With a residual, that lies in
// the slot.
template <typename T, int WIDTH>
__device__ __forceinline__ void finish_piece(const cf_conv_tma_args &a, float (&v)[WIDTH / 2], unsigned char *slot,
                                             int m, int o) {
    int lane = threadIdx.x % 32;
    const float *bias = a.bias + o + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        float2 b = o + j * 8 < a.outputs ? *reinterpret_cast<const float2 *>(bias + j * 8) : float2{};
        v[4 * j] += b.x, v[4 * j + 1] += b.y, v[4 * j + 2] += b.x, v[4 * j + 3] += b.y;
    }
    if (a.act == CF_ACT_RELU) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] = fmaxf(v[k], 0.f);
    } else if (a.act == CF_ACT_SILU) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] *= cf_quick_sigmoid(v[k]);
    } else if (a.act == CF_ACT_GELU) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] = cf_activate(CF_ACT_GELU, v[k]);
    } else if (a.act == CF_ACT_CLAMP) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] = cf_activate(CF_ACT_CLAMP, v[k]);
    }
#pragma unroll
    for (int k = 0; k < WIDTH / 2; k++) v[k] = fmaf(v[k], a.scale, a.shift);
        // Lane l gives the address of row l % 8 of matrix l / 8: rows 0-7 and 8-15 of one chunk, then of the next.
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j += 2) {
        unsigned char *at = slot + piece_place<WIDTH>(lane % 16, j + lane / 16);
        uint32_t r[4];
        if (a.residual) {
            cf_load_matrices(r, at);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float2 more = cf_unpack(r[k], T());
                v[4 * j + 2 * k] += more.x, v[4 * j + 2 * k + 1] += more.y;
            }
        }
#pragma unroll
        for (int k = 0; k < 4; k++) r[k] = cf_pack(v[4 * j + 2 * k], v[4 * j + 2 * k + 1], T());
        cf_store_matrices(at, r);
    }
    cf_show_to_engines();
    __syncwarp();
    if (lane == 0) cf_store_box(&a.out, o, m, slot);
}

template <typename T, bool TURNS, int ROWS, int COLUMNS, int GROUPS, int STAGES, int SLOTS>
__device__ __forceinline__ void conv_tma(const cf_conv_tma_args &a) {
    constexpr int HIGH = ROWS / 64 / (TURNS ? 1 : GROUPS), WIDTH = piece_width(COLUMNS);
    static_assert(ROWS == HIGH * 64 * (TURNS ? 1 : GROUPS), "a warp group has whole products");
    constexpr int A_BYTES = ROWS * TMA_ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * TMA_ROW_BYTES;
    constexpr int SLOT_BYTES = 16 * WIDTH * 2, PIECES = HIGH * COLUMNS / WIDTH;
    extern __shared__ __align__(1024) unsigned char shared[];
    unsigned char *slots = shared + STAGES * STAGE_BYTES;
    uint64_t *full = reinterpret_cast<uint64_t *>(slots + GROUPS * 4 * SLOTS * SLOT_BYTES), *empty = full + STAGES;
    uint64_t *turns = empty + STAGES; // of each group: the one before it has nothing more to wait for

    int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0), warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (threadIdx.x == 0) {
        cf_prefetch_map(&a.in), cf_prefetch_map(&a.weight), cf_prefetch_map(&a.out);
        for (int s = 0; s < STAGES; s++)
            cf_barrier_init(full + s, 1), cf_barrier_init(empty + s, TURNS ? 4 : 4 * GROUPS);
        for (int g = 0; g < GROUPS; g++) cf_barrier_init(turns + g, 1);
        cf_barriers_ready();
    }
    __syncthreads();
    cf_wait_before();
    cf_let_next_start();

    int steps = a.taps * a.pieces;
    if (group == GROUPS) { // copies
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(GROUPS == 2 ? 40 : 32));
        if (threadIdx.x != GROUPS * 128) return;
        int stage = 0, phase = 1; // all stages are empty
        for (int tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
            int row = tile / a.columns, m0 = row * ROWS, o0 = (tile - row * a.columns) * COLUMNS;
            int line = m0 / a.out_w, n = line / a.out_h;
            int x = (m0 - line * a.out_w) * a.stride - a.pad_left, y = (line - n * a.out_h) * a.stride - a.pad_top;
            int c = 0, tap = 0, kx = 0, ky = 0;
            for (int step = 0; step < steps; step++) {
                unsigned char *to = shared + stage * STAGE_BYTES;
                cf_wait_phase(empty + stage, phase);
                cf_arrive_and_expect(full + stage, STAGE_BYTES);
                cf_copy_box(to + A_BYTES, &a.weight, tap * a.channels + c, o0, full + stage);
                if (a.flat_in)
                    cf_copy_box(to, &a.in, c, m0, full + stage);
                else
                    cf_copy_taps(to, &a.in, c, x, y, n, kx, ky, full + stage);
                if (++stage == STAGES) stage = 0, phase ^= 1;
                c += CF_CONV_STEP;
                if (c >= a.channels) {
                    c = 0, tap++;
                    if (++kx == a.kernel_w) kx = 0, ky++;
                }
            }
        }
        return;
    }

    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(GROUPS == 2 ? 232 : 160));
    int lane = threadIdx.x % 32;
    unsigned char *slot = slots + warp * SLOTS * SLOT_BYTES;
    int turn = TURNS ? group : 0;
    for (int tile = blockIdx.x + turn * gridDim.x; tile < a.tiles; tile += gridDim.x * (TURNS ? GROUPS : 1)) {
        int row = tile / a.columns, o0 = (tile - row * a.columns) * COLUMNS;
        int m0 = row * ROWS + (TURNS ? 0 : group * HIGH * 64) + warp % 4 * 16; // of this warp
        if (a.residual) {
            if (lane == 0) cf_wait_stores<0>();
            __syncwarp();
#pragma unroll
            for (int p = 0; p < SLOTS; p++) {
                if (p < PIECES)
                    copy_residual<T, WIDTH>(a, slot + p * SLOT_BYTES, m0 + p * WIDTH / COLUMNS * 64,
                                            o0 + p * WIDTH % COLUMNS);
                cf_end_copies();
            }
        }
        unsigned at = turn * (unsigned)steps, stage = at % STAGES, phase = at / STAGES % 2;
        // A stage's phases are told apart by parity only, so nobody may wait for one before the last but one is over.
        if (TURNS) cf_wait_phase(turns + group, (turn / GROUPS + (group == 0)) % 2);
        turn += TURNS ? GROUPS : 1;
        float sum[HIGH][COLUMNS / 2] = {};
        int before = -1;
        for (int step = 0; step < steps; step++) {
            cf_wait_phase(full + stage, phase);
            const unsigned char *from = shared + stage * STAGE_BYTES;
            const unsigned char *mine = from + (TURNS ? 0 : group * HIGH * 64 * TMA_ROW_BYTES);
            cf_begin_products();
#pragma unroll
            for (int k = 0; k < CF_CONV_STEP / 16; k++)
#pragma unroll
                for (int i = 0; i < HIGH; i++)
                    cf_matrix_product<COLUMNS>::add(sum[i], cf_describe(mine + i * 64 * TMA_ROW_BYTES + k * 32),
                                                    cf_describe(from + A_BYTES + k * 32), T());
            cf_end_products();
            if (TURNS && step + 1 == steps && threadIdx.x % 128 == 0) cf_arrive(turns + (group + 1) % GROUPS);
            cf_wait_products<1>();
            if (before >= 0 && lane == 0) cf_arrive(empty + before);
            before = stage;
            if (++stage == STAGES) stage = 0, phase ^= 1;
        }
        cf_wait_products<0>();
        if (lane == 0) {
            cf_arrive(empty + before);
            if (!a.residual) cf_wait_stores<0>();
        }

#pragma unroll
        for (int p = 0; p < PIECES; p++) {
            int m = m0 + p * WIDTH / COLUMNS * 64, o = o0 + p * WIDTH % COLUMNS;
            unsigned char *here = slot + p % SLOTS * SLOT_BYTES;
            if (a.residual)
                cf_wait_copies<SLOTS - 1>();
            else if (lane == 0 && p >= SLOTS)
                cf_wait_stores<SLOTS - 1>();
            __syncwarp();
            float v[WIDTH / 2];
#pragma unroll
            for (int k = 0; k < WIDTH / 2; k++) v[k] = sum[p * WIDTH / COLUMNS][p * WIDTH % COLUMNS / 2 + k];
            finish_piece<T, WIDTH>(a, v, here, m, o);
            if (a.residual) {
                if (p + SLOTS < PIECES) {
                    if (lane == 0) cf_wait_stores<0>();
                    __syncwarp();
                    copy_residual<T, WIDTH>(a, here, m0 + (p + SLOTS) * WIDTH / COLUMNS * 64,
                                            o0 + (p + SLOTS) * WIDTH % COLUMNS);
                }
                cf_end_copies();
            }
        }
    }
    if (lane == 0) cf_wait_stores<0>();
}
#endif
