// SPDX-License-Identifier: Apache-2.0
// Attention of F16, BF16 or FP32 on tensor cores; the softmax and all sums are FP32. Products of FP32 are three of TF32
// (mma.cuh); those of eight terms are summed from nothing, the rest by ordinary additions, which round.
//
// A block has four warps. With SPLIT = 1 each warp has 16 queries of its own and all walk the keys together, 64 at a
// time (32 of FP32); with SPLIT = 4 the warps share 16 queries, each walks every fourth tile of half as many keys, and
// at the end their sums are put together: four times the blocks, for when there are few.
//
// Products are kept as the tensor cores leave them: of a warp's [16, keys] a lane holds rows lane/4 and lane/4 + 8, at
// columns 2*(lane%4) and the next of every 8. In this form the weights are the left operand of the product with v; of
// TF32, if the keys of every 8 are taken in the order 0 2 4 6 1 3 5 7.
#include "cuda/mma.cuh"

struct attention_args {
    cf_tensor q, k, v, out;
    int size; // channels of a head, a multiple of 8, at most D
    int wide; // 1: addresses are multiples of 16 bytes
};

// Sixteen bytes of elements from channel c of pixel p on.
template <class T>
static __device__ __forceinline__ uint4 load_run(const cf_tensor &t, int n, uint32_t p, int c, int wide) {
    const T *from = static_cast<const T *>(t.data) + cf_pixel(t, n, p) + c;
    if (wide) return *reinterpret_cast<const uint4 *>(from);
    T run[16 / sizeof(T)];
    for (int i = 0; i < 16 / (int)sizeof(T); i++) run[i] = from[i];
    uint4 bits;
    memcpy(&bits, run, sizeof bits);
    return bits;
}

static __device__ __forceinline__ void store_pair(const cf_tensor &t, int64_t at, float first, float second, int wide) {
    if (wide && t.dtype == CF_F16) {
        *reinterpret_cast<uint32_t *>(static_cast<__half *>(t.data) + at) = cf_round_pair<__half>(first, second);
    } else if (wide && t.dtype == CF_BF16) {
        *reinterpret_cast<uint32_t *>(static_cast<__nv_bfloat16 *>(t.data) + at) =
            cf_round_pair<__nv_bfloat16>(first, second);
    } else if (wide && t.dtype == CF_F32) {
        *reinterpret_cast<float2 *>(static_cast<float *>(t.data) + at) = make_float2(first, second);
    } else {
        cf_put(t, at, first);
        cf_put(t, at + 1, second);
    }
}

