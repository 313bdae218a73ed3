// SPDX-License-Identifier: Apache-2.0
// Constants of an operator packed as they are, for kernels that need no layout of their own, on the CPU and on a GPU.
#ifndef CF_KERNELS_CONSTANTS_H
#define CF_KERNELS_CONSTANTS_H

#include "kernels/kernel.h"

// Accepts every problem: the last kernel of each list.
const char *cf_accept_all(const cf_problem *problem);

// Packed: FP32, in order, each from a multiple of 16 bytes on; absent ones take no room.
size_t cf_constants_size(const cf_problem *problem);
void cf_constants_pack(const cf_problem *problem, void *packed);
// Constant `index` as packed, where the kernel runs; NULL where the node has none.
const float *cf_constant_at(const cf_call *call, int index);

#endif
