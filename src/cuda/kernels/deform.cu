// SPDX-License-Identifier: Apache-2.0
// Multi-scale deformable sampling. Blocks along y are images.
#include "cuda/kernels/deform.cuh"

struct deform_tensors {
    cf_tensor offsets, weights, boxes, memory, out;
};

// A warp for each head of a query. Loads take long: the more warps are there, the better.
CF_GLOBAL __launch_bounds__(128, 7) cf_deform(const __grid_constant__ deform_tensors t,
                                              const __grid_constant__ cf_deform_attr attr, int channel_lanes) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t warp = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, query = warp / attr.heads;
    if (query < (uint32_t)(t.out.h * t.out.w))
        deform_head(t.offsets, t.weights, t.boxes, t.memory, t.out, attr, channel_lanes, blockIdx.y, query,
                    warp % attr.heads);
}

// A thread for each channel of a query: any shape.
CF_GLOBAL cf_deform_any(const __grid_constant__ deform_tensors t, const __grid_constant__ cf_deform_attr attr) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, query = i / t.out.c;
    if (query >= (uint32_t)(t.out.h * t.out.w)) return;
    int n = blockIdx.y, c = i % t.out.c, points = points_of(attr), head = c / (t.out.c / attr.heads);
    query_box box(t.boxes, n, query);
    int64_t offsets = cf_pixel(t.offsets, n, query) + 2 * head * points;
    int64_t weights = cf_pixel(t.weights, n, query) + head * points;
    float most = -INFINITY, total = 0, sum = 0;
    for (int p = 0; p < points; p++) most = fmaxf(most, cf_get(t.weights, weights + p));
    for (int p = 0; p < points; p++) {
        level_of_point level = find_level(attr, p);
        float x = box.x + cf_get(t.offsets, offsets + 2 * p) * level.unit * box.width;
        float y = box.y + cf_get(t.offsets, offsets + 2 * p + 1) * level.unit * box.height;
        float weight = expf(cf_get(t.weights, weights + p) - most);
        total += weight;
        taps found = find_taps(level, x, y, attr.discrete);
        for (int k = 0; k < 4; k++)
            sum += weight * found.weight[k] * cf_get(t.memory, cf_pixel(t.memory, n, found.token[k]) + c);
    }
    cf_put(t.out, cf_pixel(t.out, n, query) + c, sum / total);
}
