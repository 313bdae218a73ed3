// SPDX-License-Identifier: Apache-2.0
// The function that finds a backend's kernels of an operator, made from its lists: CF_<OPERATOR>_KERNELS(X), one entry
// a kernel. Included once by each list, which also names the function (CF_KERNELS_OF).
#include "kernels/kernel.h"

// Every operator that can appear in a plan: L(OPERATOR).
#define CF_PLAN_OPERATORS(L)                                                                                           \
    L(CONV)                                                                                                            \
    L(BATCH_NORM)                                                                                                      \
    L(ACTIVATION)                                                                                                      \
    L(SCALE_SHIFT)                                                                                                     \
    L(ADD)                                                                                                             \
    L(MUL)                                                                                                             \
    L(HALO)                                                                                                            \
    L(COPY)                                                                                                            \
    L(UPSAMPLE)                                                                                                        \
    L(MAX_POOL)                                                                                                        \
    L(AVG_POOL)                                                                                                        \
    L(GLOBAL_POOL)                                                                                                     \
    L(NORM)                                                                                                            \
    L(GATE)                                                                                                            \
    L(ATTENTION)                                                                                                       \
    L(TOP_QUERIES)                                                                                                     \
    L(GATHER)                                                                                                          \
    L(REFERENCE)                                                                                                       \
    L(SHIFT_BOX)                                                                                                       \
    L(DEFORM)                                                                                                          \
    L(REFINE)                                                                                                          \
    L(QUALITY)

#define DECLARE(kernel) extern const cf_kernel kernel;
#define DECLARE_ALL(op) CF_##op##_KERNELS(DECLARE)
CF_PLAN_OPERATORS(DECLARE_ALL)

#define ADDRESS(kernel) &kernel,
#define DEFINE(op) static const cf_kernel *const list_##op[] = {CF_##op##_KERNELS(ADDRESS) NULL};
CF_PLAN_OPERATORS(DEFINE)

const cf_kernel *const *CF_KERNELS_OF(cf_op op, int *count) {
    switch (op) {
#define CASE(op)                                                                                                       \
    case CF_OP_##op: *count = (int)(sizeof list_##op / sizeof *list_##op) - 1; return list_##op;
        CF_PLAN_OPERATORS(CASE)
    default: *count = 0; return NULL; // input, and what vanished into views (concat, tokens, slice)
    }
}
