// SPDX-License-Identifier: Apache-2.0
// Cases of deform: points inside, across the borders and far outside, boxes without size, offsets that are no numbers.
#include "checkops/make.h"

#include <math.h>

enum { NEAR, FAR, WILD, FORMS }; // the case's seed modulo 3

static void fill(const check_case *one, int input, float *values, size_t count, check_random *random) {
    static const float odd[] = {INFINITY, -INFINITY, NAN, 1e30f, -1e30f, 0};
    int form = (int)(one->seed % FORMS);
    for (size_t i = 0; i < count; i++) switch (input) {
        case 0:
            values[i] = check_uniform(random, form == NEAR ? -3 : -40, form == NEAR ? 3 : 40);
            if (form == WILD && check_below(random, 3) == 0) values[i] = odd[check_below(random, 6)];
            break;
        case 1: values[i] = check_uniform(random, -8, 8) * (i % 3 == 2 ? 10 : 1); break;
        case 2: // centre, then size; every seventh box has none, every fifth lies on the border or beyond
            values[i] = i % 4 < 2 ? check_uniform(random, 0, 1) : check_uniform(random, 0, 0.6f);
            if (i / 4 % 7 == 3 && i % 4 >= 2) values[i] = 0;
            if (i / 4 % 5 == 1 && i % 4 < 2) values[i] = (float)check_below(random, 4) - 1;
            break;
        default: values[i] = check_uniform(random, -1, 1); break;
        }
}

typedef struct {
    int images, queries, heads, d, levels, discrete;
    int points[3], height[3], width[3];
    const char *name;
} shape;

static void emit(check_run *run, const shape *s, int kind) {
    check_case one =
        make_case_of(CF_OP_DEFORM, s->images, "%s %s %d queries d%d heads %d images %d%s", s->name,
                     make_kinds[kind].name, s->queries, s->d, s->heads, s->images, s->discrete ? " discrete" : "");
    cf_deform_attr *attr = &one.problem.attr.deform;
    *attr = (cf_deform_attr){.heads = s->heads, .levels = s->levels, .discrete = s->discrete, .offset_scale = 0.5f};
    int points = 0, tokens = 0;
    for (int level = 0; level < s->levels; level++) {
        attr->points[level] = s->points[level];
        attr->height[level] = s->height[level];
        attr->width[level] = s->width[level];
        points += s->points[level];
        tokens += s->height[level] * s->width[level];
    }
    make_input(&one, make_tensor(1, s->queries, s->heads * points * 2, CF_F32));
    make_input(&one, make_tensor(1, s->queries, s->heads * points, kind % 2 ? make_kinds[kind].in : CF_F32));
    make_input(&one, make_tensor(1, s->queries, 4, CF_F32));
    make_input(&one, make_tensor(1, tokens, s->d, make_kinds[kind].in));
    one.problem.out[0] = make_tensor(1, s->queries, s->d, make_kinds[kind].out);
    for (int form = 0; form < (check_is_bench(run) || s->discrete ? 1 : FORMS); form++) {
        one.seed = one.seed / FORMS * FORMS + (uint64_t)form;
        make_emit(run, one);
        one.seed += FORMS;
    }
}

static void cases(check_run *run) {
    static const shape real[] = {
        {1, 300, 8, 128, 2, 0, {6, 6}, {40, 20}, {40, 20}, "n"},
        {1, 300, 8, 256, 3, 0, {3, 6, 3}, {80, 40, 20}, {80, 40, 20}, "s, x"},
        {1, 100, 8, 64, 2, 0, {4, 2}, {20, 10}, {20, 10}, "deimv2"},
    };
    static const shape odd[] = {
        {2, 9, 2, 32, 2, 0, {3, 2}, {4, 2}, {6, 3}, ""},
        {1, 5, 8, 64, 2, 0, {4, 2}, {5, 3}, {5, 3}, ""},
        {1, 4, 1, 48, 1, 0, {17}, {3}, {3}, ""},
        {1, 7, 3, 21, 3, 0, {3, 6, 3}, {4, 2, 1}, {3, 2, 1}, ""},
        {1, 3, 8, 256, 3, 0, {3, 6, 3}, {8, 4, 2}, {8, 4, 2}, ""},
        {1, 6, 1, 200, 1, 0, {4}, {1}, {9}, ""},
        {1, 2, 2, 48, 1, 0, {4}, {9}, {1}, ""},
        {2, 6, 2, 32, 2, 1, {3, 2}, {4, 2}, {6, 3}, ""},
        {1, 5, 3, 27, 1, 1, {5}, {7}, {5}, ""},
        {0, 5, 1, 16, 1, 0, {5}, {7}, {5}, ""},
    };
    if (check_is_bench(run)) {
        for (int i = 0; i < 3; i++)
            for (int kind = 0; kind < 2; kind++) emit(run, &real[i], kind);
        return;
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++) emit(run, &odd[i], kind);
}

// Places are FP32 numbers of pixels: with offsets of 40 boxes some 10^-5 of a pixel is lost, and neighbours differ
// by 2.
static double unit(const check_case *one, const cf_kernel *kernel) {
    (void)kernel;
    return one->seed % FORMS == NEAR ? 1e-5 : 1e-4;
}

const check_op check_deform = {.op = CF_OP_DEFORM, .cases = cases, .fill = fill, .unit = unit};
