// SPDX-License-Identifier: Apache-2.0
// A picture made of boxes, lines, dots and words, written as SVG or rendered to PNG.
//
// Coordinates are in units of one CSS pixel, y downwards. Drawing never fails: running out of memory is remembered and
// told by the writer. Colours are 0xRRGGBB.
#ifndef DRAW_CANVAS_H
#define DRAW_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "cfine/cfine.h"

typedef struct draw_canvas draw_canvas;

typedef enum draw_anchor { DRAW_START, DRAW_MIDDLE, DRAW_END } draw_anchor;

typedef struct draw_style {
    double size;    // of letters
    uint32_t rgb;   //
    int bold;       //
    draw_anchor at; // which part of the text lies at its x
} draw_style;

// NULL when memory is out; every function below takes NULL and does nothing, the writers say so.
draw_canvas *draw_canvas_create(double width, double height);
void draw_canvas_release(draw_canvas *canvas);
// The final size, where it shows only while drawing.
void draw_canvas_resize(draw_canvas *canvas, double width, double height);

void draw_canvas_box(draw_canvas *canvas, double x, double y, double width, double height, double radius, uint32_t rgb);
void draw_canvas_line(draw_canvas *canvas, double x0, double y0, double x1, double y1, double width, uint32_t rgb,
                      int dashed);
// A filled circle with a white rim.
void draw_canvas_dot(draw_canvas *canvas, double x, double y, double radius, uint32_t rgb);
// y is the baseline. Bytes that are not UTF-8 and control characters become '?'.
void draw_canvas_words(draw_canvas *canvas, double x, double y, draw_style style, const char *text);

// About how wide a text will be, by the letters of a common sans-serif.
double draw_words_width(const char *text, double size, int bold);

// Each gives allocated bytes: free(*bytes). SVG needs no library, PNG needs cairo; scale 2 suits most screens.
cfine_status draw_canvas_svg(const draw_canvas *canvas, uint8_t **bytes, size_t *size, cfine_error *error);
cfine_status draw_canvas_png(const draw_canvas *canvas, double scale, uint8_t **bytes, size_t *size,
                             cfine_error *error);

#endif
