// SPDX-License-Identifier: Apache-2.0
#include "cuda/operator.h"

#include <string.h>

const char *cf_cuda_accept(const cf_problem *problem) {
    (void)problem;
    return NULL;
}

static size_t count_of(const cf_constant *constant) {
    size_t count = 1;
    if (constant->rank == 0) return 0;
    for (int i = 0; i < constant->rank; i++) count *= (size_t)constant->shape[i];
    return count;
}

static size_t room_of(const cf_constant *constant) {
    return (count_of(constant) + 3) / 4 * 4; // floats
}

size_t cf_cuda_packed_size(const cf_problem *problem) {
    size_t count = 0;
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) count += room_of(&problem->constant[i]);
    return count * sizeof(float);
}

void cf_cuda_pack(const cf_problem *problem, void *packed) {
    float *to = packed;
    memset(packed, 0, cf_cuda_packed_size(problem));
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) {
        const cf_constant *constant = &problem->constant[i];
        if (count_of(constant)) memcpy(to, constant->data, count_of(constant) * sizeof(float));
        to += room_of(constant);
    }
}

const float *cf_cuda_constant(const cf_call *call, int index) {
    const float *at = call->packed;
    for (int i = 0; i < index; i++) at += room_of(&call->problem->constant[i]);
    return count_of(&call->problem->constant[index]) ? at : NULL;
}

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
