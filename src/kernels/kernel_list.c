// SPDX-License-Identifier: Apache-2.0
// Every kernel of the CPU once, best first; the last of each operator is its plain reference, which accepts everything.
//
// To add a kernel: write it in kernels/cpu/<op>_<dtype>_<isa>.c and put its name in front of slower ones here. The
// checker (tests/checkops) walks these lists, so a kernel cannot exist untested.
#include "kernels/kernel.h"

// One line an operator, one entry a kernel: X(kernel).
#define CF_CONV_KERNELS(X)                                                                                             \
    X(cf_conv_int8_amx)                                                                                                \
    X(cf_winograd_bf16_amx)                                                                                            \
    X(cf_conv_bf16_amx)                                                                                                \
    X(cf_conv_int8_avx512)                                                                                             \
    X(cf_conv_int8_avxvnni)                                                                                            \
    X(cf_winograd_f16_avx512)                                                                                          \
    X(cf_conv_f16_avx512)                                                                                              \
    X(cf_winograd_bf16_avx512)                                                                                         \
    X(cf_conv_bf16_avx512)                                                                                             \
    X(cf_winograd_amx)                                                                                                 \
    X(cf_winograd_avx512)                                                                                              \
    X(cf_conv_f32_amx)                                                                                                 \
    X(cf_conv_f32_bf16_avx512)                                                                                         \
    X(cf_conv_f32_avx512)                                                                                              \
    X(cf_depthwise_wide_bf16_avx512)                                                                                   \
    X(cf_depthwise_wide_avx512)                                                                                        \
    X(cf_depthwise_avx512)                                                                                             \
    X(cf_depthwise_avx2)                                                                                               \
    X(cf_winograd_avx2)                                                                                                \
    X(cf_conv_avx2)                                                                                                    \
    X(cf_conv_ref)
#define CF_BATCH_NORM_KERNELS(X) X(cf_batch_norm_ref)
#define CF_ACTIVATION_KERNELS(X) X(cf_activation_avx512) X(cf_activation_avx2) X(cf_activation_ref)
#define CF_SCALE_SHIFT_KERNELS(X) X(cf_scale_shift_avx512) X(cf_scale_shift_avx2) X(cf_scale_shift_ref)
#define CF_ADD_KERNELS(X) X(cf_add_avx512) X(cf_add_avx2) X(cf_add_ref)
#define CF_MUL_KERNELS(X) X(cf_mul_avx512) X(cf_mul_avx2) X(cf_mul_ref)
#define CF_HALO_KERNELS(X) X(cf_halo_ref)
#define CF_COPY_KERNELS(X) X(cf_copy_avx512) X(cf_copy_avx2) X(cf_copy_ref)
#define CF_UPSAMPLE_KERNELS(X) X(cf_upsample_avx512) X(cf_upsample_avx2) X(cf_upsample_ref)
#define CF_MAX_POOL_KERNELS(X) X(cf_max_pool_avx512) X(cf_max_pool_avx2) X(cf_max_pool_ref)
#define CF_AVG_POOL_KERNELS(X) X(cf_avg_pool_avx512) X(cf_avg_pool_avx2) X(cf_avg_pool_ref)
#define CF_GLOBAL_POOL_KERNELS(X) X(cf_global_pool_avx512) X(cf_global_pool_avx2) X(cf_global_pool_ref)
#define CF_NORM_KERNELS(X) X(cf_norm_avx512) X(cf_norm_avx2) X(cf_norm_ref)
#define CF_GATE_KERNELS(X) X(cf_gate_avx512) X(cf_gate_avx2) X(cf_gate_ref)
#define CF_ATTENTION_KERNELS(X)                                                                                        \
    X(cf_attention_bf16_amx)                                                                                           \
    X(cf_attention_bf16_avx512) X(cf_attention_avx512) X(cf_attention_avx2) X(cf_attention_ref)
#define CF_TOP_QUERIES_KERNELS(X) X(cf_top_queries_avx512) X(cf_top_queries_avx2) X(cf_top_queries_ref)
#define CF_GATHER_KERNELS(X) X(cf_gather_avx512) X(cf_gather_avx2) X(cf_gather_ref)
#define CF_REFERENCE_KERNELS(X) X(cf_reference_avx512) X(cf_reference_avx2) X(cf_reference_ref)
#define CF_SHIFT_BOX_KERNELS(X) X(cf_shift_box_avx512) X(cf_shift_box_avx2) X(cf_shift_box_ref)
#define CF_DEFORM_KERNELS(X) X(cf_deform_avx512) X(cf_deform_avx2) X(cf_deform_ref)
#define CF_REFINE_KERNELS(X) X(cf_refine_avx512) X(cf_refine_avx2) X(cf_refine_ref)
#define CF_QUALITY_KERNELS(X) X(cf_quality_avx512) X(cf_quality_avx2) X(cf_quality_ref)

#define CF_KERNELS_OF cf_cpu_kernels_of
#include "kernels/kernel_table.h"
