// SPDX-License-Identifier: Apache-2.0
// Choosing int8 convolutions by what the whole network costs with them: every operator with the types that it would
// read and write, and the copies between. A run of neighbours may win where none of them does alone, so runs are moved
// too.
#include <string.h>

#include "base/memory.h"
#include "quant/assignment.h"

// Of a node's values, those that may be bytes: three inputs and the output. Operators with more have none.
enum { BYTE_INPUTS = 3, KINDS = 1 << (BYTE_INPUTS + 1), LONGEST_RUN = 16 };

typedef struct price_list {
    cf_assignment *a;
    cf_pricer *pricer;
    double *nodes;       // [node][which of its values are bytes]; -1: not known yet
    double *copies;      // by value, likewise
    int32_t *candidates; // nodes, in order
    uint8_t *before;     // of a run of candidates, while it is tried
    int32_t count;
} price_list;

static int computes(const cf_node *node) {
    return !node->dead && node->op != CF_OP_INPUT && node->op != CF_OP_CONCAT && node->op != CF_OP_TOKENS &&
           node->op != CF_OP_SLICE;
}

static cfine_status price_node(price_list *list, int32_t index, double *sum, cfine_error *err) {
    const cf_assignment *a = list->a;
    const cf_node *node = &a->graph->nodes[index];
    cf_dtype in[CF_MAX_INPUTS], out = a->byte[node->output] ? a->stored : a->graph->values[node->output].dtype;
    int kind = a->byte[node->output];
    for (int k = 0; k < node->input_count; k++) {
        int byte = k < BYTE_INPUTS && (a->byte[node->inputs[k]] || (k == 0 && a->chosen[index]));
        in[k] = byte ? a->stored : a->graph->values[node->inputs[k]].dtype;
        kind |= byte << (k + 1);
    }
    double *price = &list->nodes[(size_t)index * KINDS + (size_t)kind];
    if (*price < 0) CF_TRY(cf_price(list->pricer, a->graph, node, in, out, price, err));
    *sum += *price;
    return CFINE_OK;
}

static void mark(cf_assignment *a, int32_t value, double *unused) {
    (void)unused;
    a->share[value] = 1;
}

static cfine_status price_copies(price_list *list, double *sum, cfine_error *err) {
    cf_assignment *a = list->a;
    for (int32_t v = 0; v < a->graph->value_count; v++) a->share[v] = 0;
    for (int32_t i = 0; i < list->count; i++)
        if (a->chosen[list->candidates[i]])
            cf_assignment_each_copy(a, a->graph->nodes[list->candidates[i]].inputs[0], mark, NULL);
    for (int32_t v = 0; v < a->graph->value_count; v++) {
        if (a->share[v] <= 0) continue;
        const cf_value *value = &a->graph->values[v];
        if (list->copies[v] < 0)
            CF_TRY(cf_price_copy(list->pricer, value, value->dtype, a->stored, &list->copies[v], err));
        *sum += list->copies[v];
    }
    return CFINE_OK;
}

// What is in front of the chosen queries, which is all that can change.
static cfine_status price_all(price_list *list, double *sum, cfine_error *err) {
    cf_assignment *a = list->a;
    *sum = 0;
    cf_assignment_find_bytes(a);
    for (int32_t i = 0; i < a->graph->node_count; i++)
        if (computes(&a->graph->nodes[i]) && !a->queries[a->graph->nodes[i].output])
            CF_TRY(price_node(list, i, sum, err));
    return price_copies(list, sum, err);
}

// Sets a run of candidates to int8 or back, if the network becomes cheaper (back: not more expensive) by it.
static cfine_status try_run(price_list *list, int32_t first, int32_t length, uint8_t int8, double *best, int *changed,
                            cfine_error *err) {
    uint8_t *chosen = list->a->chosen;
    int differ = 0;
    for (int32_t i = 0; i < length; i++) {
        list->before[i] = chosen[list->candidates[first + i]];
        differ += list->before[i] != int8;
    }
    // A shorter run does the same where the ends agree already.
    if (!differ || list->before[0] == int8 || list->before[length - 1] == int8) return CFINE_OK;
    for (int32_t i = 0; i < length; i++) chosen[list->candidates[first + i]] = int8;
    double sum;
    CF_TRY(price_all(list, &sum, err));
    if (int8 ? sum < *best : sum <= *best) {
        *best = sum;
        *changed = 1;
    } else {
        for (int32_t i = 0; i < length; i++) chosen[list->candidates[first + i]] = list->before[i];
    }
    return CFINE_OK;
}

static cfine_status lower(price_list *list, double *best, cfine_error *err) {
    CF_TRY(price_all(list, best, err));
    for (int changed = 1; changed;) {
        changed = 0;
        for (int32_t length = 1; length <= LONGEST_RUN; length++)
            for (int32_t first = 0; first + length <= list->count; first++)
                for (uint8_t int8 = 0; int8 < 2; int8++)
                    CF_TRY(try_run(list, first, length, int8, best, &changed, err));
    }
    return CFINE_OK;
}

// From everything in int8 and from nothing, and the better of both.
static cfine_status lower_from_both_ends(price_list *list, cfine_error *err) {
    uint8_t *chosen = list->a->chosen, *kept = cf_alloc((size_t)list->a->nodes, 1);
    if (!kept) return cf_fail_memory(err, "prices", (size_t)list->a->nodes);
    double from_all = 0, from_none = 0;
    cfine_status status = lower(list, &from_all, err);
    memcpy(kept, chosen, (size_t)list->a->nodes);
    memset(chosen, 0, (size_t)list->a->nodes);
    if (status == CFINE_OK) status = lower(list, &from_none, err);
    if (from_all < from_none) memcpy(chosen, kept, (size_t)list->a->nodes);
    cf_free(kept);
    return status;
}

cfine_status cf_assignment_lower_price(cf_assignment *a, cf_pricer *pricer, cfine_error *err) {
    size_t prices = (size_t)a->nodes * KINDS;
    price_list list = {a,
                       pricer,
                       cf_alloc(prices, sizeof(double)),
                       cf_alloc((size_t)a->values, sizeof(double)),
                       cf_alloc((size_t)a->nodes, sizeof(int32_t)),
                       cf_alloc(LONGEST_RUN, 1),
                       0};
    cfine_status status = CFINE_OK;
    if (!list.nodes || !list.copies || !list.candidates || !list.before) {
        status = cf_fail_memory(err, "prices", prices * sizeof(double));
    } else {
        for (size_t i = 0; i < prices; i++) list.nodes[i] = -1;
        for (int32_t v = 0; v < a->values; v++) list.copies[v] = -1;
        for (int32_t i = 0; i < a->nodes; i++)
            if (a->chosen[i]) list.candidates[list.count++] = i;
        status = lower_from_both_ends(&list, err);
    }
    cf_free(list.nodes);
    cf_free(list.copies);
    cf_free(list.candidates);
    cf_free(list.before);
    return status;
}
