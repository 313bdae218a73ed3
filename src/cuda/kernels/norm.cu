// SPDX-License-Identifier: Apache-2.0
// Norm and gate: a warp a pixel, blocks along y are images.
#include "cuda/kernels/norm.cuh"

// This warp's pixel of image blockIdx.y.
static __device__ uint32_t pixel_of_warp() {
    return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
}

CF_GLOBAL cf_norm(cf_tensor x, cf_tensor residual, cf_tensor out, int inputs, norm_rule rule, int steps) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t pixel = pixel_of_warp();
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    int n = blockIdx.y;
    normalise(norm_term(x, residual, inputs, n, pixel), out, n, pixel, rule, steps);
}

CF_GLOBAL cf_gate(cf_tensor gates, cf_tensor a, cf_tensor b, cf_tensor out, norm_rule rule, int steps) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t pixel = pixel_of_warp();
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    int n = blockIdx.y;
    normalise(gate_term(gates, a, b, n, pixel), out, n, pixel, rule, steps);
}
