// SPDX-License-Identifier: Apache-2.0
// Timing one kernel on one problem, on the device that a plan is for; one a backend.
#ifndef CF_PLAN_STOPWATCH_H
#define CF_PLAN_STOPWATCH_H

#include "plan/plan.h"

typedef struct cf_stopwatch {
    // Takes hold of the device; *state is given to the others, and to destroy also when create failed (NULL: nothing).
    cfine_status (*create)(const cf_plan_request *request, void **state, cfine_error *err);
    void (*destroy)(void *state);
    // Seconds of one run with the problem's shapes and strides, on data of no meaning. The problem still has its
    // constants. best: what another kernel took, so that much slower ones need not be run often.
    cfine_status (*time)(void *state, const cf_problem *problem, const cf_kernel *kernel, double best, double *seconds,
                         cfine_error *err);
} cf_stopwatch;

extern const cf_stopwatch cf_stopwatch_cpu, cf_stopwatch_cuda;

#endif
