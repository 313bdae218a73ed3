// SPDX-License-Identifier: Apache-2.0
// RepVGG: the sum of a k x k and a 1x1 convolution of the same input is one k x k convolution whose centre taps hold
// the 1x1 filters too (Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", 2021).
#include "graph/passes/passes.h"

// A convolution with nothing fused and nobody else reading it.
static int plain(const cf_graph *graph, const cf_node *node) {
    return node->op == CF_OP_CONV && node->attr.conv.act == CF_ACT_NONE && !node->attr.conv.affine &&
           node->input_count == 1 && node->attr.conv.groups == 1 && cf_graph_uses(graph, node->output) == 1;
}

// k x k with k odd and its padding centred, so that the 1x1 lies on the middle tap.
static int centred(const cf_conv_attr *conv) {
    int pad = (conv->kernel_h - 1) / 2;
    return conv->kernel_h % 2 == 1 && conv->kernel_h == conv->kernel_w && conv->pad_top == pad &&
           conv->pad_left == pad && conv->pad_bottom == pad && conv->pad_right == pad;
}

static cfine_status merge(cf_graph *graph, cf_node *wide, cf_node *narrow, cfine_error *err) {
    cf_constant *weight = &wide->constants[0], *bias = &wide->constants[1];
    const cf_constant *small = &narrow->constants[0], *small_bias = &narrow->constants[1];
    int64_t pairs = (int64_t)weight->shape[0] * weight->shape[1], taps = weight->shape[2] * weight->shape[3];
    for (int64_t i = 0; i < pairs; i++) weight->data[i * taps + taps / 2] += small->data[i];
    if (!small_bias->data) return CFINE_OK;
    if (!bias->data) *bias = cf_constant_create(graph, 1, (int32_t[]){weight->shape[0]});
    if (!bias->data) return cf_graph_check(graph, err);
    for (int32_t o = 0; o < weight->shape[0]; o++) bias->data[o] += small_bias->data[o];
    return CFINE_OK;
}

cfine_status cf_pass_merge_repvgg(cf_graph *graph, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        cf_node *sum = &graph->nodes[i];
        if (sum->dead || sum->op != CF_OP_ADD || sum->input_count != 2) continue;
        cf_node *wide = cf_graph_producer(graph, sum->inputs[0]), *narrow = cf_graph_producer(graph, sum->inputs[1]);
        if (!plain(graph, wide) || !plain(graph, narrow) || wide->inputs[0] != narrow->inputs[0]) continue;
        if (narrow->attr.conv.kernel_h > wide->attr.conv.kernel_h) {
            cf_node *other = wide;
            wide = narrow;
            narrow = other;
        }
        if (!centred(&wide->attr.conv) || narrow->attr.conv.kernel_h != 1 || narrow->attr.conv.kernel_w != 1 ||
            narrow->attr.conv.stride != wide->attr.conv.stride ||
            narrow->constants[0].shape[0] != wide->constants[0].shape[0])
            continue;
        CF_TRY(merge(graph, wide, narrow, err));
        cf_graph_replace(graph, sum->output, wide->output);
        sum->dead = 1;
        narrow->dead = 1;
    }
    return CFINE_OK;
}
