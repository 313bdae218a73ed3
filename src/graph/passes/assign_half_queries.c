// SPDX-License-Identifier: Apache-2.0
// Half precision beyond the query selection, for devices whose matrix units need it there too (a GPU at batch 32 has
// 9,600 queries). Hidden states, attention and the feed-forward parts are half; what boxes are made of stays FP32: the
// references, box deltas, distribution corners, sampling offsets and weights, location quality and the scores. FP16 in
// these loses boxes (users of other FP16 engines report it); with them in FP32 nothing is lost.
#include "base/memory.h"
#include "graph/passes/passes.h"

// Operators whose results are boxes, indices or their quality, and that need exact inputs.
static int is_exact(cf_op op) {
    return op == CF_OP_TOP_QUERIES || op == CF_OP_REFERENCE || op == CF_OP_SHIFT_BOX || op == CF_OP_REFINE ||
           op == CF_OP_QUALITY;
}

// Operators that hand on what they read: an exact result needs exact inputs. Products form their sums in FP32 anyhow.
static int hands_on(cf_op op) {
    return op == CF_OP_ADD || op == CF_OP_MUL || op == CF_OP_CONCAT || op == CF_OP_TOKENS || op == CF_OP_SLICE ||
           op == CF_OP_COPY || op == CF_OP_ACTIVATION || op == CF_OP_SCALE_SHIFT;
}

static void find_exact(const cf_graph *graph, uint8_t *exact) {
    exact[graph->logits] = exact[graph->boxes] = 1;
    for (int32_t i = graph->node_count - 1; i >= 0; i--) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        int inputs = is_exact(node->op) || (hands_on(node->op) && exact[node->output]) ? node->input_count
                     : node->op == CF_OP_DEFORM                                        ? 3 // offsets, weights, boxes
                                                                                       : 0;
        for (int k = 0; k < inputs; k++) exact[node->inputs[k]] = 1;
        exact[node->output] |= (uint8_t)is_exact(node->op);
        // A residual that a convolution adds is handed on too.
        if (node->op == CF_OP_CONV && exact[node->output] && node->input_count > 1) exact[node->inputs[1]] = 1;
    }
    for (int32_t i = 0; i < graph->node_count; i++) // views are stored as what they are views of
        if (!graph->nodes[i].dead && graph->nodes[i].op == CF_OP_SLICE && exact[graph->nodes[i].inputs[0]])
            exact[graph->nodes[i].output] = 1;
}

cfine_status cf_assign_half_queries(cf_graph *graph, cf_dtype half, cfine_error *err) {
    uint8_t *exact = cf_alloc((size_t)graph->value_count, 2);
    if (!exact) return cf_fail_memory(err, "pass", (size_t)graph->value_count);
    uint8_t *queries = exact + graph->value_count;
    find_exact(graph, exact);
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        queries[node->output] = node->op == CF_OP_TOP_QUERIES;
        for (int k = 0; k < node->input_count; k++) queries[node->output] |= queries[node->inputs[k]];
        if (queries[node->output] && !exact[node->output] && node->op != CF_OP_TOP_QUERIES)
            graph->values[node->output].dtype = half;
    }
    cf_free(exact);
    return CFINE_OK;
}
