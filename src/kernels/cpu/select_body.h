// SPDX-License-Identifier: Apache-2.0
// top_queries, gather, reference. Included once per instruction set.
#include <string.h>

#include "kernels/cpu/rows.h"
#include "kernels/ref/ref.h"

// Keys order as the rows should come out: a lower key is a greater score. Candidates carry the key in their upper half
// and the row in the lower.
enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, KEY_TOP = 32 - DIGIT_BITS };

static inline uint32_t select_key(float score) {
    uint32_t bits;
    score += 0.0f; // -0 equals 0
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

// Per image T keys; per thread two lists of T candidates, in front, because they are wider.
static size_t top_queries_scratch(const cf_problem *problem) {
    size_t rows = (size_t)problem->in[0].h * (size_t)problem->in[0].w;
    return rows * (2 * (size_t)problem->threads * sizeof(uint64_t) + (size_t)problem->images * sizeof(uint32_t));
}

static void select_keys(const cf_call *call, const cf_team *team, uint32_t *keys) {
    const cf_tensor *scores = &call->in[0];
    real_format format = real_format_of(scores);
    long begin, end;
    cf_team_range(team, (long)call->images * scores->h * scores->w, &begin, &end);
    place at = place_of(scores, begin);
    for (long row = begin; row < end; row++, place_next(scores, &at)) {
        const char *from = pixel_at(scores, at);
        v_f32 most = v_set(-INFINITY); // a NaN never replaces what stands second
        for (EACH_VECTOR(i, left, scores->c)) {
            v_f32 v = real_read(from + (long)i * format.size, format, left);
            most = v_max(left == V_LANES ? v : v_choose(v_first(left), v, most), most);
        }
        keys[row] = select_key(v_most(most));
    }
}

// Candidates: all rows whose leading digit is not beyond that of the last row wanted, in order of their number.
static int select_candidates(const uint32_t *keys, int rows, int wanted, uint64_t *candidates) {
    int count[DIGITS] = {0}, below = 0, found = 0;
    uint32_t limit = 0;
    for (int r = 0; r < rows; r++) count[keys[r] >> KEY_TOP]++;
    while (limit < DIGITS - 1 && below + count[limit] < wanted) below += count[limit++];
    for (int r = 0; r < rows; r++)
        if (keys[r] >> KEY_TOP <= limit) candidates[found++] = (uint64_t)keys[r] << 32 | (uint32_t)r;
    return found;
}

// Sorts by key and keeps the order of equal keys: one counting pass per digit. Returns where the result lies.
static const uint64_t *select_sort(uint64_t *from, uint64_t *to, int count) {
    for (int shift = 32; shift < 64; shift += DIGIT_BITS) {
        int next[DIGITS] = {0}, sum = 0;
        for (int i = 0; i < count; i++) next[from[i] >> shift & (DIGITS - 1)]++;
        for (int d = 0; d < DIGITS; d++) {
            int here = next[d];
            next[d] = sum;
            sum += here;
        }
        for (int i = 0; i < count; i++) to[next[from[i] >> shift & (DIGITS - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

static void top_queries_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *out = &call->out[0];
    int rows = call->in[0].h * call->in[0].w, wanted = out->h * out->w;
    uint64_t *lists = call->scratch, *list = lists + 2 * (size_t)team->thread * (size_t)rows;
    uint32_t *keys = (uint32_t *)(lists + 2 * (size_t)call->problem->threads * (size_t)rows);
    select_keys(call, team, keys);
    cf_team_barrier(team);
    long begin, end;
    cf_team_range(team, call->images, &begin, &end);
    for (int n = (int)begin; n < end; n++) {
        int found = select_candidates(keys + (long)n * rows, rows, wanted, list);
        const uint64_t *sorted = select_sort(list, list + rows, found);
        for (int q = 0; q < wanted; q++) *(int32_t *)row_at(out, n, q) = (int32_t)(uint32_t)sorted[q];
    }
}

static const char *top_queries_refuse(const cf_problem *problem) {
    if (problem->out[0].dtype != CF_I32) return "indices are not I32";
    if (problem->in[0].dtype == CF_I32) return "integer scores";
    if (problem->out[0].h * problem->out[0].w > problem->in[0].h * problem->in[0].w) return "more queries than rows";
    return NULL;
}

// Limited to the `rows` there are.
static int32_t index_of(const cf_call *call, place at, int32_t rows) {
    int32_t index = *(const int32_t *)row_at(&call->in[1], at.n, at.y * call->out[0].w + at.x);
    return index < 0 ? 0 : index < rows ? index : rows - 1;
}

static void gather_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int same = stored_alike(in, out);
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        const char *source = row_at(in, at.n, index_of(call, at, in->h * in->w));
        char *result = pixel_at(out, at);
        if (same)
            memcpy(result, source, (size_t)out->c * (size_t)to.size);
        else
            for (EACH_VECTOR(i, left, out->c))
                real_write(result + (long)i * to.size, to, real_read(source + (long)i * from.size, from, left), left);
    }
}

static void reference_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *out = &call->out[0];
    const float *anchors = cf_constant_at(call, 0);
    int32_t rows = call->problem->constant[0].shape[0];
    real_format from = real_format_of(&call->in[0]), to = real_format_of(out);
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        v_f32 anchor = v_load_n(anchors + 4L * index_of(call, at, rows), 4);
        real_write(pixel_at(out, at), to, v_sigmoid(real_read(pixel_at(&call->in[0], at), from, 4) + anchor), 4);
    }
}

static const char *indexed_refuse(const cf_problem *problem) {
    if (problem->in[1].dtype != CF_I32) return "indices are not I32";
    if (problem->in[0].dtype == CF_I32 || problem->out[0].dtype == CF_I32) return "integers as an operand";
    return NULL;
}

const cf_kernel V_ISA(cf_top_queries) = {.name = "top_queries_" V_ISA_NAME,
                                         .op = CF_OP_TOP_QUERIES,
                                         .cpu = V_CPU,
                                         .refuse = top_queries_refuse,
                                         .scratch_size = top_queries_scratch,
                                         .run = top_queries_run};
const cf_kernel V_ISA(cf_gather) = {
    .name = "gather_" V_ISA_NAME, .op = CF_OP_GATHER, .cpu = V_CPU, .refuse = indexed_refuse, .run = gather_run};
const cf_kernel V_ISA(cf_reference) = {.name = "reference_" V_ISA_NAME,
                                       .op = CF_OP_REFERENCE,
                                       .cpu = V_CPU,
                                       .refuse = indexed_refuse,
                                       .packed_size = cf_constants_size,
                                       .pack = cf_constants_pack,
                                       .run = reference_run};
