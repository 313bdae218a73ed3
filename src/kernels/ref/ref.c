// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref.h"

#include <string.h>

const char *cf_ref_accept(const cf_problem *problem) {
    (void)problem;
    return NULL;
}

static size_t count_of(const cf_constant *constant) {
    size_t count = 1;
    if (constant->rank == 0) return 0;
    for (int i = 0; i < constant->rank; i++) count *= (size_t)constant->shape[i];
    return count;
}

size_t cf_ref_packed_size(const cf_problem *problem) {
    size_t count = 0;
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) count += count_of(&problem->constant[i]);
    return count * sizeof(float);
}

void cf_ref_pack(const cf_problem *problem, void *packed) {
    float *to = packed;
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) {
        size_t count = count_of(&problem->constant[i]);
        if (count) memcpy(to, problem->constant[i].data, count * sizeof(float));
        to += count;
    }
}

const float *cf_ref_constant(const cf_call *call, int index) {
    const float *at = call->packed;
    for (int i = 0; i < index; i++) at += count_of(&call->problem->constant[i]);
    return count_of(&call->problem->constant[index]) ? at : NULL;
}

void cf_ref_each_pixel(const cf_call *call, const cf_team *team, void (*one)(const cf_call *, int n, int y, int x)) {
    const cf_tensor *out = &call->out[0];
    long begin, end;
    cf_team_range(team, (long)call->images * out->h * out->w, &begin, &end);
    for (long pixel = begin; pixel < end; pixel++)
        one(call, (int)(pixel / ((long)out->h * out->w)), (int)(pixel / out->w % out->h), (int)(pixel % out->w));
}
