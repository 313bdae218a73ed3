// SPDX-License-Identifier: Apache-2.0
// Convolution of FP32 inputs in FP32: products of tiles from shared memory, by ordinary multiply-adds.
#include "cuda/kernels/conv.cuh"

// CHUNK steps make a sum of their own: 32 products. The error of a sum grows with its length, and that
// of FP32 is what everything else is compared with (docs/performance.md, CPU convolution kernels).
enum { TERMS = 16, CHUNK = 2, COLUMNS = 64, ACROSS = 8, DOWN = 16, THREADS = ACROSS * DOWN };

static __device__ __noinline__ void finish(const cf_conv_args &a, unsigned m, int o, cf_eight e) {
    cf_conv_finish8<true>(a, m, o, e);
}

// A block makes 16 * HIGH pixels x 64 channels, a thread HIGH x 8 of them, over one tap and 16 channels at a time.
// Weights as FP32 [tap][channel][output rounded up to 8]. While one step is multiplied, the next one is on its way into
// registers.
template <int HIGH> __device__ __forceinline__ void conv_f32(const cf_conv_args &a) {
    constexpr int ROWS = DOWN * HIGH, SHARERS = THREADS / ROWS > 1 ? THREADS / ROWS : 1; // threads that load one row
    constexpr int LOADS = TERMS / SHARERS / 4;
    static_assert(ROWS * SHARERS == THREADS, "every thread loads a part of one row");
    __shared__ float4 pixels4[TERMS][ROWS / 4], weights4[TERMS][COLUMNS / 4];
    float(*pixels)[ROWS] = reinterpret_cast<float(*)[ROWS]>(pixels4);

    int row = threadIdx.x % ROWS, part = threadIdx.x / ROWS * LOADS * 4; // what this thread loads
    int m0 = blockIdx.x / a.columns * ROWS, o0 = blockIdx.x % a.columns * COLUMNS;
    unsigned m = m0 + row;
    unsigned line = m / (unsigned)a.out.w, ox = m - line * a.out.w, n = line / (unsigned)a.out.h,
             oy = line - n * a.out.h;
    int y0 = (int)oy * a.attr.stride - a.attr.pad_top, x0 = (int)ox * a.attr.stride - a.attr.pad_left;
    const float *from = static_cast<const float *>(a.in.data) + cf_at(a.in, n, y0, x0, 0);
    int outputs = (a.out.c + 7) / 8 * 8;
    int weight_row = threadIdx.x / (COLUMNS / 4), weight_column = threadIdx.x % (COLUMNS / 4) * 4;
    const float *weight = static_cast<const float *>(a.weight) + o0 + weight_column;
    bool column_exists = o0 + weight_column < outputs;

    int ky = 0, kx = 0, c = 0; // of the step to load next
    float4 next_pixels[LOADS], next_weights[2];
    auto load = [&] {
        int y = y0 + ky, x = x0 + kx;
        bool inside = m < (unsigned)a.pixels && y >= 0 && y < a.in.h && x >= 0 && x < a.in.w;
        const float *at = from + ky * a.in.row + kx * a.in.pixel + c + part;
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            next_pixels[i] =
                inside && c + part + i * 4 < a.in.c ? *reinterpret_cast<const float4 *>(at + i * 4) : float4{};
        int64_t first = (int64_t)(ky * a.attr.kernel_w + kx) * a.in.c + c;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int k = weight_row + i * (TERMS / 2);
            next_weights[i] = column_exists && c + k < a.in.c
                                  ? *reinterpret_cast<const float4 *>(weight + (first + k) * outputs)
                                  : float4{};
        }
        c += TERMS;
        if (c >= a.in.c) {
            c = 0;
            if (++kx == a.attr.kernel_w) kx = 0, ky++;
        }
    };

    cf_wait_before();
    cf_let_next_start();
    int across = threadIdx.x % ACROSS * 8, down = threadIdx.x / ACROSS * HIGH; // what this thread multiplies
    float sum[HIGH][8] = {}, chunk[HIGH][8] = {};
    load();
    for (int step = 0; step < a.steps; step++) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            pixels[part + i * 4][row] = next_pixels[i].x;
            pixels[part + i * 4 + 1][row] = next_pixels[i].y;
            pixels[part + i * 4 + 2][row] = next_pixels[i].z;
            pixels[part + i * 4 + 3][row] = next_pixels[i].w;
        }
#pragma unroll
        for (int i = 0; i < 2; i++) weights4[weight_row + i * (TERMS / 2)][weight_column / 4] = next_weights[i];
        __syncthreads();
        if (step + 1 < a.steps) load();
#pragma unroll
        for (int k = 0; k < TERMS; k++) {
            cf_eight w = cf_load8_f32(reinterpret_cast<const float *>(weights4[k]) + across);
            float x[HIGH];
#pragma unroll
            for (int i = 0; i < HIGH; i++) x[i] = pixels[k][down + i];
#pragma unroll
            for (int i = 0; i < HIGH; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) chunk[i][j] = fmaf(x[i], w.v[j], chunk[i][j]);
        }
        if (step % CHUNK == CHUNK - 1 || step + 1 == a.steps) {
#pragma unroll
            for (int i = 0; i < HIGH; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) sum[i][j] += chunk[i][j], chunk[i][j] = 0.f;
        }
    }
    if (o0 + across >= a.out.c) return;
#pragma unroll
    for (int i = 0; i < HIGH; i++) {
        if (m0 + down + i >= a.pixels) continue;
        cf_eight e;
#pragma unroll
        for (int j = 0; j < 8; j++) e.v[j] = sum[i][j];
        finish(a, m0 + down + i, o0 + across, e);
    }
}

CF_GLOBAL __launch_bounds__(THREADS) cf_conv_f32_128(const __grid_constant__ cf_conv_args a) {
    conv_f32<8>(a);
}

CF_GLOBAL __launch_bounds__(THREADS) cf_conv_f32_32(const __grid_constant__ cf_conv_args a) {
    conv_f32<2>(a);
}
