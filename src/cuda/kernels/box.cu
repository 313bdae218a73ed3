// SPDX-License-Identifier: Apache-2.0
// shift_box, refine, quality: boxes and the distributions of their sides, FP32 throughout. Blocks along y are images.
//
// A warp works on one query, eight lanes on each of its four sides.
#include "cuda/vector.cuh"

enum { SIDE_LANES = 8 };

static __device__ float inverse_sigmoid(float x) {
    x = fminf(fmaxf(x, 0.f), 1.f);
    return logf(fmaxf(x, 1e-5f) / fmaxf(1.f - x, 1e-5f));
}

// Number c of a box.
static __device__ void shift_box(const cf_tensor &delta, const cf_tensor &box, const cf_tensor &out, int n,
                                 uint32_t query, int c) {
    float at = cf_get(delta, cf_pixel(delta, n, query) + c) + inverse_sigmoid(cf_get(box, cf_pixel(box, n, query) + c));
    cf_put(out, cf_pixel(out, n, query) + c, 1.f / (1.f + expf(-at)));
}

static __device__ float side_sum(float v) {
    for (int lane = SIDE_LANES / 2; lane > 0; lane /= 2) v += __shfl_xor_sync(0xffffffffu, v, lane);
    return v;
}

// The greatest of a side's logits, which begin at `from`.
static __device__ float side_greatest(const cf_tensor &corners, int64_t from, int bins) {
    float most = -INFINITY;
    for (int i = threadIdx.x % SIDE_LANES; i < bins; i += SIDE_LANES) most = fmaxf(most, cf_get(corners, from + i));
    for (int lane = SIDE_LANES / 2; lane > 0; lane /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, lane));
    return most;
}

static __device__ void refine(const cf_tensor &corners, const cf_tensor &box, const cf_tensor &out,
                              const float *project, int bins, float scale, int n, uint32_t query) {
    int lane = threadIdx.x % 32, side = lane / SIDE_LANES;
    int64_t from = cf_pixel(corners, n, query) + side * bins, at_box = cf_pixel(box, n, query);
    float most = side_greatest(corners, from, bins), total = 0, distance = 0;
    for (int i = lane % SIDE_LANES; i < bins; i += SIDE_LANES) {
        float weight = expf(cf_get(corners, from + i) - most);
        total += weight;
        distance += weight * project[i];
    }
    distance = side_sum(distance) / side_sum(total);
    float reach = (0.5f * scale + distance) * (cf_get(box, at_box + 2 + side % 2) / scale);
    float centre = cf_get(box, at_box + side % 2), edge = side < 2 ? centre - reach : centre + reach;
    // Lane c makes number c: the middle, or the distance, of the two sides across.
    float low = __shfl_sync(0xffffffffu, edge, lane % 2 * SIDE_LANES);
    float high = __shfl_sync(0xffffffffu, edge, (lane % 2 + 2) * SIDE_LANES);
    if (lane < 4) cf_put(out, cf_pixel(out, n, query) + lane, lane < 2 ? (low + high) * 0.5f : high - low);
}

// A bin and its logit; index -1: none.
struct bin_choice {
    float logit;
    int index;
};

static __device__ bool is_better(bin_choice a, bin_choice b) {
    if (a.index < 0 || b.index < 0) return a.index >= 0 && b.index < 0;
    return a.logit > b.logit || (a.logit == b.logit && a.index < b.index);
}

static __device__ void quality(const cf_tensor &corners, const cf_tensor &out, int bins, int top, int n,
                               uint32_t query) {
    int lane = threadIdx.x % 32, side = lane / SIDE_LANES;
    int64_t from = cf_pixel(corners, n, query) + side * bins;
    int64_t to = cf_pixel(out, n, query) + side * (top + 1);
    float most = side_greatest(corners, from, bins), total = 0, sum = 0;
    for (int i = lane % SIDE_LANES; i < bins; i += SIDE_LANES) total += expf(cf_get(corners, from + i) - most);
    total = side_sum(total);
    bin_choice last = {INFINITY, -1};
    for (int k = 0; k < top; k++) {
        bin_choice best = {-INFINITY, -1};
        for (int i = lane % SIDE_LANES; i < bins; i += SIDE_LANES) {
            bin_choice one = {cf_get(corners, from + i), i};
            bool after = one.logit < last.logit || (one.logit == last.logit && i > last.index);
            if (after && is_better(one, best)) best = one;
        }
        for (int step = SIDE_LANES / 2; step > 0; step /= 2) {
            bin_choice other = {__shfl_xor_sync(0xffffffffu, best.logit, step),
                                __shfl_xor_sync(0xffffffffu, best.index, step)};
            if (is_better(other, best)) best = other;
        }
        last = best;
        float probability = expf(best.logit - most) / total;
        sum += probability;
        if (lane % SIDE_LANES == 0) cf_put(out, to + k, probability);
    }
    if (lane % SIDE_LANES == 0) cf_put(out, to + top, sum / top);
}

// A thread for each of a box's four numbers.
CF_GLOBAL cf_shift_box(cf_tensor delta, cf_tensor box, cf_tensor out) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i / 4 < (uint32_t)(out.h * out.w)) shift_box(delta, box, out, blockIdx.y, i / 4, i % 4);
}

// The query that this warp works on; all lanes of a warp have the same.
static __device__ uint32_t query_of_warp() {
    return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
}

CF_GLOBAL cf_refine(cf_tensor corners, cf_tensor box, cf_tensor out, const float *project, int bins, float scale) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t query = query_of_warp();
    if (query < (uint32_t)(out.h * out.w)) refine(corners, box, out, project, bins, scale, blockIdx.y, query);
}

CF_GLOBAL cf_quality(cf_tensor corners, cf_tensor out, int bins, int top) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t query = query_of_warp();
    if (query < (uint32_t)(out.h * out.w)) quality(corners, out, bins, top, blockIdx.y, query);
}
