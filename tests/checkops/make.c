// SPDX-License-Identifier: Apache-2.0
#include "checkops/make.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const make_kind make_kinds[MAKE_KINDS] = {
    {"f32", CF_F32, CF_F32},       {"bf16", CF_BF16, CF_BF16},  {"bf16>f32", CF_BF16, CF_F32},
    {"f32>bf16", CF_F32, CF_BF16}, {"f16", CF_F16, CF_F16},     {"u8", CF_U8, CF_U8},
    {"s8", CF_S8, CF_S8},          {"u8>bf16", CF_U8, CF_BF16}, {"f32>s8", CF_F32, CF_S8},
    {"bf16>u8", CF_BF16, CF_U8},
};

cf_tensor make_tensor(int h, int w, int c, cf_dtype dtype) {
    cf_tensor tensor = {.h = h, .w = w, .c = c, .dtype = dtype};
    if (dtype == CF_U8) tensor.scale = 0.0157f, tensor.zero = 120;
    if (dtype == CF_S8) tensor.scale = 0.0083f, tensor.zero = -5;
    return tensor;
}

check_case make_case_of(cf_op op, int images, const char *format, ...) {
    check_case one = {.problem = {.op = op, .images = images, .outputs = 1}};
    int length = snprintf(one.name, sizeof one.name, "%s ", cf_op_name(op));
    va_list list;
    va_start(list, format);
    vsnprintf(one.name + length, sizeof one.name - (size_t)length, format, list);
    va_end(list);
    for (const char *at = one.name; *at; at++) one.seed = one.seed * 31 + (unsigned char)*at;
    return one;
}

void make_input(check_case *one, cf_tensor tensor) {
    one->problem.in[one->problem.inputs++] = tensor;
}

void make_constant(check_case *one, int rank, int rows, int cols) {
    int i = 0;
    while (one->problem.constant[i].rank) i++;
    one->problem.constant[i].rank = rank;
    one->problem.constant[i].shape[0] = rank == 1 ? cols : rows;
    one->problem.constant[i].shape[1] = rank == 1 ? 0 : cols;
}

void make_emit(check_run *run, check_case one) {
    check_emit(run, &one);
    if (check_is_bench(run)) return;
    check_case into = one; // only the output is a slice, as that of a producer in front of a concat
    into.out_gap = one.problem.out[0].c;
    into.seed += 2;
    strncat(into.name, " into", sizeof into.name - strlen(into.name) - 1);
    check_emit(run, &into);
    for (int i = 0; i < one.problem.inputs; i++) {
        one.in_gap[i] = 5 + 3 * i;
        one.problem.in[i].halo = i % 2;
    }
    one.out_gap = 7;
    one.problem.out[0].halo = 1;
    one.seed++;
    strncat(one.name, " slice", sizeof one.name - strlen(one.name) - 1);
    check_emit(run, &one);
}

void make_emit_values(check_run *run, check_case one) {
    static const char *const names[CHECK_VALUES] = {"", " large", " cancel", " denormal", " saturate"};
    int kinds = check_is_bench(run) ? 1 : CHECK_VALUES;
    for (int kind = 0; kind < kinds; kind++) {
        if (check_is_quick(run) && kind && (uint64_t)kind != 1 + one.seed % (CHECK_VALUES - 1)) continue;
        check_case this = one;
        this.values = (check_values)kind;
        this.seed += (uint64_t)kind * 100;
        strncat(this.name, names[kind], sizeof this.name - strlen(this.name) - 1);
        make_emit(run, this);
    }
}
