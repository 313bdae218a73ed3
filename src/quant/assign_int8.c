// SPDX-License-Identifier: Apache-2.0
// Three walks over the graph. Backwards: who wants a value in bytes (`want`), and who needs it whole (`plain`). A value
// that someone wants and nobody else needs is stored in bytes by whoever makes it, in its epilogue; where both ask, it
// stays whole and a copy is made for those who want bytes. Then the copies: a convolution that wins less than its
// copies cost goes back to what it was, and the walks start over. At last dtypes, scales and copies are written down.
#include "quant/assignment.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

const cf_byte_costs cf_byte_costs_tiles = {.copy = 400, .product = 64},
                    cf_byte_costs_vectors = {.copy = 100, .product = 4};

// The share of a half-precision convolution's time that int8 saves where it takes half the products.
static const double SAVED = 0.45;

enum { LEAST_CHANNELS = 8, MOST_STORED = 255 };

void cf_quant_find_queries(const cf_graph *graph, uint8_t *queries) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        queries[node->output] = node->op == CF_OP_TOP_QUERIES;
        for (int k = 0; k < node->input_count; k++) queries[node->output] |= queries[node->inputs[k]];
    }
}

int cf_quant_is_candidate(const cf_graph *graph, const cf_node *node, const uint8_t *queries) {
    return !node->dead && node->op == CF_OP_CONV && node->attr.conv.groups == 1 && !queries[node->output] &&
           node->inputs[0] != graph->input && graph->values[node->inputs[0]].c >= LEAST_CHANNELS;
}

cfine_status cf_quant_fingerprint(const cf_graph *graph, uint64_t *out, cfine_error *err) {
    uint8_t *queries = cf_alloc((size_t)graph->value_count, 1);
    if (!queries) return cf_fail_memory(err, "fingerprint", (size_t)graph->value_count);
    cf_quant_find_queries(graph, queries);
    *out = 0;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (!cf_quant_is_candidate(graph, node, queries)) continue;
        *out = cf_hash64(node->name, strlen(node->name), *out);
        for (int k = 0; k < 2; k++)
            if (node->constants[k].data)
                *out = cf_hash64(node->constants[k].data,
                                 (size_t)cf_constant_count(&node->constants[k]) * sizeof(float), *out);
    }
    cf_free(queries);
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Who wants bytes

// Operators whose kernels read and write any stored type, element by element.
static int takes_bytes(const cf_node *node, int input) {
    switch (node->op) {
    case CF_OP_CONV: return input == 1 || node->attr.conv.groups > 1; // the residual, or depthwise
    case CF_OP_ADD:
    case CF_OP_COPY:
    case CF_OP_ACTIVATION:
    case CF_OP_SCALE_SHIFT:
    case CF_OP_UPSAMPLE:
    case CF_OP_MAX_POOL:
    case CF_OP_AVG_POOL:
    case CF_OP_GLOBAL_POOL: return 1;
    default: return 0;
    }
}

// A concat has a scale for each part, which only convolutions that know their input's channels understand.
static int has_parts(const cf_graph *graph, int32_t value) {
    const cf_node *node = cf_graph_producer(graph, value);
    return node->op == CF_OP_CONCAT || (node->op == CF_OP_SLICE && has_parts(graph, node->inputs[0]));
}

static void ask(cf_assignment *a, const cf_node *node, int input) {
    int32_t v = node->inputs[input], out = node->output;
    if (node->op == CF_OP_CONV && input == 0 && a->chosen[node - a->graph->nodes])
        a->want[v] = 1;
    else if (node->op == CF_OP_SLICE && !has_parts(a->graph, v))
        a->want[v] |= a->want[out], a->plain[v] |= a->plain[out];
    else if (node->op == CF_OP_CONCAT)
        a->want[v] |= a->want[out] && !a->plain[out], a->plain[v] |= !a->want[out] || a->plain[out];
    else if (!takes_bytes(node, input) || has_parts(a->graph, v))
        a->plain[v] = 1;
    else if (node->op == CF_OP_UPSAMPLE || node->op == CF_OP_MAX_POOL) // bytes stay the same bytes
        a->want[v] |= a->want[out] && !a->plain[out];
}

