// SPDX-License-Identifier: Apache-2.0
// Two plans of one model against each other by the clock, whole runs in turns: what single operators promise need not
// hold for the network, where they overlap and share caches.
#include <stdlib.h>
#include <time.h>

#include "api/handles.h"
#include "base/memory.h"

// The first run of a turn is not counted: caches are full of the other plan's data.
enum { WARM = 2, MOST_TURNS = 40, LEAST_TURNS = 5, RUNS_OF_TURN = 3, MOST_RUNS = MOST_TURNS * (RUNS_OF_TURN - 1) };

static const double ENOUGH_SECONDS = 2;

// Of the first plan's median over the second's: what could be noise does not count as a win.
static const double CLEAR_WIN = 0.995;

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

typedef struct times {
    double seconds[MOST_RUNS];
    int count;
} times;

static cfine_status take_turn(cf_session *runner, times *to, cfine_error *error) {
    for (int run = 0; run < RUNS_OF_TURN; run++) {
        double start = now();
        CF_TRY(cf_session_forward(runner, runner->plan->request.batch, CF_PIXELS_KEPT, error));
        if (run > 0) to->seconds[to->count++] = now() - start;
    }
    return CFINE_OK;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(times *t) {
    qsort(t->seconds, (size_t)t->count, sizeof *t->seconds, compare);
    return t->seconds[t->count / 2];
}

static cfine_status race(cf_session *const runners[2], times taken[2], cfine_error *error) {
    double begin = now();
    for (int turn = 0; turn < MOST_TURNS && (turn < LEAST_TURNS || now() - begin < ENOUGH_SECONDS); turn++)
        for (int i = 0; i < 2; i++) CF_TRY(take_turn(runners[i], &taken[i], error));
    return CFINE_OK;
}

cfine_status cf_plan_race(cf_plan *first, cf_plan *second, int *winner, cfine_error *error) {
    cf_plan *plans[2] = {first, second};
    cf_session *runners[2] = {NULL, NULL};
    times taken[2] = {{.count = 0}, {.count = 0}};
    cfine_status status = CFINE_OK;
    for (int i = 0; i < 2 && status == CFINE_OK; i++) status = open_runner(plans[i], &runners[i], error);
    if (status == CFINE_OK) status = race(runners, taken, error);
    for (int i = 0; i < 2; i++) cf_session_destroy(runners[i]);
    if (status == CFINE_OK) *winner = median(&taken[0]) > CLEAR_WIN * median(&taken[1]);
    return status;
}
