// SPDX-License-Identifier: Apache-2.0
// Convolution by mma: one kernel for each tile of cuda/conv_tiles.h and each type but bytes.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_mma.cuh"

#define KERNEL(name, T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS, BLOCKS)                                           \
    CF_GLOBAL CF_CLUSTER(SPLITS) __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                          \
        cf_conv_mma_##name##_##ROWS##x##COLUMNS##_k##SPLITS(const __grid_constant__ cf_conv_args a) {                  \
        conv_mma<T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS>(a);                                                   \
    }
#define KERNELS(unused, instruction, ...) KERNEL(f16, __half, __VA_ARGS__) KERNEL(bf16, __nv_bfloat16, __VA_ARGS__)

#define FP32_KERNEL(unused, instruction, ...) KERNEL(f32, float, __VA_ARGS__)

CF_CONV_MMA_FP32_TILES(FP32_KERNEL, )
CF_CONV_MMA_TILES(KERNELS, )
CF_CONV_MMA_WIDE_TILES(KERNELS, )
CF_CONV_MMA_SPLIT_TILES(KERNELS, )
