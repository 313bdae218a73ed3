// SPDX-License-Identifier: Apache-2.0
// What the convolutions by copy engine (cuda/kernels/conv_tma.cu) are given: plain C, read by nvcc too.
#ifndef CF_CUDA_CONV_TMA_ARGS_H
#define CF_CUDA_CONV_TMA_ARGS_H

#include "cuda/tensor_map.h"

// The ways of a tile, CF_CONV_WAY_<way>: whether warp groups take turns.
enum { CF_CONV_WAY_share, CF_CONV_WAY_turns };

// What output and residual are: of 16 bits, or bytes.
enum { CF_CONV_OUT_HALF, CF_CONV_OUT_U8, CF_CONV_OUT_E4M3 };

// Names as in cf_conv_args. A step has 64 terms of 16-bit types, 128 or 64 of bytes.
typedef struct cf_conv_tma_args {
    cf_tensor_map in;       // a step's channels x the tile's pixels; of taps, unless flat_in
    cf_tensor_map weight;   // a step's terms x the tile's channels
    cf_tensor_map out;      // 32 or 64 channels x 16 pixels
    const void *residual;   // NULL: none
    int64_t residual_pixel; // elements from one pixel to the next
    const float *bias;
    int32_t pixels, outputs, channels;
    int32_t tiles, columns;         // in all, and side by side
    int32_t taps, kernel_w, pieces; // pieces of a step's channels, the last may be shorter
    int32_t flat_in, out_w, out_h, stride, pad_top, pad_left;
    int32_t act;
    int32_t out_bytes;  // CF_CONV_OUT_
    float scale, shift; // of bytes in steps of the output, whose zero point is in the shift
    float residual_scale;
    int32_t residual_zero;

    // Of sums of bytes only, conv_int8_args.h: sum's unit of each output. Of U8 ones: from what its sum starts,
    // [border][outputs rounded up to 8]: minus the sum of weight * zero point over the taps inside the image, since the
    // copy engine reads zeros outside. border = ((top * (pad_bottom + 1) + bottom) * (pad_left + 1) + left) *
    // (pad_right + 1) + right: how many rows and columns of the window lie beyond each edge.
    const float *unit;
    const int32_t *offset;
    int32_t in_w, in_h, kernel_h, pad_bottom, pad_right;
} cf_conv_tma_args;

#endif
