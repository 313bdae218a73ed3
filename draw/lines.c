// SPDX-License-Identifier: Apache-2.0
#include "lines.h"

#include <math.h>
#include <stdio.h>

#include "chart.h"

enum { LEFT = 56, RIGHT = 64, TOP = 36, BELOW = 50, MOST_SERIES = 8, NAME_PITCH = 15 };

typedef struct {
    const draw_lines_options *options;
    double x0, x1, y0, y1; // of the frame; y0 is its lower edge
    double least, most;    // of the y axis
} frame;

static double place_x(const frame *f, int mark) {
    return f->options->count > 1 ? f->x0 + (f->x1 - f->x0) * mark / (f->options->count - 1) : (f->x0 + f->x1) / 2;
}

static double place_y(const frame *f, double value) {
    double share = f->options->logarithmic ? log(value / f->least) / log(f->most / f->least)
                                           : (value - f->least) / (f->most - f->least);
    return f->y0 + (f->y1 - f->y0) * share;
}

static int shows(const frame *f, double value) {
    return isfinite(value) && (value > 0 || !f->options->logarithmic);
}

// From 1, 2 or 5 times a power of ten to another, or from zero to a little above the most.
static void choose_range(frame *f, const draw_series *series, int series_count) {
    double least = INFINITY, most = 0;
    for (int s = 0; s < series_count; s++)
        for (int i = 0; i < f->options->count; i++)
            if (shows(f, series[s].values[i])) {
                least = fmin(least, series[s].values[i]);
                most = fmax(most, series[s].values[i]);
            }
    if (most <= 0) least = most = 1;
    if (f->options->logarithmic) {
        f->least = pow(10, floor(log10(least * 0.9)));
        if (f->least * 5 < least)
            f->least *= 5;
        else if (f->least * 2 < least)
            f->least *= 2;
        f->most = fmax(most * 1.2, f->least * 4);
    } else {
        f->least = 0;
        f->most = most * 1.12;
    }
}

static void draw_mark(draw_canvas *canvas, const frame *f, double value) {
    char text[32];
    double at = place_y(f, value);
    snprintf(text, sizeof text, "%.6g", value);
    draw_canvas_line(canvas, f->x0, at, f->x1, at, 1, DRAW_PALE, 0);
    draw_canvas_words(canvas, f->x0 - 8, at + 4, (draw_style){12, DRAW_GREY, 0, DRAW_END}, text);
}

static void draw_frame_of(draw_canvas *canvas, const frame *f) {
    static const double steps[] = {1, 2, 5};
    const draw_lines_options *o = f->options;
    if (o->logarithmic)
        for (double power = pow(10, floor(log10(f->least) + 1e-9)); power <= f->most; power *= 10)
            for (int k = 0; k < 3; k++) {
                double value = power * steps[k];
                if (value >= f->least * 0.999 && value <= f->most) draw_mark(canvas, f, value);
            }
    else
        for (double step = draw_step(f->most, 5), value = 0; value <= f->most; value += step)
            draw_mark(canvas, f, value);
    for (int i = 0; i < o->count; i++)
        draw_canvas_words(canvas, place_x(f, i), f->y0 + 18, (draw_style){12, DRAW_GREY, 0, DRAW_MIDDLE}, o->marks[i]);
    draw_canvas_line(canvas, f->x0, f->y0, f->x1, f->y0, 1, DRAW_GREY, 0);
    draw_canvas_words(canvas, (f->x0 + f->x1) / 2, f->y0 + 40, (draw_style){13, DRAW_INK, 1, DRAW_MIDDLE}, o->x_title);
    draw_canvas_words(canvas, f->x0 - LEFT + 8, f->y1 - 16, (draw_style){13, DRAW_INK, 1, DRAW_START}, o->title);
}

static void draw_one(draw_canvas *canvas, const frame *f, const draw_series *series) {
    int last = -1;
    for (int i = 0; i < f->options->count; i++) {
        if (!shows(f, series->values[i])) continue;
        if (last >= 0)
            draw_canvas_line(canvas, place_x(f, last), place_y(f, series->values[last]), place_x(f, i),
                             place_y(f, series->values[i]), 2, series->rgb, 0);
        last = i;
    }
    for (int i = 0; i < f->options->count; i++)
        if (shows(f, series->values[i]))
            draw_canvas_dot(canvas, place_x(f, i), place_y(f, series->values[i]), 4, series->rgb);
}

// Names stand where their lines end, moved apart where those lie close together.
static void draw_names(draw_canvas *canvas, const frame *f, const draw_series *series, int series_count) {
    int order[MOST_SERIES], count = 0;
    double at[MOST_SERIES], x[MOST_SERIES];
    for (int s = 0; s < series_count && s < MOST_SERIES; s++) {
        int last = f->options->count - 1;
        while (last >= 0 && !shows(f, series[s].values[last])) last--;
        if (last < 0) continue;
        double y = place_y(f, series[s].values[last]);
        int k = count++;
        for (; k > 0 && at[k - 1] < y; k--) order[k] = order[k - 1], at[k] = at[k - 1], x[k] = x[k - 1];
        order[k] = s, at[k] = y, x[k] = place_x(f, last); // from the lowest to the highest in the picture
    }
    for (int k = 1; k < count; k++)
        if (at[k] > at[k - 1] - NAME_PITCH) at[k] = at[k - 1] - NAME_PITCH;
    for (int k = 0; k < count; k++)
        draw_canvas_words(canvas, x[k] + 9, at[k] + 4, (draw_style){12, series[order[k]].rgb, 1, DRAW_START},
                          series[order[k]].name);
}

void draw_lines(draw_canvas *canvas, double x, double y, double width, double height, const draw_lines_options *options,
                const draw_series *series, int series_count) {
    frame f = {options, x + LEFT, x + width - RIGHT, y + height - BELOW, y + TOP, 0, 1};
    if (options->count < 1) return;
    choose_range(&f, series, series_count);
    draw_frame_of(canvas, &f);
    for (int s = 0; s < series_count; s++) draw_one(canvas, &f, &series[s]);
    draw_names(canvas, &f, series, series_count);
}