void cf_assignment_find_bytes(cf_assignment *a) {
    cf_graph *graph = a->graph;
    memset(a->want, 0, (size_t)a->values);
    memset(a->plain, 0, (size_t)a->values);
    memset(a->byte, 0, (size_t)a->values);
    a->plain[graph->logits] = a->plain[graph->boxes] = a->plain[graph->input] = 1;
    for (int32_t i = graph->node_count - 1; i >= 0; i--)
        for (int k = 0; k < graph->nodes[i].input_count && !graph->nodes[i].dead; k++) ask(a, &graph->nodes[i], k);
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        a->byte[node->output] = a->want[node->output] && !a->plain[node->output] && !a->queries[node->output];
        if (node->op == CF_OP_SLICE) a->byte[node->output] = a->byte[node->inputs[0]]; // a view of the same bytes
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What copies cost

void cf_assignment_each_copy(cf_assignment *a, int32_t value, void (*visit)(cf_assignment *, int32_t, double *),
                             double *arg) {
    const cf_node *node = cf_graph_producer(a->graph, value);
    if (!a->byte[value])
        visit(a, value, arg);
    else if (node->op == CF_OP_CONCAT)
        for (int k = 0; k < node->input_count; k++) cf_assignment_each_copy(a, node->inputs[k], visit, arg);
}

static void count_reader(cf_assignment *a, int32_t value, double *arg) {
    (void)arg;
    a->share[value]++;
}

static double copy_cost(const cf_assignment *a, int32_t value) {
    const cf_value *v = &a->graph->values[value];
    return a->costs->copy * v->h * v->w * v->c;
}

static void add_share(cf_assignment *a, int32_t value, double *cost) {
    *cost += copy_cost(a, value) / a->share[value];
}

// Products that a kernel row takes at so many bytes a channel.
static int products(const cf_assignment *a, const cf_node *node, int size) {
    int bytes = node->attr.conv.kernel_w * a->graph->values[node->inputs[0]].c * size;
    return (bytes + a->costs->product - 1) / a->costs->product;
}

// What a convolution wins in int8, its input being there in bytes: nothing, where few channels fill as many products.
static double saved(const cf_assignment *a, const cf_node *node) {
    double left = (double)products(a, node, 1) / products(a, node, 2);
    return SAVED * 2 * (1 - left) * cf_node_flops(a->graph, node);
}

// Takes back the convolution that loses most; 0 when all win.
static int drop_worst(cf_assignment *a) {
    int32_t worst = CF_NONE;
    double least = 0;
    for (int32_t v = 0; v < a->graph->value_count; v++) a->share[v] = 0;
    for (int32_t i = 0; i < a->graph->node_count; i++)
        if (a->chosen[i]) cf_assignment_each_copy(a, a->graph->nodes[i].inputs[0], count_reader, NULL);
    for (int32_t i = 0; i < a->graph->node_count; i++) {
        if (!a->chosen[i]) continue;
        double cost = 0;
        cf_assignment_each_copy(a, a->graph->nodes[i].inputs[0], add_share, &cost);
        double gain = saved(a, &a->graph->nodes[i]) - cost;
        if (gain < least || (worst == CF_NONE && gain == 0)) least = gain, worst = i;
    }
    if (worst != CF_NONE) a->chosen[worst] = 0;
    return worst != CF_NONE;
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing it down

// The node whose range a value has: itself, or what a slice, a copy, an upsampled or pooled map shows.
static const cf_node *origin(const cf_graph *graph, int32_t value) {
    const cf_node *node = cf_graph_producer(graph, value);
    return node->op == CF_OP_SLICE ? origin(graph, node->inputs[0]) : node;
}

// Scale and zero point such that the lowest value, where it is below 0, is met exactly: behind a ReLU with an affine
// block most values are the lowest one.
static void set_units(cf_value *value, float low, float high) {
    low = low < 0 ? low : 0;
    high = high > 0 ? high : 0;
    float scale = (high - low) / MOST_STORED;
    if (!(scale > 1e-30f)) scale = 1e-30f;
    int32_t zero = (int32_t)(-low / scale); // rounds down, which makes room upwards
    if (zero > 0 && high > 0)
        scale = -low / (float)zero;
    else if (low < 0 && high > 0) // not even one step below 0
        zero = 1, scale = fmaxf(high / (MOST_STORED - 1), -low);
    value->dtype = CF_U8;
    value->scale = scale;
    value->zero = zero > MOST_STORED ? MOST_STORED : zero;
}

// Widens low..high by the range of what the node makes: of all parts, where it joins them.
static cfine_status find_range(const cf_assignment *a, const cf_node *node, float *low, float *high, cfine_error *err) {
    if (node->op == CF_OP_CONCAT || node->op == CF_OP_TOKENS) {
        for (int k = 0; k < node->input_count; k++)
            CF_TRY(find_range(a, origin(a->graph, node->inputs[k]), low, high, err));
        return CFINE_OK;
    }
    const cf_value_range *range = cf_calibration_range(a->calibration, node->name);
    if (!range)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "calibration has no range of %s; calibrate again: cfine calibrate --model MODEL --images DIR -o "
                       "FILE",
                       node->name);
    *low = fminf(*low, range->low);
    *high = fmaxf(*high, range->high);
    return CFINE_OK;
}

// The range ends at a quarter of the largest number: what calibration left out, and what other pictures have, still
// fits, and small values lose nothing, since the steps of E4M3 are relative.
static void set_floating_units(cf_value *value, float low, float high) {
    enum { MOST = 448 / 4 };
    float most = fmaxf(-low, high);
    value->dtype = CF_E4M3;
    value->scale = fmaxf(most / MOST, 1e-30f);
    value->zero = 0;
}

static cfine_status set_range(cf_assignment *a, int32_t value, const cf_node *source, cfine_error *err) {
    float low = 0, high = 0;
    CF_TRY(find_range(a, source, &low, &high, err));
    (a->stored == CF_E4M3 ? set_floating_units : set_units)(&a->graph->values[value], low, high);
    return CFINE_OK;
}

static void take_units(cf_graph *graph, int32_t value, int32_t from) {
    graph->values[value].dtype = graph->values[from].dtype;
    graph->values[value].scale = graph->values[from].scale;
    graph->values[value].zero = graph->values[from].zero;
}

static cfine_status set_dtypes(cf_assignment *a, cfine_error *err) {
    cf_graph *graph = a->graph;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || !a->byte[node->output]) continue;
        int same = node->op == CF_OP_SLICE || node->op == CF_OP_UPSAMPLE || node->op == CF_OP_MAX_POOL;
        if (same && graph->values[node->inputs[0]].dtype == a->stored)
            take_units(graph, node->output, node->inputs[0]);
        else if (node->op == CF_OP_CONCAT)
            graph->values[node->output].dtype = a->stored; // its units follow when all parts have theirs
        else
            CF_TRY(set_range(a, node->output, node, err));
    }
    return CFINE_OK;
}

