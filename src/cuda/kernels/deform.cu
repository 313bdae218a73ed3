// SPDX-License-Identifier: Apache-2.0
// Multi-scale deformable sampling (cf_deform_attr); places and sums are FP32. Blocks along y are images.
#include "cuda/vector.cuh"

// One point's level: its map, the first of its tokens, and what an offset of 1 is in box sizes.
struct level_of_point {
    int height, width, start;
    float unit;
};

// Unrolled so that the attributes are read with constant indices.
static __device__ level_of_point find_level(const cf_deform_attr &attr, int point) {
    level_of_point found = {1, 1, 0, 0.f};
    int first = 0, start = 0, points = 1;
#pragma unroll
    for (int level = 0; level < CF_DEFORM_LEVELS; level++) {
        if (level >= attr.levels) break;
        if (point >= first) { // the last one that does is the point's
            found.height = attr.height[level], found.width = attr.width[level], found.start = start;
            points = attr.points[level];
        }
        first += attr.points[level];
        start += attr.height[level] * attr.width[level];
    }
    found.unit = attr.offset_scale / points;
    return found;
}

static __device__ int points_of(const cf_deform_attr &attr) {
    int points = 0;
#pragma unroll
    for (int level = 0; level < CF_DEFORM_LEVELS; level++) points += level < attr.levels ? attr.points[level] : 0;
    return points;
}

// Up to four tokens and what each counts; those outside the map count 0 and stand at the map's first token.
struct taps {
    int token[4];
    float weight[4];
};

// x, y in fractions of the map.
static __device__ taps find_taps(const level_of_point &level, float x, float y, int discrete) {
    taps found = {{level.start, level.start, level.start, level.start}, {0, 0, 0, 0}};
    float height = level.height, width = level.width;
    if (discrete) {
        float py = fminf(fmaxf(truncf(y * height + 0.5f), 0.f), height - 1.f);
        float px = fminf(fmaxf(truncf(x * width + 0.5f), 0.f), width - 1.f);
        found.token[0] = level.start + (int)py * level.width + (int)px;
        found.weight[0] = 1;
        return found;
    }
    float py = y * height - 0.5f, px = x * width - 0.5f;
    // Nothing of the map is nearer than a pixel; written so that numbers that are none do not pass.
    if (!(py > -1.f && py < height && px > -1.f && px < width)) return found;
    float top = floorf(py), left = floorf(px), down = py - top, right = px - left;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int ty = (int)top + i / 2, tx = (int)left + i % 2;
        if (ty < 0 || ty >= level.height || tx < 0 || tx >= level.width) continue;
        found.token[i] = level.start + ty * level.width + tx;
        found.weight[i] = (i / 2 ? down : 1.f - down) * (i % 2 ? right : 1.f - right);
    }
    return found;
}

struct query_box {
    float x, y, width, height;

    __device__ query_box(const cf_tensor &boxes, int n, uint32_t query) {
        int64_t at = cf_pixel(boxes, n, query);
        x = cf_get(boxes, at), y = cf_get(boxes, at + 1);
        width = cf_get(boxes, at + 2), height = cf_get(boxes, at + 3);
    }
};

// One head of a query, by a warp: `channel_lanes` lanes of 8 channels for each of 32 / channel_lanes points at a time.
static __device__ void deform_head(const cf_tensor &offsets, const cf_tensor &weights, const cf_tensor &boxes,
                                   const cf_tensor &memory, const cf_tensor &out, const cf_deform_attr &attr,
                                   int channel_lanes, int n, uint32_t query, int head) {
    int points = points_of(attr), lane = threadIdx.x % 32;
    int first = lane / channel_lanes, step = 32 / channel_lanes;
    int channel = (head * channel_lanes + lane % channel_lanes) * 8;
    query_box box(boxes, n, query);
    int64_t at_offsets = cf_pixel(offsets, n, query) + 2 * head * points;
    int64_t at_weights = cf_pixel(weights, n, query) + head * points;
    int64_t at_memory = n * memory.image + channel;

    float most = -INFINITY, total = 0, sum[8] = {};
    for (int p = first; p < points; p += step) most = fmaxf(most, cf_get(weights, at_weights + p));
    for (int other = channel_lanes; other < 32; other *= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, other));
    for (int p = first; p < points; p += step) {
        level_of_point level = find_level(attr, p);
        float x = box.x + cf_get(offsets, at_offsets + 2 * p) * level.unit * box.width;
        float y = box.y + cf_get(offsets, at_offsets + 2 * p + 1) * level.unit * box.height;
        float weight = expf(cf_get(weights, at_weights + p) - most);
        total += weight;
        taps found = find_taps(level, x, y, attr.discrete);
        float v[4][8];
#pragma unroll
        for (int i = 0; i < 4; i++) cf_load(memory, at_memory + found.token[i] * memory.pixel, v[i]);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float share = weight * found.weight[i];
            for (int k = 0; k < 8; k++) sum[k] += share * v[i][k];
        }
    }
    for (int other = channel_lanes; other < 32; other *= 2) {
        total += __shfl_xor_sync(0xffffffffu, total, other);
        for (int k = 0; k < 8; k++) sum[k] += __shfl_xor_sync(0xffffffffu, sum[k], other);
    }
    if (first > 0) return;
    for (int k = 0; k < 8; k++) sum[k] /= total;
    cf_store(out, cf_pixel(out, n, query) + channel, sum);
}

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
