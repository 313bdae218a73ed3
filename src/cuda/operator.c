// SPDX-License-Identifier: Apache-2.0
#include "cuda/operator.h"

int cf_cuda_wide(const cf_tensor *tensor) {
    int real = tensor->dtype == CF_F32 || tensor->dtype == CF_F16 || tensor->dtype == CF_BF16;
    return real && ((tensor->c | tensor->pixel | tensor->row | tensor->image) % CF_CUDA_WIDTH) == 0 &&
           (uintptr_t)tensor->data % 16 == 0;
}

int cf_cuda_all_wide(const cf_call *call) {
    int wide = cf_cuda_wide(&call->out[0]);
    for (int i = 0; i < call->problem->inputs; i++) wide = wide && cf_cuda_wide(&call->in[i]);
    return wide;
}
