// SPDX-License-Identifier: Apache-2.0
// Fills the border around every image of out[0] with zeros (for quantised tensors: with their zero point). The interior
// is left alone. Of a slice only its channels are filled: other parts of a quantised concat have other zero points.
#include "kernels/kernel.h"

#include <string.h>

static const char *accept(const cf_problem *problem) {
    (void)problem;
    return NULL;
}

static void fill(const cf_tensor *out, int n, int y, int x, int64_t pixels) {
    int byte = out->dtype == CF_S8 || out->dtype == CF_U8 ? out->zero : 0;
    int64_t stretch = out->c == out->pixel ? pixels : 1; // pixels that lie one behind the other
    for (int64_t i = 0; i < pixels; i += stretch)
        memset(cf_tensor_at(out, n, y, x + i), byte, (size_t)(stretch * out->c) * (size_t)cf_dtype_size(out->dtype));
}

static void run(const cf_call *call, const cf_team *team) {
    const cf_tensor *out = &call->out[0];
    int halo = out->halo, rows = out->h + 2 * halo;
    long begin, end;
    cf_team_range(team, (long)call->images * rows, &begin, &end);
    for (long i = begin; i < end; i++) {
        int n = (int)(i / rows), y = (int)(i % rows) - halo;
        if (y < 0 || y >= out->h) {
            fill(out, n, y, -halo, out->w + 2 * halo);
        } else {
            fill(out, n, y, -halo, halo);
            fill(out, n, y, out->w, halo);
        }
    }
}

const cf_kernel cf_halo_ref = {.name = "halo", .op = CF_OP_HALO, .refuse = accept, .run = run};
