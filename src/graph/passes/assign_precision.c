// SPDX-License-Identifier: Apache-2.0
// Which value is stored in which type. Kernels choose their arithmetic by the types they are given.
//
// Half precision (bf16): whatever is features, of pixels or of queries, is bf16; its products are summed in FP32. FP32
// stays where boxes and scores are made, because they lose in anything less: boxes and their inverse sigmoids,
// sampling offsets and weights, distributions of edges and their integral, location quality, scores. The image itself
// stays FP32 too, so that its pixels are exact; on a CPU narrow_input.c has another way.
#include "base/memory.h"
#include "graph/passes/passes.h"

// Operators that read or make numbers of boxes and scores.
static int is_about_boxes(cf_op op) {
    return op == CF_OP_TOP_QUERIES || op == CF_OP_REFERENCE || op == CF_OP_SHIFT_BOX || op == CF_OP_REFINE ||
           op == CF_OP_QUALITY;
}

static int is_elementwise(cf_op op) {
    return op == CF_OP_ADD || op == CF_OP_MUL || op == CF_OP_ACTIVATION || op == CF_OP_SCALE_SHIFT ||
           op == CF_OP_SLICE || op == CF_OP_CONCAT;
}

// 1 for every value that must stay FP32.
static void find_exact_values(const cf_graph *graph, uint8_t *exact) {
    exact[graph->input] = exact[graph->logits] = exact[graph->boxes] = 1;
    for (int32_t i = graph->node_count - 1; i >= 0; i--) { // backwards: what they are made from
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        if (is_about_boxes(node->op)) exact[node->output] = 1;
        for (int k = 0; k < node->input_count; k++) {
            int sampling = node->op == CF_OP_DEFORM && k < 3; // offsets, weights, boxes; not the memory
            if (is_about_boxes(node->op) || sampling || (is_elementwise(node->op) && exact[node->output]))
                exact[node->inputs[k]] = 1;
        }
    }
    for (int32_t i = 0; i < graph->node_count; i++) { // forwards: the layers that turn distributions into quality
        const cf_node *node = &graph->nodes[i];
        if (node->dead || node->op != CF_OP_CONV) continue;
        const cf_node *producer = cf_graph_producer(graph, node->inputs[0]);
        if (producer->op == CF_OP_QUALITY || (exact[node->inputs[0]] == 2 && producer->op == CF_OP_CONV))
            exact[node->output] = 2;
    }
}

cfine_status cf_assign_half(cf_graph *graph, cf_dtype half, cfine_error *err) {
    uint8_t *exact = cf_alloc((size_t)graph->value_count, 1);
    if (!exact) return cf_fail_memory(err, "pass", (size_t)graph->value_count);
    find_exact_values(graph, exact);
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (!node->dead && !exact[node->output]) graph->values[node->output].dtype = half;
    }
    cf_free(exact);
    return CFINE_OK;
}
