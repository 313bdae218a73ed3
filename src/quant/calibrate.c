// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "graph/passes/passes.h"
#include "quant/assign_int8.h"
#include "quant/collect.h"
#include "quant/sensitivity.h"

typedef struct calibrator {
    const cf_checkpoint *checkpoint;
    const cf_calibrate_request *request;
    cf_calibration *made;
    double *flops; // of each operator of `made`
} calibrator;

static void tell(const calibrator *c, const char *stage, int done, int total) {
    if (c->request->progress) c->request->progress(c->request->arg, stage, done, total);
}

static cfine_status build_graph(const calibrator *c, cf_graph **graph, cfine_error *err) {
    CF_TRY(cf_model_build(c->checkpoint, &c->request->shape, graph, err));
    cfine_status status = cf_passes_run(*graph, err);
    if (status != CFINE_OK) {
        cf_graph_destroy(*graph);
        *graph = NULL;
    }
    return status;
}

// A session of the graph, which loses its constants.
static cfine_status open_session(const calibrator *c, cf_graph *graph, cfine_precision precision, cf_session **out,
                                 cfine_error *err) {
    const cf_plan_request cpu = {.threads = c->request->threads, .target = {CF_CPU, cf_cpu_features(), 0}};
    cf_plan_request request = c->request->gpu ? *c->request->gpu : cpu;
    request.precision = precision;
    request.batch = 1;
    cf_plan *plan;
    CF_TRY(cf_plan_compile(graph, &request, &plan, err));
    plan->preprocess = c->checkpoint->config.preprocess;
    cf_session_options options = {.threads = c->request->threads, .gpu = request.ordinal};
    cfine_status status = cf_session_create(plan, &options, out, err);
    cf_plan_release(plan); // the session keeps it
    return status;
}

static cfine_status run_images(const calibrator *c, cf_session *session, int images, const char *stage,
                               cfine_error *err) {
    for (int i = 0; i < images; i++) {
        CF_TRY(c->request->fill(c->request->arg, session, i, err));
        CF_TRY(cf_session_forward(session, 1, CF_PIXELS_INPUT, err));
        if (stage) tell(c, stage, i + 1, images);
    }
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Ranges

static cfine_status take_ranges(calibrator *c, const cf_collector *collector, cfine_error *err) {
    for (int32_t i = 0; i < collector->count; i++) {
        cf_value_range *range = &c->made->ranges[i];
        range->name = cf_strdup(collector->records[i].name);
        if (!range->name) return cf_fail_memory(err, "calibration", strlen(collector->records[i].name));
        cf_histogram_range(&collector->records[i].histogram, c->request->method, &range->low, &range->high);
    }
    return CFINE_OK;
}

// Means of the channels of a value into means[]; returns how many, or 0 where they are not known.
static int32_t means_of(const cf_graph *graph, const cf_collector *collector, int32_t value, double *means) {
    const cf_node *node = cf_graph_producer(graph, value);
    int32_t count = 0;
    if (node->op == CF_OP_CONCAT) {
        for (int k = 0; k < node->input_count; k++) {
            int32_t part = means_of(graph, collector, node->inputs[k], means + count);
            if (!part) return 0;
            count += part;
        }
        return count;
    }
    int32_t first = 0;
    for (; node->op == CF_OP_SLICE; node = cf_graph_producer(graph, node->inputs[0])) first += node->attr.slice.first;
    const cf_record *record = cf_collector_find(collector, node->name);
    count = graph->values[value].c;
    if (!record || record->pixels <= 0 || first + count > record->channels) return 0;
    for (int32_t i = 0; i < count; i++) means[i] = record->sums[first + i] / record->pixels;
    return count;
}

// What rounding an operator's weights adds to its outputs on average, subtracted: sum over the input's channels of
// (weight - rounded weight) * mean. Rounded as kernels do: each output's largest weight becomes 127. (Where a concat's
// parts have scales of their own the rounding differs a little; so does then the correction.)
static cfine_status correct(cf_quant_operator *entry, const cf_node *node, const double *means, int32_t channels,
                            cfine_error *err) {
    const cf_constant *weight = &node->constants[0];
    int32_t outputs = weight->shape[0], taps = weight->shape[2] * weight->shape[3];
    entry->correction = cf_alloc((size_t)outputs, sizeof *entry->correction);
    if (!entry->correction) return cf_fail_memory(err, "calibration", (size_t)outputs * sizeof(float));
    entry->correction_count = outputs;
    for (int32_t o = 0; o < outputs; o++) {
        const float *row = weight->data + (size_t)o * (size_t)channels * (size_t)taps;
        float most = 0;
        for (int32_t i = 0; i < channels * taps; i++) most = fmaxf(most, fabsf(row[i]));
        float step = most > 0 ? most / 127 : 1;
        double sum = 0;
        for (int32_t i = 0; i < channels * taps; i++)
            sum += (double)(row[i] - step * nearbyintf(row[i] / step)) * means[i / taps];
        entry->correction[o] = (float)sum;
    }
    return CFINE_OK;
}

// The operators that int8 could do, all of them marked, with their bias corrections.
static cfine_status take_operators(calibrator *c, const cf_graph *graph, const cf_collector *collector,
                                   const uint8_t *queries, double *means, cfine_error *err) {
    cf_quant_operator *entry = c->made->operators;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (!cf_quant_is_candidate(graph, node, queries)) continue;
        entry->name = cf_strdup(node->name);
        if (!entry->name) return cf_fail_memory(err, "calibration", strlen(node->name));
        entry->int8 = 1;
        int32_t channels = means_of(graph, collector, node->inputs[0], means);
        if (channels) CF_TRY(correct(entry, node, means, channels, err));
        entry++;
    }
    return CFINE_OK;
}

