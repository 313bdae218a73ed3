// SPDX-License-Identifier: Apache-2.0
// The parts of `cfine bench`: rows to be timed, who runs them, and how they are shown.
//
//     cmd_bench.c plans rows (bench_plan.c) --open--> bench_cfine.c, or bench_peer.c: another engine by
//                                                     bench_native.c (its library) or bench_python.c (a process)
//                                           --rounds--> bench_row.c (figures) --> bench_print.c (tables, JSON)
//                                                                           '--> bench_picture.c (SVG, PNG)
//                                           --accuracy--> bench_accuracy.c; bench_profile.c (where the time goes)
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cfine/cfine.h"
#include "model_args.h"

typedef enum bench_engine {
    BENCH_CFINE,
    BENCH_ONNXRUNTIME,
    BENCH_ONNXRUNTIME_CUDA,
    BENCH_ONNXRUNTIME_TENSORRT,
    BENCH_OPENVINO,
    BENCH_PYTORCH, // the reference implementation, eager; with the two below from a Hugging Face folder
    BENCH_TORCH_COMPILE,
    BENCH_TORCH_TENSORRT,
    BENCH_ENGINES
} bench_engine;
extern const char *const bench_engine_names[]; // ends with NULL

typedef enum bench_scope {
    BENCH_FORWARD, // prepared pixels in, raw outputs out
    BENCH_IMAGE    // encoded pictures in, detections out
} bench_scope;
extern const char *const bench_scope_names[]; // ends with NULL

// Encoded pictures in memory, which rows of scope image take in turns.
typedef struct bench_pictures {
    char **paths;
    uint8_t **bytes;
    size_t *sizes;
    size_t count;
} bench_pictures;

typedef struct bench_row bench_row;

// What goes into a network of another engine, and what comes out.
typedef struct bench_batch {
    const float *pixels; // [batch, 3, height, width]
    size_t pixel_count;
    int queries, labels;         // that are expected
    const float *logits, *boxes; // [batch, queries, labels], [batch, queries, 4]; valid until the next batch
    float *outputs;              // memory of a runner that needs some; the caller frees it in the end
} bench_batch;

// Who runs a row. `run` does one timed pass and gives its milliseconds. `infer` is there for other engines: one pass
// whose outputs are wanted; CFINE_ERROR_MISMATCH where the engine gives other numbers of queries and labels.
typedef struct bench_runner {
    cfine_status (*run)(bench_row *row, double *milliseconds, cfine_error *error);
    void (*close)(bench_row *row);
    cfine_status (*infer)(const bench_row *row, bench_batch *batch, cfine_error *error);
} bench_runner;

struct bench_row {
    bench_engine engine;
    bench_scope scope;
    int precision; // index into cli_precisions
    int unknown;   // 1: the precision is a plan's that is not opened
    int batch, threads, queries;
    int streams;             // of cfine: sessions of one plan that run side by side, each with its share of the threads
    const char *calibration; // of int8; NULL: none
    const char *section;     // heading of the rows it belongs to; NULL: none
    char version[64];        // of the engine
    char device[96];
    const bench_pictures *pictures;
    size_t turn; // next picture

    const bench_runner *runner; // NULL: it cannot run, and `note` says why
    void *state;                // of the runner
    char note[sizeof((cfine_error *)0)->message];
    int failed; // 1: a pass failed (see note); it runs no more

    double *milliseconds; // [count] one a pass
    int count, capacity;
    double ap, ap50; // AP and AP50; -1: not measured
};

typedef struct bench_figures {
    double mean, deviation, p50, p95, p99, least; // milliseconds a pass
    double images_per_s;                          // batch * streams / mean
} bench_figures;

// Figures of at least one pass. Percentiles interpolate between neighbours, as numpy does.
bench_figures bench_row_figures(const bench_row *row);
void bench_row_add(bench_row *row, double milliseconds);

// Images per second over those of the first row of the same scope that has times.
double bench_speed_up(const bench_row *rows, const bench_row *row);
// 1 if any row has an AP.
int bench_has_accuracy(const bench_row *rows, int count);
// How much of the first measured AP a row has lost, as a share of it: 0.01 is one in a hundred; negative: gained.
double bench_lost(const bench_row *rows, int count, const bench_row *row);

// "bf16", or "-" where it is not known.
const char *bench_row_precision(const bench_row *row);

// What a row is, in a few words: "cfine bf16, batch 8". Only what differs between the rows of a table is named.
void bench_row_name(const bench_row *rows, int count, const bench_row *row, char *text, size_t size);

// Rows as a table for people, a Markdown table for each section, or one JSON object a line.
void bench_print_table(const bench_row *rows, int count);
void bench_print_markdown(const bench_row *rows, int count);
void bench_print_json(const bench_row *rows, int count, const char *model);

// A picture of the rows: bars of milliseconds an image, and where accuracy was measured, speed against accuracy. The
// name ends in .svg or .png. title and subtitle are lines of text. Returns 1, or 0 after an error message.
int bench_save_picture(const char *path, const char *title, const char *subtitle, const bench_row *rows, int count);

// Opens row->state on cfine: model, options and pictures as the row says. Rows that differ in scope alone share a
// session: `like` (or NULL) is such a row.
cfine_status bench_cfine_open(bench_row *row, const cli_model_args *model, const bench_row *like, cfine_error *error);
// The session of a cfine row.
cfine_session *bench_cfine_session(const bench_row *row);

// An FP32 session that prepares pictures for a row of another engine, and selects from its outputs.
cfine_status bench_open_around(const bench_row *row, const cli_model_args *model, cfine_session **out,
                               cfine_error *error);
// Decodes the next pictures of a row, side by side, into images [batch].
cfine_status bench_decode_batch(const bench_row *row, cfine_image *images, cfine_error *error);

// Prints where the time of a forward pass goes: by operator and kernel, and the slowest steps.
cfine_status bench_print_profile(const bench_row *row, const cli_model_args *model, cfine_error *error);

// Options of the library for a row.
cfine_status bench_open_options(const bench_row *row, const cli_model_args *model, cfine_open_options *out,
                                cfine_error *error);

// Pixels 0..1 that look like nothing; the same for every row. Free with free().
float *bench_random_pixels(size_t count);

#endif
