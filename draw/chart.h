// SPDX-License-Identifier: Apache-2.0
// Charts of measurements: bars with their values written beside them, and points with a front.
#ifndef DRAW_CHART_H
#define DRAW_CHART_H

#include "canvas.h"

// Letters and lines of every chart.
#define DRAW_INK 0x111827
#define DRAW_GREY 0x6b7280
#define DRAW_PALE 0xe5e7eb

typedef struct draw_bar {
    const char *heading; // above this bar: begins a group; NULL: none
    const char *label;   // left of it
    const char *value;   // right of it; where `length` is 0 the reason why
    double length, tail; // tail: a thin line on to here (a percentile); 0: none
    uint32_t rgb;
} draw_bar;

// Bars from top to bottom, their zero at one line, the longest as long as there is room. Returns the y below the last.
double draw_bars(draw_canvas *canvas, double x, double y, double width, const draw_bar *bars, int count);

typedef struct draw_point {
    const char *label; // beside it; NULL: none
    double x, y;
    uint32_t rgb;
    int front; // 1: the line of the front goes through it
} draw_point;

// Points in a frame with axes from a little below the least to a little above the greatest value. Points of the front
// are joined in the order of their x. Labels keep off each other and off other points, or are left out.
void draw_points(draw_canvas *canvas, double x, double y, double width, double height, const char *x_title,
                 const char *y_title, const draw_point *points, int count);

// The distance of about `marks` marks on an axis: 1, 2 or 5 times a power of ten.
double draw_step(double range, int marks);

#endif
