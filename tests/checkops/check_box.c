// SPDX-License-Identifier: Apache-2.0
// Cases of shift_box, refine, quality.
#include "checkops/make.h"

#include <math.h>
#include <string.h>

// Boxes on the border, outside, without size, covering all; the rest random.
static float box_value(size_t i, check_random *random) {
    static const float special[7][4] = {{0, 0, 0.3f, 0.3f}, {1, 1, 0.5f, 0.5f},  {0.5f, 0.5f, 0, 0},
                                        {0.5f, 0.5f, 1, 1}, {-0.1f, 1.2f, 3, 0}, {1e-7f, 0.9999999f, 1e-5f, 0.99999f},
                                        {0, 1, 0, 1}};
    return i < 28 ? special[i / 4][i % 4] : check_uniform(random, 0, 1);
}

static void fill(const check_case *one, int input, float *values, size_t count, check_random *random) {
    const cf_problem *p = &one->problem;
    int bins = p->op == CF_OP_REFINE ? p->attr.refine.bins : p->op == CF_OP_QUALITY ? p->attr.quality.bins : 1;
    for (size_t i = 0; i < count; i++) {
        size_t side = i / (size_t)bins;
        values[i] = input == 1 ? box_value(i, random) : check_uniform(random, -4, 4);
        if (input == 1) continue;
        if (side % 7 == 1) values[i] = 1.5f;                          // all alike
        if (side % 7 == 2) values[i] = (float)check_below(random, 3); // ties
        if (side % 7 == 3) values[i] *= 20;                           // one bin takes all
        if (side % 7 == 4 && i % 5 == 0) values[i] = 3e4f;            // far beyond exp
        if (side % 7 == 5 && i % 3 == 0) values[i] = -INFINITY;       // a bin that is ruled out
        if (p->op == CF_OP_SHIFT_BOX) values[i] = isfinite(values[i]) ? fmaxf(fminf(values[i], 90), -90) : -90;
    }
}

static void fill_project(const check_case *one, int index, float *values, size_t count, check_random *random) {
    (void)index;
    for (size_t i = 0; i < count; i++) // as the real ones: from -scale to scale
        values[i] = one->problem.attr.refine.reg_scale * check_uniform(random, -1, 1);
}

static void emit(check_run *run, cf_op op, int images, int queries, int bins, int top, int kind) {
    check_case one = make_case_of(op, images, "%s %d queries bins %d top %d images %d", make_kinds[kind].name, queries,
                                  bins, top, images);
    make_input(&one, make_tensor(1, queries, op == CF_OP_SHIFT_BOX ? 4 : 4 * bins, make_kinds[kind].in));
    if (op != CF_OP_QUALITY) make_input(&one, make_tensor(1, queries, 4, CF_F32));
    one.problem.out[0] = make_tensor(1, queries, op == CF_OP_QUALITY ? 4 * (top + 1) : 4, make_kinds[kind].out);
    if (op == CF_OP_REFINE) {
        one.problem.attr.refine = (cf_refine_attr){bins, queries % 2 ? 4.0f : 8.0f};
        make_constant(&one, 1, 1, bins);
    }
    if (op == CF_OP_QUALITY) one.problem.attr.quality.bins = bins, one.problem.attr.quality.top = top;
    make_emit(run, one);
}

static void cases_of(check_run *run, cf_op op) {
    if (check_is_bench(run)) {
        for (int kind = 0; kind < 2; kind++) emit(run, op, 1, 300, 33, 4, kind);
        return;
    }
    static const struct {
        int images, queries, bins, top;
    } shapes[] = {{1, 1, 33, 4}, {2, 9, 33, 4}, {1, 40, 17, 3}, {1, 12, 16, 1},
                  {1, 14, 5, 5}, {3, 7, 64, 8}, {0, 3, 9, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = 0; kind < MAKE_REAL_KINDS; kind++)
            emit(run, op, shapes[i].images, shapes[i].queries, shapes[i].bins, shapes[i].top, kind);
}

static void shift_box_cases(check_run *run) {
    cases_of(run, CF_OP_SHIFT_BOX);
}
static void refine_cases(check_run *run) {
    cases_of(run, CF_OP_REFINE);
}
static void quality_cases(check_run *run) {
    cases_of(run, CF_OP_QUALITY);
}

// Distances of up to 8 times a box of up to 3, each a sum of `bins` terms.
static double refine_unit(const check_case *one, const cf_kernel *kernel) {
    (void)one;
    (void)kernel;
    return 1e-5;
}

const check_op check_shift_box = {.op = CF_OP_SHIFT_BOX, .cases = shift_box_cases, .fill = fill};
const check_op check_refine = {
    .op = CF_OP_REFINE, .cases = refine_cases, .fill = fill, .fill_constant = fill_project, .unit = refine_unit};
const check_op check_quality = {.op = CF_OP_QUALITY, .cases = quality_cases, .fill = fill};
