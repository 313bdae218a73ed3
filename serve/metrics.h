// SPDX-License-Identifier: Apache-2.0
// Counters and histograms, written in the text format that Prometheus reads.
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <stddef.h>
#include <stdio.h>

enum { SERVE_MAX_BATCH = 1024 };

typedef enum serve_time {
    SERVE_TIME_REQUEST, // from the first byte of the head to the last of the answer
    SERVE_TIME_PREPARE, // parsing and decoding
    SERVE_TIME_QUEUE,   // from prepared to taken by a worker
    SERVE_TIME_COMPUTE, // of the batch that the request was part of
    SERVE_TIMES
} serve_time;

typedef struct serve_metrics serve_metrics;

serve_metrics *serve_metrics_create(void); // NULL: out of memory
void serve_metrics_destroy(serve_metrics *metrics);

// All of these: any thread. `route` must be one of a few constants.
void serve_metrics_count_request(serve_metrics *metrics, const char *route, int status);
void serve_metrics_time(serve_metrics *metrics, serve_time what, double seconds);
void serve_metrics_count_batch(serve_metrics *metrics, int images, double seconds);
void serve_metrics_count_reload(serve_metrics *metrics, int ok);

// What is true now.
typedef struct serve_gauges {
    int waiting, requests, connections, ready;
    size_t body_bytes;
    const char *model, *precision, *device;
} serve_gauges;

void serve_metrics_write(serve_metrics *metrics, const serve_gauges *gauges, FILE *stream);

#endif
