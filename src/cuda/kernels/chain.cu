// SPDX-License-Identifier: Apache-2.0
// Chains of steps on rows: cuda/chain.h.
//
// The blocks of a cluster share 16 rows: each makes a part of the columns of a matrix product and of the heads of a
// deformable sampling, and they meet afterwards; what is cheap, every block does for itself, and all of them write the
// same numbers.
#include "cuda/chain.h"
#include "cuda/cluster.cuh"
#include "cuda/kernels/box.cuh"
#include "cuda/kernels/deform.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/norm.cuh"
#include "cuda/mma.cuh"

enum {
    WARPS = CF_CHAIN_THREADS / 32,
    ROW_PAD = 32, // elements: lanes that read 8 rows at once then hit all banks
    STEP_WORDS = sizeof(cf_chain_step) / sizeof(uint32_t),
};

struct chain_shared {
    __align__(16) uint16_t rows[CF_CHAIN_ROWS][CF_CHAIN_TERMS + ROW_PAD]; // the left operand of a product
    __align__(8) uint32_t step[2][STEP_WORDS];                            // this step and the next
};

// The rows of this block's cluster, and its place in the cluster.
struct chain_place {
    uint32_t first, count, rows_of_image;
    int rank, blocks;

    __device__ int image(int row) const { return (first + row) / rows_of_image; }
    __device__ uint32_t pixel(int row) const { return (first + row) % rows_of_image; }
};

// Stores a matrix product's sum as conv does: activation, scale and shift, residual. Not inlined, and so are the other
// steps: together they would be huge.
static __device__ __noinline__ void finish(const cf_chain_step &s, const chain_place &at, int row, int column,
                                           float sum) {
    int n = at.image(row);
    uint32_t pixel = at.pixel(row);
    float v = cf_activate(s.attr.conv.act, sum + s.bias[column]);
    if (s.attr.conv.affine) v = v * s.attr.conv.scale + s.attr.conv.shift;
    if (s.inputs > 1) v += cf_get(s.in[1], cf_pixel(s.in[1], n, pixel) + column);
    cf_put(s.out, cf_pixel(s.out, n, pixel) + column, v);
}

// out [16, outputs] = in [16, terms] weight^T. A warp makes 16 columns at a time. Operands go to the tensor cores in
// another order of terms than they have: each lane holds 8 neighbouring terms of a row of in or of weight (16 bytes),
// of every 32, and any order will do that is the same for both.
template <class T>
static __device__ __noinline__ void linear(const cf_chain_step &s, const chain_place &at, chain_shared &shared) {
    int runs = s.terms / 8, line = s.terms + ROW_PAD, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    uint16_t *rows = &shared.rows[0][0];
    for (int i = threadIdx.x; i < CF_CHAIN_ROWS * runs; i += CF_CHAIN_THREADS) {
        int row = i / runs, c = i % runs * 8;
        uint4 run = make_uint4(0, 0, 0, 0);
        if (row < (int)at.count && c < s.in[0].c) run = cf_load_run<T>(s.in[0], at.image(row), at.pixel(row), c, 1);
        *reinterpret_cast<uint4 *>(rows + row * line + c) = run;
    }
    __syncthreads();
    int outputs = s.out.c, warps = WARPS * at.blocks, warp = at.rank * WARPS + threadIdx.x / 32;
    for (int column = warp * 16; column < outputs; column += warps * 16) {
        float sum[2][4] = {};
        // Rows of weight behind the last one are read as the last one; what comes of them is not stored.
        const T *weight[2];
        for (int half = 0; half < 2; half++)
            weight[half] =
                static_cast<const T *>(s.weight) + (int64_t)min(column + half * 8 + g, outputs - 1) * s.terms + t * 8;
#pragma unroll 4
        for (int k = 0; k < s.terms; k += 32) {
            uint4 low = *reinterpret_cast<const uint4 *>(rows + g * line + k + t * 8);
            uint4 high = *reinterpret_cast<const uint4 *>(rows + (g + 8) * line + k + t * 8);
            const uint32_t first[4] = {low.x, high.x, low.y, high.y}, second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
            for (int half = 0; half < 2; half++) {
                uint4 b = __ldg(reinterpret_cast<const uint4 *>(weight[half] + k));
                cf_multiply<T>(sum[half], first, b.x, b.y);
                cf_multiply<T>(sum[half], second, b.z, b.w);
            }
        }
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < 4; i++) {
                int row = g + i / 2 * 8, c = column + half * 8 + t * 2 + i % 2;
                if (row < (int)at.count && c < outputs) finish(s, at, row, c, sum[half][i]);
            }
    }
}

