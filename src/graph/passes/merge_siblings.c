// SPDX-License-Identifier: Apache-2.0
// 1x1 convolutions of the same input become one with their filters stacked, and slices of its output: the input is read
// once and the wider product fills the machine better. Meets queries and keys of attention, the two branches of a CSP
// layer, sampling offsets and weights. Those whose activations differ stay apart.
#include <string.h>

#include "graph/passes/passes.h"

// The activation behind a convolution when that is its only reader: siblings must share it.
static cf_node *activation_of(const cf_graph *graph, const cf_node *conv) {
    if (cf_graph_uses(graph, conv->output) != 1) return NULL;
    for (int32_t i = 0; i < graph->node_count; i++) {
        cf_node *node = &graph->nodes[i];
        if (!node->dead && node->op == CF_OP_ACTIVATION && node->inputs[0] == conv->output) return node;
    }
    return NULL;
}

static int mergeable(const cf_node *node) {
    const cf_conv_attr *conv = &node->attr.conv;
    return !node->dead && node->op == CF_OP_CONV && node->input_count == 1 && conv->kernel_h == 1 &&
           conv->kernel_w == 1 && conv->stride == 1 && conv->groups == 1 && !conv->affine && node->constants[1].data;
}

static int alike(const cf_graph *graph, const cf_node *a, const cf_node *b) {
    if (!mergeable(b) || a->inputs[0] != b->inputs[0] || a->attr.conv.act != b->attr.conv.act) return 0;
    const cf_node *act_a = activation_of(graph, a), *act_b = activation_of(graph, b);
    return !act_a == !act_b && (!act_a || act_a->attr.activation.act == act_b->attr.activation.act);
}

// Stacks b's filters under a's.
static cfine_status stack(cf_graph *graph, cf_node *a, cf_node *b, cfine_error *err) {
    cf_constant *rows[2][2] = {{&a->constants[0], &b->constants[0]}, {&a->constants[1], &b->constants[1]}};
    for (int k = 0; k < 2; k++) {
        int32_t shape[4] = {0};
        memcpy(shape, rows[k][0]->shape, sizeof shape);
        shape[0] += rows[k][1]->shape[0];
        cf_constant both = cf_constant_create(graph, rows[k][0]->rank, shape);
        if (!both.data) return cf_graph_check(graph, err);
        size_t first = (size_t)cf_constant_count(rows[k][0]), second = (size_t)cf_constant_count(rows[k][1]);
        memcpy(both.data, rows[k][0]->data, first * sizeof(float));
        memcpy(both.data + first, rows[k][1]->data, second * sizeof(float));
        cf_constant_release(rows[k][0]);
        cf_constant_release(rows[k][1]);
        *rows[k][0] = both;
    }
    return CFINE_OK;
}

// Puts the node that was appended last at `position`, moving the others up.
static void move_last_to(cf_graph *graph, int32_t position) {
    cf_node node = graph->nodes[graph->node_count - 1];
    memmove(&graph->nodes[position + 1], &graph->nodes[position],
            (size_t)(graph->node_count - 1 - position) * sizeof *graph->nodes);
    graph->nodes[position] = node;
    for (int32_t i = position; i < graph->node_count; i++) graph->values[graph->nodes[i].output].node = i;
}

// Replaces the value of conv (or of its activation) by a slice of `whole`, placed right behind `after`.
static cfine_status add_slice(cf_graph *graph, int32_t whole, int32_t after, int32_t replaced, int32_t first,
                              int32_t count, cfine_error *err) {
    cf_attr attr = {.slice = {first, count}};
    const char *name = cf_graph_producer(graph, replaced)->name;
    int32_t slice = cf_graph_add(graph, CF_OP_SLICE, &attr, &whole, 1, NULL, 0, "%s.part", name);
    if (slice == CF_NONE) return cf_graph_check(graph, err);
    cf_graph_replace(graph, replaced, slice);
    graph->nodes[graph->node_count - 1].inputs[0] = whole; // replace may have changed the slice's own input
    move_last_to(graph, after + 1);
    return CFINE_OK;
}

static cfine_status merge(cf_graph *graph, int32_t first, int32_t second, cfine_error *err) {
    cf_node *a = &graph->nodes[first], *b = &graph->nodes[second];
    cf_node *act_a = activation_of(graph, a), *act_b = activation_of(graph, b);
    int32_t split = a->constants[0].shape[0], rest = b->constants[0].shape[0];
    int32_t value_a = act_a ? act_a->output : a->output, value_b = act_b ? act_b->output : b->output;
    CF_TRY(stack(graph, a, b, err));
    graph->values[a->output].c = split + rest;
    if (act_a) { // the one activation now comes right behind the stacked convolution, in the convolution itself
        a->attr.conv.act = act_a->attr.activation.act;
        act_a->dead = act_b->dead = 1;
    }
    b->dead = 1;
    int32_t whole = a->output; // readers of either value read a slice of it
    CF_TRY(add_slice(graph, whole, first, value_a, 0, split, err));
    return add_slice(graph, whole, first, value_b, split, rest, err);
}

cfine_status cf_pass_merge_siblings(cf_graph *graph, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        if (!mergeable(&graph->nodes[i])) continue;
        for (int32_t k = i + 1; k < graph->node_count; k++)
            if (alike(graph, &graph->nodes[i], &graph->nodes[k])) {
                CF_TRY(merge(graph, i, k, err));
                break;
            }
    }
    return CFINE_OK;
}