// The last node goes to `position`.
static void move_last(cf_graph *graph, int32_t position) {
    cf_node node = graph->nodes[graph->node_count - 1];
    memmove(&graph->nodes[position + 1], &graph->nodes[position],
            (size_t)(graph->node_count - 1 - position) * sizeof *graph->nodes);
    graph->nodes[position] = node;
    for (int32_t i = position; i < graph->node_count; i++) graph->values[graph->nodes[i].output].node = i;
}

// Makes node->inputs[input] a copy in bytes of what it was. Node numbers behind the copy change.
static cfine_status read_copy(cf_assignment *a, int32_t reader, int input, cfine_error *err) {
    cf_graph *graph = a->graph;
    int32_t output = graph->nodes[reader].output, source = graph->nodes[reader].inputs[input];
    if (a->copy[source] == CF_NONE) {
        int32_t copy = cf_graph_add(graph, CF_OP_COPY, NULL, &source, 1, NULL, 0, "%s.%s",
                                    cf_graph_producer(graph, source)->name, a->stored == CF_E4M3 ? "e4m3" : "u8");
        if (copy == CF_NONE) return cf_graph_check(graph, err);
        move_last(graph, graph->values[source].node + 1);
        CF_TRY(set_range(a, copy, origin(graph, source), err));
        a->copy[source] = copy;
    }
    cf_graph_producer(graph, output)->inputs[input] = a->copy[source];
    return CFINE_OK;
}

