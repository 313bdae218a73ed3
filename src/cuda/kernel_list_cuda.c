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
#define CF_CONV_FP32_KERNELS(X, instruction, rows, columns, down, across, stages, splits, blocks)                      \
    X(cf_conv_##instruction##_f32_##rows##x##columns##_k##splits)
#define CF_CONV_TMA_KERNELS(X, way, rows, columns, groups, stages, slots)                                              \
    X(cf_conv_tma_f16_##way##_##rows##x##columns) X(cf_conv_tma_bf16_##way##_##rows##x##columns)
#define CF_CONV_TMA_INT8_KERNELS(X, way, step, rows, columns, groups, stages, slots)                                   \
    X(cf_conv_tma_u8_##way##_##rows##x##columns##_k##step) X(cf_conv_tma_e4m3_##way##_##rows##x##columns##_k##step)
#define CF_CONV_INT8_TILE_KERNELS(X, instruction, rows, columns, down, across, stages, blocks)                         \
    X(cf_conv_##instruction##_u8_##rows##x##columns)
#define CF_CONV_E4M3_TILE_KERNELS(X, instruction, rows, columns, down, across, stages, blocks)                         \
    X(cf_conv_##instruction##_e4m3_##rows##x##columns)
#define CF_CONV_KERNELS(X)                                                                                             \
    CF_CONV_TMA_TILES(CF_CONV_TMA_KERNELS, X)                                                                          \
    CF_CONV_MMA_FP32_TILES(CF_CONV_FP32_KERNELS, X)                                                                    \
    CF_CONV_TILES(CF_CONV_TILE_KERNELS, X)                                                                             \
    CF_CONV_TMA_INT8_TILES(CF_CONV_TMA_INT8_KERNELS, X)                                                                \
    CF_CONV_INT8_TILES(CF_CONV_INT8_TILE_KERNELS, X)                                                                   \
    CF_CONV_E4M3_MMA_TILES(CF_CONV_E4M3_TILE_KERNELS, X)                                                               \
    X(cf_conv_cuda_depthwise_4x4)                                                                                      \
    X(cf_conv_cuda_depthwise_2x2) X(cf_conv_cuda_stem) X(cf_conv_cuda_f32) X(cf_conv_cuda_any)
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
#define CF_ATTENTION_KERNELS(X)                                                                                        \
    X(cf_attention_f16_cuda) X(cf_attention_bf16_cuda) X(cf_attention_f32_cuda) X(cf_attention_cuda)
#define CF_TOP_QUERIES_KERNELS(X) X(cf_top_queries_cuda)
#define CF_GATHER_KERNELS(X) X(cf_gather_cuda)
#define CF_REFERENCE_KERNELS(X) X(cf_reference_cuda)
#define CF_SHIFT_BOX_KERNELS(X) X(cf_shift_box_cuda)
#define CF_DEFORM_KERNELS(X) X(cf_deform_wide_cuda) X(cf_deform_cuda)
#define CF_REFINE_KERNELS(X) X(cf_refine_cuda)
#define CF_QUALITY_KERNELS(X) X(cf_quality_cuda)
#define CF_HALO_KERNELS(X) // GPU kernels check borders themselves

#define CF_KERNELS_OF cf_cuda_kernels_of
#include "kernels/kernel_table.h"
