// SPDX-License-Identifier: Apache-2.0
#include "cuda/operator.h"

int cf_cuda_wide(const cf_tensor *tensor) {
    uintptr_t unit = cf_dtype_size(tensor->dtype) == 1 ? 8 : 16;
    return tensor->dtype != CF_I32 &&
           ((tensor->c | tensor->pixel | tensor->row | tensor->image) % CF_CUDA_WIDTH) == 0 &&
           (uintptr_t)tensor->data % unit == 0;
}

int cf_cuda_all_wide(const cf_call *call) {
    int wide = cf_cuda_wide(&call->out[0]);
    for (int i = 0; i < call->problem->inputs; i++) wide = wide && cf_cuda_wide(&call->in[i]);
    return wide;
}
