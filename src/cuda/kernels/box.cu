// SPDX-License-Identifier: Apache-2.0
// shift_box, refine, quality. Blocks along y are images.
#include "cuda/kernels/box.cuh"

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