static cfine_status insert_copies(cf_assignment *a, cfine_error *err) {
    cf_graph *graph = a->graph;
    for (int32_t i = 0; i < graph->value_count; i++) a->copy[i] = CF_NONE;
    for (int32_t i = 0; i < graph->node_count; i++) { // a copy moves the nodes behind it: look at this one again
        int reads = graph->nodes[i].dead ? 0 : graph->nodes[i].op == CF_OP_CONCAT ? graph->nodes[i].input_count : 1;
        int bytes = graph->nodes[i].op == CF_OP_CONCAT ? graph->values[graph->nodes[i].output].dtype == a->stored
                                                       : a->chosen[graph->nodes[i].output];
        for (int k = 0; k < reads && bytes; k++) {
            if (graph->values[graph->nodes[i].inputs[k]].dtype == a->stored) continue;
            int32_t before = graph->node_count;
            CF_TRY(read_copy(a, i, k, err));
            i += graph->node_count - before;
        }
    }
    return CFINE_OK;
}

// Writes scale and zero of every channel of a value into the two rows at scale and zero; returns how many.
static int32_t units_of(const cf_graph *graph, int32_t value, float *scale, float *zero) {
    const cf_node *node = cf_graph_producer(graph, value);
    const cf_value *v = &graph->values[value];
    if (node->op != CF_OP_CONCAT) {
        for (int32_t c = 0; c < v->c; c++) scale[c] = v->scale, zero[c] = (float)v->zero;
        return v->c;
    }
    int32_t done = 0;
    for (int k = 0; k < node->input_count; k++) done += units_of(graph, node->inputs[k], scale + done, zero + done);
    return done;
}

// Concats: the units of the first part for the value as such, and of every channel for convolutions that read it.
static cfine_status set_concat_units(cf_graph *graph, cf_dtype stored, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        cf_node *node = &graph->nodes[i];
        if (node->dead || node->input_count == 0) continue;
        if (node->op == CF_OP_CONCAT && graph->values[node->output].dtype == stored)
            take_units(graph, node->output, node->inputs[0]);
        const cf_value *in = &graph->values[node->inputs[0]];
        if (node->op != CF_OP_CONV || in->dtype != stored ||
            cf_graph_producer(graph, node->inputs[0])->op != CF_OP_CONCAT)
            continue;
        cf_constant units = cf_constant_create(graph, 2, (int32_t[]){2, in->c});
        if (!units.data) return cf_graph_check(graph, err);
        units_of(graph, node->inputs[0], units.data, units.data + in->c);
        node->constants[2] = units;
    }
    return CFINE_OK;
}

static cfine_status correct_bias(cf_assignment *a, cf_node *node, cfine_error *err) {
    const cf_quant_operator *entry = cf_calibration_operator(a->calibration, node->name);
    if (!entry->correction_count) return CFINE_OK;
    int32_t outputs = node->constants[0].shape[0];
    if (entry->correction_count != outputs)
        return cf_fail(err, CFINE_ERROR_FORMAT, "calibration corrects %d channels of %s, which has %d",
                       entry->correction_count, node->name, outputs);
    if (!node->constants[1].data) node->constants[1] = cf_constant_create(a->graph, 1, &outputs);
    if (!node->constants[1].data) return cf_graph_check(a->graph, err);
    for (int32_t o = 0; o < outputs; o++) node->constants[1].data[o] += entry->correction[o];
    return CFINE_OK;
}

// `chosen` goes by node until here and by value from here on, because copies renumber nodes.
static cfine_status write_down(cf_assignment *a, cfine_error *err) {
    cf_graph *graph = a->graph;
    uint8_t *by_value = cf_alloc((size_t)a->values, 1);
    if (!by_value) return cf_fail_memory(err, "pass", (size_t)a->values);
    cfine_status status = CFINE_OK;
    for (int32_t i = 0; i < graph->node_count && status == CFINE_OK; i++) {
        by_value[graph->nodes[i].output] |= a->chosen[i];
        // What calibration corrects is the rounding of int8's weights.
        if (a->chosen[i] && a->stored == CF_U8) status = correct_bias(a, &graph->nodes[i], err);
    }
    cf_free(a->chosen);
    a->chosen = by_value;
    if (status == CFINE_OK) status = set_dtypes(a, err);
    if (status == CFINE_OK) status = insert_copies(a, err);
    if (status == CFINE_OK) status = set_concat_units(graph, a->stored, err);
    return status == CFINE_OK ? cf_graph_check(graph, err) : status;
}

