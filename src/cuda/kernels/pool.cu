// SPDX-License-Identifier: Apache-2.0
// Upsample, max and average pooling, global mean. Blocks along y are images.
#include "cuda/vector.cuh"

template <int W> static __device__ void upsample(const cf_tensor &x, const cf_tensor &out) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, runs = x.c / W, pixel = i / runs;
    int n = blockIdx.y, c = i % runs * W;
    if (pixel >= (uint32_t)(x.h * x.w)) return;
    int top = 2 * (pixel / x.w), left = 2 * (pixel % x.w);
    float v[W];
    cf_load(x, cf_pixel(x, n, pixel) + c, v);
    for (int k = 0; k < 4; k++) cf_store(out, cf_at(out, n, top + k / 2, left + k % 2, c), v);
}

// A thread for each run of channels of an input pixel, which becomes four.
CF_GLOBAL cf_upsample(cf_tensor x, cf_tensor out, int wide) {
    cf_let_next_start();
    cf_wait_before();
    if (wide)
        upsample<8>(x, out);
    else
        upsample<1>(x, out);
}

template <int W>
static __device__ void pool(const cf_tensor &x, const cf_tensor &out, const cf_pool_attr &attr, int average) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, runs = out.c / W, pixel = i / runs;
    int n = blockIdx.y, c = i % runs * W;
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    int y = pixel / out.w, x0 = pixel % out.w * attr.stride - attr.pad_left, y0 = y * attr.stride - attr.pad_top;
    float result[W];
    for (int tap = 0; tap < attr.kernel * attr.kernel; tap++) {
        int ty = y0 + tap / attr.kernel, tx = x0 + tap % attr.kernel;
        float v[W] = {};
        if (ty >= 0 && ty < x.h && tx >= 0 && tx < x.w) cf_load(x, cf_at(x, n, ty, tx, c), v);
        for (int k = 0; k < W; k++)
            if (tap == 0)
                result[k] = v[k];
            else if (average)
                result[k] += v[k];
            else if (v[k] > result[k])
                result[k] = v[k];
    }
    float area = attr.kernel * attr.kernel;
    for (int k = 0; k < W && average; k++) result[k] /= area;
    cf_store(out, cf_pixel(out, n, pixel) + c, result);
}

// A thread for each run of channels of an output pixel. Zeros outside take part in both.
CF_GLOBAL cf_pool(cf_tensor x, cf_tensor out, cf_pool_attr attr, int average, int wide) {
    cf_let_next_start();
    cf_wait_before();
    if (wide)
        pool<8>(x, out, attr, average);
    else
        pool<1>(x, out, attr, average);
}

// Blocks of 32 channels x 16 rows: thread (c, r) sums channel c of every 16th pixel.
CF_GLOBAL cf_global_pool(cf_tensor x, cf_tensor out) {
    __shared__ float sums[16][32];
    cf_let_next_start();
    cf_wait_before();
    int n = blockIdx.y, c = blockIdx.x * 32 + threadIdx.x, pixels = x.h * x.w;
    float sum = 0;
    for (int p = threadIdx.y; p < pixels && c < x.c; p += 16) sum += cf_get(x, cf_pixel(x, n, p) + c);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || c >= x.c) return;
    for (int r = 1; r < 16; r++) sum += sums[r][threadIdx.x];
    cf_put(out, cf_pixel(out, n, 0) + c, sum / pixels);
}
