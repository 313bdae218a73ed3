// SPDX-License-Identifier: Apache-2.0
// A convolution whose value is only ever sliced becomes one convolution a slice. On its own that gains nothing; it lets
// pad_channels round each part up by itself, and merge_siblings joins the parts again.
#include <string.h>

#include "graph/passes/passes.h"

// The convolution behind an activation, or behind nothing.
static cf_node *source_of(const cf_graph *graph, int32_t value) {
    cf_node *node = cf_graph_producer(graph, value);
    if (node->op == CF_OP_ACTIVATION) {
        if (cf_graph_uses(graph, node->inputs[0]) != 1) return NULL;
        node = cf_graph_producer(graph, node->inputs[0]);
    }
    const cf_conv_attr *attr = &node->attr.conv;
    return node->op == CF_OP_CONV && attr->groups == 1 && !attr->act && !attr->affine && node->input_count == 1 ? node
                                                                                                                : NULL;
}

static int only_sliced(const cf_graph *graph, int32_t value) {
    int32_t slices = 0;
    for (int32_t i = 0; i < graph->node_count; i++)
        slices += !graph->nodes[i].dead && graph->nodes[i].op == CF_OP_SLICE && graph->nodes[i].inputs[0] == value;
    return slices > 0 && slices == cf_graph_uses(graph, value);
}

// Rows first .. first+count of a constant's outermost dimension.
static cf_constant take_rows(cf_graph *graph, const cf_constant *from, int32_t first, int32_t count) {
    if (!from->data) return (cf_constant){0};
    int32_t shape[4];
    memcpy(shape, from->shape, sizeof shape);
    shape[0] = count;
    cf_constant rows = cf_constant_create(graph, from->rank, shape);
    size_t row = (size_t)(cf_constant_count(from) / from->shape[0]);
    if (rows.data) memcpy(rows.data, from->data + (size_t)first * row, (size_t)count * row * sizeof(float));
    return rows;
}

// The slice node i turns into the convolution itself, with an activation behind it where there was one.
static cfine_status split(cf_graph *graph, int32_t i, const cf_node *conv, int act, cfine_error *err) {
    cf_node *slice = &graph->nodes[i];
    int32_t first = slice->attr.slice.first, count = slice->attr.slice.count;
    slice->op = CF_OP_CONV;
    slice->attr = conv->attr;
    slice->attr.conv.act = act; // what pad_channels and merge_siblings see as fused already
    slice->inputs[0] = conv->inputs[0];
    slice->constants[0] = take_rows(graph, &conv->constants[0], first, count);
    slice->constants[1] = take_rows(graph, &conv->constants[1], first, count);
    return graph->status == CFINE_OK ? CFINE_OK : cf_graph_check(graph, err);
}

cfine_status cf_pass_split_sliced(cf_graph *graph, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || (node->op != CF_OP_CONV && node->op != CF_OP_ACTIVATION) || !only_sliced(graph, node->output))
            continue;
        const cf_node *conv = source_of(graph, node->output);
        int act = node->op == CF_OP_ACTIVATION ? node->attr.activation.act : CF_ACT_NONE;
        for (int32_t k = i + 1; conv && k < graph->node_count; k++)
            if (!graph->nodes[k].dead && graph->nodes[k].op == CF_OP_SLICE && graph->nodes[k].inputs[0] == node->output)
                CF_TRY(split(graph, k, conv, act, err));
    }
    return CFINE_OK;
}
