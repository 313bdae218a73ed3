// SPDX-License-Identifier: Apache-2.0
// Rows as a picture: bars of milliseconds an image, and speed against accuracy where that was measured.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "draw/chart.h"
#include "heap.h"
#include "save_canvas.h"

enum { WIDTH = 960, MARGIN = 32, POINTS_HEIGHT = 420, MOST_HEIGHT = 40000 };

// Ours stand out; FP32 is lighter than what is faster.
static uint32_t colour(const bench_row *row) {
    static const uint32_t ours[] = {0x93c5fd, 0x2563eb, 0x2563eb, 0x1e3a8a, 0x1e3a8a}; // as cli_precisions
    static const uint32_t peers[BENCH_ENGINES] = {
        [BENCH_ONNXRUNTIME] = 0x9ca3af,    [BENCH_ONNXRUNTIME_CUDA] = 0x9ca3af, [BENCH_ONNXRUNTIME_TENSORRT] = 0x9ca3af,
        [BENCH_OPENVINO] = 0xa78bfa,       [BENCH_PYTORCH] = 0xfdba74,          [BENCH_TORCH_COMPILE] = 0xfb923c,
        [BENCH_TORCH_TENSORRT] = 0xfb923c,
    };
    return row->engine == BENCH_CFINE ? ours[row->precision] : peers[row->engine];
}

static double draw_row_bars(draw_canvas *canvas, double y, const bench_row *rows, int count) {
    draw_bar *bars = cli_alloc((size_t)count, sizeof *bars);
    for (int i = 0; i < count; i++) {
        const bench_row *row = &rows[i];
        char name[128];
        bench_row_name(rows, count, row, name, sizeof name);
        bars[i] = (draw_bar){.label = cli_format("%s", name), .rgb = colour(row)};
        if (row->section && (i == 0 || !rows[i - 1].section || strcmp(row->section, rows[i - 1].section) != 0))
            bars[i].heading = row->section;
        if (row->count) {
            bench_figures f = bench_row_figures(row);
            bars[i].length = f.mean / row->batch;
            bars[i].tail = f.p95 / row->batch;
            bars[i].value =
                cli_format("%.1f ms   %.0f img/s   %.1fx", bars[i].length, f.images_per_s, bench_speed_up(rows, row));
        } else {
            bars[i].value = cli_format("%.86s%s", row->note, strlen(row->note) > 86 ? " ..." : "");
        }
    }
    y = draw_bars(canvas, MARGIN, y, WIDTH - 2 * MARGIN, bars, count);
    for (int i = 0; i < count; i++) {
        free((char *)bars[i].label);
        free((char *)bars[i].value);
    }
    free(bars);
    return y;
}

// 1 if no other row is as accurate and faster.
static int on_front(const bench_row *rows, int count, const bench_row *row) {
    double speed = bench_row_figures(row).images_per_s;
    for (int i = 0; i < count; i++) {
        if (&rows[i] == row || !rows[i].count || rows[i].ap < 0) continue;
        double other = bench_row_figures(&rows[i]).images_per_s;
        if (rows[i].ap >= row->ap && other >= speed && (rows[i].ap > row->ap || other > speed)) return 0;
    }
    return 1;
}

static double draw_row_points(draw_canvas *canvas, double y, const bench_row *rows, int count) {
    draw_point *points = cli_alloc((size_t)count, sizeof *points);
    char **names = cli_alloc((size_t)count, sizeof *names);
    int used = 0;
    double best = 0;
    for (int i = 0; i < count; i++) best = fmax(best, rows[i].ap);
    for (int i = 0; i < count; i++) {
        if (!rows[i].count || rows[i].ap < best / 2) continue; // what is broken would flatten all others
        char name[128];
        bench_row_name(rows, count, &rows[i], name, sizeof name);
        names[used] = cli_format("%s", name);
        points[used] = (draw_point){names[used], bench_row_figures(&rows[i]).images_per_s, 100 * rows[i].ap,
                                    colour(&rows[i]), on_front(rows, count, &rows[i])};
        used++;
    }
    if (used > 1) {
        draw_points(canvas, MARGIN, y, WIDTH - 2 * MARGIN, POINTS_HEIGHT, "images a second", "mAP@50:95, %", points,
                    used);
        y += POINTS_HEIGHT;
    }
    for (int i = 0; i < used; i++) free(names[i]);
    free(names);
    free(points);
    return y;
}

static draw_canvas *make_picture(const char *title, const char *subtitle, const bench_row *rows, int count) {
    draw_canvas *canvas = draw_canvas_create(WIDTH, MOST_HEIGHT);
    draw_canvas_words(canvas, MARGIN, 44, (draw_style){20, DRAW_INK, 1, DRAW_START}, title);
    draw_canvas_words(canvas, MARGIN, 66, (draw_style){12.5, DRAW_GREY, 0, DRAW_START}, subtitle);
    draw_canvas_words(
        canvas, MARGIN, 100, (draw_style){13, DRAW_GREY, 0, DRAW_START},
        "Milliseconds an image: mean of the runs, thin line to the 95th percentile; speed-up over the first row");
    double y = draw_row_bars(canvas, 118, rows, count) + 20;
    y = draw_row_points(canvas, y, rows, count);
    draw_canvas_resize(canvas, WIDTH, y + MARGIN / 2.0);
    return canvas;
}

int bench_save_picture(const char *path, const char *title, const char *subtitle, const bench_row *rows, int count) {
    return cli_save_canvas(path, make_picture(title, subtitle, rows, count));
}
