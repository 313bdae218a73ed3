// SPDX-License-Identifier: Apache-2.0
// A session: a plan with the memory it works in and what runs it, a team of threads (session_cpu.c) or a GPU
// (session_cuda.c). Runs batches.
#ifndef CF_EXEC_SESSION_H
#define CF_EXEC_SESSION_H

#include <pthread.h>

#include "plan/plan.h"
#include "preprocess/resize.h"

typedef struct cf_session_options {
    int threads; // of the pool, which also prepares images for a GPU
    int pin;     // 1: bind each thread to a core
    int profile; // 1: take the time of every step
    int gpu;     // number of the GPU, for plans of one
} cf_session_options;

// What an observer wants to see of a step.
typedef enum cf_look { CF_LOOK_AWAY, CF_LOOK_AT_OUTPUT, CF_LOOK_AT_INPUTS } cf_look;

// Sees steps when they are done, on one thread, while the others wait: what calibration records. Of a GPU's steps it
// sees copies, and only of what it looks at.
typedef struct cf_observer {
    cf_look (*look)(void *arg, int step);
    void (*see)(void *arg, int step, const cf_call *call); // NULL: nobody looks
    void *arg;
} cf_observer;

typedef struct cf_session {
    cf_plan *plan; // retained
    cf_pool *pool;
    cf_session_options options;
    // In the host's memory, the whole batch. A GPU's session has `bytes` too: the images as 8-bit RGB [batch, h, w, 3],
    // resized but not scaled, which it scales itself: for pictures that it does not resize. On a CPU they have no data.
    cf_tensor input, bytes, logits, boxes;
    double *step_seconds; // of the last run, when profiling
    int images;           // of the last run
    cf_observer observer;
    pthread_mutex_t lock;
    const struct cf_session_runner *runner;
    void *state; // of the runner
} cf_session;

// Where a run finds its pixels.
typedef enum cf_pixels_from {
    CF_PIXELS_INPUT, // session->input
    CF_PIXELS_BYTES, // session->bytes
    CF_PIXELS_KEPT   // on the device: those of the run before, or what cf_session_send brought since
} cf_pixels_from;

// How a backend runs a session; one a backend.
typedef struct cf_session_runner {
    // Makes session->state and sets input, logits and boxes. On failure `destroy` is called too.
    cfine_status (*create)(cf_session *session, cfine_error *err);
    void (*destroy)(cf_session *session);
    cfine_status (*forward)(cf_session *session, int images, cf_pixels_from from, cfine_error *err);
    // cf_session_takes, cf_session_send; NULL: a runner that has no use for pictures.
    int (*takes)(const cf_session *session, int width, int height);
    void (*send)(cf_session *session, int n, const cf_resizer *resizer, const uint8_t *rgb);
} cf_session_runner;

extern const cf_session_runner cf_session_cpu, cf_session_cuda;

cfine_status cf_session_create(cf_plan *plan, const cf_session_options *options, cf_session **out, cfine_error *err);
// How many images each of `sessions` sessions of a plan like this one could take in the free memory of a GPU; 0: none.
cfine_status cf_session_fitting(const cf_plan *plan, int gpu, int sessions, int *images, cfine_error *err);
void cf_session_destroy(cf_session *session); // NULL is allowed

// 1 if the device resizes pictures of this size itself; and sends it one, image n of the next run, for which `resizer`
// is planned. The caller holds the lock; what fails is said by that run.
int cf_session_takes(const cf_session *session, int width, int height);
void cf_session_send(cf_session *session, int n, const cf_resizer *resizer, const uint8_t *rgb);

// Sets waits[step]: 0 where a step touches nothing that the steps since the last meeting of the threads write or read.
void cf_session_find_barriers(const cf_plan *plan, int threads, uint8_t *waits);

// Runs all steps for `images` images (1..batch) whose pixels are where `from` says; the results are in `logits`
// [1, queries, labels] and `boxes` [1, queries, 4]. The caller holds the lock. Only a GPU can fail.
cfine_status cf_session_forward(cf_session *session, int images, cf_pixels_from from, cfine_error *err);

#endif
