// SPDX-License-Identifier: Apache-2.0
// Bytes of prepared images to the network's input. Images come as bytes: a quarter of what floats take on the way.
#include "cuda/device.cuh"

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
