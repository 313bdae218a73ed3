// SPDX-License-Identifier: Apache-2.0
#include "model/build.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

cf_name cf_namef(const char *format, ...) {
    cf_name name;
    va_list args;
    va_start(args, format);
    vsnprintf(name.text, sizeof name.text, format, args);
    va_end(args);
    return name;
}

// Node names are tensor prefixes without the "model." that all of them start with.
static const char *label(const cf_name *name) {
    return strncmp(name->text, "model.", 6) ? name->text : name->text + 6;
}

static const cf_value *value_of(const cf_builder *b, int32_t x) {
    return b->graph->status == CFINE_OK && x >= 0 ? &b->graph->values[x] : NULL;
}

int cf_h(const cf_builder *b, int32_t x) {
    return value_of(b, x) ? value_of(b, x)->h : 0;
}
int cf_w(const cf_builder *b, int32_t x) {
    return value_of(b, x) ? value_of(b, x)->w : 0;
}
int cf_c(const cf_builder *b, int32_t x) {
    return value_of(b, x) ? value_of(b, x)->c : 0;
}

static int32_t add(cf_builder *b, cf_op op, const cf_attr *attr, const int32_t *inputs, int count,
                   const cf_constant *constants, int constant_count, const cf_name *name) {
    return cf_graph_add(b->graph, op, attr, inputs, count, constants, constant_count, "%s", label(name));
}

cf_constant cf_load(cf_builder *b, cf_name name, int rank, const int64_t *shape) {
    int32_t dims[4] = {1, 1, 1, 1};
    for (int i = 0; i < rank && i < 4; i++) dims[i] = (int32_t)shape[i];
    cfine_error error;
    const cf_weight *weight;
    if (b->graph->status != CFINE_OK) return cf_constant_create(b->graph, rank, dims); // stays without data
    cfine_status status = cf_weights_expect(b->weights, name.text, rank, shape, &weight, &error);
    if (status != CFINE_OK) cf_graph_fail(b->graph, status, "%s", error.message);
    cf_constant constant = cf_constant_create(b->graph, rank, dims);
    if (b->graph->status == CFINE_OK) {
        status = cf_weights_read_f32(b->weights, weight, constant.data, &error);
        if (status != CFINE_OK) cf_graph_fail(b->graph, status, "%s", error.message);
    }
    return constant;
}

int cf_has(const cf_builder *b, cf_name name) {
    return cf_weights_find(b->weights, name.text) != NULL;
}

double cf_load_scalar(cf_builder *b, cf_name name, double otherwise) {
    if (!cf_has(b, name)) return otherwise;
    cf_constant constant = cf_load(b, name, CF_SHAPE(1));
    double value = b->graph->status == CFINE_OK ? (double)constant.data[0] : otherwise;
    cf_constant_release(&constant);
    return value;
}

int32_t cf_conv_padded(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride, int groups,
                       int pad_before, int pad_after) {
    cf_constant weight =
        cf_load(b, cf_namef("%s.weight", prefix.text), CF_SHAPE(out, cf_c(b, x) / groups, kernel, kernel));
    cf_attr attr = {.conv = {.kernel_h = kernel,
                             .kernel_w = kernel,
                             .stride = stride,
                             .pad_top = pad_before,
                             .pad_left = pad_before,
                             .pad_bottom = pad_after,
                             .pad_right = pad_after,
                             .groups = groups}};
    return add(b, CF_OP_CONV, &attr, &x, 1, &weight, 1, &prefix);
}

int32_t cf_conv(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride, int groups) {
    return cf_conv_padded(b, x, prefix, out, kernel, stride, groups, (kernel - 1) / 2, (kernel - 1) / 2);
}

int32_t cf_batch_norm(cf_builder *b, int32_t x, cf_name prefix, double epsilon) {
    int c = cf_c(b, x);
    cf_constant scale = cf_load(b, cf_namef("%s.weight", prefix.text), CF_SHAPE(c));
    cf_constant shift = cf_load(b, cf_namef("%s.bias", prefix.text), CF_SHAPE(c));
    cf_constant mean = cf_load(b, cf_namef("%s.running_mean", prefix.text), CF_SHAPE(c));
    cf_constant variance = cf_load(b, cf_namef("%s.running_var", prefix.text), CF_SHAPE(c));
    for (int i = 0; i < c && b->graph->status == CFINE_OK; i++) {
        if (variance.data[i] < 0)
            cf_graph_fail(b->graph, CFINE_ERROR_FORMAT,
                          "%s.running_var: element %d is negative: the checkpoint is damaged", prefix.text, i);
        scale.data[i] = (float)((double)scale.data[i] / sqrt((double)variance.data[i] + epsilon));
        shift.data[i] = (float)((double)shift.data[i] - (double)mean.data[i] * (double)scale.data[i]);
    }
    cf_constant_release(&mean);
    cf_constant_release(&variance);
    cf_constant constants[] = {scale, shift};
    return add(b, CF_OP_BATCH_NORM, NULL, &x, 1, constants, 2, &prefix);
}

int32_t cf_linear(cf_builder *b, int32_t x, cf_name prefix, int out) {
    cf_constant constants[] = {cf_load(b, cf_namef("%s.weight", prefix.text), CF_SHAPE(out, cf_c(b, x))),
                               cf_load(b, cf_namef("%s.bias", prefix.text), CF_SHAPE(out))};
    constants[0].rank = 4; // [out, in, 1, 1]: a 1x1 convolution over the tokens
    constants[0].shape[2] = constants[0].shape[3] = 1;
    cf_attr attr = {.conv = {.kernel_h = 1, .kernel_w = 1, .stride = 1, .groups = 1}};
    return add(b, CF_OP_CONV, &attr, &x, 1, constants, 2, &prefix);
}

