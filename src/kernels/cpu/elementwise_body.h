// SPDX-License-Identifier: Apache-2.0
// activation, scale_shift, copy, add, mul over vectors of channels. Included once per instruction set.
//
// The second operand of add and mul is one of: a tensor of the same shape, one value per pixel, or one row of channels
// per pixel (a constant) or for all pixels. Dense stretches of pixels run as one row of values.
#include <string.h>

#include "kernels/cpu/rows.h"
#include "kernels/ref/ref.h"

// What is done to each value; a from in[0], b the second operand.
typedef struct {
    cf_op op;
    cf_act act;
    v_f32 scale, shift;
} value_step;

static inline __attribute__((always_inline)) v_f32 value_after(const value_step *step, cf_op op, v_f32 a, v_f32 b) {
    switch (op) {
    case CF_OP_ADD: return a + b;
    case CF_OP_MUL: return a * b;
    case CF_OP_SCALE_SHIFT: return a * step->scale + step->shift;
    case CF_OP_ACTIVATION: return v_act(step->act, a);
    default: return a;
    }
}

// Rows of values and what lies between two of them, in bytes.
typedef struct {
    char *out;
    const char *a, *b; // b NULL: the value `one` stands for b everywhere
    v_f32 one;
    long out_row, a_row, b_row, rows, count;
} value_rows;

static inline __attribute__((always_inline)) void value_loop(const value_step *step, cf_op op, const value_rows *v,
                                                             real_format fo, real_format fa, real_format fb) {
    char *out = v->out;
    const char *a = v->a, *b = v->b;
    long whole = v->count - v->count % V_LANES;
    int left = (int)(v->count - whole);
    for (long row = 0; row < v->rows; row++, out += v->out_row, a += v->a_row, b += b ? v->b_row : 0) {
        for (long i = 0; i < whole; i += V_LANES) {
            v_f32 second = b ? real_read(b + i * fb.size, fb, V_LANES) : v->one;
            real_write(out + i * fo.size, fo, value_after(step, op, real_read(a + i * fa.size, fa, V_LANES), second),
                       V_LANES);
        }
        if (left == 0) continue;
        v_f32 second = b ? real_read(b + whole * fb.size, fb, left) : v->one;
        real_write(out + whole * fo.size, fo, value_after(step, op, real_read(a + whole * fa.size, fa, left), second),
                   left);
    }
}

// The loop with formats and operator known to the compiler for the common cases: of FP32, ...
static int value_run_f32(const value_step *step, const value_rows *v, real_format fo, real_format fa, real_format fb) {
    const real_format f32 = REAL_F32;
    if (fo.dtype != CF_F32 || fa.dtype != CF_F32 || (v->b && fb.dtype != CF_F32)) return 0;
    if (step->op == CF_OP_ADD)
        value_loop(step, CF_OP_ADD, v, f32, f32, f32);
    else if (step->op == CF_OP_MUL)
        value_loop(step, CF_OP_MUL, v, f32, f32, f32);
    else
        return 0;
    return 1;
}

// ... and of 16 bits.
CF_INLINE int value_run_half(const value_step *step, const value_rows *v, real_format fo, real_format fa,
                             real_format fb, real_format half) {
    const real_format f32 = REAL_F32;
    int both = fo.dtype == half.dtype && fa.dtype == half.dtype, b_f32 = !v->b || fb.dtype == CF_F32;
    int b_half = v->b && fb.dtype == half.dtype;
    if (both && b_half && step->op == CF_OP_ADD)
        value_loop(step, CF_OP_ADD, v, half, half, half);
    else if (both && b_f32 && step->op == CF_OP_ADD)
        value_loop(step, CF_OP_ADD, v, half, half, f32);
    else if (both && b_half && step->op == CF_OP_MUL)
        value_loop(step, CF_OP_MUL, v, half, half, half);
    else if (both && b_f32 && step->op == CF_OP_MUL)
        value_loop(step, CF_OP_MUL, v, half, half, f32);
    else if (step->op == CF_OP_COPY && fa.dtype == CF_F32 && fo.dtype == half.dtype)
        value_loop(step, CF_OP_COPY, v, half, f32, f32);
    else if (step->op == CF_OP_COPY && fa.dtype == half.dtype && fo.dtype == CF_U8)
        value_loop(step, CF_OP_COPY, v, (real_format){CF_U8, 1, fo.scale, fo.inverse, fo.zero}, half, f32);
    else if (step->op == CF_OP_COPY && fa.dtype == half.dtype && fo.dtype == CF_F32)
        value_loop(step, CF_OP_COPY, v, f32, half, f32);
    else
        return 0;
    return 1;
}

static void value_run(const value_step *step, const value_rows *v, real_format fo, real_format fa, real_format fb) {
    if (!value_run_f32(step, v, fo, fa, fb) && !value_run_half(step, v, fo, fa, fb, REAL_BF16) &&
        !value_run_half(step, v, fo, fa, fb, REAL_F16))
        value_loop(step, step->op, v, fo, fa, fb);
}

// The second operand as the loop takes it.
typedef struct {
    const cf_tensor *tensor; // NULL: constant, or none
    const float *constant;   // [rows, cols]
    int rows, cols;
    int present, scalar, moves; // scalar: one value per pixel; moves: another place for every pixel
    real_format format;
} second_operand;

