// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "percentile.h"
#include "report.h"

const char *const bench_engine_names[] = {"cfine", "onnxruntime", "openvino", "pytorch", NULL};
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
        .images_per_s = row->batch * 1e3 / mean,
    };
    free(sorted);
    return figures;
}

// Images per second over those of the first row of the same scope that has times.
static double speed_up(const bench_row *rows, const bench_row *row) {
    const bench_row *first = rows;
    while (first->scope != row->scope || first->count == 0) first++;
    return bench_row_figures(row).images_per_s / bench_row_figures(first).images_per_s;
}

static int measured_accuracy(const bench_row *rows, int count) {
    for (int i = 0; i < count; i++)
        if (rows[i].ap >= 0) return 1;
    return 0;
}

static void print_accuracy(const char *before, double value) {
    if (value >= 0)
        printf("%s%6.4f", before, value);
    else
        printf("%s%6s", before, "-");
}

void bench_print_table(const bench_row *rows, int count) {
    int accuracy = measured_accuracy(rows, count);
    printf("%-11s %-7s %-5s %5s %7s %7s %9s %8s %9s %9s %9s %9s %9s %8s%s\n", "engine", "scope", "prec.", "batch",
           "queries", "threads", "mean ms", "std", "p50", "p95", "p99", "min", "images/s", "speed-up",
           accuracy ? "     AP   AP50" : "");
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        printf("%-11s %-7s %-5s %5d %7d %7d ", bench_engine_names[row->engine], bench_scope_names[row->scope],
               cli_precisions[row->precision], row->batch, row->queries, row->threads);
        if (row->count == 0) {
            cli_print_text(stdout, row->note);
            putchar('\n');
            continue;
        }
        bench_figures f = bench_row_figures(row);
        printf("%9.2f %8.2f %9.2f %9.2f %9.2f %9.2f %9.1f %7.2fx", f.mean, f.deviation, f.p50, f.p95, f.p99, f.least,
               f.images_per_s, speed_up(rows, row));
        if (accuracy) print_accuracy(" ", row->ap), print_accuracy(" ", row->ap50);
        putchar('\n');
    }
}

// Text within a Markdown table.
static void print_cell(const char *text) {
    for (; *text; text++) {
        if (*text == '|') putchar('\\');
        putchar((unsigned char)*text < 0x20 ? ' ' : *text);
    }
}

void bench_print_markdown(const bench_row *rows, int count) {
    int accuracy = measured_accuracy(rows, count);
    printf(
        "| engine | scope | precision | batch | queries | threads | mean ms | std | p50 | p95 | p99 | min | images/s "
        "| speed-up |%s\n",
        accuracy ? " AP | AP50 |" : "");
    printf("|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|%s\n", accuracy ? "--:|--:|" : "");
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        printf("| %s %s | %s | %s | %d | %d | %d | ", bench_engine_names[row->engine], row->version,
               bench_scope_names[row->scope], cli_precisions[row->precision], row->batch, row->queries, row->threads);
        if (row->count == 0) {
            print_cell(row->note);
            printf(" | | | | | | | |%s\n", accuracy ? " | |" : "");
            continue;
        }
        bench_figures f = bench_row_figures(row);
        printf("%.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %.2fx |", f.mean, f.deviation, f.p50, f.p95, f.p99,
               f.least, f.images_per_s, speed_up(rows, row));
        if (accuracy) print_accuracy(" ", row->ap), print_accuracy(" | ", row->ap50), printf(" |");
        putchar('\n');
    }
}

void bench_print_json(const bench_row *rows, int count, const char *model) {
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        printf("{\"engine\":\"%s\",\"version\":", bench_engine_names[row->engine]);
        cli_print_json_text(stdout, row->version);
        printf(",\"device\":");
        cli_print_json_text(stdout, row->device);
        printf(",\"model\":");
        cli_print_json_text(stdout, model);
        printf(",\"scope\":\"%s\",\"precision\":\"%s\",\"batch\":%d,\"queries\":%d,\"threads\":%d",
               bench_scope_names[row->scope], cli_precisions[row->precision], row->batch, row->queries, row->threads);
        if (row->count == 0) {
            printf(",\"note\":");
            cli_print_json_text(stdout, row->note);
            printf("}\n");
            continue;
        }
        bench_figures f = bench_row_figures(row);
        printf(",\"runs\":%d,\"mean_ms\":%.4f,\"std_ms\":%.4f,\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,"
               "\"min_ms\":%.4f,\"images_per_s\":%.3f,\"speed_up\":%.4f",
               row->count, f.mean, f.deviation, f.p50, f.p95, f.p99, f.least, f.images_per_s, speed_up(rows, row));
        if (row->ap >= 0) printf(",\"AP\":%.10g,\"AP50\":%.10g", row->ap, row->ap50);
        printf("}\n");
    }
}
