// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "percentile.h"

const char *const bench_engine_names[] = {"cfine",    "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt",
                                          "openvino", "pytorch",     "torch-compile",    "torch-tensorrt",
                                          NULL};
const char *const bench_scope_names[] = {"forward", "image", NULL};

void bench_row_add(bench_row *row, double milliseconds) {
    if (row->count == row->capacity) {
        row->capacity = row->capacity ? 2 * row->capacity : 64;
        row->milliseconds = cli_grow(row->milliseconds, (size_t)row->capacity, sizeof *row->milliseconds);
    }
    row->milliseconds[row->count++] = milliseconds;
}

bench_figures bench_row_figures(const bench_row *row) {
    double *sorted = cli_alloc((size_t)row->count, sizeof *sorted), sum = 0, squares = 0;
    memcpy(sorted, row->milliseconds, (size_t)row->count * sizeof *sorted);
    cli_sort(sorted, row->count);
    for (int i = 0; i < row->count; i++) sum += sorted[i];
    double mean = sum / row->count;
    for (int i = 0; i < row->count; i++) squares += (sorted[i] - mean) * (sorted[i] - mean);
    bench_figures figures = {
        .mean = mean,
        .deviation = sqrt(squares / row->count),
        .p50 = cli_percentile(sorted, row->count, 0.5),
        .p95 = cli_percentile(sorted, row->count, 0.95),
        .p99 = cli_percentile(sorted, row->count, 0.99),
        .least = sorted[0],
        .images_per_s = row->batch * (row->engine == BENCH_CFINE ? row->streams : 1) * 1e3 / mean,
    };
    free(sorted);
    return figures;
}

double bench_speed_up(const bench_row *rows, const bench_row *row) {
    const bench_row *first = rows;
    while (first->scope != row->scope || first->count == 0) first++;
    return bench_row_figures(row).images_per_s / bench_row_figures(first).images_per_s;
}

static const bench_row *first_measured(const bench_row *rows, int count) {
    for (int i = 0; i < count; i++)
        if (rows[i].ap >= 0) return &rows[i];
    return NULL;
}

int bench_has_accuracy(const bench_row *rows, int count) {
    return first_measured(rows, count) != NULL;
}

double bench_lost(const bench_row *rows, int count, const bench_row *row) {
    const bench_row *first = first_measured(rows, count);
    return first && first->ap > 0 ? (first->ap - row->ap) / first->ap : 0;
}

// What is not the same in all rows.
typedef struct {
    int batch, queries, scope, calibration;
} differences;

static differences find_differences(const bench_row *rows, int count) {
    differences found = {0};
    for (int i = 1; i < count; i++) {
        found.batch |= rows[i].batch != rows->batch;
        found.queries |= rows[i].queries && rows[i].queries != rows->queries;
        found.scope |= rows[i].scope != rows->scope;
        for (int k = 0; k < i; k++)
            found.calibration |=
                rows[i].calibration && rows[k].calibration && rows[i].calibration != rows[k].calibration;
    }
    return found;
}

const char *bench_row_precision(const bench_row *row) {
    return row->unknown ? "-" : cli_precisions[row->precision];
}

void bench_row_name(const bench_row *rows, int count, const bench_row *row, char *text, size_t size) {
    differences show = find_differences(rows, count);
    int used = snprintf(text, size, "%s %s", bench_engine_names[row->engine], bench_row_precision(row));
    if (show.calibration && row->calibration) {
        const char *slash = strrchr(row->calibration, '/');
        used += snprintf(text + used, size - (size_t)used, " (%.40s)", slash ? slash + 1 : row->calibration);
    }
    if (show.batch) used += snprintf(text + used, size - (size_t)used, ", batch %d", row->batch);
    if (show.queries && row->queries) used += snprintf(text + used, size - (size_t)used, ", %d queries", row->queries);
    if (show.scope) snprintf(text + used, size - (size_t)used, ", %s", bench_scope_names[row->scope]);
}