// Sums of one row of the four lanes that share it.
static __device__ float row_sum(float v) {
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

static __device__ float row_max(float v) {
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

// D: channels of a head, rounded up to a multiple of 16.
template <class T, int D, int SPLIT> struct attention {
    enum {
        KEYS = (SPLIT == 1 ? 128 : 64) / sizeof(T), // of a tile
        EACH = 16 / sizeof(T),                      // elements of a run
        ROW = D + EACH,                             // between rows of a tile: loads of 8 rows hit all banks
        GROUP = 128 / SPLIT,                        // threads that fill a tile
        RUNS = D / EACH,
        LOADS = 2 * KEYS * RUNS / GROUP, // runs that a thread loads for a tile of k and of v
        HELD = 4 / sizeof(T),            // elements of a register
        TERMS = 8 * HELD                 // of a product
    };
    struct shared_memory {
        union {
            T tile[SPLIT][2][KEYS][ROW]; // k, v
            float sums[SPLIT][16][D];
        };
        float most[SPLIT][16], total[SPLIT][16];
    };

    const attention_args &args;
    shared_memory &s;
    int n, first, group, lane;
    uint32_t query, keys; // the warp's first query; how many keys there are

    uint4 coming[LOADS];          // the next tile, on its way
    uint32_t q[D / TERMS][4];     // [16, D]
    float sum[D / 8][4], most[2]; // [16, D]; the greatest product so far, of both rows
    float total[2];               // this lane's part of the weights' sum, of both rows

    __device__ attention(const attention_args &a, shared_memory &memory) : args(a), s(memory) {
        n = blockIdx.z, first = blockIdx.y * a.size, lane = threadIdx.x % 32;
        group = SPLIT == 1 ? 0 : threadIdx.x / 32;
        query = SPLIT == 1 ? blockIdx.x * 64 + threadIdx.x / 32 * 16 : blockIdx.x * 16;
        keys = a.k.h * a.k.w;
        for (int i = 0; i < D / 8; i++)
            for (int k = 0; k < 4; k++) sum[i][k] = 0;
        most[0] = most[1] = -INFINITY;
        total[0] = total[1] = 0;
    }

    __device__ void load_queries() {
        uint32_t queries = args.q.h * args.q.w;
#pragma unroll
        for (int i = 0; i < D / TERMS; i++)
#pragma unroll
            for (int k = 0; k < 4; k++) {
                uint32_t row = query + lane / 4 + k % 2 * 8;
                int c = i * TERMS + (lane % 4 + k / 2 * 4) * HELD;
                q[i][k] = 0;
                if (row >= queries || c >= args.size) continue;
                const T *from = static_cast<const T *>(args.q.data) + cf_pixel(args.q, n, row) + first + c;
                T held[HELD];
                for (int e = 0; e < HELD; e++) held[e] = from[e];
                memcpy(&q[i][k], held, sizeof held);
            }
    }

    __device__ void load_tile(uint32_t tile) {
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            int run = i * GROUP + threadIdx.x % GROUP, c = run % RUNS * EACH;
            uint32_t key = tile * KEYS + run / RUNS % KEYS;
            coming[i] = make_uint4(0, 0, 0, 0);
            if (key < keys && c < args.size)
                coming[i] = load_run<T>(i < LOADS / 2 ? args.k : args.v, n, key, first + c, args.wide);
        }
    }

    __device__ void store_tile() {
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            int run = i * GROUP + threadIdx.x % GROUP;
            T *row = s.tile[group][i < LOADS / 2 ? 0 : 1][run / RUNS % KEYS];
            *reinterpret_cast<uint4 *>(row + run % RUNS * EACH) = coming[i];
        }
    }

    // products = q k^T of the tile
    __device__ void multiply_keys(float (&products)[KEYS / 8][4]) {
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++)
            for (int k = 0; k < 4; k++) products[j][k] = 0;
#pragma unroll
        for (int i = 0; i < D / TERMS; i++)
            if constexpr (sizeof(T) == 4) {
                cf_split<4> a = cf_split_tf32(q[i]);
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++) {
                    const T *key = &s.tile[group][0][j * 8 + lane / 4][i * 8 + lane % 4];
                    add_product(products[j], a, key[0], key[4]);
                }
            } else {
#pragma unroll
                for (int j = 0; j < KEYS / 16; j++) {
                    uint32_t b[4];
                    cf_load_matrices(b,
                                     &s.tile[group][0][j * 16 + lane / 16 * 8 + lane % 8][i * 16 + lane / 8 % 2 * 8]);
                    cf_multiply<T>(products[2 * j], q[i], b[0], b[1]);
                    cf_multiply<T>(products[2 * j + 1], q[i], b[2], b[3]);
                }
            }
    }

    // sum += a b of eight terms, FP32; b0 and b1: what this lane holds of b.
    static __device__ __forceinline__ void add_product(float (&sum)[4], const cf_split<4> &a, float b0, float b1) {
        const uint32_t bits[2] = {__float_as_uint(b0), __float_as_uint(b1)};
        cf_split<2> b = cf_split_tf32(bits);
        float part[4] = {};
        cf_multiply_tf32(part, a.low, b.high[0], b.high[1]);
        cf_multiply_tf32(part, a.high, b.low[0], b.low[1]);
        cf_multiply_tf32(part, a.high, b.high[0], b.high[1]);
#pragma unroll
        for (int k = 0; k < 4; k++) sum[k] += part[k];
    }

    // Products become weights; what was summed so far is scaled to the new greatest product. factor: log2(e) / sqrt(d).
    __device__ void weigh(float (&products)[KEYS / 8][4], uint32_t tile, float factor) {
        if ((tile + 1) * KEYS > keys) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
                for (int k = 0; k < 4; k++)
                    if (tile * KEYS + j * 8 + lane % 4 * 2 + k % 2 >= keys) products[j][k] = -INFINITY;
        }
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float greatest = most[row];
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
                greatest = fmaxf(greatest, fmaxf(products[j][2 * row], products[j][2 * row + 1]));
            greatest = row_max(greatest);
            float shrink = exp2f((most[row] - greatest) * factor);
            most[row] = greatest;
            total[row] *= shrink;
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
                for (int k = 2 * row; k < 2 * row + 2; k++) {
                    products[j][k] = exp2f((products[j][k] - greatest) * factor);
                    total[row] += products[j][k];
                }
