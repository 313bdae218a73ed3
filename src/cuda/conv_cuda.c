// SPDX-License-Identifier: Apache-2.0
#include "cuda/conv_cuda.h"

int cf_conv_is_aligned(const cf_tensor *tensor) {
    return tensor->image % 8 == 0 && tensor->row % 8 == 0 && tensor->pixel % 8 == 0 &&
           (uintptr_t)tensor->data % 16 == 0;
}

static int is_float(cf_dtype dtype) {
    return dtype == CF_F32 || cf_conv_is_half(dtype);
}

const char *cf_conv_refuse_output(const cf_problem *problem) {
    if (problem->attr.conv.coarse) return "a coarse residual";
    int ok = is_float(problem->out[0].dtype) && (problem->inputs < 2 || is_float(problem->in[1].dtype));
    return ok ? NULL : "wants a floating-point output and residual";
}

size_t cf_conv_bias_bytes(const cf_problem *problem) {
    return cf_conv_round_up((size_t)problem->out[0].c, 8) * sizeof(float);
}

void cf_conv_pack_bias(const cf_problem *problem, float *bias) {
    size_t count = cf_conv_bias_bytes(problem) / sizeof(float), real = (size_t)problem->out[0].c;
    for (size_t o = 0; o < count; o++)
        bias[o] = o < real && problem->constant[1].data ? problem->constant[1].data[o] : 0;
}

// 1 if the pixels of all images follow one another at equal distances.
static int is_flat(const cf_tensor *t) {
    return t->row == t->w * t->pixel && t->image == t->h * t->row;
}

static int is_pixelwise(const cf_conv_attr *attr) {
    return attr->kernel_h == 1 && attr->kernel_w == 1 && attr->stride == 1 && attr->pad_top == 0 &&
           attr->pad_left == 0 && attr->pad_bottom == 0 && attr->pad_right == 0;
}

cf_conv_args cf_conv_args_of(const cf_call *call, size_t weight_bytes) {
    const cf_problem *problem = call->problem;
    cf_conv_args args = {.in = call->in[0],
                         .out = call->out[0],
                         .attr = problem->attr.conv,
                         .weight = call->packed,
                         .bias = (const float *)(const void *)((const char *)call->packed + weight_bytes),
                         .pixels = call->images * call->out[0].h * call->out[0].w,
                         .flat_in = is_flat(&call->in[0]) && is_pixelwise(&problem->attr.conv),
                         .flat_out = is_flat(&call->out[0]),
                         .vector_out = cf_conv_is_aligned(&call->out[0])};
    if (problem->inputs > 1) {
        args.residual = call->in[1];
        args.flat_residual = is_flat(&call->in[1]);
        args.vector_residual = cf_conv_is_aligned(&call->in[1]);
    }
    return args;
}
