// SPDX-License-Identifier: Apache-2.0
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double letters = 13;

// ---------------------------------------------------------------------------------------------------------------------
// Bars

double draw_bars(draw_canvas *canvas, double x, double y, double width, const draw_bar *bars, int count) {
    enum { PITCH = 26, THICK = 16, HEADING = 34 };
    double labels = 0, values = 0, longest = 0;
    for (int i = 0; i < count; i++) {
        labels = fmax(labels, draw_words_width(bars[i].label, letters, 0));
        longest = fmax(longest, fmax(bars[i].length, bars[i].tail));
        if (bars[i].length > 0) values = fmax(values, draw_words_width(bars[i].value, letters, 0));
    }
    double zero = x + labels + 12, room = fmax(width - labels - 12 - values - 14, 40);
    draw_style label = {letters, DRAW_INK, 0, DRAW_END}, value = {letters, DRAW_INK, 0, DRAW_START};
    draw_style heading = {14, DRAW_INK, 1, DRAW_START}, missing = {12, DRAW_GREY, 0, DRAW_START};
    for (int i = 0; i < count; i++) {
        if (bars[i].heading) {
            y += i ? HEADING : HEADING - 14;
            draw_canvas_words(canvas, x, y - 10, heading, bars[i].heading);
        }
        double middle = y + THICK / 2.0, base = middle + letters * 0.36;
        draw_canvas_words(canvas, zero - 10, base, label, bars[i].label);
        if (bars[i].length > 0) {
            double length = fmax(bars[i].length / longest * room, 1), tail = bars[i].tail / longest * room;
            draw_canvas_box(canvas, zero, y, length, THICK, 3, bars[i].rgb);
            if (tail > length) {
                draw_canvas_line(canvas, zero + length, middle, zero + tail, middle, 1.5, bars[i].rgb, 0);
                draw_canvas_line(canvas, zero + tail, middle - 4, zero + tail, middle + 4, 1.5, bars[i].rgb, 0);
            }
            draw_canvas_words(canvas, zero + fmax(length, tail) + 8, base, value, bars[i].value);
        } else {
            draw_canvas_words(canvas, zero + 2, base, missing, bars[i].value);
        }
        y += PITCH;
    }
    return y;
}

// ---------------------------------------------------------------------------------------------------------------------
// Points

typedef struct {
    double x0, y0, x1, y1;
} area;

typedef struct {
    double least, most, step; // of the axis, in its numbers
    double from, length;      // in the picture; y runs upwards: length < 0
} axis;

static double place(const axis *a, double value) {
    return a->from + (value - a->least) / (a->most - a->least) * a->length;
}

double draw_step(double range, int marks) {
    double rough = range / marks, power = pow(10, floor(log10(rough))), ratio = rough / power;
    return power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
}

static axis make_axis(double least, double most, int marks, double from, double length) {
    double range = most > least ? most - least : fmax(fabs(most) * 0.1, 1e-6);
    least -= 0.08 * range;
    most += 0.08 * range;
    return (axis){least, most, draw_step(most - least, marks), from, length};
}

static void draw_axes(draw_canvas *canvas, const axis *x, const axis *y, const char *x_title, const char *y_title) {
    draw_style mark = {12, DRAW_GREY, 0, DRAW_MIDDLE}, title = {letters, DRAW_INK, 1, DRAW_MIDDLE};
    double right = x->from + x->length, top = y->from + y->length;
    char text[32];
    for (double v = ceil(x->least / x->step) * x->step; v <= x->most; v += x->step) {
        double at = place(x, v);
        draw_canvas_line(canvas, at, y->from, at, top, 1, DRAW_PALE, 0);
        snprintf(text, sizeof text, "%.6g", fabs(v) < x->step / 2 ? 0 : v);
        draw_canvas_words(canvas, at, y->from + 18, mark, text);
    }
    mark.at = DRAW_END;
    for (double v = ceil(y->least / y->step) * y->step; v <= y->most; v += y->step) {
        double at = place(y, v);
        draw_canvas_line(canvas, x->from, at, right, at, 1, DRAW_PALE, 0);
        snprintf(text, sizeof text, "%.6g", fabs(v) < y->step / 2 ? 0 : v);
        draw_canvas_words(canvas, x->from - 8, at + 4, mark, text);
    }
    draw_canvas_line(canvas, x->from, y->from, right, y->from, 1, DRAW_GREY, 0);
    draw_canvas_words(canvas, (x->from + right) / 2, y->from + 40, title, x_title);
    title.at = DRAW_START;
    draw_canvas_words(canvas, x->from - 44, top - 14, title, y_title);
}

