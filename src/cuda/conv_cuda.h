// SPDX-License-Identifier: Apache-2.0
// What the hosts of the GPU's convolution kernels share.
#ifndef CF_CUDA_CONV_CUDA_H
#define CF_CUDA_CONV_CUDA_H

#include "cuda/conv_args.h"
#include "cuda/queue.h"
#include "kernels/kernel.h"

// The arguments of a call whose packed constants are `weight_bytes` of weights, then the bias.
cf_conv_args cf_conv_args_of(const cf_call *call, size_t weight_bytes);

// Bytes of a bias as the kernels read it, and writing it.
size_t cf_conv_bias_bytes(const cf_problem *problem);
void cf_conv_pack_bias(const cf_problem *problem, float *bias);

// The other kernels' constants: FP32 weights [tap][channel of a group][output rounded up to `unit`], then the bias.
size_t cf_conv_f32_bytes(const cf_problem *problem, size_t unit); // of the weights
size_t cf_conv_f32_packed_size(const cf_problem *problem, size_t unit);
void cf_conv_f32_pack(const cf_problem *problem, void *packed, size_t unit);

// The matrix kernels' constants: weights [output][tap][channel] in the input's type, each output's line filled up with
// zeros to whole steps of CF_CONV_STEP_BYTES, then the bias.
int cf_conv_steps(const cf_problem *problem);
size_t cf_conv_matrix_bytes(const cf_problem *problem); // of the weights
size_t cf_conv_matrix_packed_size(const cf_problem *problem);
void cf_conv_matrix_pack(const cf_problem *problem, void *packed);
// NULL if they can read the input, which must be of this type.
const char *cf_conv_refuse_matrix(const cf_problem *problem, cf_dtype dtype);

// Runs a call whose constants are a matrix kernel's by a tile that takes any alignment of the output and the residual:
// a part of a concat may begin between two vectors, which shows only in the addresses.
void cf_conv_launch_unaligned(const cf_call *call, cf_cuda_queue *queue);

// 1 if the pixels of all images follow one another at equal distances.
int cf_conv_is_flat(const cf_tensor *tensor);

// 1 if eight channels, at a multiple of eight, of every pixel of the tensor start at a multiple of 16 bytes (8 where
// elements are bytes).
int cf_conv_is_aligned(const cf_tensor *tensor);

// NULL if conv.cuh can store the output and read the residual.
const char *cf_conv_refuse_output(const cf_problem *problem);

static inline int cf_conv_is_half(cf_dtype dtype) {
    return dtype == CF_F16 || dtype == CF_BF16;
}

static inline size_t cf_conv_round_up(size_t count, size_t unit) {
    return (count + unit - 1) / unit * unit;
}

#endif
