// SPDX-License-Identifier: Apache-2.0
#include "cairo_api.h"

static draw_cairo functions;
static const late_function list[] = {DRAW_CAIRO_FUNCTIONS(LATE_FUNCTION)};
static late_library library = LATE_LIBRARY("libcairo.so.2", "libcairo2", "drawing labels and plots", list);

const draw_cairo *draw_cairo_open(cfine_error *error) {
    return late_library_open(&library, error) == CFINE_OK ? &functions : NULL;
}
