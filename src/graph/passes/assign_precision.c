// SPDX-License-Identifier: Apache-2.0
// Which value is stored in which type. Kernels choose their arithmetic by the types they are given.
//
// Half precision (bf16): everything an image passes through before queries are chosen, that is backbone, encoder and
// memory, is bf16. From the query selection on, where boxes are made, values stay FP32: 300 queries are little work,
// and the distribution integral, inverse sigmoids, reference points, sampling coordinates and location quality lose
// boxes in anything less. The image itself stays FP32, so that its pixels are exact.
#include "base/memory.h"
#include "graph/passes/passes.h"

// 1 for every value that depends on the chosen queries.
static void find_query_values(const cf_graph *graph, uint8_t *queries) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        queries[node->output] = node->op == CF_OP_TOP_QUERIES;
        for (int k = 0; k < node->input_count; k++) queries[node->output] |= queries[node->inputs[k]];
    }
}

cfine_status cf_assign_half(cf_graph *graph, cf_dtype half, cfine_error *err) {
    uint8_t *queries = cf_alloc((size_t)graph->value_count, 1);
    if (!queries) return cf_fail_memory(err, "pass", (size_t)graph->value_count);
    find_query_values(graph, queries);
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || node->op == CF_OP_INPUT || queries[node->output]) continue;
        graph->values[node->output].dtype = half;
    }
    for (int32_t i = 0; i < graph->node_count; i++) // scores decide which queries there are
        if (!graph->nodes[i].dead && graph->nodes[i].op == CF_OP_TOP_QUERIES)
            graph->values[graph->nodes[i].inputs[0]].dtype = CF_F32;
    cf_free(queries);
    return CFINE_OK;
}
