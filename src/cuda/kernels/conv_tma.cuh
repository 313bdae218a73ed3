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
#include "cuda/wgmma_bytes.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// What multiplies elements of this type, 32 bytes of a row at once; `half` is what is stored unless bytes are.
template <typename T, int COLUMNS> struct tma_product {
    typedef float sum;
    typedef T half;
    static __device__ __forceinline__ void add(float (&d)[COLUMNS / 2], uint64_t a, uint64_t b) {
        cf_matrix_product<COLUMNS>::add(d, a, b, T());
    }
};
template <int COLUMNS> struct tma_product<uint8_t, COLUMNS> {
    typedef int sum;
    typedef __half half;
    static __device__ __forceinline__ void add(int (&d)[COLUMNS / 2], uint64_t a, uint64_t b) {
        cf_byte_product<COLUMNS>::add(d, a, b);
    }
};

template <int COLUMNS> struct tma_product<__nv_fp8_e4m3, COLUMNS> {
    typedef float sum;
    typedef __half half;
    static __device__ __forceinline__ void add(float (&d)[COLUMNS / 2], uint64_t a, uint64_t b) {
        cf_e4m3_product<COLUMNS>::add(d, a, b);
    }
};

template <typename T> using is_e4m3 = cf_is_same<T, __nv_fp8_e4m3>;

// Channels that a warp stores at once, and the bytes of such a piece: 16 pixels.
__host__ __device__ constexpr int piece_width(int columns) {
    return columns % 64 ? 32 : 64;
}

// Where 16 bytes of a row of a piece lie, of rows of 128, 64 or 32 bytes: the pattern of the map's swizzle.
template <int BYTES> __device__ __forceinline__ uint32_t piece_place(int row, int chunk) {
    constexpr int CHUNKS = BYTES / 16;
    return row * BYTES + ((chunk ^ (row * CHUNKS / 8 % CHUNKS)) * 16);
}

// Copies the residual of a piece into its slot.
template <typename T, int WIDTH>
__device__ __forceinline__ void copy_rows(const cf_conv_tma_args &a, unsigned char *slot, int m, int o) {
    constexpr int EACH = 16 / sizeof(T), CHUNKS = WIDTH / EACH;
#pragma unroll
    for (int i = threadIdx.x % 32; i < 16 * CHUNKS; i += 32) {
        int row = i / CHUNKS, chunk = i % CHUNKS;
        bool there = m + row < a.pixels && o + chunk * EACH < a.outputs;
        const T *from = static_cast<const T *>(a.residual);
        cf_copy16<false>(slot + piece_place<WIDTH * sizeof(T)>(row, chunk),
                         there ? from + (m + row) * a.residual_pixel + o + chunk * EACH : from, there);
    }
}

template <typename T, int WIDTH>
__device__ __forceinline__ void copy_residual(const cf_conv_tma_args &a, unsigned char *slot, int m, int o) {
    if (a.out_bytes)
        copy_rows<uint8_t, WIDTH>(a, slot, m, o);
    else
        copy_rows<T, WIDTH>(a, slot, m, o);
}

// How many rows and columns of pixel m's window lie beyond which edge, as one number: conv_tma_args.h.
__device__ __forceinline__ int border_of(const cf_conv_tma_args &a, unsigned m) {
    unsigned line = m / (unsigned)a.out_w, n = line / (unsigned)a.out_h;
    int x = (int)(m - line * a.out_w) * a.stride - a.pad_left, y = (int)(line - n * a.out_h) * a.stride - a.pad_top;
    int top = max(-y, 0), bottom = min(max(y + a.kernel_h - a.in_h, 0), a.pad_bottom);
    int left = max(-x, 0), right = min(max(x + a.kernel_w - a.in_w, 0), a.pad_right);
    return ((top * (a.pad_bottom + 1) + bottom) * (a.pad_left + 1) + left) * (a.pad_right + 1) + right;
}

// What a thread's sums start from; m: the first row of its warp.
template <int HIGH, int COLUMNS>
__device__ __forceinline__ void start_sums(const cf_conv_tma_args &, float (&)[HIGH][COLUMNS / 2], int, int) {}

template <int HIGH, int COLUMNS>
__device__ __forceinline__ void start_sums(const cf_conv_tma_args &a, int (&sum)[HIGH][COLUMNS / 2], int m, int o) {
    int lane = threadIdx.x % 32, line = (a.outputs + 7) / 8 * 8;
#pragma unroll
    for (int i = 0; i < HIGH; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int row = min(m + i * 64 + h * 8 + lane / 4, a.pixels - 1);
            const int *from = a.offset + (a.flat_in ? 0 : border_of(a, row) * line) + o + lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < COLUMNS / 8; j++) {
                int2 start = o + j * 8 < a.outputs ? *reinterpret_cast<const int2 *>(from + j * 8) : int2{};
                sum[i][4 * j + 2 * h] = start.x, sum[i][4 * j + 2 * h + 1] = start.y;
            }
        }
}

