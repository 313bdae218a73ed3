// SPDX-License-Identifier: Apache-2.0
// conv, batch_norm -> conv: the scale goes into the filters, the shift becomes the bias. Exact up to rounding.
#include "graph/passes/passes.h"

static cfine_status fold(cf_graph *graph, cf_node *conv, cf_node *norm, cfine_error *err) {
    cf_constant *weight = &conv->constants[0], *bias = &conv->constants[1];
    int32_t outputs = weight->shape[0];
    int64_t filter = cf_constant_count(weight) / outputs;
    if (!bias->data) *bias = cf_constant_create(graph, 1, (int32_t[]){outputs});
    if (!bias->data) return cf_graph_check(graph, err);
    for (int32_t o = 0; o < outputs; o++) {
        float scale = norm->constants[0].data[o];
        for (int64_t i = 0; i < filter; i++) weight->data[o * filter + i] *= scale;
        bias->data[o] = bias->data[o] * scale + norm->constants[1].data[o];
    }
    return CFINE_OK;
}

cfine_status cf_pass_fold_batch_norm(cf_graph *graph, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        cf_node *norm = &graph->nodes[i];
        if (norm->dead || norm->op != CF_OP_BATCH_NORM) continue;
        cf_node *conv = cf_graph_producer(graph, norm->inputs[0]);
        if (conv->op != CF_OP_CONV || cf_graph_uses(graph, conv->output) != 1) continue;
        CF_TRY(fold(graph, conv, norm, err));
        cf_graph_replace(graph, norm->output, conv->output);
        norm->dead = 1;
    }
    return CFINE_OK;
}
