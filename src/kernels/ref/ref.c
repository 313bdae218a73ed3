// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref.h"

void cf_ref_each_pixel(const cf_call *call, const cf_team *team, void (*one)(const cf_call *, int n, int y, int x)) {
    const cf_tensor *out = &call->out[0];
    long begin, end;
    cf_team_range(team, (long)call->images * out->h * out->w, &begin, &end);
    for (long pixel = begin; pixel < end; pixel++)
        one(call, (int)(pixel / ((long)out->h * out->w)), (int)(pixel / out->w % out->h), (int)(pixel % out->w));
}
