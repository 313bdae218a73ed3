// SPDX-License-Identifier: Apache-2.0
// Times the kernels that accept a step, on the device that the plan is for, with the step's shapes and strides and the
// plan's threads.
//
// cf_tune leaves the others the first kernel of their list, as all have in a plan that is not tuned.
#include "plan/tune.h"

#include <string.h>

#include "base/memory.h"
#include "plan/stopwatch.h"

struct cf_tuner {
    cf_target target;
    const cf_stopwatch *stopwatch;
    void *watch;
    int most; // kernels timed for a step
};

cfine_status cf_tuner_create(const cf_plan_request *request, int most, cf_tuner **out, cfine_error *err) {
    *out = NULL;
    cf_tuner *tuner = cf_alloc(1, sizeof *tuner);
    if (!tuner) return cf_fail_memory(err, "tuning", sizeof *tuner);
    tuner->target = request->target;
    tuner->most = most;
    tuner->stopwatch = request->target.backend == CF_CUDA ? &cf_stopwatch_cuda : &cf_stopwatch_cpu;
    cfine_status status = tuner->stopwatch->create(request, &tuner->watch, err);
    if (status == CFINE_OK)
        *out = tuner;
    else
        cf_tuner_destroy(tuner);
    return status;
}

void cf_tuner_destroy(cf_tuner *tuner) {
    if (!tuner) return;
    tuner->stopwatch->destroy(tuner->watch);
    cf_free(tuner);
}

// The same shapes, strides and attributes, whatever the weights.
static int same_work(const cf_problem *a, const cf_problem *b) {
    cf_problem x = *a, y = *b;
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) {
        if (!x.constant[k].data != !y.constant[k].data) return 0;
        x.constant[k].data = y.constant[k].data = NULL;
    }
    return memcmp(&x, &y, sizeof x) == 0;
}

// The kernels worth timing: those that accept, or of very many those with the smallest estimates. Not the last of
// several, which is the reference.
static int candidates(const cf_tuner *tuner, const cf_problem *problem, const cf_kernel **out) {
    int count, found = 0;
    double estimates[CF_TUNE_MOST];
    const cf_kernel *const *list = cf_kernels_of(tuner->target.backend, problem->op, &count);
    for (int i = 0; i < count - (count > 1); i++) {
        if (!cf_kernel_runs_on(list[i], &tuner->target) || list[i]->refuse(problem)) continue;
        double estimate = list[i]->estimate ? list[i]->estimate(problem) : 0;
        int at = found;
        for (; at > 0 && estimates[at - 1] > estimate; at--)
            if (at < tuner->most) estimates[at] = estimates[at - 1], out[at] = out[at - 1];
        if (at < tuner->most) estimates[at] = estimate, out[at] = list[i];
        if (found < tuner->most) found++;
    }
    return found;
}

// Keeps the CF_TRIED fastest, fastest first.
static void keep(cf_step *step, const cf_kernel *kernel, double seconds) {
    cf_tried tried = {kernel, (float)(seconds * 1e3)};
    int at = step->tried_count < CF_TRIED ? step->tried_count++ : CF_TRIED;
    for (; at > 0 && step->tried[at - 1].milliseconds > tried.milliseconds; at--)
        if (at < CF_TRIED) step->tried[at] = step->tried[at - 1];
    if (at < CF_TRIED) step->tried[at] = tried;
}

cfine_status cf_tune(cf_tuner *tuner, const cf_step *steps, int32_t step_count, cf_step *step, cfine_error *err) {
    if (step->problem.op != CF_OP_CONV && step->problem.op != CF_OP_ATTENTION) return CFINE_OK;
    return cf_tuner_time(tuner, steps, step_count, step, err);
}

cfine_status cf_tuner_time(cf_tuner *tuner, const cf_step *steps, int32_t step_count, cf_step *step, cfine_error *err) {
    enum { MOST_INPUTS = 3 };
    const cf_problem *problem = &step->problem;
    if (problem->inputs > MOST_INPUTS) return CFINE_OK;
    for (int32_t i = 0; i < step_count; i++)
        if (steps[i].tried_count && same_work(&steps[i].problem, problem)) {
            step->kernel = steps[i].kernel;
            step->tried_count = steps[i].tried_count;
            memcpy(step->tried, steps[i].tried, sizeof step->tried);
            return CFINE_OK;
        }
    const cf_kernel *list[CF_TUNE_MOST];
    int count = candidates(tuner, problem, list);
    double best = 1e9;
    for (int i = 0; i < count; i++) {
        double seconds = 0;
        CF_TRY(tuner->stopwatch->time(tuner->watch, problem, list[i], best, &seconds, err));
        keep(step, list[i], seconds);
        if (seconds < best) best = seconds;
    }
    if (count) step->kernel = step->tried[0].kernel;
    return CFINE_OK;
}
