// SPDX-License-Identifier: Apache-2.0
#include "quant/collect.h"

#include <string.h>

#include "base/memory.h"
#include "quant/assign_int8.h"

static int is_recorded(const cf_node *node, const uint8_t *queries) {
    return !node->dead && !queries[node->output] && node->op != CF_OP_INPUT && node->op != CF_OP_CONCAT &&
           node->op != CF_OP_TOKENS && node->op != CF_OP_SLICE;
}

static cfine_status add_records(cf_collector *collector, const cf_graph *graph, const uint8_t *queries,
                                cfine_error *err) {
    int32_t most = 1;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (!is_recorded(node, queries)) continue;
        cf_record *record = &collector->records[collector->count++];
        record->name = cf_strdup(node->name);
        record->channels = graph->values[node->output].c;
        record->sums = cf_alloc((size_t)record->channels, sizeof *record->sums);
        if (!record->name || !record->sums) return cf_fail_memory(err, "calibration", (size_t)record->channels * 8);
        most = record->channels > most ? record->channels : most;
    }
    collector->row = cf_alloc((size_t)most, sizeof *collector->row);
    return collector->row ? CFINE_OK : cf_fail_memory(err, "calibration", (size_t)most * 4);
}

cfine_status cf_collector_create(const cf_graph *graph, cf_collector **out, cfine_error *err) {
    *out = NULL;
    cf_collector *collector = cf_alloc(1, sizeof *collector);
    uint8_t *queries = cf_alloc((size_t)graph->value_count, 1);
    if (collector) collector->records = cf_alloc((size_t)graph->node_count, sizeof *collector->records);
    cfine_status status = CFINE_OK;
    if (!collector || !queries || !collector->records)
        status = cf_fail_memory(err, "calibration", (size_t)graph->node_count * sizeof(cf_record));
    if (status == CFINE_OK) {
        cf_quant_find_queries(graph, queries);
        status = add_records(collector, graph, queries, err);
    }
    cf_free(queries);
    if (status != CFINE_OK) {
        cf_collector_destroy(collector);
        return status;
    }
    *out = collector;
    return CFINE_OK;
}

void cf_collector_destroy(cf_collector *collector) {
    if (!collector) return;
    for (int32_t i = 0; collector->records && i < collector->count; i++) {
        cf_free(collector->records[i].name);
        cf_free(collector->records[i].sums);
    }
    cf_free(collector->records);
    cf_free(collector->record_of);
    cf_free(collector->row);
    cf_free(collector);
}

const cf_record *cf_collector_find(const cf_collector *collector, const char *name) {
    for (int32_t i = 0; i < collector->count; i++)
        if (!strcmp(collector->records[i].name, name)) return &collector->records[i];
    return NULL;
}

static cf_look look(void *arg, int step) {
    const cf_collector *collector = arg;
    return collector->record_of[step] == CF_NONE ? CF_LOOK_AWAY : CF_LOOK_AT_OUTPUT;
}

static void see(void *arg, int step, const cf_call *call) {
    cf_collector *collector = arg;
    cf_record *record = &collector->records[collector->record_of[step]];
    const cf_tensor *out = &call->out[0];
    for (int n = 0; n < call->images; n++)
        for (int y = 0; y < out->h; y++)
            for (int x = 0; x < out->w; x++) {
                const float *row = cf_tensor_at(out, n, y, x);
                if (out->dtype != CF_F32) {
                    for (int c = 0; c < out->c; c++) collector->row[c] = cf_tensor_get(out, n, y, x, c);
                    row = collector->row;
                }
                for (int c = 0; c < out->c; c++) record->sums[c] += (double)row[c];
                cf_histogram_add(&record->histogram, row, out->c);
            }
    record->pixels += (double)call->images * out->h * out->w;
}

cfine_status cf_collector_watch(cf_collector *collector, cf_session *session, cfine_error *err) {
    const cf_plan *plan = session->plan;
    cf_free(collector->record_of);
    collector->record_of = cf_alloc((size_t)plan->step_count, sizeof *collector->record_of);
    if (!collector->record_of) return cf_fail_memory(err, "calibration", (size_t)plan->step_count * sizeof(int32_t));
    for (int32_t i = 0; i < plan->step_count; i++) {
        const cf_record *found = cf_collector_find(collector, plan->steps[i].name);
        int records =
            found && plan->steps[i].problem.op != CF_OP_HALO && plan->steps[i].problem.out[0].c == found->channels;
        collector->record_of[i] = records ? (int32_t)(found - collector->records) : CF_NONE;
    }
    session->observer = (cf_observer){look, see, collector};
    return CFINE_OK;
}