static cfine_status start(calibrator *c, const cf_graph *graph, const cf_collector *collector, const uint8_t *queries,
                          cfine_error *err) {
    int32_t operators = 0;
    for (int32_t i = 0; i < graph->node_count; i++)
        operators += cf_quant_is_candidate(graph, &graph->nodes[i], queries);
    CF_TRY(cf_calibration_create(collector->count, operators, &c->made, err));
    snprintf(c->made->model, sizeof c->made->model, "%s %s", cf_model_family_name(c->checkpoint->config.family),
             c->checkpoint->size);
    c->made->method = c->request->method;
    c->made->images = c->request->images;
    c->made->random = c->request->random;
    c->made->width = graph->values[graph->input].w;
    c->made->height = graph->values[graph->input].h;
    return cf_quant_fingerprint(graph, &c->made->fingerprint, err);
}

static cfine_status measure_ranges(calibrator *c, cfine_error *err) {
    cf_graph *graph, *compiled = NULL;
    cf_collector *collector = NULL;
    cf_session *session = NULL;
    CF_TRY(build_graph(c, &graph, err));
    uint8_t *queries = cf_alloc((size_t)graph->value_count, 1);
    int32_t widest = 1;
    for (int32_t v = 0; v < graph->value_count; v++) widest = graph->values[v].c > widest ? graph->values[v].c : widest;
    double *means = cf_alloc((size_t)widest, sizeof *means);
    cfine_status status = queries && means ? CFINE_OK : cf_fail_memory(err, "calibration", (size_t)widest * 8);
    if (status == CFINE_OK) cf_quant_find_queries(graph, queries);
    if (status == CFINE_OK) status = cf_collector_create(graph, &collector, err);
    if (status == CFINE_OK) status = start(c, graph, collector, queries, err);
    if (status == CFINE_OK) status = build_graph(c, &compiled, err); // compiling takes the weights away
    if (status == CFINE_OK) status = open_session(c, compiled, CFINE_FP32, &session, err);
    cf_graph_destroy(compiled);
    if (status == CFINE_OK) status = cf_collector_watch(collector, session, err);
    if (status == CFINE_OK) status = run_images(c, session, c->request->images, "ranges", err);
    if (status == CFINE_OK) status = take_ranges(c, collector, err);
    if (status == CFINE_OK) status = take_operators(c, graph, collector, queries, means, err);
    cf_session_destroy(session);
    cf_collector_destroy(collector);
    cf_graph_destroy(graph);
    cf_free(queries);
    cf_free(means);
    if (status == CFINE_OK) cf_calibration_sort(c->made);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Sensitivity

// Error of the network with the operators that are marked int8 now; the rest is FP32.
static cfine_status measure_error(calibrator *c, cf_judge *judge, float *error, cfine_error *err) {
    cf_graph *graph;
    cf_session *session = NULL;
    CF_TRY(build_graph(c, &graph, err));
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        cf_quant_operator *entry = node->dead ? NULL : cf_calibration_operator(c->made, node->name);
        if (entry) c->flops[entry - c->made->operators] = cf_node_flops(graph, node);
    }
    cfine_status status = error ? cf_assign_int8(graph, c->made, NULL, err) : CFINE_OK;
    if (status == CFINE_OK) status = open_session(c, graph, error ? CFINE_INT8 : CFINE_FP32, &session, err);
    cf_graph_destroy(graph);
    if (status == CFINE_OK) status = cf_judge_watch(judge, session, err);
    if (status == CFINE_OK) status = run_images(c, session, c->request->judged, NULL, err);
    if (status == CFINE_OK && error) *error = (float)fmin(cf_judge_error(judge), 1e30);
    cf_session_destroy(session);
    return status;
}