int32_t cf_norm(cf_builder *b, int32_t x, int32_t residual, cf_name prefix, int rms, double epsilon) {
    int32_t inputs[] = {x, residual};
    int c = cf_c(b, x);
    cf_constant constants[2] = {cf_load(b, cf_namef("%s.weight", prefix.text), CF_SHAPE(c))};
    if (!rms) constants[1] = cf_load(b, cf_namef("%s.bias", prefix.text), CF_SHAPE(c));
    cf_attr attr = {.norm = {.rms = rms, .has_bias = !rms, .epsilon = (float)epsilon}};
    return add(b, CF_OP_NORM, &attr, inputs, residual == CF_NONE ? 1 : 2, constants, rms ? 1 : 2, &prefix);
}

int32_t cf_activation_exact(cf_builder *b, int32_t x, cf_act act, cf_name name) {
    cf_attr attr = {.activation = {act}};
    return add(b, CF_OP_ACTIVATION, &attr, &x, 1, NULL, 0, &name);
}

int32_t cf_activation(cf_builder *b, int32_t x, cf_config_activation act, cf_name name) {
    switch (act) {
    case CF_CONFIG_IDENTITY: return x;
    case CF_CONFIG_RELU: return cf_activation_exact(b, x, CF_ACT_RELU, name);
    case CF_CONFIG_GELU: return cf_activation_exact(b, x, CF_ACT_GELU, name);
    case CF_CONFIG_SILU: return cf_activation_exact(b, x, CF_ACT_SILU, name);
    case CF_CONFIG_GELU_TANH: break;
    }
    return cf_graph_fail(b->graph, CFINE_ERROR_UNSUPPORTED, "%s: the tanh form of GELU is not supported", name.text);
}

int32_t cf_mlp(cf_builder *b, int32_t x, cf_name prefix, const int *dims, int layers, cf_config_activation act) {
    for (int i = 0; i < layers; i++) {
        cf_name layer = cf_namef("%s.layers.%d", prefix.text, i);
        x = cf_linear(b, x, layer, dims[i]);
        if (i < layers - 1) x = cf_activation(b, x, act, layer);
    }
    return x;
}

int32_t cf_affine(cf_builder *b, int32_t x, cf_name prefix) {
    cf_attr attr = {.scale_shift = {(float)cf_load_scalar(b, cf_namef("%s.scale", prefix.text), 1),
                                    (float)cf_load_scalar(b, cf_namef("%s.bias", prefix.text), 0)}};
    return add(b, CF_OP_SCALE_SHIFT, &attr, &x, 1, NULL, 0, &prefix);
}

int32_t cf_add(cf_builder *b, int32_t x, int32_t y, cf_name name) {
    return add(b, CF_OP_ADD, NULL, (int32_t[]){x, y}, 2, NULL, 0, &name);
}

int32_t cf_mul(cf_builder *b, int32_t x, int32_t y, cf_name name) {
    return add(b, CF_OP_MUL, NULL, (int32_t[]){x, y}, 2, NULL, 0, &name);
}

int32_t cf_binary_constant(cf_builder *b, cf_op op, int32_t x, cf_constant constant, cf_name name) {
    return add(b, op, NULL, &x, 1, &constant, 1, &name);
}

int32_t cf_concat(cf_builder *b, const int32_t *values, int count, cf_name name) {
    return add(b, CF_OP_CONCAT, NULL, values, count, NULL, 0, &name);
}

int32_t cf_tokens(cf_builder *b, const int32_t *values, int count, cf_name name) {
    return add(b, CF_OP_TOKENS, NULL, values, count, NULL, 0, &name);
}

int32_t cf_slice(cf_builder *b, int32_t x, int first, int count, cf_name name) {
    cf_attr attr = {.slice = {first, count}};
    return add(b, CF_OP_SLICE, &attr, &x, 1, NULL, 0, &name);
}

int32_t cf_upsample(cf_builder *b, int32_t x, cf_name name) {
    return add(b, CF_OP_UPSAMPLE, NULL, &x, 1, NULL, 0, &name);
}

int32_t cf_attention(cf_builder *b, int32_t q, int32_t k, int32_t v, int heads, cf_name name) {
    cf_attr attr = {.attention = {heads}};
    return add(b, CF_OP_ATTENTION, &attr, (int32_t[]){q, k, v}, 3, NULL, 0, &name);
}

int32_t cf_self_attention(cf_builder *b, int32_t x, int32_t position, int heads, cf_name prefix, const char *output) {
    int d = cf_c(b, x);
    int32_t where = position == CF_NONE ? x : cf_add(b, x, position, cf_namef("%s.position", prefix.text));
    int32_t q = cf_linear(b, where, cf_namef("%s.q_proj", prefix.text), d); // [T, d] each
    int32_t k = cf_linear(b, where, cf_namef("%s.k_proj", prefix.text), d);
    int32_t v = cf_linear(b, x, cf_namef("%s.v_proj", prefix.text), d); // values carry no position
    int32_t mixed = cf_attention(b, q, k, v, heads, prefix);
    return cf_linear(b, mixed, cf_namef("%s.%s", prefix.text, output), d);
}
