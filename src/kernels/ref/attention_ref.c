// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention as defined, head by head.
//
// q [T,d], k and v [S,d]; head i owns channels i*d/heads ..; out[t] = sum over s of softmax(q[t].k[s] / sqrt(d/heads))
// times v[s]. The greatest product is subtracted before exp, so no logit overflows.
#include "kernels/ref/ref.h"

#include <math.h>

// Per thread the weights of one query: S doubles.
static size_t scratch_size(const cf_problem *problem) {
    return (size_t)problem->threads * (size_t)problem->in[1].h * (size_t)problem->in[1].w * sizeof(double);
}

static void one_head(const cf_call *call, double *weight, int n, int t, int first, int size) {
    const cf_tensor *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *out = &call->out[0];
    int count = k->h * k->w;
    double most = -INFINITY, total = 0;
    for (int s = 0; s < count; s++) {
        double sum = 0;
        for (int c = first; c < first + size; c++)
            sum += (double)cf_ref_row(q, n, t, c) * (double)cf_ref_row(k, n, s, c);
        weight[s] = sum / sqrt((double)size);
        if (weight[s] > most) most = weight[s];
    }
    for (int s = 0; s < count; s++) total += weight[s] = exp(weight[s] - most);
    for (int c = first; c < first + size; c++) {
        double sum = 0;
        for (int s = 0; s < count; s++) sum += weight[s] * (double)cf_ref_row(v, n, s, c);
        cf_tensor_set(out, n, t / out->w, t % out->w, c, (float)(sum / total));
    }
}

static void run(const cf_call *call, const cf_team *team) {
    int heads = call->problem->attr.attention.heads, rows = call->out[0].h * call->out[0].w;
    int size = call->out[0].c / heads, count = call->in[1].h * call->in[1].w;
    double *weight = (double *)call->scratch + (size_t)team->thread * (size_t)count;
    long begin, end;
    cf_team_range(team, (long)call->images * rows * heads, &begin, &end);
    for (long i = begin; i < end; i++)
        one_head(call, weight, (int)(i / ((long)rows * heads)), (int)(i / heads % rows), (int)(i % heads) * size, size);
}

const cf_kernel cf_attention_ref = {
    .name = "attention_ref", .op = CF_OP_ATTENTION, .refuse = cf_accept_all, .scratch_size = scratch_size, .run = run};
