// SPDX-License-Identifier: Apache-2.0
// Boxes and the distributions of their sides: cuda/kernels/box.cu.
#include "cuda/operator.h"

enum { WARPS = 4 };

static void launch_shift_box(const cf_call *call, cf_cuda_queue *queue) {
    const void *arguments[] = {&call->in[0], &call->in[1], &call->out[0]};
    cf_cuda_launch(
        queue, "cf_shift_box",
        (cf_cuda_shape){cf_cuda_blocks(cf_cuda_pixels(&call->out[0]) * 4, WARPS * 32), (uint32_t)call->images, 1},
        (cf_cuda_shape){WARPS * 32, 1, 1}, 0, arguments);
}

// A warp a query.
static void launch_queries(const cf_call *call, cf_cuda_queue *queue, const char *function,
                           const void *const *arguments) {
    cf_cuda_launch(queue, function,
                   (cf_cuda_shape){cf_cuda_blocks(cf_cuda_pixels(&call->out[0]), WARPS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){WARPS * 32, 1, 1}, 0, arguments);
}

static void launch_refine(const cf_call *call, cf_cuda_queue *queue) {
    const cf_refine_attr *attr = &call->problem->attr.refine;
    const float *project = cf_constant_at(call, 0);
    float scale = attr->reg_scale < 0 ? -attr->reg_scale : attr->reg_scale;
    const void *arguments[] = {&call->in[0], &call->in[1], &call->out[0], &project, &attr->bins, &scale};
    launch_queries(call, queue, "cf_refine", arguments);
}

static void launch_quality(const cf_call *call, cf_cuda_queue *queue) {
    const int32_t *bins = &call->problem->attr.quality.bins, *top = &call->problem->attr.quality.top;
    const void *arguments[] = {&call->in[0], &call->out[0], bins, top};
    launch_queries(call, queue, "cf_quality", arguments);
}

CF_CUDA_KERNEL(cf_shift_box_cuda, SHIFT_BOX, "shift_box_cuda", launch_shift_box);
CF_CUDA_KERNEL(cf_refine_cuda, REFINE, "refine_cuda", launch_refine);
CF_CUDA_KERNEL(cf_quality_cuda, QUALITY, "quality_cuda", launch_quality);
