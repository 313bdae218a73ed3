// SPDX-License-Identifier: Apache-2.0
// What cuda/kernels/pixels.cu is given to resize a picture: plain C, read by nvcc too.
#ifndef CF_CUDA_RESIZE_ARGS_H
#define CF_CUDA_RESIZE_ARGS_H

#include "kernels/tensor.h"

// One axis, as cf_resize_axis (preprocess/resize.h) has it: output i is the sum over t < counts[i] of
// weights[i * taps + t] * input[starts[i] + t]. Without taps output i is input i.
typedef struct cf_cuda_resize_axis {
    const int32_t *starts, *counts, *weights;
    int32_t taps;
} cf_cuda_resize_axis;

typedef struct cf_cuda_resize_args {
    const uint8_t *rgb; // rows of src_width pixels of 3 bytes
    int32_t src_width;
    int32_t down_first; // 1: columns are filtered, and rounded, before rows; 0: after them
    int32_t bits;       // weights are in units of 2^-bits
    cf_cuda_resize_axis x, y;
    const float *values; // [3][256]: what each byte of a channel becomes
    cf_tensor out;       // of one image
} cf_cuda_resize_args;

#endif
