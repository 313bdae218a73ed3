// SPDX-License-Identifier: Apache-2.0
// Drawn pictures as files.
#ifndef CLI_SAVE_CANVAS_H
#define CLI_SAVE_CANVAS_H

#include "draw/canvas.h"

// Whether a name ends in .svg or .png.
int cli_is_picture_name(const char *path);

// Writes the canvas as its name says and releases it. Returns 1, or 0 after an error message.
int cli_save_canvas(const char *path, draw_canvas *canvas);

#endif
