// SPDX-License-Identifier: Apache-2.0
#include "metrics.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cfine/cfine.h"

enum { MAX_SERIES = 128, BUCKETS = 17, SIZE_BUCKETS = 11 };

static const double bounds[BUCKETS] = {0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.015,
                                       0.025,  0.05,    0.1,    0.25,  0.5,   1,     2.5,   10};

typedef struct {
    uint64_t buckets[BUCKETS + 1]; // of this bucket alone; the last has no bound
    double sum;
} histogram;

struct serve_metrics {
    pthread_mutex_t lock;
    struct {
        const char *route;
        int status;
        uint64_t count;
    } requests[MAX_SERIES];
    int series;
    histogram times[SERVE_TIMES];
    uint64_t sizes[SIZE_BUCKETS]; // runs of at most 1, 2, 4 ... images
    uint64_t runs, images, reloads, failed_reloads;
    double run_seconds;
};

static const char *const time_names[SERVE_TIMES][2] = {
    {"cfine_request_seconds", "Time from the head of a request to the end of its answer."},
    {"cfine_prepare_seconds", "Time to parse a request and decode its images."},
    {"cfine_queue_seconds", "Time that a prepared request waited for a worker."},
    {"cfine_compute_seconds", "Time of the run of the network that a request was part of."}};

serve_metrics *serve_metrics_create(void) {
    serve_metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics) pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

void serve_metrics_destroy(serve_metrics *metrics) {
    if (!metrics) return;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

void serve_metrics_count_request(serve_metrics *metrics, const char *route, int status) {
    pthread_mutex_lock(&metrics->lock);
    int i = 0;
    while (i < metrics->series && (metrics->requests[i].status != status || strcmp(metrics->requests[i].route, route)))
        i++;
    if (i < MAX_SERIES) {
        metrics->requests[i].route = route;
        metrics->requests[i].status = status;
        metrics->requests[i].count++;
        if (i == metrics->series) metrics->series++;
    }
    pthread_mutex_unlock(&metrics->lock);
}

void serve_metrics_time(serve_metrics *metrics, serve_time what, double seconds) {
    int bucket = 0;
    while (bucket < BUCKETS && seconds > bounds[bucket]) bucket++;
    pthread_mutex_lock(&metrics->lock);
    metrics->times[what].buckets[bucket]++;
    metrics->times[what].sum += seconds;
    pthread_mutex_unlock(&metrics->lock);
}

void serve_metrics_count_batch(serve_metrics *metrics, int images, double seconds) {
    int bucket = 0;
    while (bucket < SIZE_BUCKETS - 1 && images > 1 << bucket) bucket++;
    pthread_mutex_lock(&metrics->lock);
    metrics->sizes[bucket]++;
    metrics->runs++;
    metrics->images += (uint64_t)images;
    metrics->run_seconds += seconds;
    pthread_mutex_unlock(&metrics->lock);
}

void serve_metrics_count_reload(serve_metrics *metrics, int ok) {
    pthread_mutex_lock(&metrics->lock);
    metrics->reloads += (uint64_t)ok;
    metrics->failed_reloads += (uint64_t)!ok;
    pthread_mutex_unlock(&metrics->lock);
}

static void head(FILE *stream, const char *name, const char *type, const char *help) {
    fprintf(stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(FILE *stream, const char *name, const char *help, double value) {
    head(stream, name, "gauge", help);
    fprintf(stream, "%s %.15g\n", name, value);
}

static void counter(FILE *stream, const char *name, const char *help, double value) {
    head(stream, name, "counter", help);
    fprintf(stream, "%s %.15g\n", name, value);
}

static void write_histogram(FILE *stream, const histogram *times, const char *const name[2]) {
    head(stream, name[0], "histogram", name[1]);
    uint64_t count = 0;
    for (int i = 0; i < BUCKETS; i++) {
        count += times->buckets[i];
        fprintf(stream, "%s_bucket{le=\"%g\"} %llu\n", name[0], bounds[i], (unsigned long long)count);
    }
    count += times->buckets[BUCKETS];
    fprintf(stream, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name[0], (unsigned long long)count,
            name[0], times->sum, name[0], (unsigned long long)count);
}

static void write_sizes(FILE *stream, const serve_metrics *metrics) {
    static const char name[] = "cfine_batch_images";
    head(stream, name, "histogram", "Images in a run of the network.");
    uint64_t count = 0;
    for (int i = 0; i < SIZE_BUCKETS - 1; i++) {
        count += metrics->sizes[i];
        fprintf(stream, "%s_bucket{le=\"%d\"} %llu\n", name, 1 << i, (unsigned long long)count);
    }
    fprintf(stream, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %llu\n%s_count %llu\n", name,
            (unsigned long long)metrics->runs, name, (unsigned long long)metrics->images, name,
            (unsigned long long)metrics->runs);
}

// A label's value: backslash, quote and newline need care.
static void write_value(FILE *stream, const char *text) {
    for (; *text; text++) {
        if (*text == '\n') {
            fputs("\\n", stream);
            continue;
        }
        if (*text == '"' || *text == '\\') putc('\\', stream);
        putc(*text, stream);
    }
}

void serve_metrics_write(serve_metrics *metrics, const serve_gauges *gauges, FILE *stream) {
    pthread_mutex_lock(&metrics->lock);
    const serve_metrics now = *metrics; // written from a copy: the lock is short
    pthread_mutex_unlock(&metrics->lock);
    head(stream, "cfine_build_info", "gauge", "Always 1; the labels say what runs.");
    fprintf(stream, "cfine_build_info{version=\"%s\",precision=\"%s\",model=\"", cfine_version(), gauges->precision);
    write_value(stream, gauges->model);
    fputs("\",device=\"", stream);
    write_value(stream, gauges->device);
    fputs("\"} 1\n", stream);
    head(stream, "cfine_requests_total", "counter", "Requests by route and HTTP status.");
    for (int i = 0; i < now.series; i++)
        fprintf(stream, "cfine_requests_total{route=\"%s\",code=\"%d\"} %llu\n", now.requests[i].route,
                now.requests[i].status, (unsigned long long)now.requests[i].count);
    for (int i = 0; i < SERVE_TIMES; i++) write_histogram(stream, &now.times[i], time_names[i]);
    write_sizes(stream, &now);
    counter(stream, "cfine_images_total", "Images that went through the network.", (double)now.images);
    counter(stream, "cfine_busy_seconds_total", "Seconds that workers ran the network.", now.run_seconds);
    head(stream, "cfine_reloads_total", "counter", "Reloads of the model.");
    fprintf(stream, "cfine_reloads_total{result=\"ok\"} %llu\ncfine_reloads_total{result=\"failed\"} %llu\n",
            (unsigned long long)now.reloads, (unsigned long long)now.failed_reloads);
    gauge(stream, "cfine_queue_requests", "Requests that wait for a worker.", gauges->waiting);
    gauge(stream, "cfine_requests_in_flight", "Requests being read, run or answered.", gauges->requests);
    gauge(stream, "cfine_connections", "Open connections.", gauges->connections);
    gauge(stream, "cfine_body_bytes", "Bytes of request bodies held.", (double)gauges->body_bytes);
    gauge(stream, "cfine_ready", "1 when requests are taken.", gauges->ready);
}
