// SPDX-License-Identifier: Apache-2.0
// The Python process behind `cfine bench`: it runs PyTorch, quantises for OpenVINO, and knows what its interpreter has
// installed (scripts/peers.py, carried within the program). Tasks and answers are JSON, a line each.
#ifndef CLI_BENCH_HELPER_H
#define CLI_BENCH_HELPER_H

#include <stdint.h>
#include <stdio.h>

#include "cfine/cfine.h"

typedef struct bench_helper bench_helper;

// An answer's fields; absent ones stay empty, row is -1 then.
typedef struct bench_answer {
    int64_t row, queries, labels;
    double milliseconds;
    char version[64], device[96], path[1024], note[600];
} bench_answer;

// `python` is the interpreter; it is started by the first task. It keeps to `patience` itself (see scripts/peers.py);
// one that is silent for far longer is no such interpreter, and is given up.
bench_helper *bench_helper_create(const char *python, double patience);
// Ends the process.
void bench_helper_destroy(bench_helper *helper);

// Where a task is to be written: one line. NULL: the process cannot be started, or was given up.
FILE *bench_helper_task(bench_helper *helper, cfine_error *error);
// Waits for the answer. CFINE_ERROR_NOT_FOUND: no such interpreter, or it ended.
cfine_status bench_helper_answer(bench_helper *helper, bench_answer *out, cfine_error *error);

// Writes `,"key":"text"`, or a list of paths.
void bench_put_text(FILE *stream, const char *key, const char *text);
void bench_put_paths(FILE *stream, const char *key, char *const *paths, size_t count);

#endif