static __device__ __noinline__ void linear_any(const cf_chain_step &s, const chain_place &at) {
    for (int i = threadIdx.x; i < (int)at.count * s.out.c; i += CF_CHAIN_THREADS) {
        int row = i / s.out.c, c = i % s.out.c;
        int64_t from = cf_pixel(s.in[0], at.image(row), at.pixel(row));
        float sum = 0;
#pragma unroll 1
        for (int k = 0; k < s.terms; k++)
            sum += static_cast<const float *>(s.weight)[k * s.line + c] * cf_get(s.in[0], from + k);
        finish(s, at, row, c, sum);
    }
}

// Add, mul, activation, gather: W channels at a time.
template <int W> static __device__ __noinline__ void each_run(const cf_chain_step &s, const chain_place &at) {
    int runs = s.out.c / W;
    for (int i = threadIdx.x; i < (int)at.count * runs; i += CF_CHAIN_THREADS) {
        int row = i / runs, c = i % runs * W, n = at.image(row);
        uint32_t pixel = at.pixel(row);
        if (s.kind == CF_CHAIN_GATHER) {
            gather<W>(s.in[0], s.in[1], s.out, n, pixel * runs + i % runs);
            continue;
        }
        float v[W];
        cf_load(s.in[0], cf_pixel(s.in[0], n, pixel) + c, v);
        if (s.kind == CF_CHAIN_ACTIVATION) {
            for (int k = 0; k < W; k++) v[k] = cf_activate(s.attr.activation.act, v[k]);
        } else {
            float second[W];
            int64_t from = cf_pixel(s.in[1], n, pixel);
            if (s.in[1].c > 1) {
                cf_load(s.in[1], from + c, second);
            } else {
                for (int k = 0; k < W; k++) second[k] = cf_get(s.in[1], from);
            }
            for (int k = 0; k < W; k++) v[k] = s.kind == CF_CHAIN_MUL ? v[k] * second[k] : v[k] + second[k];
        }
        cf_store(s.out, cf_pixel(s.out, n, pixel) + c, v);
    }
}

// Numbers of boxes.
static __device__ __noinline__ void each_number(const cf_chain_step &s, const chain_place &at) {
    for (int i = threadIdx.x; i < (int)at.count * 4; i += CF_CHAIN_THREADS)
        if (s.kind == CF_CHAIN_SHIFT_BOX)
            shift_box(s.in[0], s.in[1], s.out, at.image(i / 4), at.pixel(i / 4), i % 4);
        else
            reference(s.in[0], s.in[1], s.out, static_cast<const float *>(s.weight), s.terms, at.image(i / 4),
                      at.pixel(i / 4), i % 4);
}

// What a warp does with a row.
static __device__ __noinline__ void each_row(const cf_chain_step &s, const chain_place &at) {
    const float *weight = static_cast<const float *>(s.weight);
    norm_rule rule = {weight, s.bias, s.attr.norm.epsilon, s.attr.norm.rms};
    for (int row = threadIdx.x / 32; row < (int)at.count; row += WARPS) {
        int n = at.image(row);
        uint32_t pixel = at.pixel(row);
        if (s.kind == CF_CHAIN_NORM)
            normalise(norm_term(s.in[0], s.in[s.inputs - 1], s.inputs, n, pixel), s.out, n, pixel, rule, s.wide);
        else if (s.kind == CF_CHAIN_GATE)
            normalise(gate_term(s.in[0], s.in[1], s.in[2], n, pixel), s.out, n, pixel, rule, s.wide);
        else if (s.kind == CF_CHAIN_REFINE)
            refine(s.in[0], s.in[1], s.out, weight, s.attr.refine.bins, s.attr.refine.reg_scale, n, pixel);
        else
            quality(s.in[0], s.out, s.attr.quality.bins, s.attr.quality.top, n, pixel);
    }
}

