// SPDX-License-Identifier: Apache-2.0
// Cases of upsample, max_pool, avg_pool, global_pool.
#include "checkops/make.h"

static const struct {
    int images, h, w, c;
} shapes[] = {{1, 1, 1, 1},  {2, 3, 5, 7},   {1, 6, 9, 24}, {1, 8, 8, 48},
              {2, 5, 4, 33}, {2, 4, 70, 16}, {1, 3, 33, 32}}; // lines longer than what the stem's window takes at once

enum { SHAPES = sizeof shapes / sizeof *shapes };

// Windows: the stem's 2x2 over zeros at the right and bottom, DEIMv2's 3x3 by two, one wider than its map, and the
// stem's over zeros at the left and top.
static const struct {
    int kernel, stride, top, left, bottom, right;
} windows[] = {{2, 1, 0, 0, 1, 1}, {3, 2, 1, 1, 1, 1}, {2, 2, 0, 0, 0, 0}, {5, 1, 2, 2, 2, 2}, {2, 1, 1, 1, 0, 0}};
enum { WINDOWS = sizeof windows / sizeof *windows };

static void emit(check_run *run, cf_op op, int images, int h, int w, int c, int kind, int window, const char *name) {
    int oh = op == CF_OP_UPSAMPLE ? 2 * h : 1, ow = op == CF_OP_UPSAMPLE ? 2 * w : 1;
    int windowed = op == CF_OP_MAX_POOL || op == CF_OP_AVG_POOL;
    check_case one = make_case_of(op, images, "%s %s %dx%dx%dx%d k%d", name, make_kinds[kind].name, images, h, w, c,
                                  windowed ? windows[window].kernel : 0);
    if (windowed) {
        one.problem.attr.pool = (cf_pool_attr){windows[window].kernel, windows[window].stride, windows[window].top,
                                               windows[window].left,   windows[window].bottom, windows[window].right};
        const cf_pool_attr *attr = &one.problem.attr.pool;
        oh = (h + attr->pad_top + attr->pad_bottom - attr->kernel) / attr->stride + 1;
        ow = (w + attr->pad_left + attr->pad_right - attr->kernel) / attr->stride + 1;
        if (h + attr->pad_top + attr->pad_bottom < attr->kernel || w + attr->pad_left + attr->pad_right < attr->kernel)
            return;
    }
    make_input(&one, make_tensor(h, w, c, make_kinds[kind].in));
    one.problem.out[0] = make_tensor(oh, ow, c, make_kinds[kind].out);
    make_emit_values(run, one);
}

static void cases_of(check_run *run, cf_op op, int window_count) {
    if (check_is_bench(run)) {
        static const int kinds[] = {0, 1, 5};
        for (int i = 0; i < 3; i++) switch (op) {
            case CF_OP_UPSAMPLE:
                emit(run, op, 1, 20, 20, 128, kinds[i], 0, "n");
                emit(run, op, 1, 20, 20, 384, kinds[i], 0, "x p5");
                emit(run, op, 1, 40, 40, 384, kinds[i], 0, "x p4");
                break;
            case CF_OP_MAX_POOL:
                emit(run, op, 1, 320, 320, 16, kinds[i], 0, "n stem");
                emit(run, op, 1, 320, 320, 32, kinds[i], 0, "x stem");
                break;
            case CF_OP_AVG_POOL: emit(run, op, 1, 20, 20, 256, kinds[i], 1, "deimv2"); break;
            default: emit(run, op, 1, 20, 20, 64, kinds[i], 0, "deimv2"); break;
            }
        return;
    }
    for (int i = 0; i < SHAPES; i++)
        for (int kind = 0; kind < MAKE_KINDS; kind++)
            for (int window = 0; window < window_count; window++)
                emit(run, op, shapes[i].images, shapes[i].h, shapes[i].w, shapes[i].c, kind, window, "");
}

static void upsample_cases(check_run *run) {
    cases_of(run, CF_OP_UPSAMPLE, 1);
}
static void max_pool_cases(check_run *run) {
    cases_of(run, CF_OP_MAX_POOL, WINDOWS);
}
static void avg_pool_cases(check_run *run) {
    cases_of(run, CF_OP_AVG_POOL, WINDOWS);
}
static void global_pool_cases(check_run *run) {
    cases_of(run, CF_OP_GLOBAL_POOL, 1);
}

// Means of large values with both signs: what rounding leaves is in proportion to the values, at most 1e4, not to the
// mean.
static double mean_unit(const check_case *one, const cf_kernel *kernel) {
    (void)kernel;
    return one->values == CHECK_LARGE ? 1e4 * 1e-6 : one->values == CHECK_SATURATE ? 100 * 1e-6 : 1e-6;
}

const check_op check_upsample = {.op = CF_OP_UPSAMPLE, .cases = upsample_cases};
const check_op check_max_pool = {.op = CF_OP_MAX_POOL, .cases = max_pool_cases};
const check_op check_avg_pool = {.op = CF_OP_AVG_POOL, .cases = avg_pool_cases, .unit = mean_unit};
const check_op check_global_pool = {.op = CF_OP_GLOBAL_POOL, .cases = global_pool_cases, .unit = mean_unit};