static second_operand second_of(const cf_call *call) {
    const cf_problem *problem = call->problem;
    second_operand b = {.format = REAL_F32};
    if (problem->op != CF_OP_ADD && problem->op != CF_OP_MUL) return b;
    b.present = 1;
    if (problem->inputs > 1) {
        b.tensor = &call->in[1];
        b.format = real_format_of(b.tensor);
        b.cols = b.tensor->c;
        b.rows = b.tensor->h * b.tensor->w;
    } else {
        const cf_constant *constant = &problem->constant[0];
        b.constant = cf_constant_at(call, 0);
        b.cols = constant->shape[constant->rank - 1];
        b.rows = constant->rank > 1 ? constant->shape[0] : 1;
    }
    b.scalar = b.cols == 1;
    b.moves = b.rows > 1;
    return b;
}

static const char *second_at(const second_operand *b, const cf_tensor *out, place at) {
    if (!b->moves) at.y = at.x = 0;
    if (b->tensor) return pixel_at(b->tensor, at);
    return (const char *)(b->constant + ((long)at.y * out->w + at.x) * b->cols);
}

static float read_one(const char *from, real_format format) {
    float lanes[V_LANES];
    v_store(lanes, real_read(from, format, 1));
    return lanes[0];
}

// True when `pixels` neighbours in a row are one stretch of values in all operands.
static int is_dense(const cf_call *call, const second_operand *b) {
    const cf_tensor *a = &call->in[0], *out = &call->out[0];
    if (a->pixel != a->c || out->pixel != out->c) return 0;
    if (!b->present || out->c == 1) return !b->present || (b->moves && (!b->tensor || b->tensor->pixel == 1));
    return !b->scalar && b->moves && (!b->tensor || b->tensor->pixel == b->tensor->c);
}

static void elementwise_run(const cf_call *call, const cf_team *team) {
    const cf_problem *problem = call->problem;
    const cf_tensor *a = &call->in[0], *out = &call->out[0];
    second_operand b = second_of(call);
    value_step step = {.op = problem->op, .act = CF_ACT_NONE, .scale = v_zero(), .shift = v_zero()};
    if (step.op == CF_OP_ACTIVATION) step.act = (cf_act)problem->attr.activation.act;
    if (step.op == CF_OP_SCALE_SHIFT) {
        step.scale = v_set(problem->attr.scale_shift.scale);
        step.shift = v_set(problem->attr.scale_shift.shift);
    }
    real_format fa = real_format_of(a), fo = real_format_of(out);
    int dense = is_dense(call, &b), same = step.op == CF_OP_COPY && stored_alike(a, out);
    int one_each = b.present && b.scalar && !dense;
    long b_step = !b.moves ? 0 : (b.tensor ? b.tensor->pixel : b.cols) * b.format.size;
    long begin, end;
    pixel_share(call, team, &begin, &end);
    for (long pixel = begin; pixel < end;) {
        place at = place_of(out, pixel);
        long stretch = out->w - at.x < end - pixel ? out->w - at.x : end - pixel;
        value_rows rows = {.out = pixel_at(out, at),
                           .a = pixel_at(a, at),
                           .b = b.present ? second_at(&b, out, at) : NULL,
                           .one = v_zero(),
                           .out_row = out->pixel * fo.size,
                           .a_row = a->pixel * fa.size,
                           .b_row = b_step,
                           .rows = dense ? 1 : stretch,
                           .count = dense ? stretch * out->c : out->c};
        pixel += stretch;
        if (same) {
            for (; rows.rows > 0; rows.rows--, rows.out += rows.out_row, rows.a += rows.a_row)
                memcpy(rows.out, rows.a, (size_t)rows.count * (size_t)fo.size);
        } else if (!one_each) {
            value_run(&step, &rows, fo, fa, b.format);
        } else {
            rows.rows = 1, rows.b = NULL;
            for (; stretch > 0; stretch--, at.x++) {
                rows.one = v_set(read_one(second_at(&b, out, at), b.format));
                value_run(&step, &rows, fo, fa, fa);
                rows.out += rows.out_row, rows.a += rows.a_row;
            }
        }
    }
}

static const char *elementwise_refuse(const cf_problem *problem) {
    const cf_tensor *out = &problem->out[0];
    for (int i = 0; i < problem->inputs; i++)
        if (problem->in[i].dtype == CF_I32) return "integers as an operand";
    if (out->dtype == CF_I32) return "integers as the result";
    if (problem->inputs < 2) return NULL;
    const cf_tensor *b = &problem->in[1];
    int one_pixel = b->h == 1 && b->w == 1, whole = b->h == out->h && b->w == out->w;
    return one_pixel || whole ? NULL : "second operand repeats along one side only";
}

#define ELEMENTWISE_KERNEL(op_name, enumerator)                                                                        \
    const cf_kernel V_ISA(cf_##op_name) = {.name = #op_name "_" V_ISA_NAME,                                            \
                                           .op = CF_OP_##enumerator,                                                   \
                                           .cpu = V_CPU,                                                               \
                                           .refuse = elementwise_refuse,                                               \
                                           .packed_size = cf_constants_size,                                           \
                                           .pack = cf_constants_pack,                                                  \
                                           .run = elementwise_run};
ELEMENTWISE_KERNEL(activation, ACTIVATION)
ELEMENTWISE_KERNEL(scale_shift, SCALE_SHIFT)
ELEMENTWISE_KERNEL(copy, COPY)
ELEMENTWISE_KERNEL(add, ADD)
ELEMENTWISE_KERNEL(mul, MUL)
