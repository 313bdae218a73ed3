// SPDX-License-Identifier: Apache-2.0
// Choosing kernels by the clock, while a plan is compiled.
#ifndef CF_PLAN_TUNE_H
#define CF_PLAN_TUNE_H

#include "plan/plan.h"

typedef struct cf_tuner cf_tuner;

// Of very many kernels that accept a step, how many are worth the time.
enum { CF_TUNE_MOST = 16 };

// Starts the threads that the plan will run on. most: kernels that are timed for a step, 1 .. CF_TUNE_MOST.
cfine_status cf_tuner_create(const cf_plan_request *request, int most, cf_tuner **out, cfine_error *err);
void cf_tuner_destroy(cf_tuner *tuner); // NULL is allowed

// Sets the step's kernel, where its time matters and its inputs may hold anything (convolutions, attention), to the
// fastest of those that accept it, and what was tried. The step's problem still has its constants. Steps before it with
// the same shapes are taken at their word.
cfine_status cf_tune(cf_tuner *tuner, const cf_step *steps, int32_t step_count, cf_step *step, cfine_error *err);
// The same for a step of any operator whose inputs may hold anything.
cfine_status cf_tuner_time(cf_tuner *tuner, const cf_step *steps, int32_t step_count, cf_step *step, cfine_error *err);

#endif
