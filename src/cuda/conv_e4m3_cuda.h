// SPDX-License-Identifier: Apache-2.0
// What the hosts of the GPU's E4M3 convolution kernels share: constants as conv_int8_args.h describes them.
#ifndef CF_CUDA_CONV_E4M3_CUDA_H
#define CF_CUDA_CONV_E4M3_CUDA_H

#include "cuda/conv_cuda.h"
#include "cuda/conv_int8_args.h"

size_t cf_conv_e4m3_packed_size(const cf_problem *problem);
void cf_conv_e4m3_pack(const cf_problem *problem, void *packed);
cf_conv_e4m3_args cf_conv_e4m3_args_of(const cf_call *call);

// Runs a call with these packed constants whatever its alignment.
void cf_conv_e4m3_launch_unaligned(const cf_call *call, cf_cuda_queue *queue);

#endif
