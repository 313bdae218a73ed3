// SPDX-License-Identifier: Apache-2.0
#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "message.h"

typedef struct {
    const char *op;
    int steps;
    double milliseconds, flops, bytes;
} op_sum;

static int slower_first(const void *a, const void *b) {
    double x = ((const op_sum *)a)->milliseconds, y = ((const op_sum *)b)->milliseconds;
    return (x < y) - (x > y);
}

static double per_second(double amount, double milliseconds) {
    return milliseconds > 0 ? amount / milliseconds / 1e6 : 0; // in units of 1e9
}

static void print_steps(const cfine_step_time *steps, size_t count) {
    cli_note("%9s %8s %8s  %-14s %-28s %s", "ms", "GFLOP/s", "GB/s", "operator", "kernel", "step");
    for (size_t i = 0; i < count; i++)
        cli_note("%9.3f %8.1f %8.1f  %-14s %-28s %s", steps[i].milliseconds,
                 per_second(steps[i].flops, steps[i].milliseconds), per_second(steps[i].bytes, steps[i].milliseconds),
                 steps[i].op, steps[i].kernel, steps[i].name);
}

static void print_sums(const cfine_step_time *steps, size_t count) {
    op_sum *sums = cli_alloc(count, sizeof *sums);
    size_t kinds = 0;
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < kinds && strcmp(sums[k].op, steps[i].op) != 0) k++;
        if (k == kinds) sums[kinds++].op = steps[i].op;
        sums[k].steps++;
        sums[k].milliseconds += steps[i].milliseconds;
        sums[k].flops += steps[i].flops;
        sums[k].bytes += steps[i].bytes;
        total += steps[i].milliseconds;
    }
    qsort(sums, kinds, sizeof *sums, slower_first);
    cli_note("%9s %8s %8s  %5s  %s", "ms", "GFLOP/s", "GB/s", "steps", "operator");
    for (size_t k = 0; k < kinds; k++)
        cli_note("%9.3f %8.1f %8.1f  %5d  %s", sums[k].milliseconds, per_second(sums[k].flops, sums[k].milliseconds),
                 per_second(sums[k].bytes, sums[k].milliseconds), sums[k].steps, sums[k].op);
    cli_note("%9.3f %24s all", total, "");
    free(sums);
}

void cli_print_profile(const cfine_session *session, const cli_phases *phases, double seconds) {
    size_t count = cfine_session_step_times(session, NULL, 0);
    cfine_step_time *steps = cli_alloc(count, sizeof *steps);
    cfine_session_step_times(session, steps, count);
    if (phases->images) {
        cli_note("Steps of the last run:");
        print_steps(steps, count);
        cli_note("By operator:");
        print_sums(steps, count);
    }
    free(steps);
    double images = phases->images ? phases->images : 1;
    cli_note("Open model %.1f ms. %d images in %.1f ms; each, on average: decode %.2f ms (of which waited for %.2f), "
             "detect %.2f, draw and write %.2f.",
             1e3 * phases->open, phases->images, 1e3 * seconds, 1e3 * phases->decode / images,
             1e3 * phases->wait / images, 1e3 * phases->detect / images, 1e3 * phases->draw / images);
}
