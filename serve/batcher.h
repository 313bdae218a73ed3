// SPDX-License-Identifier: Apache-2.0
// The way of a request through the machine: a hand prepares it (parses, decodes), it waits until a worker takes it
// together with others as one batch, a hand makes the answer. Hands and workers are threads; a worker has one session
// of the engine for itself.
//
//     reserve, submit -> prepare (hand) -> ready list -> worker: one batch -> finish (hand)
//
// Everything is bounded: jobs between submit and worker by `capacity`, the memory of prepared jobs by `ready_bytes`.
#ifndef SERVE_BATCHER_H
#define SERVE_BATCHER_H

#include <stddef.h>

#include "cfine/cfine.h"
#include "engine.h"

typedef enum serve_kind {
    SERVE_IMAGES, // images to detections
    SERVE_PIXELS  // network input to raw output
} serve_kind;

typedef struct serve_job serve_job;
struct serve_job {
    // Set by who submits.
    void (*prepare)(serve_job *job); // on a hand
    void (*finish)(serve_job *job);  // on a hand; the batcher does not touch the job afterwards
    int (*is_gone)(serve_job *job);  // whether nobody waits for the answer any more; any thread of the batcher
    double deadline;                 // of common_now(); a job that no worker took by then is late

    // Set by the batcher before prepare.
    serve_engine *engine; // held until finish returned

    // Set by prepare. All memory stays the job's.
    int refused; // nothing to run: on to finish
    serve_kind kind;
    int count;               // images, 1..engine's batch
    cfine_image *images;     // [count] SERVE_IMAGES
    cfine_detections *found; // [count] SERVE_IMAGES, zeroed: filled by the worker
    float threshold;         // SERVE_IMAGES: least score of interest; more may be found
    float *pixels;           // [count, 3, height, width] SERVE_PIXELS
    float *logits, *boxes;   // [count, queries, labels], [count, queries, 4] SERVE_PIXELS: filled by the worker
    size_t bytes;            // that the job holds while it waits

    // Set by the batcher.
    cfine_status status; // of the run
    cfine_error error;
    int late, gone; // it did not run
    int batch;      // images in the run
    double arrived, prepared, started, ended;
    serve_job *next;
};

typedef struct serve_batcher_options {
    int hands;          // threads that prepare and finish
    int capacity;       // jobs that may wait
    double max_delay;   // seconds that a batch may wait to become full
    size_t ready_bytes; // memory of prepared jobs above which no more are prepared
} serve_batcher_options;

// What a run of the network tells.
typedef void serve_run_observer(void *context, int images, double seconds);

typedef struct serve_batcher serve_batcher;

// Starts the threads; takes over the caller's reference of the engine.
cfine_status serve_batcher_start(const serve_batcher_options *options, serve_engine *engine,
                                 serve_run_observer *observer, void *context, serve_batcher **out, cfine_error *error);

// Takes a place in the queue: 0 when it is full. After 1, submit must follow.
int serve_batcher_reserve(serve_batcher *batcher);
void serve_batcher_submit(serve_batcher *batcher, serve_job *job);

// Takes over the caller's reference of a new engine with as many workers; jobs prepared before run on the old one.
void serve_batcher_swap(serve_batcher *batcher, serve_engine *engine);

// The present engine, to be released by the caller.
serve_engine *serve_batcher_engine(serve_batcher *batcher);

// Jobs that wait for a worker.
int serve_batcher_waiting(serve_batcher *batcher);

// Ends the threads after all submitted jobs are finished.
void serve_batcher_stop(serve_batcher *batcher);

#endif
