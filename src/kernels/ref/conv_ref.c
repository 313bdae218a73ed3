// SPDX-License-Identifier: Apache-2.0
// Convolution as defined: out = act(sum(in * weight) + bias) * scale + shift + residual, or with a coarse
// residual act(sum + bias + upsampled residual) and so on. Sums in double precision.
#include "kernels/kernel.h"

#include <string.h>

static const char *accept(const cf_problem *problem) {
    (void)problem;
    return NULL;
}

static size_t weight_count(const cf_problem *problem) {
    const int32_t *shape = problem->constant[0].shape;
    return (size_t)shape[0] * (size_t)shape[1] * (size_t)shape[2] * (size_t)shape[3];
}

static int has_units(const cf_problem *problem) {
    return problem->constant[2].rank > 0;
}

static size_t packed_size(const cf_problem *problem) {
    size_t units = has_units(problem) ? 2 * (size_t)problem->in[0].c : 0;
    return (weight_count(problem) + (size_t)problem->out[0].c + units) * sizeof(float);
}

// Packed: the weight as it is, the bias (zeros where the node has none), and units where it has them.
static void pack(const cf_problem *problem, void *packed) {
    float *weight = packed, *bias = weight + weight_count(problem), *units = bias + problem->out[0].c;
    memcpy(weight, problem->constant[0].data, weight_count(problem) * sizeof(float));
    for (int o = 0; o < problem->out[0].c; o++) bias[o] = problem->constant[1].data ? problem->constant[1].data[o] : 0;
    if (has_units(problem)) memcpy(units, problem->constant[2].data, 2 * (size_t)problem->in[0].c * sizeof(float));
}

// The input's value at a channel whose scale and zero point are its own.
static float in_units(const cf_tensor *in, const float *units, int n, int y, int x, int c) {
    cf_tensor one = *in;
    one.scale = units[c];
    one.zero = (int32_t)units[in->c + c];
    return cf_tensor_get(&one, n, y, x, c);
}

static float one_output(const cf_call *call, int n, int oy, int ox, int o) {
    const cf_conv_attr *attr = &call->problem->attr.conv;
    const cf_tensor *in = &call->in[0];
    int group_in = in->c / attr->groups, group_out = call->out[0].c / attr->groups, first = o / group_out * group_in;
    const float *weight =
        (const float *)call->packed + (size_t)o * (size_t)(group_in * attr->kernel_h * attr->kernel_w);
    const float *bias = (const float *)call->packed + weight_count(call->problem);
    const float *units = has_units(call->problem) ? bias + call->out[0].c : NULL;
    double sum = bias[o];
    for (int i = 0; i < group_in; i++)
        for (int ky = 0; ky < attr->kernel_h; ky++)
            for (int kx = 0; kx < attr->kernel_w; kx++, weight++) {
                int y = oy * attr->stride + ky - attr->pad_top, x = ox * attr->stride + kx - attr->pad_left;
                if (y >= 0 && y < in->h && x >= 0 && x < in->w)
                    sum += (double)*weight * (double)(units ? in_units(in, units, n, y, x, first + i)
                                                            : cf_tensor_get(in, n, y, x, first + i));
            }
    if (attr->coarse) sum += (double)cf_tensor_get(&call->in[1], n, oy / 2, ox / 2, o);
    float value = cf_act_apply((cf_act)attr->act, (float)sum);
    if (attr->affine) value = value * attr->scale + attr->shift;
    if (call->problem->inputs > 1 && !attr->coarse) value += cf_tensor_get(&call->in[1], n, oy, ox, o);
    return value;
}

static void run(const cf_call *call, const cf_team *team) {
    const cf_tensor *out = &call->out[0];
    long begin, end;
    cf_team_range(team, (long)call->images * out->h * out->w, &begin, &end);
    for (long pixel = begin; pixel < end; pixel++) {
        int n = (int)(pixel / (out->h * out->w)), y = (int)(pixel / out->w % out->h), x = (int)(pixel % out->w);
        for (int o = 0; o < out->c; o++) cf_tensor_set(out, n, y, x, o, one_output(call, n, y, x, o));
    }
}

const cf_kernel cf_conv_ref = {
    .name = "conv_ref", .op = CF_OP_CONV, .refuse = accept, .packed_size = packed_size, .pack = pack, .run = run};
