// SPDX-License-Identifier: Apache-2.0
// Libraries that are opened when they are first needed: linking cairo, libcurl or libmicrohttpd, with what stands
// behind them, would cost every start of the program several milliseconds.
//
//     #define X_FUNCTIONS(function) function(x_create) function(x_destroy)
//     typedef struct x_api { X_FUNCTIONS(LATE_FIELD) } x_api;
//
//     static x_api functions;
//     static const late_function list[] = {X_FUNCTIONS(LATE_FUNCTION)};
//     static late_library library = LATE_LIBRARY("libx.so.1", "x1", "drawing", list);
//     if (late_library_open(&library, error) == CFINE_OK) functions.x_create();
#ifndef COMMON_LATE_LIBRARY_H
#define COMMON_LATE_LIBRARY_H

#include <pthread.h>
#include <stddef.h>

#include "cfine/cfine.h"

typedef struct late_function {
    const char *name;
    void *place; // of the pointer to it
} late_function;

typedef struct late_library {
    const char *file, *package, *purpose; // "libx.so.1"; what to install; what needs it
    const late_function *functions;
    size_t count;
    pthread_mutex_t lock;
    int tried;
    cfine_error problem; // status CFINE_OK: it is open
} late_library;

#define LATE_FIELD(name) __typeof__(&name) name;
#define LATE_FUNCTION(name) {#name, &functions.name},
#define LATE_LIBRARY(file, package, purpose, list)                                                                     \
    {                                                                                                                  \
        file, package, purpose, list, sizeof(list) / sizeof *(list), PTHREAD_MUTEX_INITIALIZER, 0, {                   \
            0                                                                                                          \
        }                                                                                                              \
    }

// Opens it the first time and fills the places; the error of a failure is the same ever after. Any thread.
cfine_status late_library_open(late_library *library, cfine_error *error);

#endif
