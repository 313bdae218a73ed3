// SPDX-License-Identifier: Apache-2.0
// Choosing queries: top_queries, gather, reference. Indices are I32, one channel, Q pixels.
#include "kernels/ref/ref.h"

#include <math.h>

// Per image the best score of each row.
static size_t top_queries_scratch(const cf_problem *problem) {
    return (size_t)problem->images * (size_t)problem->in[0].h * (size_t)problem->in[0].w * sizeof(float);
}

// The greatest score of row r; a NaN counts as minus infinity.
static float best_score(const cf_tensor *scores, int n, int r) {
    float best = -INFINITY;
    for (int c = 0; c < scores->c; c++) {
        float score = cf_ref_row(scores, n, r, c);
        if (score > best) best = score;
    }
    return best;
}

// Writes the Q best rows of image n, best first; of equal rows the lower index first. Each step finds the best of the
// rows that come after the one chosen before.
static void choose(const cf_call *call, const float *best, int n) {
    const cf_tensor *out = &call->out[0];
    int rows = call->in[0].h * call->in[0].w, chosen = -1;
    for (int q = 0; q < out->h * out->w; q++) {
        int next = -1;
        for (int r = 0; r < rows; r++) {
            int after = chosen < 0 || best[r] < best[chosen] || (r > chosen && best[r] == best[chosen]);
            if (after && (next < 0 || best[r] > best[next])) next = r;
        }
        cf_tensor_set(out, n, q / out->w, q % out->w, 0, (float)next);
        chosen = next;
    }
}

static void top_queries_run(const cf_call *call, const cf_team *team) {
    int rows = call->in[0].h * call->in[0].w;
    float *best = call->scratch;
    long begin, end;
    cf_team_range(team, (long)call->images, &begin, &end);
    for (int n = (int)begin; n < end; n++) {
        for (int r = 0; r < rows; r++) best[(long)n * rows + r] = best_score(&call->in[0], n, r);
        choose(call, best + (long)n * rows, n);
    }
}

// The index that belongs to output pixel (y, x), limited to the `rows` there are: a forged plan may put others there.
static int index_at(const cf_call *call, int n, int y, int x, int rows) {
    float index = cf_ref_row(&call->in[1], n, y * call->out[0].w + x, 0);
    return index > 0 ? index < (float)rows ? (int)index : rows - 1 : 0;
}

// out[q] = rows[index[q]]
static void gather_pixel(const cf_call *call, int n, int y, int x) {
    int index = index_at(call, n, y, x, call->in[0].h * call->in[0].w);
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_ref_row(&call->in[0], n, index, c));
}

static void gather_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, gather_pixel);
}

// out[q] = sigmoid(delta[q] + anchor[index[q]]); an invalid anchor is FLT_MAX, which gives 1.
static void reference_pixel(const cf_call *call, int n, int y, int x) {
    const float *anchor = cf_constant_at(call, 0) + 4L * index_at(call, n, y, x, call->problem->constant[0].shape[0]);
    for (int c = 0; c < 4; c++) {
        float box = cf_act_apply(CF_ACT_SIGMOID, cf_tensor_get(&call->in[0], n, y, x, c) + anchor[c]);
        cf_tensor_set(&call->out[0], n, y, x, c, box);
    }
}

static void reference_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, reference_pixel);
}

const cf_kernel cf_top_queries_ref = {.name = "top_queries_ref",
                                      .op = CF_OP_TOP_QUERIES,
                                      .refuse = cf_accept_all,
                                      .scratch_size = top_queries_scratch,
                                      .run = top_queries_run};
CF_REF_KERNEL(cf_gather_ref, GATHER, "gather_ref", gather_run);
CF_REF_KERNEL(cf_reference_ref, REFERENCE, "reference_ref", reference_run);
