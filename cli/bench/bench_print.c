// SPDX-License-Identifier: Apache-2.0
// Rows as text: a table for people, Markdown, JSON Lines.
#include <string.h>

#include "bench.h"
#include "report.h"

static int begins_section(const bench_row *rows, const bench_row *row) {
    return row->section && (row == rows || !row[-1].section || strcmp(row->section, row[-1].section) != 0);
}

// "-": of a model that could not be opened.
static const char *queries_of(const bench_row *row, char text[16]) {
    snprintf(text, 16, row->queries ? "%d" : "-", row->queries);
    return text;
}

static void print_share(double value) {
    if (value >= 0)
        printf(" %7.4f", value);
    else
        printf(" %7s", "-");
}

void bench_print_table(const bench_row *rows, int count) {
    int accuracy = bench_has_accuracy(rows, count);
    printf("%-13s %-7s %-5s %5s %7s %7s %9s %8s %9s %9s %9s %9s %9s %8s%s\n", "engine", "scope", "prec.", "batch",
           "queries", "threads", "mean ms", "std", "p50", "p95", "p99", "min", "images/s", "speed-up",
           accuracy ? "  mAP@50 mAP@50:95   lost" : "");
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        if (begins_section(rows, row)) printf("%s%s\n", i ? "\n" : "", row->section);
        char engine[32], queries[16];
        snprintf(engine, sizeof engine, row->engine == BENCH_CFINE && row->streams > 1 ? "%s x%d" : "%s",
                 bench_engine_names[row->engine], row->streams);
        printf("%-13s %-7s %-5s %5d %7s %7d ", engine, bench_scope_names[row->scope], bench_row_precision(row),
               row->batch, queries_of(row, queries), row->threads);
        if (row->count == 0) {
            cli_print_text(stdout, row->note);
            putchar('\n');
            continue;
        }
        bench_figures f = bench_row_figures(row);
        printf("%9.2f %8.2f %9.2f %9.2f %9.2f %9.2f %9.1f %7.2fx", f.mean, f.deviation, f.p50, f.p95, f.p99, f.least,
               f.images_per_s, bench_speed_up(rows, row));
        if (accuracy) {
            print_share(row->ap50), print_share(row->ap);
            if (row->ap >= 0) printf("  %6.2f%%", 100 * bench_lost(rows, count, row));
        }
        if (row->calibration) printf("  %s", row->calibration);
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

static void print_markdown_heading(const char *section, int accuracy) {
    if (section) printf("**%s**\n\n", section);
    printf(
        "| engine | scope | precision | batch | queries | threads | mean ms | std | p50 | p95 | p99 | min | images/s "
        "| speed-up |%s\n",
        accuracy ? " mAP@50 | mAP@50:95 | lost |" : "");
    printf("|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|%s\n", accuracy ? "--:|--:|--:|" : "");
}

static void print_markdown_accuracy(const bench_row *rows, int count, const bench_row *row) {
    if (row->ap >= 0)
        printf(" %.4f | %.4f | %.2f %% |", row->ap50, row->ap, 100 * bench_lost(rows, count, row));
    else
        printf(" - | - | - |");
}

void bench_print_markdown(const bench_row *rows, int count) {
    int accuracy = bench_has_accuracy(rows, count);
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        if (i == 0 || begins_section(rows, row)) {
            if (i) putchar('\n');
            print_markdown_heading(row->section, accuracy);
        }
        printf("| %s %s | %s | %s", bench_engine_names[row->engine], row->version, bench_scope_names[row->scope],
               bench_row_precision(row));
        if (row->calibration) {
            printf(" (");
            print_cell(row->calibration);
            printf(")");
        }
        char queries[16];
        printf(" | %d | %s | %d | ", row->batch, queries_of(row, queries), row->threads);
        if (row->count == 0) {
            print_cell(row->note);
            printf(" | | | | | | | |%s\n", accuracy ? " | | |" : "");
            continue;
        }
        bench_figures f = bench_row_figures(row);
        printf("%.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %.2fx |", f.mean, f.deviation, f.p50, f.p95, f.p99,
               f.least, f.images_per_s, bench_speed_up(rows, row));
        if (accuracy) print_markdown_accuracy(rows, count, row);
        putchar('\n');
    }
}

static void print_json_text_field(const char *key, const char *text) {
    printf(",\"%s\":", key);
    cli_print_json_text(stdout, text);
}

void bench_print_json(const bench_row *rows, int count, const char *model) {
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        printf("{\"engine\":\"%s\"", bench_engine_names[row->engine]);
        print_json_text_field("version", row->version);
        print_json_text_field("device", row->device);
        print_json_text_field("model", model);
        if (row->section) print_json_text_field("section", row->section);
        printf(",\"scope\":\"%s\",\"precision\":\"%s\",\"batch\":%d,\"queries\":%d,\"threads\":%d",
               bench_scope_names[row->scope], row->unknown ? "" : cli_precisions[row->precision], row->batch,
               row->queries, row->threads);
        if (row->engine == BENCH_CFINE) printf(",\"streams\":%d", row->streams);
        if (row->calibration) print_json_text_field("calibration", row->calibration);
        if (row->count == 0) {
            print_json_text_field("note", row->note);
            printf("}\n");
            continue;
        }
        bench_figures f = bench_row_figures(row);
        printf(",\"runs\":%d,\"mean_ms\":%.4f,\"std_ms\":%.4f,\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,"
               "\"min_ms\":%.4f,\"images_per_s\":%.3f,\"speed_up\":%.4f",
               row->count, f.mean, f.deviation, f.p50, f.p95, f.p99, f.least, f.images_per_s,
               bench_speed_up(rows, row));
        if (row->ap >= 0)
            printf(",\"AP\":%.10g,\"AP50\":%.10g,\"AP_lost\":%.6g", row->ap, row->ap50, bench_lost(rows, count, row));
        if (row->note[0]) print_json_text_field("note", row->note);
        printf("}\n");
    }
}
