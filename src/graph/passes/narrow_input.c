// SPDX-License-Identifier: Apache-2.0
// Stores the image in bf16, in units of 1/255, with a fourth channel of zeros: the first convolution then fills tiles,
// and pixels that were bytes are exact. Its weights take the unit over.
#include <string.h>

#include "graph/passes/passes.h"

static const float unit = 1 / 255.0f;

static int takes_narrow(const cf_graph *graph, const cf_node *node) {
    return node->op == CF_OP_CONV && node->attr.conv.groups == 1 && node->input_count == 1 &&
           node->constants[0].shape[1] == 3 && graph->values[graph->input].c == 3;
}

// Weights [o, 3, kh, kw] to [o, 4, kh, kw] in the unit of the input.
static cfine_status widen(cf_graph *graph, cf_node *conv, cfine_error *err) {
    cf_constant *from = &conv->constants[0];
    cf_constant wide = cf_constant_create(graph, 4, (int32_t[]){from->shape[0], 4, from->shape[2], from->shape[3]});
    if (!wide.data) return cf_graph_check(graph, err);
    size_t filter = (size_t)from->shape[2] * (size_t)from->shape[3];
    for (size_t o = 0; o < (size_t)from->shape[0]; o++)
        for (size_t i = 0; i < 3 * filter; i++) wide.data[o * 4 * filter + i] = from->data[o * 3 * filter + i] * unit;
    cf_constant_release(from);
    *from = wide;
    return CFINE_OK;
}

cfine_status cf_narrow_input(cf_graph *graph, cfine_error *err) {
    cf_value *image = &graph->values[graph->input];
    image->dtype = CF_F32;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count && !node->dead; k++)
            if (node->inputs[k] == graph->input && !takes_narrow(graph, node)) return CFINE_OK;
    }
    for (int32_t i = 0; i < graph->node_count; i++) {
        cf_node *node = &graph->nodes[i];
        if (!node->dead && node->input_count == 1 && node->inputs[0] == graph->input) CF_TRY(widen(graph, node, err));
    }
    image->dtype = CF_BF16;
    image->c = 4;
    image->scale = unit;
    return CFINE_OK;
}
