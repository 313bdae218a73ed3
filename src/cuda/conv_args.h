// SPDX-License-Identifier: Apache-2.0
// What the convolution kernels of a GPU are given: plain C, read by nvcc too.
#ifndef CF_CUDA_CONV_ARGS_H
#define CF_CUDA_CONV_ARGS_H

#include "kernels/tensor.h"

// The matrix kernels walk the sum over taps and channels in steps of 128 bytes: this many (tap, channel) pairs of a
// 16-bit type, half as many of FP32.
enum { CF_CONV_STEP = 64, CF_CONV_STEP_BYTES = 128 };

// As a matrix product: `pixels` rows (all output pixels of all images), out.c columns, taps * in.c terms.
typedef struct cf_conv_args {
    cf_tensor in, residual, out; // residual.data NULL: none
    cf_conv_attr attr;
    const void *weight; // as the kernel packed it
    const float *bias;  // [out.c rounded up to 8], zeros where the node has none
    int32_t pixels;     // images * out.h * out.w
    int32_t steps;      // of CF_CONV_STEP_BYTES
    int32_t columns;    // tiles side by side in one row of tiles
    int32_t flat_in;    // 1: output pixel m needs only input pixel m, which lies at m * in.pixel
    int32_t flat_out;   // 1: output pixel m lies at m * out.pixel
    int32_t flat_residual;
    int32_t vector_out;      // 1: eight channels of the output may be stored by 16-byte stores, and
    int32_t vector_residual; // so loaded
} cf_conv_args;

#endif
