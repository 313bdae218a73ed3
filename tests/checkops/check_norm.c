// SPDX-License-Identifier: Apache-2.0
// Cases of norm and gate. Weights and biases stay within -1 .. 1; a result is at most sqrt(channels).
#include "checkops/make.h"

static void fill_constant(const check_case *one, int index, float *values, size_t count, check_random *random) {
    (void)one;
    (void)index;
    for (size_t i = 0; i < count; i++) values[i] = check_uniform(random, -1, 1);
}

// Rows of the case's kind, but: row 0 all equal, row 1 equal but for one value, row 2 near a mean of 300.
static void fill(const check_case *one, int input, float *values, size_t count, check_random *random) {
    size_t channels = (size_t)one->problem.in[input].c;
    for (size_t i = 0; i < count; i++) {
        size_t row = i / channels;
        values[i] = check_value(random, one->values);
        if (input > 0 || one->problem.op == CF_OP_GATE) continue;
        if (row == 0) values[i] = 0.7f;
        if (row == 1) values[i] = i % channels == 3 ? 5 : 0.3f;
        if (row == 2) values[i] = 300 + check_uniform(random, -1, 1);
    }
}

static void emit(check_run *run, cf_op op, int images, int h, int w, int c, int kind, int rms, int inputs,
                 const char *name) {
    check_case one = make_case_of(op, images, "%s %s %s%d %dx%dx%dx%d", name, make_kinds[kind].name,
                                  rms ? "rms" : "layer", inputs, images, h, w, c);
    one.problem.attr.norm = (cf_norm_attr){rms, !rms, rms ? 1e-6f : 1e-5f};
    make_input(&one, make_tensor(h, w, op == CF_OP_GATE ? 2 * c : c, make_kinds[kind].in));
    for (int i = 1; i < inputs; i++) make_input(&one, make_tensor(h, w, c, i % 2 ? make_kinds[kind].out : CF_F32));
    one.problem.out[0] = make_tensor(h, w, c, make_kinds[kind].out);
    make_constant(&one, 1, 1, c);
    if (!rms) make_constant(&one, 1, 1, c);
    make_emit_values(run, one);
}

static const struct {
    int images, h, w, c;
} shapes[] = {{1, 1, 1, 1}, {2, 1, 5, 7}, {1, 2, 9, 24}, {1, 1, 11, 48}, {2, 1, 4, 33}, {1, 1, 3, 1000}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void norm_cases(check_run *run) {
    if (check_is_bench(run)) {
        for (int kind = 0; kind < 2; kind++) {
            emit(run, CF_OP_NORM, 1, 1, 300, 128, kind, 0, 2, "n decoder");
            emit(run, CF_OP_NORM, 1, 1, 300, 256, kind, 0, 2, "x decoder");
            emit(run, CF_OP_NORM, 1, 1, 400, 384, kind, 0, 2, "x encoder");
            emit(run, CF_OP_NORM, 1, 1, 2000, 128, kind, 0, 1, "n tokens");
            emit(run, CF_OP_NORM, 1, 1, 8400, 256, kind, 0, 1, "x tokens");
        }
        return;
    }
    for (int i = 0; i < SHAPES; i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++)
            for (int form = 0; form < 4; form++)
                emit(run, CF_OP_NORM, shapes[i].images, shapes[i].h, shapes[i].w, shapes[i].c, kind, form / 2,
                     1 + form % 2, "");
}

static void gate_cases(check_run *run) {
    if (check_is_bench(run)) {
        for (int kind = 0; kind < 2; kind++) {
            emit(run, CF_OP_GATE, 1, 1, 300, 128, kind, 0, 3, "n");
            emit(run, CF_OP_GATE, 1, 1, 300, 256, kind, 0, 3, "x");
        }
        return;
    }
    for (int i = 0; i < SHAPES; i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++)
            emit(run, CF_OP_GATE, shapes[i].images, shapes[i].h, shapes[i].w, shapes[i].c, kind, 0, 3, "");
}

// Beside the rounding of sums: the sum of two inputs near 300 is rounded to 3e-5, over a spread of about 0.6.
static double unit(const check_case *one, const cf_kernel *kernel) {
    (void)kernel;
    return one->problem.op == CF_OP_NORM && one->problem.inputs == 2 ? 1e-4 : 1e-5;
}

const check_op check_norm = {
    .op = CF_OP_NORM, .cases = norm_cases, .fill = fill, .fill_constant = fill_constant, .unit = unit};
const check_op check_gate = {
    .op = CF_OP_GATE, .cases = gate_cases, .fill = fill, .fill_constant = fill_constant, .unit = unit};
