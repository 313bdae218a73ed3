// SPDX-License-Identifier: Apache-2.0
// A tensor as the copy engine of a GPU sees it: plain C, read by nvcc too.
#ifndef CF_CUDA_TENSOR_MAP_H
#define CF_CUDA_TENSOR_MAP_H

#include <stdint.h>

// Filled in by the driver: CUtensorMap.
typedef struct cf_tensor_map {
    uint64_t opaque[16];
} __attribute__((aligned(64))) cf_tensor_map;

#endif
