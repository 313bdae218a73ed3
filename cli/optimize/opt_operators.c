// SPDX-License-Identifier: Apache-2.0
// What each operator costs in accuracy at the lowest level, and what it would cost in time to raise it.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "optimize.h"
#include "progress.h"

// A plan with its steps. Names and kernels of the steps belong to the plan.
typedef struct {
    cfine_plan *plan;
    cfine_step_time *steps;
    size_t count;
    double harm;
} profiled;

static void release(profiled *it) {
    free(it->steps);
    cfine_plan_close(it->plan);
}

static cfine_status profile(opt_search *search, const opt_setting *setting, int also, profiled *out,
                            cfine_error *error) {
    *out = (profiled){0};
    cfine_status status = opt_build(search, setting, also, &out->plan, error);
    if (status != CFINE_OK) return status;
    return opt_measure_harm(search, out->plan, &out->harm, &out->steps, &out->count, error);
}

static const cfine_step_time *find_step(const profiled *in, const char *name, size_t near) {
    if (near < in->count && strcmp(in->steps[near].name, name) == 0) return &in->steps[near];
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->steps[i].name, name) == 0) return &in->steps[i];
    return NULL;
}

// The time of the steps of a that b has not, or runs by another kernel or in another precision.
static double changed_time(const profiled *a, const profiled *b) {
    double sum = 0;
    for (size_t i = 0; i < a->count; i++) {
        const cfine_step_time *other = find_step(b, a->steps[i].name, i);
        if (!other || strcmp(other->kernel, a->steps[i].kernel) != 0 || other->precision != a->steps[i].precision)
            sum += a->steps[i].milliseconds;
    }
    return sum;
}

// Gain for each millisecond, the greatest first. An operator that is faster when raised comes first of all.
static int by_worth(const void *a, const void *b) {
    const opt_operator *x = a, *y = b;
    double worth_x = x->harm / fmax(x->milliseconds, 1e-4), worth_y = y->harm / fmax(y->milliseconds, 1e-4);
    if (worth_x != worth_y) return worth_x < worth_y ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void list_operators(opt_search *search, const profiled *base) {
    search->operators = cli_alloc(base->count + 1, sizeof *search->operators);
    for (size_t i = 0; i < base->count; i++) {
        const cfine_step_time *step = &base->steps[i];
        if (step->precision != opt_precision(search, search->lowest) || step->flops <= 0) continue;
        search->operators[search->operator_count++] =
            (opt_operator){.name = cli_format("%s", step->name), .flops = step->flops};
    }
}

static cfine_status measure(opt_search *search, const opt_setting *setting, int place, const profiled *base,
                            const char *key, cfine_error *error) {
    opt_operator *operator= & search->operators[place];
    const double *known = opt_log_find(&search->log, key, "operator");
    if (!known) {
        profiled raised;
        cfine_status status = profile(search, setting, place, &raised, error);
        double values[4] = {0};
        if (status == CFINE_OK) {
            values[0] = changed_time(&raised, base) - changed_time(base, &raised);
            values[1] = base->harm - raised.harm;
            opt_log_add(&search->log, key, "operator", values);
        }
        release(&raised);
        if (status != CFINE_OK) return status;
        operator->milliseconds = values[0];
        operator->harm = values[1];
        return CFINE_OK;
    }
    operator->milliseconds = known[0];
    operator->harm = known[1];
    return CFINE_OK;
}

cfine_status opt_measure_operators(opt_search *search, const opt_setting *setting, cfine_error *error) {
    profiled base;
    char key[640], words[256];
    cfine_status status = profile(search, setting, -1, &base, error);
    if (status == CFINE_OK) {
        list_operators(search, &base);
        search->harm = base.harm;
        opt_describe(search, setting, words, sizeof words);
    }
    cli_progress bar;
    cli_progress_start(&bar, "operators", 0, search->operator_count);
    int done = 0;
    for (; done < search->operator_count && status == CFINE_OK; done++) {
        snprintf(key, sizeof key, "%s: %s", words, search->operators[done].name);
        if (!opt_log_find(&search->log, key, "operator") && opt_seconds_left(search) < 0.5 * search->budget) break;
        status = measure(search, setting, done, &base, key, error);
        cli_progress_show(&bar, done + 1);
    }
    cli_progress_end(&bar);
    // Those that there was no time for count as doing the mean harm for what they compute.
    double harm = 0, flops = 1e-9;
    for (int i = 0; i < done; i++) harm += search->operators[i].harm, flops += search->operators[i].flops;
    for (int i = done; i < search->operator_count; i++) {
        opt_operator *operator= & search->operators[i];
        operator->harm = harm * operator->flops / flops;
        operator->milliseconds = 1e-9 * operator->flops; // as if a billion operations took a millisecond
    }
    qsort(search->operators, (size_t)search->operator_count, sizeof *search->operators, by_worth);
    release(&base);
    return status;
}
