// SPDX-License-Identifier: Apache-2.0
// Bytes of images to the network's input: of prepared ones, a quarter of what floats take on the way, and of pictures
// of any size, which are resized here.
#include "cuda/device.cuh"
#include "cuda/resize_args.h"

enum { PIXELS = 4 }; // a thread; 12 bytes are three words

// bytes [images, h, w, 3], w a multiple of 4; values [3][256]: what each byte of a channel becomes. Blocks along y are
// images.
CF_GLOBAL cf_pixels(const uint32_t *bytes, const float *values, cf_tensor out) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, first = i * PIXELS;
    if (first >= (uint32_t)(out.h * out.w)) return;
    const uint32_t *from = bytes + ((uint64_t)blockIdx.y * (uint32_t)(out.h * out.w) + first) / 4 * 3;
    uint32_t words[3] = {from[0], from[1], from[2]};
    int64_t to = cf_at(out, blockIdx.y, first / out.w, first % out.w, 0);
#pragma unroll
    for (int k = 0; k < PIXELS * 3; k++)
        cf_put(out, to + k / 3 * out.pixel + k % 3, values[k % 3 * 256 + (words[k / 4] >> k % 4 * 8 & 255)]);
}

// The inputs that one output sees.
struct taps {
    const int32_t *weights;
    int start, count, whole; // whole: the weight where there are none
};

__device__ __forceinline__ taps taps_of(const cf_cuda_resize_axis &axis, int i, int bits) {
    if (axis.taps == 0) return {nullptr, i, 1, 1 << bits};
    return {axis.weights + i * axis.taps, axis.starts[i], axis.counts[i], 0};
}

__device__ __forceinline__ int weight_of(const taps &t, int i) {
    return t.weights ? t.weights[i] : t.whole;
}

// As preprocess/resize_kernels.c rounds: sums are not negative.
__device__ __forceinline__ int rounded(int sum, int bits) {
    return min(sum >> bits, 255);
}

// One picture, both passes and the scaling: a thread makes one pixel, and for each tap of the second pass what the
// first one would have stored. Blocks of 32 x 8 pixels.
CF_GLOBAL cf_resize_pixels(const __grid_constant__ cf_cuda_resize_args a) {
    cf_wait_before();
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= a.out.w || y >= a.out.h) return;
    taps across = taps_of(a.x, x, a.bits), down = taps_of(a.y, y, a.bits);
    int64_t line = 3 * (int64_t)a.src_width, inner_step = a.down_first ? line : 3, outer_step = a.down_first ? 3 : line;
    taps inner = a.down_first ? down : across, outer = a.down_first ? across : down;
    const uint8_t *from = a.rgb + down.start * line + across.start * 3;
    int half = 1 << (a.bits - 1), sum[3] = {half, half, half};
    for (int i = 0; i < outer.count; i++, from += outer_step) {
        int part[3] = {half, half, half};
        const uint8_t *at = from;
        for (int k = 0; k < inner.count; k++, at += inner_step) {
            int weight = weight_of(inner, k);
            for (int c = 0; c < 3; c++) part[c] += weight * at[c];
        }
        int weight = weight_of(outer, i);
        for (int c = 0; c < 3; c++) sum[c] += weight * rounded(part[c], a.bits);
    }
    int64_t to = cf_at(a.out, 0, y, x, 0);
    for (int c = 0; c < 3; c++) cf_put(a.out, to + c, a.values[c * 256 + rounded(sum[c], a.bits)]);
}
