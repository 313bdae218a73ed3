// SPDX-License-Identifier: Apache-2.0
// Status and text of a failure, as the library's functions give them.
#ifndef DRAW_FAILURE_H
#define DRAW_FAILURE_H

#include <stdarg.h>
#include <stdio.h>

#include "cfine/cfine.h"

__attribute__((format(printf, 3, 4))) static inline cfine_status draw_fail(cfine_error *error, cfine_status status,
                                                                           const char *format, ...) {
    if (!error) return status;
    error->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

#endif
