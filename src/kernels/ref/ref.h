// SPDX-License-Identifier: Apache-2.0
// What the reference kernels share: one loop over the pixels of all images.
//
// A sequence of T rows is a map of T pixels, so "row r" below means pixel (r / w, r % w).
#ifndef CF_KERNELS_REF_REF_H
#define CF_KERNELS_REF_REF_H

#include "kernels/constants.h"

// Calls one(call, n, y, x) for this member's share of the pixels of out[0].
void cf_ref_each_pixel(const cf_call *call, const cf_team *team, void (*one)(const cf_call *, int n, int y, int x));

// The value of channel c of row r.
static inline float cf_ref_row(const cf_tensor *tensor, int n, int r, int c) {
    return cf_tensor_get(tensor, n, r / tensor->w, r % tensor->w, c);
}

// A kernel whose constants are packed as above and which needs no scratch.
#define CF_REF_KERNEL(symbol, enumerator, text, function)                                                              \
    const cf_kernel symbol = {.name = text,                                                                            \
                              .op = CF_OP_##enumerator,                                                                \
                              .refuse = cf_accept_all,                                                                 \
                              .packed_size = cf_constants_size,                                                        \
                              .pack = cf_constants_pack,                                                               \
                              .run = function}

#endif
