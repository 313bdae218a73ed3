// SPDX-License-Identifier: Apache-2.0
// Looking over a session's shoulder: a histogram and the mean of every channel of each value that a run makes.
#ifndef CF_QUANT_COLLECT_H
#define CF_QUANT_COLLECT_H

#include "exec/session.h"
#include "graph/graph.h"
#include "quant/range.h"

// One recorded value.
typedef struct cf_record {
    char *name; // of the node
    int32_t channels;
    cf_histogram histogram;
    double *sums;  // of each channel
    double pixels; // that went into the sums
} cf_record;

typedef struct cf_collector {
    cf_record *records;
    int32_t count;
    int32_t *record_of; // by step of the plan; CF_NONE where nothing is recorded
    float *row;         // one pixel
} cf_collector;

// Records the values before queries are chosen. The session's plan was compiled from `graph` in FP32; the session must
// end before the collector does.
cfine_status cf_collector_create(const cf_graph *graph, cf_collector **out, cfine_error *err);
cfine_status cf_collector_watch(cf_collector *collector, cf_session *session, cfine_error *err);
void cf_collector_destroy(cf_collector *collector); // NULL is allowed

const cf_record *cf_collector_find(const cf_collector *collector, const char *name);

#endif
