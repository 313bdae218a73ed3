// SPDX-License-Identifier: Apache-2.0
#include "cuda/conv_cuda.h"

#include <string.h>

#include "base/half.h"

int cf_conv_is_aligned(const cf_tensor *tensor) {
    return tensor->image % 8 == 0 && tensor->row % 8 == 0 && tensor->pixel % 8 == 0 &&
           (uintptr_t)tensor->data % (cf_dtype_size(tensor->dtype) == 1 ? 8 : 16) == 0;
}

const char *cf_conv_refuse_output(const cf_problem *problem) {
    if (problem->attr.conv.coarse) return "a coarse residual";
    int whole = problem->out[0].dtype == CF_I32 || (problem->inputs > 1 && problem->in[1].dtype == CF_I32);
    return whole ? "wants no int32 output or residual" : NULL;
}

size_t cf_conv_bias_bytes(const cf_problem *problem) {
    return cf_conv_round_up((size_t)problem->out[0].c, 8) * sizeof(float);
}

void cf_conv_pack_bias(const cf_problem *problem, float *bias) {
    size_t count = cf_conv_bias_bytes(problem) / sizeof(float), real = (size_t)problem->out[0].c;
    for (size_t o = 0; o < count; o++)
        bias[o] = o < real && problem->constant[1].data ? problem->constant[1].data[o] : 0;
}

size_t cf_conv_f32_bytes(const cf_problem *problem, size_t unit) {
    const int32_t *shape = problem->constant[0].shape;
    size_t terms = (size_t)shape[1] * (size_t)shape[2] * (size_t)shape[3];
    return cf_conv_round_up(terms * cf_conv_round_up((size_t)shape[0], unit) * sizeof(float), 64);
}

size_t cf_conv_f32_packed_size(const cf_problem *problem, size_t unit) {
    return cf_conv_f32_bytes(problem, unit) + cf_conv_bias_bytes(problem);
}

void cf_conv_f32_pack(const cf_problem *problem, void *packed, size_t unit) {
    const int32_t *shape = problem->constant[0].shape;
    size_t outputs = (size_t)shape[0], inputs = (size_t)shape[1], taps = (size_t)shape[2] * (size_t)shape[3];
    size_t line = cf_conv_round_up(outputs, unit), bytes = cf_conv_f32_bytes(problem, unit);
    float *weight = packed;
    memset(weight, 0, bytes);
    for (size_t o = 0; o < outputs; o++)
        for (size_t i = 0; i < inputs; i++)
            for (size_t t = 0; t < taps; t++)
                weight[(t * inputs + i) * line + o] = problem->constant[0].data[(o * inputs + i) * taps + t];
    cf_conv_pack_bias(problem, (float *)(void *)((char *)packed + bytes));
}

int cf_conv_steps(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    int terms = CF_CONV_STEP_BYTES / (int)cf_dtype_size(problem->in[0].dtype);
    return (attr->kernel_h * attr->kernel_w * problem->in[0].c + terms - 1) / terms;
}

size_t cf_conv_matrix_bytes(const cf_problem *problem) {
    return (size_t)problem->out[0].c * (size_t)cf_conv_steps(problem) * CF_CONV_STEP_BYTES;
}

size_t cf_conv_matrix_packed_size(const cf_problem *problem) {
    return cf_conv_matrix_bytes(problem) + cf_conv_bias_bytes(problem);
}

void cf_conv_matrix_pack(const cf_problem *problem, void *packed) {
    size_t outputs = (size_t)problem->out[0].c, inputs = (size_t)problem->in[0].c;
    size_t taps = (size_t)problem->attr.conv.kernel_h * (size_t)problem->attr.conv.kernel_w;
    cf_dtype dtype = problem->in[0].dtype;
    size_t line = (size_t)cf_conv_steps(problem) * CF_CONV_STEP_BYTES / cf_dtype_size(dtype);
    uint16_t *to = packed;
    float *whole = packed;
    memset(to, 0, cf_conv_matrix_bytes(problem));
    for (size_t o = 0; o < outputs; o++)
        for (size_t i = 0; i < inputs; i++)
            for (size_t t = 0; t < taps; t++) {
                float value = problem->constant[0].data[(o * inputs + i) * taps + t];
                size_t at = o * line + t * inputs + i;
                if (dtype == CF_F32)
                    whole[at] = value;
                else
                    to[at] = dtype == CF_BF16 ? cf_f32_to_bf16(value) : cf_f32_to_f16(value);
            }
    cf_conv_pack_bias(problem, (float *)(void *)((char *)packed + cf_conv_matrix_bytes(problem)));
}

const char *cf_conv_refuse_matrix(const cf_problem *problem, cf_dtype dtype) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0];
    if (attr->groups != 1) return "wants one group";
    if (in->dtype != dtype) return "wants another input type";
    if (in->c % 8 || !cf_conv_is_aligned(in)) return "wants channels and strides in multiples of 8";
    if (attr->kernel_h * attr->kernel_w > 32 || attr->kernel_w > 31) return "wants at most 32 taps";
    if ((int64_t)problem->images * problem->out[0].h * problem->out[0].w > INT32_MAX / 2) return "too many pixels";
    // Offsets in units of 16 bytes are 32-bit numbers.
    if (in->image * problem->images / 8 > INT32_MAX / 2) return "too large an input";
    return NULL;
}

int cf_conv_is_flat(const cf_tensor *t) {
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
                         .flat_in = cf_conv_is_flat(&call->in[0]) && is_pixelwise(&problem->attr.conv),
                         .flat_out = cf_conv_is_flat(&call->out[0]),
                         .vector_out = cf_conv_is_aligned(&call->out[0])};
    if (problem->inputs > 1) {
        args.residual = call->in[1];
        args.flat_residual = cf_conv_is_flat(&call->in[1]);
        args.vector_residual = cf_conv_is_aligned(&call->in[1]);
    }
    return args;
}
