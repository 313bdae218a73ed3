// SPDX-License-Identifier: Apache-2.0
// Operators that work on one value at a time: activation, scale_shift, batch_norm, copy, add, mul. All keep the shape
// h w c of their first input.
#include "kernels/ref/ref.h"

static void activation_pixel(const cf_call *call, int n, int y, int x) {
    cf_act act = (cf_act)call->problem->attr.activation.act;
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_act_apply(act, cf_tensor_get(&call->in[0], n, y, x, c)));
}

static void activation_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, activation_pixel);
}

static void scale_shift_pixel(const cf_call *call, int n, int y, int x) {
    float scale = call->problem->attr.scale_shift.scale, shift = call->problem->attr.scale_shift.shift;
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_tensor_get(&call->in[0], n, y, x, c) * scale + shift);
}

static void scale_shift_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, scale_shift_pixel);
}

// x * scale[c] + shift[c]; the builder turns mean and variance into these two.
static void batch_norm_pixel(const cf_call *call, int n, int y, int x) {
    const float *scale = cf_constant_at(call, 0), *shift = cf_constant_at(call, 1);
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_tensor_get(&call->in[0], n, y, x, c) * scale[c] + shift[c]);
}

static void batch_norm_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, batch_norm_pixel);
}

static void copy_pixel(const cf_call *call, int n, int y, int x) {
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_tensor_get(&call->in[0], n, y, x, c));
}

static void copy_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, copy_pixel);
}

// The second operand at (n, y, x, c): in[1], whose dimensions of size 1 repeat, or the constant [rows, cols], whose
// rows are pixels in raster order and are the same for every image.
static float second(const cf_call *call, int n, int y, int x, int c) {
    const cf_problem *problem = call->problem;
    if (problem->inputs > 1) {
        const cf_tensor *b = &call->in[1];
        return cf_tensor_get(b, n, b->h == 1 ? 0 : y, b->w == 1 ? 0 : x, b->c == 1 ? 0 : c);
    }
    const cf_constant *constant = &problem->constant[0];
    int cols = constant->shape[constant->rank - 1], rows = constant->rank > 1 ? constant->shape[0] : 1;
    long row = rows == 1 ? 0 : (long)y * call->out[0].w + x;
    return cf_constant_at(call, 0)[row * cols + (cols == 1 ? 0 : c)];
}

static void add_pixel(const cf_call *call, int n, int y, int x) {
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_tensor_get(&call->in[0], n, y, x, c) + second(call, n, y, x, c));
}

static void add_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, add_pixel);
}

static void mul_pixel(const cf_call *call, int n, int y, int x) {
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_tensor_get(&call->in[0], n, y, x, c) * second(call, n, y, x, c));
}

static void mul_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, mul_pixel);
}

CF_REF_KERNEL(cf_activation_ref, ACTIVATION, "activation_ref", activation_run);
CF_REF_KERNEL(cf_scale_shift_ref, SCALE_SHIFT, "scale_shift_ref", scale_shift_run);
CF_REF_KERNEL(cf_batch_norm_ref, BATCH_NORM, "batch_norm_ref", batch_norm_run);
CF_REF_KERNEL(cf_copy_ref, COPY, "copy_ref", copy_run);
CF_REF_KERNEL(cf_add_ref, ADD, "add_ref", add_run);
CF_REF_KERNEL(cf_mul_ref, MUL, "mul_ref", mul_run);
