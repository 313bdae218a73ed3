// SPDX-License-Identifier: Apache-2.0
// Convolution by wgmma, operands brought by the copy engine: one kernel for each tile of CF_CONV_TMA_TILES.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_tma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define BODY(T, WAY, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                             \
    conv_tma<T, CF_CONV_WAY_##WAY, CF_CONV_STEP_BYTES, ROWS, COLUMNS, GROUPS, STAGES, SLOTS>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(name, T, WAY, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                     \
    CF_GLOBAL __launch_bounds__(GROUPS * 128 + 128, 1)                                                                 \
        cf_conv_tma_##name##_##WAY##_##ROWS##x##COLUMNS(const __grid_constant__ cf_conv_tma_args a) {                  \
        BODY(T, WAY, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                             \
    }
#define KERNELS(unused, ...) KERNEL(f16, __half, __VA_ARGS__) KERNEL(bf16, __nv_bfloat16, __VA_ARGS__)

CF_CONV_TMA_TILES(KERNELS, )
