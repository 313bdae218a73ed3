// SPDX-License-Identifier: Apache-2.0
// What the programs share. Here: status and text of a failure, as the library's functions give them; and the clock.
#ifndef COMMON_FAILURE_H
#define COMMON_FAILURE_H

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "cfine/cfine.h"

__attribute__((format(printf, 3, 4))) static inline cfine_status common_fail(cfine_error *error, cfine_status status,
                                                                             const char *format, ...) {
    if (!error) return status;
    error->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

// Seconds of a clock that only goes forward.
static inline double common_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
