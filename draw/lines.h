// SPDX-License-Identifier: Apache-2.0
// Lines over a row of marks: how several values go with one that was set.
#ifndef DRAW_LINES_H
#define DRAW_LINES_H

#include "canvas.h"

typedef struct draw_series {
    const char *name; // at its right end
    uint32_t rgb;
    const double *values; // one a mark; NaN: none
} draw_series;

typedef struct draw_lines_options {
    const char *title, *x_title;
    const char *const *marks; // [count] texts, at equal distances
    int count;
    int logarithmic; // y runs in powers of ten; else from zero
} draw_lines_options;

void draw_lines(draw_canvas *canvas, double x, double y, double width, double height, const draw_lines_options *options,
                const draw_series *series, int series_count);

#endif