// ---------------------------------------------------------------------------------------------------------------------

static cfine_status choose(cf_assignment *a, cfine_error *err) {
    cf_graph *graph = a->graph;
    int32_t found = 0;
    for (int32_t i = 0; i < graph->node_count; i++) {
        if (!cf_quant_is_candidate(graph, &graph->nodes[i], a->queries)) continue;
        const cf_quant_operator *entry = cf_calibration_operator(a->calibration, graph->nodes[i].name);
        found += entry != NULL;
        a->chosen[i] = entry && entry->int8;
    }
    if (found == a->calibration->operator_count) return CFINE_OK;
    for (int32_t i = 0; i < a->calibration->operator_count; i++) {
        const char *name = a->calibration->operators[i].name;
        int32_t k = 0;
        while (k < graph->node_count && (graph->nodes[k].dead || strcmp(graph->nodes[k].name, name))) k++;
        if (k == graph->node_count)
            return cf_fail(err, CFINE_ERROR_FORMAT, "calibration names an operator that the model lacks: %s", name);
    }
    return cf_fail(err, CFINE_ERROR_FORMAT, "calibration names operators that int8 cannot do");
}

static cfine_status check_model(const cf_graph *graph, const cf_calibration *calibration, cfine_error *err) {
    uint64_t fingerprint;
    CF_TRY(cf_quant_fingerprint(graph, &fingerprint, err));
    if (fingerprint == calibration->fingerprint) return CFINE_OK;
    return cf_fail(err, CFINE_ERROR_MISMATCH,
                   "calibration is of another model (%s, fingerprint %016llx; this one has %016llx); calibrate this "
                   "one: cfine calibrate --model MODEL --images DIR -o FILE",
                   calibration->model, (unsigned long long)calibration->fingerprint, (unsigned long long)fingerprint);
}

// How the chosen operators are settled: by prices, by costs, or (neither) at any cost.
static cfine_status settle(cf_assignment *a, cf_pricer *pricer, cfine_error *err) {
    if (pricer) CF_TRY(cf_assignment_lower_price(a, pricer, err));
    do cf_assignment_find_bytes(a);
    while (a->costs && drop_worst(a));
    return CFINE_OK;
}

static cfine_status assign(cf_graph *graph, const cf_calibration *calibration, cf_dtype stored,
                           const cf_byte_costs *costs, cf_pricer *pricer, cfine_error *err) {
    CF_TRY(check_model(graph, calibration, err));
    int32_t values = graph->value_count + graph->node_count * CF_MAX_INPUTS, nodes = graph->node_count;
    cf_assignment a = {
        .graph = graph, .calibration = calibration, .costs = costs, .stored = stored, .values = values, .nodes = nodes};
    uint8_t *flags = cf_alloc((size_t)values, 4);
    a.chosen = cf_alloc((size_t)nodes, 1);
    a.copy = cf_alloc((size_t)values, sizeof *a.copy);
    a.share = cf_alloc((size_t)values, sizeof *a.share);
    cfine_status status = CFINE_OK;
    if (!flags || !a.chosen || !a.copy || !a.share) status = cf_fail_memory(err, "pass", (size_t)values);
    if (status == CFINE_OK) {
        a.queries = flags, a.want = flags + values, a.plain = flags + 2 * values, a.byte = flags + 3 * values;
        cf_quant_find_queries(graph, a.queries);
        status = choose(&a, err);
    }
    if (status == CFINE_OK) status = settle(&a, pricer, err);
    if (status == CFINE_OK) status = write_down(&a, err);
    cf_free(flags);
    cf_free(a.chosen);
    cf_free(a.copy);
    cf_free(a.share);
    return status;
}

cfine_status cf_assign_int8(cf_graph *graph, const cf_calibration *calibration, const cf_byte_costs *costs,
                            cfine_error *err) {
    return assign(graph, calibration, CF_U8, costs, NULL, err);
}

cfine_status cf_assign_bytes_by_price(cf_graph *graph, const cf_calibration *calibration, cf_dtype stored,
                                      cf_pricer *pricer, cfine_error *err) {
    return assign(graph, calibration, stored, NULL, pricer, err);
}
