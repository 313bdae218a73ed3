// SPDX-License-Identifier: Apache-2.0
// Keeps named operators in a higher precision than the rest of the network.
//
// An operator computes in the type of what it reads, and producers write any type. So an operator is raised by storing
// what it reads in a higher type, and nothing is converted in between. Values that share a buffer (the parts and views
// of a concat, a slice, a token sequence) share a type and are raised together, with every other operator that reads
// them.
#include <string.h>

#include "base/memory.h"
#include "graph/passes/passes.h"

static int rank_of(cf_dtype dtype) {
    return dtype == CF_F32 ? 2 : dtype == CF_BF16 || dtype == CF_F16 ? 1 : 0;
}

static int32_t find(int32_t *group, int32_t value) {
    while (group[value] != value) value = group[value] = group[group[value]];
    return value;
}

static int shares_buffer(const cf_node *node) {
    return node->op == CF_OP_CONCAT || node->op == CF_OP_TOKENS || node->op == CF_OP_SLICE;
}

static void find_groups(const cf_graph *graph, int32_t *group) {
    for (int32_t v = 0; v < graph->value_count; v++) group[v] = v;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || !shares_buffer(node)) continue;
        for (int k = 0; k < node->input_count; k++) group[find(group, node->inputs[k])] = find(group, node->output);
    }
}

// "backbone.*" names all that begin so.
static int named(const char *name, const char *pattern) {
    size_t length = strlen(pattern);
    if (length && pattern[length - 1] == '*') return strncmp(name, pattern, length - 1) == 0;
    return strcmp(name, pattern) == 0;
}

// Raises what the operators of that name read; returns how many there are.
static int raise_named(const cf_graph *graph, const cf_raised *raised, int32_t *group, cf_dtype *types) {
    int found = 0;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || shares_buffer(node) || !named(node->name, raised->name)) continue;
        found++;
        for (int k = 0; k < node->input_count; k++) {
            cf_dtype *type = &types[find(group, node->inputs[k])];
            if (*type != CF_I32 && rank_of(raised->dtype) > rank_of(*type)) *type = raised->dtype;
        }
    }
    return found;
}

static void apply(cf_graph *graph, int32_t *group, const cf_dtype *types) {
    for (int32_t v = 0; v < graph->value_count; v++) {
        cf_value *value = &graph->values[v];
        cf_dtype type = types[find(group, v)];
        if (value->dtype == CF_I32 || rank_of(type) <= rank_of(value->dtype)) continue;
        value->dtype = type;
        value->scale = 1;
        value->zero = 0;
    }
    for (int32_t i = 0; i < graph->node_count; i++) { // units belong to quantised inputs
        cf_node *node = &graph->nodes[i];
        if (node->dead || node->op != CF_OP_CONV || cf_dtype_size(graph->values[node->inputs[0]].dtype) == 1) continue;
        cf_constant_release(&node->constants[2]);
        node->constants[2] = (cf_constant){0};
    }
}

cfine_status cf_raise_precision(cf_graph *graph, const cf_raised *raised, size_t count, cfine_error *err) {
    int32_t *group = cf_alloc((size_t)graph->value_count, sizeof *group);
    cf_dtype *types = cf_alloc((size_t)graph->value_count, sizeof *types);
    cfine_status status = group && types ? CFINE_OK : cf_fail_memory(err, "pass", (size_t)graph->value_count * 8);
    if (status == CFINE_OK) {
        find_groups(graph, group);
        for (int32_t v = 0; v < graph->value_count; v++) types[v] = graph->values[v].dtype;
        for (size_t i = 0; i < count && status == CFINE_OK; i++)
            if (!raise_named(graph, &raised[i], group, types))
                status = cf_fail(err, CFINE_ERROR_ARGUMENT,
                                 "operator '%s': the network has none of that name; cfine info --plan lists them",
                                 raised[i].name);
        if (status == CFINE_OK && count) apply(graph, group, types);
    }
    cf_free(types);
    cf_free(group);
    return status;
}
