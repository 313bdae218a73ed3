// SPDX-License-Identifier: Apache-2.0
// A plan and one session of it for each worker. Requests hold the engine they were prepared for, so that a new one can
// take over while the last requests of the old one are still running.
#ifndef SERVE_ENGINE_H
#define SERVE_ENGINE_H

#include "cfine/cfine.h"

typedef struct serve_engine_options {
    const char *model;       // as cfine_open takes it
    cfine_open_options open; // open.plan.batch: the largest batch; 0: what a plan file has, or 8
    int workers;             // sessions
    const char *const *gpus; // "cuda:N" of each GPU, which sessions take in turn; NULL: where open says
    int gpu_count;           //
    int threads;             // of all sessions together; 0: all cores
} serve_engine_options;

typedef struct serve_engine {
    int references; // atomic
    int workers;
    cfine_session **sessions; // [workers]
    const cfine_plan *plan;   // of the sessions
    cfine_plan_info info;
} serve_engine;

// Opens the model, which for a checkpoint means building its plan: seconds. The caller holds one reference.
cfine_status serve_engine_open(const serve_engine_options *options, serve_engine **out, cfine_error *error);
serve_engine *serve_engine_retain(serve_engine *engine);
void serve_engine_release(serve_engine *engine); // NULL does nothing

// Name of a class, "?" where the model has none. Any thread.
const char *serve_engine_label(const serve_engine *engine, int label);

#endif
