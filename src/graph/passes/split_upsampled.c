// SPDX-License-Identifier: Apache-2.0
// A 1x1 convolution of [upsample(a) | b]: a 1x1 convolution and an upsampling change places, so
//
//     act(W [upsample(a) | b] + bias) = act(Wb b + bias + upsample(Wa a))
//
// where Wa a has a quarter of the pixels, and upsampling and concat are gone: three eighths of the products where both
// parts are equally wide. If b = P x + p comes from a 1x1 convolution with nothing behind it that nobody else reads,
// Wb and P become one matrix where that is fewer products.
#include <string.h>

#include "base/memory.h"
#include "graph/passes/passes.h"

// 1x1 with stride 1, not quantised, one input.
static int pointwise(const cf_node *node) {
    const cf_conv_attr *conv = &node->attr.conv;
    return !node->dead && node->op == CF_OP_CONV && node->input_count == 1 && conv->kernel_h == 1 &&
           conv->kernel_w == 1 && conv->stride == 1 && conv->groups == 1 && !conv->pad_top && !conv->pad_left &&
           !conv->pad_bottom && !conv->pad_right && !node->constants[2].data;
}

// Columns first .. first+count of a weight [o,i,1,1].
static cf_constant take_columns(cf_graph *graph, const cf_constant *from, int32_t first, int32_t count) {
    int32_t shape[4] = {from->shape[0], count, 1, 1};
    cf_constant columns = cf_constant_create(graph, 4, shape);
    for (int32_t o = 0; o < shape[0] && columns.data; o++)
        memcpy(columns.data + (size_t)o * (size_t)count,
               from->data + (size_t)o * (size_t)from->shape[1] + (size_t)first, (size_t)count * sizeof(float));
    return columns;
}

// conv(before(x)) becomes conv(x).
static cfine_status compose(cf_graph *graph, cf_node *conv, cf_node *before, cfine_error *err) {
    const cf_constant *w = &conv->constants[0], *p = &before->constants[0], *p_bias = &before->constants[1];
    size_t outputs = (size_t)w->shape[0], middle = (size_t)p->shape[0], inputs = (size_t)p->shape[1];
    cf_constant both = cf_constant_create(graph, 4, (int32_t[]){w->shape[0], p->shape[1], 1, 1});
    cf_constant bias = cf_constant_create(graph, 1, (int32_t[]){w->shape[0]});
    double *row = cf_alloc(inputs + 1, sizeof *row); // exact enough to be rounded once
    for (size_t o = 0; o < outputs && both.data && bias.data && row; o++) {
        double sum = conv->constants[1].data ? (double)conv->constants[1].data[o] : 0;
        memset(row, 0, inputs * sizeof *row);
        for (size_t m = 0; m < middle; m++) {
            double factor = (double)w->data[o * middle + m];
            const float *from = p->data + m * inputs;
            for (size_t i = 0; i < inputs; i++) row[i] += factor * (double)from[i];
            sum += p_bias->data ? factor * (double)p_bias->data[m] : 0;
        }
        for (size_t i = 0; i < inputs; i++) both.data[o * inputs + i] = (float)row[i];
        bias.data[o] = (float)sum;
    }
    int made = both.data && bias.data && row;
    cf_free(row);
    if (!made) {
        cf_constant_release(&both);
        cf_constant_release(&bias);
        CF_TRY(cf_graph_check(graph, err));
        return cf_fail_memory(err, "pass", inputs * sizeof *row);
    }
    cf_constant_release(&conv->constants[0]);
    cf_constant_release(&conv->constants[1]);
    conv->constants[0] = both;
    conv->constants[1] = bias;
    conv->inputs[0] = before->inputs[0];
    before->dead = 1;
    return CFINE_OK;
}

static int worth_composing(const cf_graph *graph, const cf_node *conv, const cf_node *before) {
    if (!pointwise(before) || before->attr.conv.act || before->attr.conv.affine ||
        cf_graph_uses(graph, before->output) != 1 ||
        graph->values[before->inputs[0]].dtype != graph->values[before->output].dtype)
        return 0;
    int64_t inputs = graph->values[before->inputs[0]].c, middle = graph->values[before->output].c;
    int64_t outputs = graph->values[conv->output].c;
    return inputs * outputs < middle * (inputs + outputs);
}

static cfine_status split(cf_graph *graph, cf_node *conv, cf_node *concat, int upsampled, cfine_error *err) {
    cf_node *up = cf_graph_producer(graph, concat->inputs[upsampled]);
    int32_t rest = concat->inputs[!upsampled];
    int32_t up_channels = graph->values[up->output].c, rest_channels = graph->values[rest].c;
    cf_constant up_weight = take_columns(graph, &conv->constants[0], upsampled ? rest_channels : 0, up_channels);
    cf_constant rest_weight = take_columns(graph, &conv->constants[0], upsampled ? 0 : up_channels, rest_channels);
    if (!up_weight.data || !rest_weight.data) {
        cf_constant_release(&up_weight);
        cf_constant_release(&rest_weight);
        return cf_graph_check(graph, err);
    }
    cf_constant_release(&conv->constants[0]);
    conv->constants[0] = rest_weight;
    conv->inputs[0] = rest;
    conv->inputs[1] = up->output;
    conv->input_count = 2;
    conv->attr.conv.coarse = 1;
    concat->dead = 1;
    // The upsampling's node becomes the convolution of the small map. Its sums stay FP32: they are only half summed.
    const cf_value *small = &graph->values[up->inputs[0]];
    cf_value *part = &graph->values[up->output];
    part->h = small->h;
    part->w = small->w;
    part->c = up_weight.shape[0];
    part->dtype = CF_F32;
    up->op = CF_OP_CONV;
    up->attr = (cf_attr){.conv = {.kernel_h = 1, .kernel_w = 1, .stride = 1, .groups = 1}};
    up->constants[0] = up_weight;
    cf_node *before = cf_graph_producer(graph, rest);
    return worth_composing(graph, conv, before) ? compose(graph, conv, before, err) : CFINE_OK;
}

static int can_split(const cf_graph *graph, const cf_node *conv, const cf_node *concat, int upsampled) {
    const cf_node *up = cf_graph_producer(graph, concat->inputs[upsampled]);
    cf_dtype dtype = graph->values[concat->output].dtype;
    return up->op == CF_OP_UPSAMPLE && concat->inputs[0] != concat->inputs[1] &&
           cf_graph_uses(graph, up->output) == 1 && graph->values[up->inputs[0]].dtype == dtype &&
           graph->values[concat->inputs[!upsampled]].dtype == dtype && cf_dtype_size(dtype) > 1 &&
           conv->output != graph->logits && conv->output != graph->boxes;
}

cfine_status cf_split_upsampled(cf_graph *graph, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        cf_node *conv = &graph->nodes[i];
        if (!pointwise(conv)) continue;
        cf_node *concat = cf_graph_producer(graph, conv->inputs[0]);
        if (concat->op != CF_OP_CONCAT || concat->input_count != 2 || cf_graph_uses(graph, concat->output) != 1)
            continue;
        if (can_split(graph, conv, concat, 0))
            CF_TRY(split(graph, conv, concat, 0, err));
        else if (can_split(graph, conv, concat, 1))
            CF_TRY(split(graph, conv, concat, 1, err));
    }
    cf_graph_drop_unused(graph);
    cf_graph_compact(graph);
    return cf_graph_check(graph, err);
}
