// SPDX-License-Identifier: Apache-2.0
// What follows a convolution goes into its epilogue, while the result is still in registers:
// y = act(conv + bias); y = y * scale + shift; y = y + residual. In that order only, and only when the convolution's
// value has no other reader.
#include "graph/passes/passes.h"

// Takes the node after conv into it; 0 when it does not fit.
static int absorb(cf_graph *graph, cf_node *conv, const cf_node *next) {
    cf_conv_attr *attr = &conv->attr.conv;
    if (conv->input_count > 1) return 0; // nothing comes after the residual
    switch (next->op) {
    case CF_OP_ACTIVATION:
        if (attr->act || attr->affine) return 0;
        attr->act = next->attr.activation.act;
        return 1;
    case CF_OP_SCALE_SHIFT:
        if (attr->affine) return 0;
        attr->affine = 1;
        attr->scale = next->attr.scale_shift.scale;
        attr->shift = next->attr.scale_shift.shift;
        return 1;
    case CF_OP_ADD: {
        if (next->input_count != 2) return 0;
        int32_t other = next->inputs[next->inputs[0] == conv->output];
        const cf_value *value = &graph->values[other], *out = &graph->values[conv->output];
        if (other == conv->output || value->h != out->h || value->w != out->w || value->c != out->c) return 0;
        if (cf_graph_producer(graph, other) >= conv) return 0; // made after conv runs
        conv->inputs[conv->input_count++] = other;
        return 1;
    }
    default: return 0;
    }
}

cfine_status cf_pass_fuse_epilogue(cf_graph *graph, cfine_error *err) {
    (void)err;
    for (int32_t i = 0; i < graph->node_count; i++) { // every node may be the next of the convolutions before it
        cf_node *next = &graph->nodes[i];
        if (next->dead || (next->op != CF_OP_ACTIVATION && next->op != CF_OP_SCALE_SHIFT && next->op != CF_OP_ADD))
            continue;
        for (int k = next->input_count - 1; k >= 0; k--) {
            cf_node *conv = cf_graph_producer(graph, next->inputs[k]);
            if (conv->op != CF_OP_CONV || cf_graph_uses(graph, conv->output) != 1 || !absorb(graph, conv, next))
                continue;
            cf_graph_replace(graph, next->output, conv->output);
            next->dead = 1;
            break;
        }
    }
    return CFINE_OK;
}
