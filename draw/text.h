// SPDX-License-Identifier: Apache-2.0
// One line of text as a small picture of how much each pixel is covered.
#ifndef DRAW_TEXT_H
#define DRAW_TEXT_H

#include <stdint.h>

#include "cfine/cfine.h"

typedef struct draw_text {
    int width, height; // pixels
    uint8_t *cover;    // height * width, 0..255
} draw_text;

// Renders UTF-8 text at a font size in pixels; text wider than max_width is cut and ends with "…". What is not UTF-8
// shows as '?'. Release with draw_text_release.
cfine_status draw_text_render(const char *utf8, double size, int max_width, draw_text *out, cfine_error *error);
// Copies whole characters only, as many as fit; control characters and bytes that are not UTF-8 become '?'.
enum { DRAW_TEXT_BYTES = 256 };
void draw_text_clean(const char *text, char out[DRAW_TEXT_BYTES]);

void draw_text_release(draw_text *text);

#endif