static int by_x(const void *a, const void *b) {
    double x = ((const draw_point *)a)->x, y = ((const draw_point *)b)->x;
    return (x > y) - (x < y);
}

static void draw_front(draw_canvas *canvas, const axis *x, const axis *y, const draw_point *points, int count) {
    const draw_point *last = NULL;
    for (int i = 0; i < count; i++) {
        if (!points[i].front) continue;
        if (last)
            draw_canvas_line(canvas, place(x, last->x), place(y, last->y), place(x, points[i].x), place(y, points[i].y),
                             2, 0x93c5fd, 0);
        last = &points[i];
    }
}

static int meet(const area *a, const area *b) {
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

// The first of the places around the point, near ones before far ones, where the label hides nothing and stays inside;
// 0 if there is none.
static int find_room(const area *frame, const area *taken, int count, double x, double y, double width, area *out) {
    static const double side[8][2] = {{1, 0}, {-1, 0}, {0, -1}, {0, 1}, {1, -1}, {1, 1}, {-1, -1}, {-1, 1}};
    for (int k = 0; k < 24; k++) {
        const double *to = side[k % 8];
        double gap = to[0] != 0 && to[1] != 0 ? 6 : 9, rows = 1 + 1.2 * (k / 8);
        double left = to[0] > 0 ? x + gap : to[0] < 0 ? x - gap - width : x - width / 2;
        double middle = y + to[1] * (gap + 7) * rows;
        if (k >= 8 && to[1] == 0) continue;
        *out = (area){left, middle - 8, left + width, middle + 8};
        int free = out->x0 >= frame->x0 && out->x1 <= frame->x1 && out->y0 >= frame->y0 && out->y1 <= frame->y1;
        for (int i = 0; i < count && free; i++) free = !meet(out, &taken[i]);
        if (free) return 1;
    }
    return 0;
}

static void draw_labels(draw_canvas *canvas, const axis *x, const axis *y, const draw_point *points, int count) {
    area frame = {x->from, y->from + y->length, x->from + x->length, y->from};
    area *taken = calloc(2 * (size_t)count + 1, sizeof *taken);
    int used = 0;
    for (int i = 0; i < count && taken; i++) {
        double px = place(x, points[i].x), py = place(y, points[i].y);
        taken[used++] = (area){px - 5, py - 5, px + 5, py + 5};
    }
    // The front first: it matters most.
    for (int turn = 1; turn >= 0 && taken; turn--)
        for (int i = 0; i < count; i++) {
            if (!points[i].label || points[i].front != turn) continue;
            double px = place(x, points[i].x), py = place(y, points[i].y);
            area at;
            if (!find_room(&frame, taken, used, px, py, draw_words_width(points[i].label, 12, turn), &at)) continue;
            taken[used++] = at;
            draw_style style = {12, turn ? DRAW_INK : DRAW_GREY, turn, DRAW_START};
            draw_canvas_words(canvas, at.x0, at.y1 - 4, style, points[i].label);
        }
    free(taken);
}

void draw_points(draw_canvas *canvas, double x, double y, double width, double height, const char *x_title,
                 const char *y_title, const draw_point *points, int count) {
    enum { LEFT = 60, TOP = 34, BELOW = 48, RIGHT = 14 };
    if (count < 1) return;
    draw_point *sorted = calloc((size_t)count, sizeof *sorted);
    if (!sorted) return;
    draw_point least = points[0], most = points[0];
    for (int i = 0; i < count; i++) {
        sorted[i] = points[i];
        least.x = fmin(least.x, points[i].x), least.y = fmin(least.y, points[i].y);
        most.x = fmax(most.x, points[i].x), most.y = fmax(most.y, points[i].y);
    }
    qsort(sorted, (size_t)count, sizeof *sorted, by_x);
    axis across = make_axis(least.x, most.x, 8, x + LEFT, width - LEFT - RIGHT);
    axis up = make_axis(least.y, most.y, 6, y + height - BELOW, -(height - TOP - BELOW));
    draw_axes(canvas, &across, &up, x_title, y_title);
    draw_front(canvas, &across, &up, sorted, count);
    for (int i = 0; i < count; i++)
        draw_canvas_dot(canvas, place(&across, sorted[i].x), place(&up, sorted[i].y), sorted[i].front ? 6 : 4.5,
                        sorted[i].rgb);
    draw_labels(canvas, &across, &up, sorted, count);
    free(sorted);
}
