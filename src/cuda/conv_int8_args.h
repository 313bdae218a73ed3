// SPDX-License-Identifier: Apache-2.0
// What the int8 and E4M3 convolution kernels of a GPU are given beside what all of them get: plain C, read by nvcc too.
#ifndef CF_CUDA_CONV_INT8_ARGS_H
#define CF_CUDA_CONV_INT8_ARGS_H

#include "cuda/conv_args.h"

// (tap, channel) pairs of a step: 128 bytes, as those of 16-bit types. conv.steps counts these.
enum { CF_CONV_INT8_STEP = 128 };

// real output o = scale[o] * (offset[o] + sum over terms of weight * input as stored) + bias[o].
//
// Packed, one behind the other (conv_int8_cuda.c):
//   int8_t weight[outputs][steps * CF_CONV_INT8_STEP]   (tap, channel) in order, filled up with zeros
//   float bias[outputs rounded up to 8], scale[the same]
//   int32_t offset[the same]                             minus the sum of weight * zero point over all terms
//   uint8_t zero[input channels]                         what every tap outside the image reads
typedef struct cf_conv_int8_args {
    cf_conv_args conv;
    const float *scale;
    const int32_t *offset;
    const uint8_t *zero;
} cf_conv_int8_args;

// E4M3 has no zero points: real output o = unit[o] * sum over terms of weight * input as stored + bias[o].
//
// Packed, one behind the other (conv_e4m3_cuda.c): weight as above, bias, unit[outputs rounded up to 8].
typedef struct cf_conv_e4m3_args {
    cf_conv_args conv;
    const float *unit;
} cf_conv_e4m3_args;

#endif
