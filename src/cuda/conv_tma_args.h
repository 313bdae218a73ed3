// SPDX-License-Identifier: Apache-2.0
// What the convolutions by copy engine (cuda/kernels/conv_tma.cu) are given: plain C, read by nvcc too.
#ifndef CF_CUDA_CONV_TMA_ARGS_H
#define CF_CUDA_CONV_TMA_ARGS_H

#include "cuda/tensor_map.h"

// The ways of a tile, CF_CONV_WAY_<way>: whether warp groups take turns.
enum { CF_CONV_WAY_share, CF_CONV_WAY_turns };

// Names as in cf_conv_args.
typedef struct cf_conv_tma_args {
    cf_tensor_map in;       // CF_CONV_STEP channels x the tile's pixels; of taps, unless flat_in
    cf_tensor_map weight;   // CF_CONV_STEP terms x the tile's channels
    cf_tensor_map out;      // 32 or 64 channels x 16 pixels
    const void *residual;   // NULL: none
    int64_t residual_pixel; // elements from one pixel to the next
    const float *bias;
    int32_t pixels, outputs, channels;
    int32_t tiles, columns;         // in all, and side by side
    int32_t taps, kernel_w, pieces; // pieces of CF_CONV_STEP channels, the last may be shorter
    int32_t flat_in, out_w, out_h, stride, pad_top, pad_left;
    int32_t act;
    float scale, shift;
} cf_conv_tma_args;

#endif
