// SPDX-License-Identifier: Apache-2.0
// Cases of top_queries, gather, reference.
#include "checkops/make.h"

#include <float.h>
#include <math.h>

// Scores by the case's seed modulo SCORES.
enum { RANDOM_SCORES, FEW_VALUES, ALL_EQUAL, SPECIAL, NARROW, ZEROS, DESCENDING, SCORES };

static void fill_scores(const check_case *one, int input, float *values, size_t count, check_random *random) {
    static const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, -1e-40f, FLT_MAX, -FLT_MAX, 1};
    size_t channels = (size_t)one->problem.in[input].c;
    for (size_t i = 0; i < count; i++) switch (one->seed % SCORES) {
        case RANDOM_SCORES: values[i] = check_uniform(random, -10, 10); break;
        case FEW_VALUES: values[i] = (float)check_below(random, 3) - 1; break;
        case ALL_EQUAL: values[i] = -2.5f; break;
        case SPECIAL: values[i] = special[check_below(random, 10)]; break;
        case NARROW: values[i] = 1 + (float)check_below(random, 1000) * 0x1p-23f; break; // one leading digit
        case ZEROS: values[i] = check_below(random, 2) ? 0.0f : -0.0f; break;            // equal all the same
        default: values[i] = -(float)(i / channels); break;
        }
}

static void top_case(check_run *run, int images, int rows, int classes, int queries, cf_dtype dtype, int scores) {
    static const char *const names[SCORES] = {"random", "few", "equal", "special", "narrow", "zeros", "descending"};
    check_case one = make_case_of(CF_OP_TOP_QUERIES, images, "%s %d of %d classes %d images %d %s",
                                  dtype == CF_F32 ? "f32" : "bf16", queries, rows, classes, images, names[scores]);
    one.problem.attr.top_queries.queries = queries;
    make_input(&one, make_tensor(1, rows, classes, dtype));
    one.problem.out[0] = make_tensor(1, queries, 1, CF_I32);
    one.seed = one.seed / SCORES * SCORES + (uint64_t)scores;
    check_emit(run, &one);
    if (check_is_bench(run)) return;
    one.in_gap[0] = 3;
    one.out_gap = 2;
    check_emit(run, &one);
}

static void top_cases(check_run *run) {
    static const cf_dtype dtypes[] = {CF_F32, CF_BF16};
    if (check_is_bench(run)) {
        for (int d = 0; d < 2; d++) {
            top_case(run, 1, 500, 80, 100, dtypes[d], RANDOM_SCORES);
            top_case(run, 1, 2000, 80, 300, dtypes[d], RANDOM_SCORES);
            top_case(run, 1, 8400, 80, 300, dtypes[d], RANDOM_SCORES);
            top_case(run, 1, 8400, 80, 300, dtypes[d], ALL_EQUAL);
        }
        return;
    }
    static const struct {
        int images, rows, classes, queries;
    } shapes[] = {{1, 1, 1, 1}, {2, 40, 5, 9}, {3, 100, 80, 100}, {1, 333, 17, 50}, {1, 2000, 3, 300}, {0, 4, 4, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int d = 0; d < 2; d++)
            for (int scores = 0; scores < SCORES; scores++)
                top_case(run, shapes[i].images, shapes[i].rows, shapes[i].classes, shapes[i].queries, dtypes[d],
                         scores);
}

// Input 1 of gather and reference: rows 0 .. rows-1, where gather's rows are its other input and reference's its
// anchors.
static void fill_indexed(const check_case *one, int input, float *values, size_t count, check_random *random) {
    const cf_problem *p = &one->problem;
    int rows = p->op == CF_OP_GATHER ? p->in[0].h * p->in[0].w : p->constant[0].shape[0];
    for (size_t i = 0; i < count; i++)
        values[i] = input == 1                 ? (float)check_below(random, (uint32_t)rows)
                    : p->op == CF_OP_REFERENCE ? check_uniform(random, -20, 20)
                                               : check_value(random, one->values);
}

static void gather_case(check_run *run, int images, int h, int w, int c, int queries, int kind) {
    check_case one = make_case_of(CF_OP_GATHER, images, "%s %d of %dx%d channels %d images %d", make_kinds[kind].name,
                                  queries, h, w, c, images);
    make_input(&one, make_tensor(h, w, c, make_kinds[kind].in));
    make_input(&one, make_tensor(1, queries, 1, CF_I32));
    one.problem.out[0] = make_tensor(1, queries, c, make_kinds[kind].out);
    make_emit(run, one);
}

static void gather_cases(check_run *run) {
    if (check_is_bench(run)) {
        for (int kind = 0; kind < 2; kind++) gather_case(run, 1, 1, 8400, 256, 300, kind);
        return;
    }
    for (int kind = 0; kind < MAKE_KINDS; kind++) {
        gather_case(run, 2, 1, 40, 6, 9, kind);
        gather_case(run, 1, 5, 7, 48, 35, kind);
        gather_case(run, 1, 1, 1, 1, 3, kind);
        gather_case(run, 3, 1, 20, 33, 20, kind);
    }
}

// A fifth of the anchors is invalid.
static void fill_anchors(const check_case *one, int index, float *values, size_t count, check_random *random) {
    (void)one;
    (void)index;
    for (size_t i = 0; i < count; i++) values[i] = i / 4 % 5 == 4 ? FLT_MAX : check_uniform(random, -5, 5);
}

static void reference_case(check_run *run, int images, int rows, int queries, int kind) {
    check_case one =
        make_case_of(CF_OP_REFERENCE, images, "%s %d of %d images %d", make_kinds[kind].name, queries, rows, images);
    make_input(&one, make_tensor(1, queries, 4, make_kinds[kind].in));
    make_input(&one, make_tensor(1, queries, 1, CF_I32));
    one.problem.out[0] = make_tensor(1, queries, 4, make_kinds[kind].out);
    make_constant(&one, 2, rows, 4);
    make_emit(run, one);
}

static void reference_cases(check_run *run) {
    if (check_is_bench(run)) {
        reference_case(run, 1, 8400, 300, 0);
        return;
    }
    for (int kind = 0; kind < MAKE_REAL_KINDS; kind++) {
        reference_case(run, 2, 40, 9, kind);
        reference_case(run, 1, 5, 31, kind);
        reference_case(run, 1, 1, 1, kind);
    }
}

const check_op check_top_queries = {.op = CF_OP_TOP_QUERIES, .cases = top_cases, .fill = fill_scores};
const check_op check_gather = {.op = CF_OP_GATHER, .cases = gather_cases, .fill = fill_indexed};
const check_op check_reference = {
    .op = CF_OP_REFERENCE, .cases = reference_cases, .fill = fill_indexed, .fill_constant = fill_anchors};