// Takes operators out of int8 until the errors of the others sum up to the budget: always the one with the most error
// for the work that it saves.
static void keep_within(calibrator *c, double budget) {
    cf_calibration *made = c->made;
    for (;;) {
        double sum = 0, most = 0;
        int32_t worst = -1;
        for (int32_t i = 0; i < made->operator_count; i++) {
            if (!made->operators[i].int8) continue;
            double error = (double)made->operators[i].error, each = error / (c->flops[i] + 1);
            sum += error;
            if (each > most) most = each, worst = i;
        }
        if (sum <= budget || worst < 0) return;
        made->operators[worst].int8 = 0;
    }
}

static cfine_status measure_sensitivity(calibrator *c, cfine_error *err) {
    cf_calibration *made = c->made;
    cf_judge *judge;
    CF_TRY(cf_judge_create(c->request->judged, &judge, err));
    cfine_status status = measure_error(c, judge, NULL, err); // FP32: what is right
    for (int32_t i = 0; i < made->operator_count && status == CFINE_OK; i++) {
        for (int32_t k = 0; k < made->operator_count; k++) made->operators[k].int8 = k == i;
        status = measure_error(c, judge, &made->operators[i].error, err);
        tell(c, "sensitivity", i + 1, made->operator_count);
    }
    for (int32_t k = 0; k < made->operator_count; k++) made->operators[k].int8 = 1;
    cf_judge_destroy(judge);
    if (status == CFINE_OK) keep_within(c, c->request->budget);
    return status;
}

cfine_status cf_calibrate(const cf_checkpoint *checkpoint, const cf_calibrate_request *request, cf_calibration **out,
                          cfine_error *err) {
    *out = NULL;
    calibrator c = {.checkpoint = checkpoint, .request = request};
    cfine_status status = measure_ranges(&c, err);
    if (status == CFINE_OK) {
        c.flops = cf_alloc((size_t)c.made->operator_count, sizeof *c.flops);
        if (!c.flops) status = cf_fail_memory(err, "calibration", (size_t)c.made->operator_count * sizeof *c.flops);
    }
    if (status == CFINE_OK && request->judged > 0) status = measure_sensitivity(&c, err);
    cf_free(c.flops);
    if (status != CFINE_OK) {
        cf_calibration_destroy(c.made);
        return status;
    }
    *out = c.made;
    return CFINE_OK;
}
