// SPDX-License-Identifier: Apache-2.0
// Cases of halo, the border around a map. It is given whole buffers, never slices.
#include "checkops/make.h"

static void emit(check_run *run, int images, int h, int w, int c, int halo, int kind) {
    check_case one =
        make_case_of(CF_OP_HALO, images, "%s %dx%dx%dx%d halo %d", make_kinds[kind].name, images, h, w, c, halo);
    one.problem.out[0] = make_tensor(h, w, c, make_kinds[kind].out);
    one.problem.out[0].halo = halo;
    check_emit(run, &one);
}

static void cases(check_run *run) {
    static const struct {
        int images, h, w, c, halo;
    } shapes[] = {{1, 1, 1, 1, 1}, {2, 3, 5, 7, 1}, {3, 8, 8, 16, 2}, {1, 2, 9, 24, 3}, {2, 40, 40, 64, 1}};
    static const struct { int side, channels; } real[] = {{320, 16}, {160, 64}, {80, 256}, {40, 384}};
    if (check_is_bench(run))
        for (int i = 0; i < 4; i++) emit(run, 1, real[i].side, real[i].side, real[i].channels, 1, 0);
    for (int i = 0; i < 5 && !check_is_bench(run); i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++)
            emit(run, shapes[i].images, shapes[i].h, shapes[i].w, shapes[i].c, shapes[i].halo, kind);
}

const check_op check_halo = {.op = CF_OP_HALO, .cases = cases, .border = 1};
