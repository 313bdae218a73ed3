// SPDX-License-Identifier: Apache-2.0
// Every kernel once, best first; the last of each operator is its plain reference, which accepts everything.
//
// To add a kernel: write it in kernels/cpu/<op>_<dtype>_<isa>.c and put its name in front of slower ones here. The
// checker (tests/checkops) walks these lists, so a kernel cannot exist untested.
#include "kernels/kernel.h"

// One line an operator, one entry a kernel: X(kernel).
#define CF_CONV_KERNELS(X) X(cf_conv_ref)

// Every list with its operator: L(enumerator, LIST).
#define CF_KERNEL_LISTS(L) L(CONV, CF_CONV_KERNELS)

#define DECLARE(kernel) extern const cf_kernel kernel;
#define DECLARE_ALL(enumerator, LIST) LIST(DECLARE)
CF_KERNEL_LISTS(DECLARE_ALL)

#define ADDRESS(kernel) &kernel,
#define DEFINE_ALL(enumerator, LIST) static const cf_kernel *const list_##enumerator[] = {LIST(ADDRESS)};
CF_KERNEL_LISTS(DEFINE_ALL)

const cf_kernel *const *cf_kernels_of(cf_op op, int *count) {
    switch (op) {
#define CASE(enumerator, LIST)                                                                                         \
    case CF_OP_##enumerator:                                                                                           \
        *count = (int)(sizeof list_##enumerator / sizeof *list_##enumerator);                                          \
        return list_##enumerator;
        CF_KERNEL_LISTS(CASE)
    default: *count = 0; return NULL; // removed by passes (batch_norm, ...) or vanished into views (concat, ...)
    }
}
