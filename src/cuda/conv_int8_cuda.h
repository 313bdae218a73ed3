// SPDX-License-Identifier: Apache-2.0
// What the hosts of the GPU's int8 convolution kernels share: constants as conv_int8_args.h describes them.
#ifndef CF_CUDA_CONV_INT8_CUDA_H
#define CF_CUDA_CONV_INT8_CUDA_H

#include "cuda/conv_cuda.h"
#include "cuda/conv_int8_args.h"

// NULL if the kernels can run it.
const char *cf_conv_int8_refuse(const cf_problem *problem);
const char *cf_conv_refuse_bytes(const cf_problem *problem, cf_dtype dtype); // the same of another type of a byte

// What one step of the weights of output o is worth where one of input channel c is worth cf_conv_int8_unit: the
// largest becomes 127, or 448 where the input is E4M3. And a weight in steps as that type holds it.
float cf_conv_int8_step(const cf_problem *problem, size_t o);
float cf_conv_int8_unit(const cf_problem *problem, size_t c);
float cf_conv_int8_round(const cf_problem *problem, float steps);

size_t cf_conv_int8_packed_size(const cf_problem *problem);
void cf_conv_int8_pack(const cf_problem *problem, void *packed);
cf_conv_int8_args cf_conv_int8_args_of(const cf_call *call);

// Runs a call whose packed constants begin as these by a tile that takes any alignment.
void cf_conv_int8_launch_unaligned(const cf_call *call, cf_cuda_queue *queue);

#endif
