// SPDX-License-Identifier: Apache-2.0
// What the hosts of the GPU's int8 convolution kernels share: constants as conv_int8_args.h describes them.
#ifndef CF_CUDA_CONV_INT8_CUDA_H
#define CF_CUDA_CONV_INT8_CUDA_H

#include "cuda/conv_cuda.h"
#include "cuda/conv_int8_args.h"

// NULL if the kernels can run it.
const char *cf_conv_int8_refuse(const cf_problem *problem);

// What one step of the weights of output o is worth where one of input channel c is worth cf_conv_int8_unit: the
// largest becomes 127.
float cf_conv_int8_step(const cf_problem *problem, size_t o);
float cf_conv_int8_unit(const cf_problem *problem, size_t c);

size_t cf_conv_int8_packed_size(const cf_problem *problem);
void cf_conv_int8_pack(const cf_problem *problem, void *packed);
cf_conv_int8_args cf_conv_int8_args_of(const cf_call *call);

// Runs a call whose packed constants begin as these by a tile that takes any alignment.
void cf_conv_int8_launch_unaligned(const cf_call *call, cf_cuda_queue *queue);

#endif