#pragma unroll
            for (int i = 0; i < D / 8; i++) {
                sum[i][2 * row] *= shrink;
                sum[i][2 * row + 1] *= shrink;
            }
        }
    }

    // sum += weights v of the tile
    __device__ void multiply_values(const float (&weights)[KEYS / 8][4]) {
        if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
                const uint32_t bits[4] = {__float_as_uint(weights[j][0]), __float_as_uint(weights[j][2]),
                                          __float_as_uint(weights[j][1]), __float_as_uint(weights[j][3])};
                cf_split<4> a = cf_split_tf32(bits);
#pragma unroll
                for (int i = 0; i < D / 8; i++) {
                    const T *value = &s.tile[group][1][j * 8 + lane % 4 * 2][i * 8 + lane / 4];
                    add_product(sum[i], a, value[0], value[ROW]);
                }
            }
        } else {
            multiply_halves(weights);
        }
    }

    __device__ void multiply_halves(const float (&weights)[KEYS / 8][4]) {
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            uint32_t a[4] = {cf_round_pair<T>(weights[2 * j][0], weights[2 * j][1]),
                             cf_round_pair<T>(weights[2 * j][2], weights[2 * j][3]),
                             cf_round_pair<T>(weights[2 * j + 1][0], weights[2 * j + 1][1]),
                             cf_round_pair<T>(weights[2 * j + 1][2], weights[2 * j + 1][3])};
#pragma unroll
            for (int i = 0; i < D / 16; i++) {
                uint32_t b[4];
                cf_load_transposed(b, &s.tile[group][1][j * 16 + lane / 8 % 2 * 8 + lane % 8][i * 16 + lane / 16 * 8]);
                cf_multiply<T>(sum[2 * i], a, b[0], b[1]);
                cf_multiply<T>(sum[2 * i + 1], a, b[2], b[3]);
            }
        }
    }

    __device__ void store() {
#pragma unroll
        for (int row = 0; row < 2; row++) {
            uint32_t at = query + lane / 4 + row * 8;
            float scale = 1.f / row_sum(total[row]);
            if (at >= (uint32_t)(args.out.h * args.out.w)) continue;
            int64_t to = cf_pixel(args.out, n, at) + first;
#pragma unroll
            for (int i = 0; i < D / 8; i++)
                if (i * 8 < args.size)
                    store_pair(args.out, to + i * 8 + lane % 4 * 2, sum[i][2 * row] * scale,
                               sum[i][2 * row + 1] * scale, args.wide);
        }
    }

    // The warps' sums, each relative to its own greatest product, are put together.
    __device__ void store_together(float factor) {
        __syncthreads(); // tiles are no longer read
#pragma unroll
        for (int row = 0; row < 2; row++) {
            int r = lane / 4 + row * 8;
            float all = row_sum(total[row]);
            if (lane % 4 == 0) s.most[group][r] = most[row], s.total[group][r] = all;
#pragma unroll
            for (int i = 0; i < D / 8; i++)
                for (int k = 0; k < 2; k++) s.sums[group][r][i * 8 + lane % 4 * 2 + k] = sum[i][2 * row + k];
        }
        __syncthreads();
        for (int i = threadIdx.x; i < 16 * D / 2; i += 128) {
            int r = i / (D / 2), c = i % (D / 2) * 2;
            if (query + r >= (uint32_t)(args.out.h * args.out.w) || c >= args.size) continue;
            float greatest = s.most[0][r], all = 0, a = 0, b = 0;
            for (int g = 1; g < SPLIT; g++) greatest = fmaxf(greatest, s.most[g][r]);
            for (int g = 0; g < SPLIT; g++) {
                float scale = exp2f((s.most[g][r] - greatest) * factor);
                all += scale * s.total[g][r];
                a += scale * s.sums[g][r][c];
                b += scale * s.sums[g][r][c + 1];
            }
            store_pair(args.out, cf_pixel(args.out, n, query + r) + first + c, a / all, b / all, args.wide);
        }
    }

    __device__ void run() {
        uint32_t tiles = (keys + KEYS - 1) / KEYS;
        float factor = 1.44269504f / sqrtf(args.size);
        load_queries();
        load_tile(group);
        for (uint32_t tile = group; tile - group < tiles; tile += SPLIT) { // all groups as often
            __syncthreads();
            store_tile();
            __syncthreads();
            load_tile(tile + SPLIT);
            if (tile >= tiles) continue;
            float products[KEYS / 8][4];
            multiply_keys(products);
            weigh(products, tile, factor);
            multiply_values(products);
        }
        if (SPLIT == 1)
            store();
        else
            store_together(factor);
    }
};

