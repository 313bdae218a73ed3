// SPDX-License-Identifier: Apache-2.0
// Two plans of one model against each other by the clock, whole runs in turns: what single operators promise need not
// hold for the network, where they overlap and share caches.
#include <time.h>

#include "api/handles.h"
#include "base/memory.h"

enum { WARM = 2, MOST_RUNS = 20, LEAST_RUNS = 3 };

static const double ENOUGH_SECONDS = 1;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static cfine_status open_runner(cf_plan *plan, cf_session **out, cfine_error *error) {
    int on_gpu = plan->request.target.backend == CF_CUDA;
    cf_session_options options = {.threads = on_gpu ? 1 : plan->request.threads, .gpu = plan->request.ordinal};
    CF_TRY(cf_session_create(plan, &options, out, error));
    for (int i = 0; i < WARM; i++) CF_TRY(cf_session_forward(*out, plan->request.batch, CF_PIXELS_INPUT, error));
    return CFINE_OK;
}

static cfine_status race(cf_session *const runners[2], double least[2], cfine_error *error) {
    double begin = now();
    for (int run = 0; run < MOST_RUNS && (run < LEAST_RUNS || now() - begin < ENOUGH_SECONDS); run++)
        for (int i = 0; i < 2; i++) {
            double start = now();
            CF_TRY(cf_session_forward(runners[i], runners[i]->plan->request.batch, CF_PIXELS_KEPT, error));
            double taken = now() - start;
            if (run == 0 || taken < least[i]) least[i] = taken;
        }
    return CFINE_OK;
}

cfine_status cf_plan_race(cf_plan *first, cf_plan *second, int *winner, cfine_error *error) {
    cf_plan *plans[2] = {first, second};
    cf_session *runners[2] = {NULL, NULL};
    double least[2] = {0, 0};
    cfine_status status = CFINE_OK;
    for (int i = 0; i < 2 && status == CFINE_OK; i++) status = open_runner(plans[i], &runners[i], error);
    if (status == CFINE_OK) status = race(runners, least, error);
    for (int i = 0; i < 2; i++) cf_session_destroy(runners[i]);
    *winner = least[1] < least[0];
    return status;
}