// The sums of a piece, WIDTH channels from o on, with the bias.
template <int WIDTH>
__device__ __forceinline__ void add_bias(const cf_conv_tma_args &a, const float *sum, float (&v)[WIDTH / 2], int o) {
    const float *bias = a.bias + o + threadIdx.x % 4 * 2;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        float2 b = o + j * 8 < a.outputs ? *reinterpret_cast<const float2 *>(bias + j * 8) : float2{};
#pragma unroll
        for (int k = 0; k < 4; k++) v[4 * j + k] = sum[4 * j + k] + (k % 2 ? b.y : b.x);
    }
}

// The same of sums of bytes, in the units of each channel.
template <int WIDTH, typename S>
__device__ __forceinline__ void add_scaled_bias(const cf_conv_tma_args &a, const S *sum, float (&v)[WIDTH / 2], int o) {
    const float *bias = a.bias + o + threadIdx.x % 4 * 2, *unit = a.unit + o + threadIdx.x % 4 * 2;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        bool there = o + j * 8 < a.outputs;
        float2 b = there ? *reinterpret_cast<const float2 *>(bias + j * 8) : float2{};
        float2 u = there ? *reinterpret_cast<const float2 *>(unit + j * 8) : float2{};
#pragma unroll
        for (int k = 0; k < 4; k++) v[4 * j + k] = fmaf((float)sum[4 * j + k], k % 2 ? u.y : u.x, k % 2 ? b.y : b.x);
    }
}

template <int WIDTH>
__device__ __forceinline__ void add_bias(const cf_conv_tma_args &a, const int *sum, float (&v)[WIDTH / 2], int o) {
    add_scaled_bias<WIDTH>(a, sum, v, o);
}

// Adds the residual, which lies in the slot, and puts the piece there.
template <typename T, int WIDTH>
__device__ __forceinline__ void put_piece(const cf_conv_tma_args &a, float (&v)[WIDTH / 2], unsigned char *slot) {
    int lane = threadIdx.x % 32;
    // Lane l gives the address of row l % 8 of matrix l / 8: rows 0-7 and 8-15 of one chunk, then of the next.
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j += 2) {
        unsigned char *at = slot + piece_place<WIDTH * 2>(lane % 16, j + lane / 16);
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
}

// Where two channels of a piece of bytes lie: j and h as in put_bytes.
template <int WIDTH> __device__ __forceinline__ uint16_t *two_bytes_of(unsigned char *slot, int j, int h) {
    int lane = threadIdx.x % 32;
    return reinterpret_cast<uint16_t *>(slot + piece_place<WIDTH>(lane / 4 + h * 8, j / 2) + j % 2 * 8 + lane % 4 * 2);
}

// The same of bytes: v is in units of the output, from its zero point on.
template <int WIDTH>
__device__ __forceinline__ void put_bytes(const cf_conv_tma_args &a, float (&v)[WIDTH / 2], unsigned char *slot) {
    float base = (float)(CF_WHOLE + a.residual_zero);
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            uint16_t *at = two_bytes_of<WIDTH>(slot, j, h);
            float low = v[4 * j + 2 * h], high = v[4 * j + 2 * h + 1];
            if (a.residual) {
                uint32_t more = *at;
                low = fmaf(cf_byte_less(more, 0, base), a.residual_scale, low);
                high = fmaf(cf_byte_less(more, 1, base), a.residual_scale, high);
            }
            *at = (uint16_t)cf_two_bytes(low, high);
        }
}

// The same of E4M3.
template <int WIDTH>
__device__ __forceinline__ void put_e4m3(const cf_conv_tma_args &a, float (&v)[WIDTH / 2], unsigned char *slot) {
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            uint16_t *at = two_bytes_of<WIDTH>(slot, j, h);
            float low = v[4 * j + 2 * h], high = v[4 * j + 2 * h + 1];
            if (a.residual) {
                float2 more = cf_from_two_e4m3(*at);
                low = fmaf(more.x, a.residual_scale, low), high = fmaf(more.y, a.residual_scale, high);
            }
            *at = (uint16_t)cf_two_e4m3(low, high);
        }
}

// x * sigmoid(x) to 2^-12 of x by one instruction of the special unit instead of two, of which a short sum's end has
// too many: a byte's step is coarser.
__device__ __forceinline__ float coarse_silu(float x) {
    float half = .5f * x, tangent;
    asm("tanh.approx.f32 %0, %1;" : "=f"(tangent) : "f"(half));
    return fmaf(half, tangent, half);
}

