// SPDX-License-Identifier: Apache-2.0
// Attention: cuda/kernels/attention*.cu.
#include "cuda/operator.h"

// Products of every query with every key, FP32.
static size_t products_bytes(const cf_problem *problem) {
    return (size_t)problem->images * (size_t)problem->attr.attention.heads * (size_t)cf_cuda_pixels(&problem->in[0]) *
           (size_t)cf_cuda_pixels(&problem->in[1]) * sizeof(float);
}

static void launch_any(const cf_call *call, cf_cuda_queue *queue) {
    enum { WARPS = 4 };
    const int32_t *heads = &call->problem->attr.attention.heads;
    const void *arguments[] = {&call->in[0], &call->in[1], &call->in[2], &call->out[0], &call->scratch, heads};
    cf_cuda_launch(
        queue, "cf_attention_any",
        (cf_cuda_shape){cf_cuda_blocks(cf_cuda_pixels(&call->in[0]), WARPS), (uint32_t)*heads, (uint32_t)call->images},
        (cf_cuda_shape){WARPS * 32, 1, 1}, 0, arguments);
}

const cf_kernel cf_attention_cuda = {.name = "attention_cuda",
                                     .op = CF_OP_ATTENTION,
                                     .refuse = cf_cuda_accept,
                                     .scratch_size = products_bytes,
                                     .launch = launch_any};
