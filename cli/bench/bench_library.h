// SPDX-License-Identifier: Apache-2.0
// Libraries of other engines: where they are found, and how they are opened while the program runs.
#ifndef CLI_BENCH_LIBRARY_H
#define CLI_BENCH_LIBRARY_H

#include "bench_helper.h"

// How to find one. A file that the user named is the only one tried; else what the loader finds under these names, and
// last what Python's package has under the pattern.
typedef struct bench_library_place {
    const char *engine; // for people
    const char *option; // of cfine bench that names the file; the environment variable is `variable`
    const char *variable;
    const char *names[3];       // for the loader; ends with NULL
    const char *module, *files; // Python's, and a pattern within its folder
    const char *package;        // what pip installs
} bench_library_place;

typedef struct bench_function {
    const char *name;
    void *place; // of the pointer to it
} bench_function;

// Opens it for the rest of the process: engines keep threads of their own. Errors say how to get it.
cfine_status bench_library_open(const bench_library_place *place, const char *named, bench_helper *helper,
                                void **handle, cfine_error *error);
// Fills the places; a function that is missing means that the library is too old.
cfine_status bench_library_functions(const bench_library_place *place, void *handle, const bench_function *functions,
                                     size_t count, cfine_error *error);

#endif
