// SPDX-License-Identifier: Apache-2.0
// Cases of attention. Products reach 60 and more; a result lies between the values, which lie between -1 and 1.
#include "checkops/make.h"

#include "base/cpu.h"

#include <string.h>

enum { PLAIN, ALIKE, SHARP }; // the case's seed modulo 3: random, all keys the same, products of about +-60

static void fill(const check_case *one, int input, float *values, size_t count, check_random *random) {
    int form = (int)(one->seed % 3), channels = one->problem.in[input].c;
    float reach = input == 2 ? 1 : form == SHARP ? 8 : 2;
    for (size_t i = 0; i < count; i++) {
        values[i] = check_uniform(random, -reach, reach);
        if (input == 1 && form == ALIKE && i >= (size_t)channels) values[i] = values[i % (size_t)channels];
    }
}

static void emit(check_run *run, int images, int queries, int keys, int d, int heads, int kind, const char *name) {
    check_case one = make_case_of(CF_OP_ATTENTION, images, "%s %s %d queries %d keys d%d heads %d images %d", name,
                                  make_kinds[kind].name, queries, keys, d, heads, images);
    one.problem.attr.attention.heads = heads;
    make_input(&one, make_tensor(1, queries, d, make_kinds[kind].in));
    make_input(&one, make_tensor(1, keys, d, make_kinds[kind].in));
    make_input(&one, make_tensor(1, keys, d, make_kinds[kind].in));
    one.problem.out[0] = make_tensor(1, queries, d, make_kinds[kind].out);
    for (int form = 0; form < (check_is_bench(run) ? 1 : 3); form++) {
        one.seed = one.seed / 3 * 3 + (uint64_t)form;
        make_emit(run, one);
    }
}

// The AMX kernel on emulated tiles (amx_emulated.h). It asks for less of the CPU than the real one.
extern const cf_kernel emulated_attention_bf16_amx;
static cf_kernel emulated[1];
static const cf_kernel *const extra[] = {&emulated[0], NULL};

static void cases(check_run *run) {
    emulated[0] = emulated_attention_bf16_amx, emulated[0].name = "attention_bf16_amx emulated";
    emulated[0].cpu &= ~(uint32_t)CF_CPU_AMX_BF16;
    if (check_is_bench(run)) {
        for (int kind = 0; kind < 2; kind++) {
            emit(run, 1, 400, 400, 128, 8, kind, "n encoder");
            emit(run, 1, 400, 400, 256, 8, kind, "s encoder");
            emit(run, 1, 400, 400, 384, 8, kind, "x encoder");
            emit(run, 1, 300, 300, 128, 8, kind, "n decoder");
            emit(run, 1, 300, 300, 256, 8, kind, "x decoder");
            emit(run, 1, 100, 100, 64, 8, kind, "deimv2 decoder");
        }
        return;
    }
    static const struct {
        int images, queries, keys, d, heads;
    } shapes[] = {{1, 1, 1, 1, 1},     {2, 7, 7, 32, 2},   {1, 13, 65, 48, 3},   {1, 6, 64, 48, 1},
                  {2, 25, 129, 64, 8}, {1, 12, 31, 96, 2}, {1, 5, 300, 128, 8},  {1, 30, 30, 60, 4},
                  {1, 4, 9, 128, 1},   {3, 2, 3, 24, 3},   {1, 100, 100, 64, 8}, {4, 65, 17, 264, 33},
                  {0, 5, 5, 16, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++)
            emit(run, shapes[i].images, shapes[i].queries, shapes[i].keys, shapes[i].d, shapes[i].heads, kind, "");
}

// exp of a product that is off by a few roundings of its 60; weights rounded to bf16 are off by 2^-9.
static double unit(const check_case *one, const cf_kernel *kernel) {
    if (strstr(kernel->name, "f16") == NULL) return 3e-5;
    return one->problem.in[0].dtype == CF_F16 ? 0x1p-11 : 0x1p-9; // probabilities are rounded too
}

static double work(const cf_problem *p) {
    return 4.0 * p->images * p->in[0].w * p->in[1].w * p->in[0].c;
}

const check_op check_attention = {
    .op = CF_OP_ATTENTION, .cases = cases, .extra = extra, .fill = fill, .unit = unit, .work = work};
