// SPDX-License-Identifier: Apache-2.0
// Convolution of E4M3 by wgmma, operands brought by the copy engine: one kernel for each tile of
// CF_CONV_TMA_INT8_TILES.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_tma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define BODY(WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                          \
    conv_tma<__nv_fp8_e4m3, CF_CONV_WAY_##WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(unused, WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                \
    CF_GLOBAL __launch_bounds__(GROUPS * 128 + 128, 1)                                                                 \
        cf_conv_tma_e4m3_##WAY##_##ROWS##x##COLUMNS##_k##STEP(const __grid_constant__ cf_conv_tma_args a) {            \
        BODY(WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                          \
    }

CF_CONV_TMA_INT8_TILES(KERNEL, )
