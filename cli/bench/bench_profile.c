// SPDX-License-Identifier: Apache-2.0
// `cfine bench --profile`: the time of a forward pass by operator and kernel, and the steps that take the most.
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "heap.h"

enum { WARM_RUNS = 3, LEAST_RUNS = 10, TOP_STEPS = 20 };

typedef struct {
    const char *op, *kernel, *name; // name: of a step; "" for a sum
    int steps;
    double milliseconds, flops, bytes;
} profile_line;

static int slower_first(const void *a, const void *b) {
    double x = ((const profile_line *)a)->milliseconds, y = ((const profile_line *)b)->milliseconds;
    return (x < y) - (x > y);
}

// Sums of the steps of one operator and kernel; returns how many there are.
static size_t sum_kernels(const profile_line *steps, size_t count, profile_line *sums) {
    size_t kinds = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < kinds && (strcmp(sums[k].op, steps[i].op) != 0 || strcmp(sums[k].kernel, steps[i].kernel) != 0)) k++;
        if (k == kinds) sums[kinds++] = (profile_line){.op = steps[i].op, .kernel = steps[i].kernel, .name = ""};
        sums[k].steps++;
        sums[k].milliseconds += steps[i].milliseconds;
        sums[k].flops += steps[i].flops;
        sums[k].bytes += steps[i].bytes;
    }
    return kinds;
}

static void print_line(const profile_line *line, double total) {
    double seconds = line->milliseconds * 1e-3;
    printf("%9.3f %6.1f%% %9.1f %8.1f %6d  %-12s %-30s %s\n", line->milliseconds, 100 * line->milliseconds / total,
           seconds > 0 ? line->flops / seconds * 1e-9 : 0, seconds > 0 ? line->bytes / seconds * 1e-9 : 0, line->steps,
           line->op, line->kernel, line->name);
}

static void print_lines(profile_line *lines, size_t count, size_t most, double total, const char *last) {
    qsort(lines, count, sizeof *lines, slower_first);
    printf("%9s %7s %9s %8s %6s  %-12s %-30s %s\n", "ms", "share", "GFLOP/s", "GB/s", "steps", "operator", "kernel",
           last);
    for (size_t i = 0; i < count && i < most; i++) print_line(&lines[i], total);
}

// The mean over some runs of every step.
static cfine_status take_times(cfine_session *session, const cfine_plan_info *info, cfine_step_time *now,
                               profile_line *steps, size_t count, cfine_error *error) {
    size_t pixel_count = (size_t)info->batch * 3 * (size_t)info->width * (size_t)info->height;
    float *pixels = bench_random_pixels(pixel_count);
    cfine_status status = CFINE_OK;
    for (int run = 0; run < WARM_RUNS + LEAST_RUNS && status == CFINE_OK; run++) {
        status = cfine_session_run(session, pixels, info->batch, NULL, NULL, error);
        if (status != CFINE_OK || run < WARM_RUNS) continue;
        cfine_session_step_times(session, now, count);
        for (size_t i = 0; i < count; i++) {
            steps[i].op = now[i].op;
            steps[i].kernel = now[i].kernel;
            steps[i].name = now[i].name;
            steps[i].steps = 1;
            steps[i].milliseconds += now[i].milliseconds / LEAST_RUNS;
            steps[i].flops = now[i].flops;
            steps[i].bytes = now[i].bytes;
        }
    }
    free(pixels);
    return status;
}

cfine_status bench_print_profile(const bench_row *row, const cli_model_args *model, cfine_error *error) {
    cfine_open_options options;
    cfine_session *session;
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_status status = bench_open_options(row, model, &options, error);
    options.session.profile = 1;
    if (status != CFINE_OK || (status = cfine_open(model->model, &options, &session, error)) != CFINE_OK) return status;
    status = cfine_plan_get_info(cfine_session_plan(session), &info, error);
    size_t count = cfine_session_step_times(session, NULL, 0);
    cfine_step_time *now = cli_alloc(count + 1, sizeof *now);
    profile_line *steps = cli_alloc(count + 1, sizeof *steps), *sums = cli_alloc(count + 1, sizeof *sums);
    if (status == CFINE_OK) status = take_times(session, &info, now, steps, count, error);
    if (status == CFINE_OK) {
        double total = 0, flops = 0;
        for (size_t i = 0; i < count; i++) total += steps[i].milliseconds, flops += steps[i].flops;
        printf("\nForward pass, %s, batch %d, %d threads: %zu steps, %.3f ms in all, %.2f GFLOP, %.1f GFLOP/s "
               "(mean of %d runs)\n",
               cli_precisions[row->precision], row->batch, row->threads, count, total, flops * 1e-9,
               flops / total * 1e-6, LEAST_RUNS);
        size_t kinds = sum_kernels(steps, count, sums);
        print_lines(sums, kinds, kinds, total, "");
        printf("The slowest steps:\n");
        print_lines(steps, count, TOP_STEPS, total, "step");
    }
    free(sums);
    free(steps);
    free(now);
    cfine_session_close(session);
    return status;
}
