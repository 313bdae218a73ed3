// SPDX-License-Identifier: Apache-2.0
// Every GPU kernel once, best first; the last of each operator accepts everything. To add one: a CUDA C function in
// cuda/kernels/<family>.cu, its cf_kernel (refuse, pack, launch) in cuda/<family>_cuda.c, and its name here.
#include "cuda/conv_tiles.h"
#include "kernels/kernel.h"

// One line an operator, one entry a kernel: X(kernel).
#define CF_BATCH_NORM_KERNELS(X) X(cf_batch_norm_cuda)
#define CF_CONV_TILE_KERNELS(X, instruction, rows, columns, down, across, stages, splits, blocks)                      \
    X(cf_conv_##instruction##_f16_##rows##x##columns##_k##splits)                                                      \
    X(cf_conv_##instruction##_bf16_##rows##x##columns##_k##splits)
#define CF_CONV_KERNELS(X)                                                                                             \
    CF_CONV_TILES(CF_CONV_TILE_KERNELS, X)                                                                             \
    X(cf_conv_cuda_depthwise) X(cf_conv_cuda_stem) X(cf_conv_cuda_f32) X(cf_conv_cuda_any)
#define CF_ACTIVATION_KERNELS(X) X(cf_activation_cuda)
#define CF_SCALE_SHIFT_KERNELS(X) X(cf_scale_shift_cuda)
#define CF_ADD_KERNELS(X) X(cf_add_cuda)
#define CF_MUL_KERNELS(X) X(cf_mul_cuda)
#define CF_COPY_KERNELS(X) X(cf_copy_cuda)
#define CF_UPSAMPLE_KERNELS(X) X(cf_upsample_cuda)
#define CF_MAX_POOL_KERNELS(X) X(cf_max_pool_cuda)
#define CF_AVG_POOL_KERNELS(X) X(cf_avg_pool_cuda)
#define CF_GLOBAL_POOL_KERNELS(X) X(cf_global_pool_cuda)
#define CF_NORM_KERNELS(X) X(cf_norm_cuda)
#define CF_GATE_KERNELS(X) X(cf_gate_cuda)
#define CF_ATTENTION_KERNELS(X) X(cf_attention_f16_cuda) X(cf_attention_bf16_cuda) X(cf_attention_cuda)
#define CF_TOP_QUERIES_KERNELS(X) X(cf_top_queries_cuda)
#define CF_GATHER_KERNELS(X) X(cf_gather_cuda)
#define CF_REFERENCE_KERNELS(X) X(cf_reference_cuda)
#define CF_SHIFT_BOX_KERNELS(X) X(cf_shift_box_cuda)
#define CF_DEFORM_KERNELS(X) X(cf_deform_wide_cuda) X(cf_deform_cuda)
#define CF_REFINE_KERNELS(X) X(cf_refine_cuda)
#define CF_QUALITY_KERNELS(X) X(cf_quality_cuda)

// Every list with its operator: L(enumerator, LIST).
#define CF_KERNEL_LISTS(L)                                                                                             \
    L(BATCH_NORM, CF_BATCH_NORM_KERNELS)                                                                               \
    L(CONV, CF_CONV_KERNELS)                                                                                           \
    L(ACTIVATION, CF_ACTIVATION_KERNELS)                                                                               \
    L(SCALE_SHIFT, CF_SCALE_SHIFT_KERNELS)                                                                             \
    L(ADD, CF_ADD_KERNELS)                                                                                             \
    L(MUL, CF_MUL_KERNELS)                                                                                             \
    L(COPY, CF_COPY_KERNELS)                                                                                           \
    L(UPSAMPLE, CF_UPSAMPLE_KERNELS)                                                                                   \
    L(MAX_POOL, CF_MAX_POOL_KERNELS)                                                                                   \
    L(AVG_POOL, CF_AVG_POOL_KERNELS)                                                                                   \
    L(GLOBAL_POOL, CF_GLOBAL_POOL_KERNELS)                                                                             \
    L(NORM, CF_NORM_KERNELS)                                                                                           \
    L(GATE, CF_GATE_KERNELS)                                                                                           \
    L(ATTENTION, CF_ATTENTION_KERNELS)                                                                                 \
    L(TOP_QUERIES, CF_TOP_QUERIES_KERNELS)                                                                             \
    L(GATHER, CF_GATHER_KERNELS)                                                                                       \
    L(REFERENCE, CF_REFERENCE_KERNELS)                                                                                 \
    L(SHIFT_BOX, CF_SHIFT_BOX_KERNELS)                                                                                 \
    L(DEFORM, CF_DEFORM_KERNELS)                                                                                       \
    L(REFINE, CF_REFINE_KERNELS)                                                                                       \
    L(QUALITY, CF_QUALITY_KERNELS)

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
