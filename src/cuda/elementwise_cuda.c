// SPDX-License-Identifier: Apache-2.0
// Activation, scale and shift, copy: cuda/kernels/elementwise.cu.
#include "cuda/queue.h"
#include "kernels/kernel.h"

static void launch_unary(const cf_call *call, cf_cuda_queue *queue, int act, float scale, float shift) {
    enum { THREADS = 256 };
    const cf_tensor *out = &call->out[0];
    int64_t count = (int64_t)call->images * out->h * out->w * out->c;
    const void *arguments[] = {&call->in[0], out, &count, &act, &scale, &shift};
    cf_cuda_launch(queue, "cf_unary", (cf_cuda_shape){cf_cuda_blocks(count, THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch_activation(const cf_call *call, cf_cuda_queue *queue) {
    launch_unary(call, queue, call->problem->attr.activation.act, 1, 0);
}

static void launch_scale_shift(const cf_call *call, cf_cuda_queue *queue) {
    launch_unary(call, queue, CF_ACT_NONE, call->problem->attr.scale_shift.scale,
                 call->problem->attr.scale_shift.shift);
}

static void launch_copy(const cf_call *call, cf_cuda_queue *queue) {
    launch_unary(call, queue, CF_ACT_NONE, 1, 0);
}

static const char *accept(const cf_problem *problem) {
    (void)problem;
    return NULL;
}

const cf_kernel cf_activation_cuda = {"activation_cuda", CF_OP_ACTIVATION, .refuse = accept,
                                      .launch = launch_activation};
const cf_kernel cf_scale_shift_cuda = {"scale_shift_cuda", CF_OP_SCALE_SHIFT, .refuse = accept,
                                       .launch = launch_scale_shift};
const cf_kernel cf_copy_cuda = {"copy_cuda", CF_OP_COPY, .refuse = accept, .launch = launch_copy};
