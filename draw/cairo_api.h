// SPDX-License-Identifier: Apache-2.0
// cairo, opened when the first text is drawn.
#ifndef DRAW_CAIRO_API_H
#define DRAW_CAIRO_API_H

#include <cairo.h>

#include "cfine/cfine.h"
#include "common/late_library.h"

#define DRAW_CAIRO_FUNCTIONS(function)                                                                                 \
    function(cairo_image_surface_create) function(cairo_image_surface_get_data)                                        \
        function(cairo_image_surface_get_stride) function(cairo_surface_flush) function(cairo_surface_destroy)         \
            function(cairo_surface_status) function(cairo_create) function(cairo_destroy) function(cairo_status)       \
                function(cairo_status_to_string) function(cairo_select_font_face) function(cairo_set_font_size)        \
                    function(cairo_text_extents) function(cairo_font_extents) function(cairo_move_to)                  \
                        function(cairo_show_text) function(cairo_new_path) function(cairo_close_path)                  \
                            function(cairo_line_to) function(cairo_arc) function(cairo_fill)                           \
                                function(cairo_fill_preserve) function(cairo_stroke) function(cairo_paint)             \
                                    function(cairo_scale) function(cairo_set_source_rgb)                               \
                                        function(cairo_set_line_width) function(cairo_set_dash)

typedef struct draw_cairo {
    DRAW_CAIRO_FUNCTIONS(LATE_FIELD)
} draw_cairo;

// cairo's functions, or NULL with an error that says what to install. Any thread.
const draw_cairo *draw_cairo_open(cfine_error *error);

#endif
