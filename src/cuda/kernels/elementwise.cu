// SPDX-License-Identifier: Apache-2.0
// A thread for each run of channels of a pixel: activation, scale and shift, copy, batch norm, add, mul. Blocks along y
// are images.
#include "cuda/vector.cuh"

// The pixel and the first channel of this thread's run; false behind the last.
template <int W> static __device__ bool place_of(const cf_tensor &out, uint32_t &pixel, int &c) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, runs = out.c / W;
    pixel = i / runs;
    c = i % runs * W;
    return pixel < (uint32_t)(out.h * out.w);
}

template <int W>
static __device__ void unary(const cf_tensor &x, const cf_tensor &out, int act, float scale, float shift) {
    uint32_t pixel;
    int c, n = blockIdx.y;
    if (!place_of<W>(out, pixel, c)) return;
    float v[W];
    cf_load(x, cf_pixel(x, n, pixel) + c, v);
    for (int i = 0; i < W; i++) v[i] = cf_activate(act, v[i]) * scale + shift;
    cf_store(out, cf_pixel(out, n, pixel) + c, v);
}

// out = act(x) * scale + shift
CF_GLOBAL cf_unary(cf_tensor x, cf_tensor out, int act, float scale, float shift, int wide) {
    cf_let_next_start();
    cf_wait_before();
    if (wide)
        unary<8>(x, out, act, scale, shift);
    else
        unary<1>(x, out, act, scale, shift);
}

template <int W>
static __device__ void batch_norm(const cf_tensor &x, const cf_tensor &out, const float *scale, const float *shift) {
    uint32_t pixel;
    int c, n = blockIdx.y;
    if (!place_of<W>(out, pixel, c)) return;
    float v[W], factor[W], term[W];
    cf_load_floats(scale + c, factor);
    cf_load_floats(shift + c, term);
    cf_load(x, cf_pixel(x, n, pixel) + c, v);
    for (int i = 0; i < W; i++) v[i] = v[i] * factor[i] + term[i];
    cf_store(out, cf_pixel(out, n, pixel) + c, v);
}

// out = x * scale[c] + shift[c]
CF_GLOBAL cf_batch_norm(cf_tensor x, cf_tensor out, const float *scale, const float *shift, int wide) {
    cf_let_next_start();
    cf_wait_before();
    if (wide)
        batch_norm<8>(x, out, scale, shift);
    else
        batch_norm<1>(x, out, scale, shift);
}

// b repeats along what it has only one of: its channel, its pixel.
template <int W> static __device__ void load_second(const cf_tensor &b, int n, uint32_t pixel, int c, float (&v)[W]) {
    int64_t at = b.h * b.w == 1 ? n * b.image : cf_pixel(b, n, pixel);
    if (b.c > 1) {
        cf_load(b, at + c, v);
    } else {
        float one = cf_get(b, at);
        for (int i = 0; i < W; i++) v[i] = one;
    }
}

template <int W>
static __device__ void binary(const cf_tensor &a, const cf_tensor &b, const cf_tensor &out, int multiply) {
    uint32_t pixel;
    int c, n = blockIdx.y;
    if (!place_of<W>(out, pixel, c)) return;
    float v[W], second[W];
    cf_load(a, cf_pixel(a, n, pixel) + c, v);
    load_second(b, n, pixel, c, second);
    for (int i = 0; i < W; i++) v[i] = multiply ? v[i] * second[i] : v[i] + second[i];
    cf_store(out, cf_pixel(out, n, pixel) + c, v);
}

// out = a + b or a * b
CF_GLOBAL cf_binary(cf_tensor a, cf_tensor b, cf_tensor out, int multiply, int wide) {
    cf_let_next_start();
    cf_wait_before();
    if (wide)
        binary<8>(a, b, out, multiply);
    else
        binary<1>(a, b, out, multiply);
}