// Blocks along y are heads, along z images.
#define ATTENTION(name, T, D, SPLIT)                                                                                   \
    CF_GLOBAL __launch_bounds__(128) name(const __grid_constant__ attention_args args) {                               \
        __shared__ attention<T, D, SPLIT>::shared_memory memory;                                                       \
        cf_let_next_start();                                                                                           \
        cf_wait_before();                                                                                              \
        attention<T, D, SPLIT>(args, memory).run();                                                                    \
    }

ATTENTION(cf_attention_f16_16_1, __half, 16, 1)
ATTENTION(cf_attention_f16_16_4, __half, 16, 4)
ATTENTION(cf_attention_f16_32_1, __half, 32, 1)
ATTENTION(cf_attention_f16_32_4, __half, 32, 4)
ATTENTION(cf_attention_f16_48_1, __half, 48, 1)
ATTENTION(cf_attention_f16_48_4, __half, 48, 4)
ATTENTION(cf_attention_f16_64_1, __half, 64, 1)
ATTENTION(cf_attention_f16_64_4, __half, 64, 4)
ATTENTION(cf_attention_bf16_16_1, __nv_bfloat16, 16, 1)
ATTENTION(cf_attention_bf16_16_4, __nv_bfloat16, 16, 4)
ATTENTION(cf_attention_bf16_32_1, __nv_bfloat16, 32, 1)
ATTENTION(cf_attention_bf16_32_4, __nv_bfloat16, 32, 4)
ATTENTION(cf_attention_bf16_48_1, __nv_bfloat16, 48, 1)
ATTENTION(cf_attention_bf16_48_4, __nv_bfloat16, 48, 4)
ATTENTION(cf_attention_bf16_64_1, __nv_bfloat16, 64, 1)
ATTENTION(cf_attention_bf16_64_4, __nv_bfloat16, 64, 4)
ATTENTION(cf_attention_f32_16_1, float, 16, 1)
ATTENTION(cf_attention_f32_16_4, float, 16, 4)
ATTENTION(cf_attention_f32_32_1, float, 32, 1)
ATTENTION(cf_attention_f32_32_4, float, 32, 4)
ATTENTION(cf_attention_f32_48_1, float, 48, 1)
ATTENTION(cf_attention_f32_48_4, float, 48, 4)
ATTENTION(cf_attention_f32_64_1, float, 64, 1)
ATTENTION(cf_attention_f32_64_4, float, 64, 4)
