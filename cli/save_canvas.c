// SPDX-License-Identifier: Apache-2.0
#include "save_canvas.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "output_file.h"

enum { PNG_SCALE = 2 };

static int ends_in(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length > tail && strcmp(path + length - tail, end) == 0;
}

int cli_is_picture_name(const char *path) {
    return ends_in(path, ".svg") || ends_in(path, ".png");
}

int cli_save_canvas(const char *path, draw_canvas *canvas) {
    uint8_t *bytes;
    size_t size;
    cfine_error error;
    cfine_status status = ends_in(path, ".png") ? draw_canvas_png(canvas, PNG_SCALE, &bytes, &size, &error)
                                                : draw_canvas_svg(canvas, &bytes, &size, &error);
    draw_canvas_release(canvas);
    if (status != CFINE_OK) {
        cli_error("%s: %s", path, error.message);
        return 0;
    }
    int saved = cli_output_save(path, bytes, size);
    free(bytes);
    return saved;
}
