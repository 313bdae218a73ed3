// SPDX-License-Identifier: Apache-2.0
// Every GPU kernel once, best first; the last of each operator accepts everything. To add one: a CUDA C function in
// cuda/kernels/<family>.cu, its cf_kernel (refuse, pack, launch) in cuda/<family>_cuda.c, and its name here.
#include "kernels/kernel.h"

// One line an operator, one entry a kernel: X(kernel).
#define CF_ACTIVATION_KERNELS(X) X(cf_activation_cuda)
#define CF_SCALE_SHIFT_KERNELS(X) X(cf_scale_shift_cuda)
#define CF_COPY_KERNELS(X) X(cf_copy_cuda)

// Every list with its operator: L(enumerator, LIST).
#define CF_KERNEL_LISTS(L)                                                                                             \
    L(ACTIVATION, CF_ACTIVATION_KERNELS)                                                                               \
    L(SCALE_SHIFT, CF_SCALE_SHIFT_KERNELS)                                                                             \
    L(COPY, CF_COPY_KERNELS)

#define DECLARE(kernel) extern const cf_kernel kernel;
#define DECLARE_ALL(enumerator, LIST) LIST(DECLARE)
CF_KERNEL_LISTS(DECLARE_ALL)

#define ADDRESS(kernel) &kernel,
#define DEFINE_ALL(enumerator, LIST) static const cf_kernel *const list_##enumerator[] = {LIST(ADDRESS)};
CF_KERNEL_LISTS(DEFINE_ALL)

const cf_kernel *const *cf_cuda_kernels_of(cf_op op, int *count) {
    switch (op) {
#define CASE(enumerator, LIST)                                                                                         \
    case CF_OP_##enumerator:                                                                                           \
        *count = (int)(sizeof list_##enumerator / sizeof *list_##enumerator);                                          \
        return list_##enumerator;
        CF_KERNEL_LISTS(CASE)
    default: *count = 0; return NULL;
    }
}