// Ends one piece: 16 pixels from m on, WIDTH channels from o on; `sum` as wgmma left it. With a residual, that lies in
// the slot.
template <typename T, int WIDTH, typename S>
__device__ __forceinline__ void finish_piece(const cf_conv_tma_args &a, const S *sum, unsigned char *slot, int m,
                                             int o) {
    float v[WIDTH / 2];
    if (is_e4m3<T>::value)
        add_scaled_bias<WIDTH>(a, sum, v, o);
    else
        add_bias<WIDTH>(a, sum, v, o);
    if (a.act == CF_ACT_RELU) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] = fmaxf(v[k], 0.f);
    } else if (a.act == CF_ACT_SILU) {
        if (sizeof(T) == 1 && a.out_bytes) {
#pragma unroll
            for (int k = 0; k < WIDTH / 2; k++) v[k] = coarse_silu(v[k]);
        } else {
#pragma unroll
            for (int k = 0; k < WIDTH / 2; k++) v[k] *= cf_quick_sigmoid(v[k]);
        }
    } else if (a.act == CF_ACT_GELU) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] = cf_activate(CF_ACT_GELU, v[k]);
    } else if (a.act == CF_ACT_CLAMP) {
#pragma unroll
        for (int k = 0; k < WIDTH / 2; k++) v[k] = cf_activate(CF_ACT_CLAMP, v[k]);
    }
#pragma unroll
    for (int k = 0; k < WIDTH / 2; k++) v[k] = fmaf(v[k], a.scale, a.shift);
    // Products of 16 bits store either type of bytes, those of bytes their own.
    if (is_e4m3<T>::value ? a.out_bytes != 0 : sizeof(T) == 2 && a.out_bytes == CF_CONV_OUT_E4M3)
        put_e4m3<WIDTH>(a, v, slot);
    else if (!is_e4m3<T>::value && a.out_bytes)
        put_bytes<WIDTH>(a, v, slot);
    else
        put_piece<typename tma_product<T, WIDTH>::half, WIDTH>(a, v, slot);
    cf_show_to_engines();
    __syncwarp();
    if (threadIdx.x % 32 == 0) cf_store_box(&a.out, o, m, slot);
}

// ROW_BYTES of a row of each operand are a step's.
template <typename T, bool TURNS, int ROW_BYTES, int ROWS, int COLUMNS, int GROUPS, int STAGES, int SLOTS>
__device__ __forceinline__ void conv_tma(const cf_conv_tma_args &a) {
    constexpr int HIGH = ROWS / 64 / (TURNS ? 1 : GROUPS), WIDTH = piece_width(COLUMNS);
    static_assert(ROWS == HIGH * 64 * (TURNS ? 1 : GROUPS), "a warp group has whole products");
    typedef tma_product<T, COLUMNS> product;
    constexpr int A_BYTES = ROWS * ROW_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * ROW_BYTES;
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
                c += ROW_BYTES / (int)sizeof(T);
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
                    copy_residual<typename product::half, WIDTH>(
                        a, slot + p * SLOT_BYTES, m0 + p * WIDTH / COLUMNS * 64, o0 + p * WIDTH % COLUMNS);
                cf_end_copies();
            }
        }
        typename product::sum sum[HIGH][COLUMNS / 2] = {};
        start_sums<HIGH, COLUMNS>(a, sum, m0, o0);
        unsigned at = turn * (unsigned)steps, stage = at % STAGES, phase = at / STAGES % 2;
        // A stage's phases are told apart by parity only, so nobody may wait for one before the last but one is over.
        if (TURNS) cf_wait_phase(turns + group, (turn / GROUPS + (group == 0)) % 2);
        turn += TURNS ? GROUPS : 1;
        int before = -1;
        for (int step = 0; step < steps; step++) {
            cf_wait_phase(full + stage, phase);
            const unsigned char *from = shared + stage * STAGE_BYTES;
            const unsigned char *mine = from + (TURNS ? 0 : group * HIGH * 64 * ROW_BYTES);
            cf_begin_products();
#pragma unroll
            for (int k = 0; k < ROW_BYTES / 32; k++)
#pragma unroll
                for (int i = 0; i < HIGH; i++)
                    product::add(sum[i], cf_describe<ROW_BYTES>(mine + i * 64 * ROW_BYTES + k * 32),
                                 cf_describe<ROW_BYTES>(from + A_BYTES + k * 32));
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
            finish_piece<T, WIDTH>(a, &sum[p * WIDTH / COLUMNS][p * WIDTH % COLUMNS / 2], here, m, o);
            if (a.residual) {
                if (p + SLOTS < PIECES) {
                    if (lane == 0) cf_wait_stores<0>();
                    __syncwarp();
                    copy_residual<typename product::half, WIDTH>(a, here, m0 + (p + SLOTS) * WIDTH / COLUMNS * 64,
                                                                 o0 + (p + SLOTS) * WIDTH % COLUMNS);
                }
                cf_end_copies();
            }
        }
    }
    if (lane == 0) cf_wait_stores<0>();
}
#endif
