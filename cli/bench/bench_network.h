// SPDX-License-Identifier: Apache-2.0
// A network within another engine's C library: bench_onnxruntime.c and bench_openvino.c make them, bench_native.c makes
// rows of them. What is used of these interfaces is declared there, so that building needs no header of theirs.
#ifndef CLI_BENCH_NETWORK_H
#define CLI_BENCH_NETWORK_H

#include "bench.h"
#include "bench_helper.h"

typedef struct bench_network_task {
    bench_helper *helper; // knows where Python has libraries
    const char *library;  // file of the engine's library that the user named; NULL: none
    const char *file;     // of the network
    const bench_row *row; // engine, precision, batch, threads
    const char *device;   // as --device says; NULL: cpu
    int width, height;    // of the input
} bench_network_task;

// Where the outputs lie until the next run.
typedef struct bench_outputs {
    const float *logits, *boxes; // [batch, queries, labels], [batch, queries, 4]
    int64_t queries, labels;
} bench_outputs;

typedef struct bench_network bench_network;

typedef struct bench_network_kind {
    // An engine that is missing or refuses this row: CFINE_ERROR_NOT_FOUND, and the text says how to get it.
    cfine_status (*open)(const bench_network_task *task, bench_network **out, cfine_error *error);
    // One pass over network->pixels. out NULL: the outputs may stay on the device.
    cfine_status (*run)(bench_network *network, bench_outputs *out, cfine_error *error);
    void (*close)(bench_network *network);
} bench_network_kind;

// What every kind begins with.
struct bench_network {
    float *pixels; // [batch, 3, height, width], to be filled before a run
    size_t pixel_count;
    char version[64], device[96];
};

extern const bench_network_kind bench_onnxruntime, bench_openvino;

#endif
