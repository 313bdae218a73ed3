// SPDX-License-Identifier: Apache-2.0
// Convolution of bytes by wgmma: one kernel for each tile of CF_CONV_INT8_WGMMA_TILES.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_wgmma.cuh"
#include "cuda/kernels/requantise.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define BODY(...) conv_wgmma<uint8_t, __VA_ARGS__, 1>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(unused, instruction, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                       \
    CF_GLOBAL __launch_bounds__(DOWN *ACROSS * 32, BLOCKS)                                                             \
        cf_conv_##instruction##_u8_##ROWS##x##COLUMNS(const __grid_constant__ cf_conv_int8_args a) {                   \
        BODY(ROWS, COLUMNS, DOWN, ACROSS, STAGES)                                                                      \
    }

CF_CONV_INT8_WGMMA_TILES(KERNEL, )
