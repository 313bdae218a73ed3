// SPDX-License-Identifier: Apache-2.0
// Points as a picture: latency against load, and below it what the server gave.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "draw/chart.h"
#include "draw/lines.h"
#include "heap.h"
#include "load/load.h"
#include "save_canvas.h"

enum { WIDTH = 860, LATENCY_HEIGHT = 380, RATE_HEIGHT = 280, MARGIN = 32, HEAD = 92, TIMES = 4 };

static double time_of(const load_point *point, int which) {
    const double times[TIMES] = {point->p50, point->p90, point->p99, point->p999};
    return point->good ? times[which] : NAN;
}

static void draw_latencies(draw_canvas *canvas, draw_lines_options options, const load_point *points) {
    static const char *const names[TIMES] = {"p50", "p90", "p99", "p99.9"};
    static const uint32_t colours[TIMES] = {0x1e3a8a, 0x2563eb, 0x7c3aed, 0xc026d3};
    double *values = cli_alloc((size_t)options.count * TIMES, sizeof *values);
    draw_series series[TIMES];
    for (int s = 0; s < TIMES; s++) {
        for (int i = 0; i < options.count; i++) values[s * options.count + i] = time_of(&points[i], s);
        series[s] = (draw_series){names[s], colours[s], values + s * options.count};
    }
    options.title = "latency, ms";
    options.logarithmic = 1;
    draw_lines(canvas, MARGIN, HEAD, WIDTH - 2 * MARGIN, LATENCY_HEIGHT, &options, series, TIMES);
    free(values);
}

static void draw_rates(draw_canvas *canvas, draw_lines_options options, const load_point *points) {
    double *good = cli_alloc((size_t)options.count, sizeof *good), *bad = cli_alloc((size_t)options.count, sizeof *bad);
    int some_bad = 0;
    for (int i = 0; i < options.count; i++) {
        int failed = points[i].busy + points[i].refused + points[i].lost + points[i].unsent;
        good[i] = points[i].images_per_s;
        bad[i] = failed / points[i].seconds;
        some_bad |= failed > 0;
    }
    const draw_series series[] = {{"images", 0x2563eb, good}, {"errors", 0xdc2626, bad}};
    options.title = "a second";
    draw_lines(canvas, MARGIN, HEAD + LATENCY_HEIGHT + 10, WIDTH - 2 * MARGIN, RATE_HEIGHT, &options, series,
               1 + some_bad);
    free(good);
    free(bad);
}

int load_save_picture(const char *path, const load_target *target, const load_point *points, int count) {
    char **marks = cli_alloc((size_t)count, sizeof *marks), subtitle[160];
    int open_loop = !points[0].plan.clients;
    for (int i = 0; i < count; i++)
        marks[i] = open_loop ? cli_format("%g", points[i].plan.rate) : cli_format("%d", points[i].plan.clients);
    draw_lines_options options = {.x_title = open_loop ? "requests a second" : "clients, each waiting for its answer",
                                  .marks = (const char *const *)marks,
                                  .count = count};
    draw_canvas *canvas = draw_canvas_create(WIDTH, HEAD + LATENCY_HEIGHT + RATE_HEIGHT + 10 + MARGIN / 2.0);
    snprintf(subtitle, sizeof subtitle, "%d image%s a request, %g s each; %s", target->images,
             target->images == 1 ? "" : "s", points[0].seconds,
             open_loop ? "times count from when a request was due" : "a client sends when it has its answer");
    draw_canvas_words(canvas, MARGIN, 42, (draw_style){20, DRAW_INK, 1, DRAW_START}, target->url);
    draw_canvas_words(canvas, MARGIN, 64, (draw_style){12.5, DRAW_GREY, 0, DRAW_START}, subtitle);
    draw_latencies(canvas, options, points);
    draw_rates(canvas, options, points);
    for (int i = 0; i < count; i++) free(marks[i]);
    free(marks);
    return cli_save_canvas(path, canvas);
}
