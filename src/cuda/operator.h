// SPDX-License-Identifier: Apache-2.0
// What the operators' launch functions share: whether vectors of channels fit, and the usual cf_kernel.
#ifndef CF_CUDA_OPERATOR_H
#define CF_CUDA_OPERATOR_H

#include "cuda/queue.h"
#include "kernels/constants.h"

enum { CF_CUDA_WIDTH = 8 }; // channels that wide kernels read and write at once

// 1 if the tensor's pixels hold whole vectors of CF_CUDA_WIDTH channels at addresses that are multiples of 16 bytes (8
// where elements are bytes).
int cf_cuda_wide(const cf_tensor *tensor);
// 1 if all inputs and the output do.
int cf_cuda_all_wide(const cf_call *call);

static inline int64_t cf_cuda_pixels(const cf_tensor *tensor) {
    return (int64_t)tensor->h * tensor->w;
}

// A kernel whose constants are packed as above and which accepts everything.
#define CF_CUDA_KERNEL(symbol, enumerator, text, function)                                                             \
    const cf_kernel symbol = {.name = text,                                                                            \
                              .op = CF_OP_##enumerator,                                                                \
                              .refuse = cf_accept_all,                                                                 \
                              .packed_size = cf_constants_size,                                                        \
                              .pack = cf_constants_pack,                                                               \
                              .launch = function}

#endif
