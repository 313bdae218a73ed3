// SPDX-License-Identifier: Apache-2.0
// Deformable sampling: cuda/kernels/deform.cu.
#include "cuda/operator.h"

// As in deform.cu.
typedef struct deform_tensors {
    cf_tensor offsets, weights, boxes, memory, out;
} deform_tensors;

static deform_tensors tensors_of(const cf_call *call) {
    return (deform_tensors){call->in[0], call->in[1], call->in[2], call->in[3], call->out[0]};
}

// Lanes that share a point: runs of 8 channels of a head.
static int channel_lanes(const cf_problem *problem) {
    return problem->out[0].c / problem->attr.deform.heads / CF_CUDA_WIDTH;
}

static const char *refuse(const cf_problem *problem) {
    int lanes = channel_lanes(problem);
    if (lanes < 1 || lanes > 32 || (lanes & (lanes - 1)) ||
        lanes * CF_CUDA_WIDTH * problem->attr.deform.heads != problem->out[0].c)
        return "channels of a head are not 8, 16, 32, 64, 128 or 256";
    if (!cf_cuda_wide(&problem->in[3]) || !cf_cuda_wide(&problem->out[0])) return "unaligned channels";
    return problem->in[3].h == 1 ? NULL : "memory is not one row";
}

static void launch_any(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    deform_tensors tensors = tensors_of(call);
    const void *arguments[] = {&tensors, &call->problem->attr.deform};
    int64_t threads = cf_cuda_pixels(&call->out[0]) * call->out[0].c;
    cf_cuda_launch(queue, "cf_deform_any", (cf_cuda_shape){cf_cuda_blocks(threads, THREADS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch_wide(const cf_call *call, cf_cuda_queue *queue) {
    enum { WARPS = 4 };
    if (!cf_cuda_wide(&call->in[3]) || !cf_cuda_wide(&call->out[0])) { // a slice that begins between vectors
        launch_any(call, queue);
        return;
    }
    deform_tensors tensors = tensors_of(call);
    const cf_deform_attr *attr = &call->problem->attr.deform;
    int lanes = channel_lanes(call->problem);
    const void *arguments[] = {&tensors, attr, &lanes};
    int64_t warps = cf_cuda_pixels(&call->out[0]) * attr->heads;
    cf_cuda_launch(queue, "cf_deform", (cf_cuda_shape){cf_cuda_blocks(warps, WARPS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){WARPS * 32, 1, 1}, 0, arguments);
}

const cf_kernel cf_deform_wide_cuda = {
    .name = "deform_wide_cuda", .op = CF_OP_DEFORM, .refuse = refuse, .launch = launch_wide};
const cf_kernel cf_deform_cuda = {
    .name = "deform_cuda", .op = CF_OP_DEFORM, .refuse = cf_accept_all, .launch = launch_any};