static __device__ __noinline__ void sample(const cf_chain_step &s, const chain_place &at) {
    int heads = s.attr.deform.heads, warp = at.rank * WARPS + threadIdx.x / 32;
    for (int i = warp; i < (int)at.count * heads; i += WARPS * at.blocks)
        deform_head(s.in[0], s.in[1], s.in[2], s.in[3], s.out, s.attr.deform, s.wide, at.image(i / heads),
                    at.pixel(i / heads), i % heads);
}

// Whether the blocks of a cluster share the step.
static __device__ bool is_shared(const cf_chain_step &s) {
    return s.kind == CF_CHAIN_LINEAR_F16 || s.kind == CF_CHAIN_LINEAR_BF16 || s.kind == CF_CHAIN_DEFORM;
}

static __device__ void run(const cf_chain_step &s, const chain_place &at, chain_shared &shared) {
    switch (s.kind) {
    case CF_CHAIN_LINEAR_F16: linear<__half>(s, at, shared); break;
    case CF_CHAIN_LINEAR_BF16: linear<__nv_bfloat16>(s, at, shared); break;
    case CF_CHAIN_LINEAR_ANY: linear_any(s, at); break;
    case CF_CHAIN_ADD:
    case CF_CHAIN_MUL:
    case CF_CHAIN_ACTIVATION:
    case CF_CHAIN_GATHER:
        if (s.wide)
            each_run<8>(s, at);
        else
            each_run<1>(s, at);
        break;
    case CF_CHAIN_REFERENCE:
    case CF_CHAIN_SHIFT_BOX: each_number(s, at); break;
    case CF_CHAIN_DEFORM: sample(s, at); break;
    default: each_row(s, at); break;
    }
}

// Weights come from far when a run begins: each block asks for its share of them ahead of time.
static __device__ __noinline__ void fetch_weights(const cf_chain &chain) {
    enum { LINE = 128 };
    for (int i = 0; i < chain.count; i++) {
        const cf_chain_step &s = chain.step[i];
        if (s.kind != CF_CHAIN_LINEAR_F16 && s.kind != CF_CHAIN_LINEAR_BF16) continue;
        int64_t bytes = (int64_t)s.out.c * s.terms * 2;
        for (int64_t at = (blockIdx.x * (int64_t)CF_CHAIN_THREADS + threadIdx.x) * LINE; at < bytes;
             at += gridDim.x * (int64_t)CF_CHAIN_THREADS * LINE)
            cf_fetch(static_cast<const char *>(s.weight) + at);
    }
}

static __device__ void load_step(const cf_chain &chain, int i, chain_shared &shared) {
    const uint32_t *from = reinterpret_cast<const uint32_t *>(&chain.step[i]);
    for (int word = threadIdx.x; word < STEP_WORDS; word += CF_CHAIN_THREADS) shared.step[i % 2][word] = from[word];
}

// `cluster` blocks of a cluster: as it was launched.
CF_GLOBAL __launch_bounds__(CF_CHAIN_THREADS) cf_chain_rows(const __grid_constant__ cf_chain chain, int cluster) {
    __shared__ chain_shared shared;
    cf_let_next_start();
    fetch_weights(chain);
    load_step(chain, 0, shared);
    uint32_t rows = chain.images * chain.rows, first = blockIdx.x / cluster * CF_CHAIN_ROWS;
    chain_place at = {first, min((uint32_t)CF_CHAIN_ROWS, rows - first), (uint32_t)chain.rows,
                      (int)blockIdx.x % cluster, cluster};
    __syncthreads();
    cf_wait_before();
    for (int i = 0; i < chain.count; i++) {
        if (i + 1 < chain.count) load_step(chain, i + 1, shared);
        const cf_chain_step &s = *reinterpret_cast<const cf_chain_step *>(shared.step[i % 2]);
        run(s, at, shared);
        if (cluster > 1 && is_shared(s))
            cf_cluster_barrier();
        else
            __syncthreads();
    }
}
