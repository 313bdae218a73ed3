// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "common/failure.h"

enum { DEFAULT_BATCH = 8 };

static int is_plan_file(const char *model) {
    size_t length = model ? strlen(model) : 0;
    return length > 5 && strcmp(model + length - 5, ".plan") == 0;
}

static cfine_status open_sessions(const serve_engine_options *options, serve_engine *engine, cfine_error *error) {
    cfine_open_options open = options->open;
    int threads = options->threads ? options->threads : cfine_cpu_count();
    if (!open.plan.batch && !is_plan_file(options->model)) open.plan.batch = DEFAULT_BATCH;
    open.session.threads = threads / options->workers > 1 ? threads / options->workers : 1;
    open.plan.threads = open.session.threads;
    cfine_status status = cfine_open(options->model, &open, &engine->sessions[0], error);
    if (status != CFINE_OK) return status;
    engine->plan = cfine_session_plan(engine->sessions[0]);
    for (int i = 1; i < engine->workers && status == CFINE_OK; i++) {
        if (options->gpu_count) open.session.device = options->gpus[i % options->gpu_count];
        status = cfine_session_open(engine->plan, &open.session, &engine->sessions[i], error);
    }
    engine->info = CFINE_INIT(cfine_plan_info);
    return status == CFINE_OK ? cfine_plan_get_info(engine->plan, &engine->info, error) : status;
}

cfine_status serve_engine_open(const serve_engine_options *options, serve_engine **out, cfine_error *error) {
    *out = NULL;
    serve_engine *engine = calloc(1, sizeof *engine);
    cfine_session **sessions = calloc((size_t)options->workers, sizeof *sessions);
    if (!engine || !sessions) {
        free(engine);
        free(sessions);
        return common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
    }
    engine->references = 1;
    engine->workers = options->workers;
    engine->sessions = sessions;
    cfine_status status = open_sessions(options, engine, error);
    if (status == CFINE_OK)
        *out = engine;
    else
        serve_engine_release(engine);
    return status;
}

serve_engine *serve_engine_retain(serve_engine *engine) {
    __atomic_add_fetch(&engine->references, 1, __ATOMIC_RELAXED);
    return engine;
}

void serve_engine_release(serve_engine *engine) {
    if (!engine || __atomic_sub_fetch(&engine->references, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (int i = 0; i < engine->workers; i++) cfine_session_close(engine->sessions[i]);
    free(engine->sessions);
    free(engine);
}

const char *serve_engine_label(const serve_engine *engine, int label) {
    const char *name = cfine_plan_label(engine->plan, label);
    return name ? name : "?";
}
