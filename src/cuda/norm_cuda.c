// SPDX-License-Identifier: Apache-2.0
// Normalisation over channels: cuda/kernels/norm.cu.
#include "cuda/operator.h"

// As in norm.cu.
typedef struct norm_rule {
    const float *weight, *bias;
    float epsilon;
    int rms;
} norm_rule;

static norm_rule rule_of(const cf_call *call) {
    const cf_norm_attr *attr = &call->problem->attr.norm;
    return (norm_rule){cf_constant_at(call, 0), attr->has_bias ? cf_constant_at(call, 1) : NULL, attr->epsilon,
                       attr->rms};
}

static int steps_of(const cf_call *call) {
    int c = call->out[0].c;
    return !cf_cuda_all_wide(call) || c > 1024 ? 0 : c <= 256 ? 1 : c <= 512 ? 2 : 4;
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const char *function, const void *const *arguments) {
    enum { WARPS = 4 };
    cf_cuda_launch(queue, function,
                   (cf_cuda_shape){cf_cuda_blocks(cf_cuda_pixels(&call->out[0]), WARPS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){WARPS * 32, 1, 1}, 0, arguments);
}

static void launch_norm(const cf_call *call, cf_cuda_queue *queue) {
    norm_rule rule = rule_of(call);
    int steps = steps_of(call), inputs = call->problem->inputs;
    const void *arguments[] = {&call->in[0], &call->in[inputs - 1], &call->out[0], &inputs, &rule, &steps};
    launch(call, queue, "cf_norm", arguments);
}

static void launch_gate(const cf_call *call, cf_cuda_queue *queue) {
    norm_rule rule = rule_of(call);
    int steps = steps_of(call);
    const void *arguments[] = {&call->in[0], &call->in[1], &call->in[2], &call->out[0], &rule, &steps};
    launch(call, queue, "cf_gate", arguments);
}

CF_CUDA_KERNEL(cf_norm_cuda, NORM, "norm_cuda", launch_norm);
CF_CUDA_KERNEL(cf_gate_cuda, GATE, "gate_cuda", launch_gate);
