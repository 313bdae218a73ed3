// SPDX-License-Identifier: Apache-2.0
// Cases of activation, scale_shift, batch_norm, copy, add, mul.
#include "checkops/make.h"

static const struct {
    int images, h, w, c;
} shapes[] = {{1, 1, 1, 1}, {2, 3, 5, 7}, {1, 2, 9, 24}, {2, 1, 37, 48}, {3, 4, 3, 16}, {1, 7, 6, 33}, {0, 3, 3, 8}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

// Real shapes, for timing: the queries of a decoder, the last map of an encoder, all its tokens.
static const struct {
    int h, w, c;
    const char *name;
} real[] = {{1, 300, 128, "n queries"},
            {1, 300, 256, "x queries"},
            {20, 20, 384, "x map"},
            {1, 2000, 128, "n tokens"},
            {1, 8400, 256, "x tokens"}};
enum { REAL = sizeof real / sizeof *real };

static void one_operand(check_run *run, cf_op op) {
    if (check_is_bench(run)) {
        for (int i = 0; i < REAL; i++)
            for (int kind = 0; kind < MAKE_KINDS; kind++) {
                check_case one = make_case_of(op, 1, "%s %s", make_kinds[kind].name, real[i].name);
                one.problem.attr.activation.act = CF_ACT_SILU;
                for (int k = 0; k < 2 && op == CF_OP_BATCH_NORM; k++) make_constant(&one, 1, 1, real[i].c);
                make_input(&one, make_tensor(real[i].h, real[i].w, real[i].c, make_kinds[kind].in));
                one.problem.out[0] = make_tensor(real[i].h, real[i].w, real[i].c, make_kinds[kind].out);
                check_emit(run, &one);
            }
        return;
    }
    for (int i = 0; i < SHAPES; i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++)
            for (int act = 0; act <= (op == CF_OP_ACTIVATION ? CF_ACT_CLAMP : 0); act++) {
                check_case one = make_case_of(op, shapes[i].images, "%s %dx%dx%dx%d %s", make_kinds[kind].name,
                                              shapes[i].images, shapes[i].h, shapes[i].w, shapes[i].c,
                                              op == CF_OP_ACTIVATION ? cf_act_name((cf_act)act) : "");
                if (op == CF_OP_ACTIVATION) one.problem.attr.activation.act = act;
                if (op == CF_OP_SCALE_SHIFT)
                    one.problem.attr.scale_shift.scale = -1.375f, one.problem.attr.scale_shift.shift = 0.3f;
                for (int k = 0; k < 2 && op == CF_OP_BATCH_NORM; k++) make_constant(&one, 1, 1, shapes[i].c);
                make_input(&one, make_tensor(shapes[i].h, shapes[i].w, shapes[i].c, make_kinds[kind].in));
                one.problem.out[0] = make_tensor(shapes[i].h, shapes[i].w, shapes[i].c, make_kinds[kind].out);
                make_emit_values(run, one);
            }
}

// How the second operand of add and mul looks.
enum { SAME, ONE_CHANNEL, ONE_PIXEL, ONE_VALUE, CONSTANT, CONSTANT_ROW, CONSTANT_COLUMN, CONSTANT_VALUE, SECONDS };
static const char *const second_names[SECONDS] = {"same",     "one_channel",  "one_pixel",       "one_value",
                                                  "constant", "constant_row", "constant_column", "constant_value"};

static void add_second(check_case *one, int second, int h, int w, int c, cf_dtype dtype) {
    switch (second) {
    case SAME: make_input(one, make_tensor(h, w, c, dtype)); break;
    case ONE_CHANNEL: make_input(one, make_tensor(h, w, 1, dtype)); break;
    case ONE_PIXEL: make_input(one, make_tensor(1, 1, c, dtype)); break;
    case ONE_VALUE: make_input(one, make_tensor(1, 1, 1, dtype)); break;
    case CONSTANT: make_constant(one, 2, h * w, c); break;
    case CONSTANT_ROW: make_constant(one, 2, 1, c); break;
    case CONSTANT_COLUMN: make_constant(one, 2, h * w, 1); break;
    default: make_constant(one, 1, 1, 1); break;
    }
}

static void two_operands(check_run *run, cf_op op) {
    int bench = check_is_bench(run), count = bench ? REAL : SHAPES;
    for (int i = 0; i < count; i++)
        for (int kind = 0; kind < (bench ? 2 : MAKE_KINDS); kind++)
            for (int second = 0; second < SECONDS; second++) {
                if (bench && second != SAME && second != CONSTANT && second != CONSTANT_COLUMN) continue;
                int images = bench ? 1 : shapes[i].images, h = bench ? real[i].h : shapes[i].h;
                int w = bench ? real[i].w : shapes[i].w, c = bench ? real[i].c : shapes[i].c;
                check_case one = make_case_of(op, images, "%s %s %dx%dx%dx%d %s", make_kinds[kind].name,
                                              second_names[second], images, h, w, c, bench ? real[i].name : "");
                make_input(&one, make_tensor(h, w, c, make_kinds[kind].in));
                // A second tensor of another dtype now and then.
                add_second(&one, second, h, w, c, !bench && i % 3 == 2 ? CF_F32 : make_kinds[kind].in);
                one.problem.out[0] = make_tensor(h, w, c, make_kinds[kind].out);
                make_emit_values(run, one);
            }
}

static void activation_cases(check_run *run) {
    one_operand(run, CF_OP_ACTIVATION);
}
static void scale_shift_cases(check_run *run) {
    one_operand(run, CF_OP_SCALE_SHIFT);
}
static void batch_norm_cases(check_run *run) {
    one_operand(run, CF_OP_BATCH_NORM);
}
static void copy_cases(check_run *run) {
    one_operand(run, CF_OP_COPY);
}
static void add_cases(check_run *run) {
    two_operands(run, CF_OP_ADD);
}
static void mul_cases(check_run *run) {
    two_operands(run, CF_OP_MUL);
}

const check_op check_activation = {.op = CF_OP_ACTIVATION, .cases = activation_cases};
const check_op check_scale_shift = {.op = CF_OP_SCALE_SHIFT, .cases = scale_shift_cases};
const check_op check_batch_norm = {.op = CF_OP_BATCH_NORM, .cases = batch_norm_cases};
const check_op check_copy = {.op = CF_OP_COPY, .cases = copy_cases};
const check_op check_add = {.op = CF_OP_ADD, .cases = add_cases};
const check_op check_mul = {.op = CF_OP_MUL, .cases = mul_cases};
