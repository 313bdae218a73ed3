// SPDX-License-Identifier: Apache-2.0
#include "kernels/constants.h"

#include <string.h>

const char *cf_accept_all(const cf_problem *problem) {
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

size_t cf_constants_size(const cf_problem *problem) {
    size_t count = 0;
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) count += room_of(&problem->constant[i]);
    return count * sizeof(float);
}

void cf_constants_pack(const cf_problem *problem, void *packed) {
    float *to = packed;
    memset(packed, 0, cf_constants_size(problem));
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) {
        const cf_constant *constant = &problem->constant[i];
        if (count_of(constant)) memcpy(to, constant->data, count_of(constant) * sizeof(float));
        to += room_of(constant);
    }
}

const float *cf_constant_at(const cf_call *call, int index) {
    const float *at = call->packed;
    for (int i = 0; i < index; i++) at += room_of(&call->problem->constant[i]);
    return count_of(&call->problem->constant[index]) ? at : NULL;
}
