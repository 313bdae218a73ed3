// SPDX-License-Identifier: Apache-2.0
// Convolution by wgmma: one kernel for each tile of CF_CONV_WGMMA_TILES.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_wgmma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define BODY(T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS)                                                           \
    conv_wgmma<T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(name, T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS, BLOCKS)                                           \
    CF_GLOBAL CF_CLUSTER(SPLITS) __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                          \
        cf_conv_wgmma_##name##_##ROWS##x##COLUMNS##_k##SPLITS(const __grid_constant__ cf_conv_args a) {                \
        BODY(T, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS)                                                           \
    }
#define KERNELS(unused, instruction, ...) KERNEL(f16, __half, __VA_ARGS__) KERNEL(bf16, __nv_bfloat16, __VA_ARGS__)

CF_CONV_WGMMA_TILES(KERNELS, )
