// SPDX-License-Identifier: Apache-2.0
// deform: multi-scale deformable sampling. Included once per instruction set.
//
// For each query the places of all points of all heads are worked out in vectors of points: four neighbours with their
// tokens and weights (softmax times bilinear share, 0 for a neighbour outside the map). Then each head adds up its
// neighbours in vectors of channels.
#include "kernels/cpu/rows.h"

enum {
    DEFORM_POINTS = ROW_MOST / 2,
    DEFORM_TAPS = 4,
    DEFORM_FAR = 1 << 20
}; // FAR: bytes of a memory that is called for

// Packed: for each point of all heads, padded to whole vectors, 1 / points of its level * offset_scale, then width,
// height and first token of its level.
typedef struct {
    const float *unit, *width, *height, *start;
    int total, padded, points; // points: of one head
} deform_table;

static int deform_points(const cf_deform_attr *attr) {
    int points = 0;
    for (int level = 0; level < attr->levels; level++) points += attr->points[level];
    return points;
}

static deform_table deform_table_of(const cf_problem *problem, const void *packed) {
    const cf_deform_attr *attr = &problem->attr.deform;
    deform_table table = {.unit = packed, .points = deform_points(attr)};
    table.total = attr->heads * table.points;
    table.padded = (table.total + V_LANES - 1) / V_LANES * V_LANES;
    table.width = table.unit + table.padded;
    table.height = table.width + table.padded;
    table.start = table.height + table.padded;
    return table;
}

static size_t deform_packed_size(const cf_problem *problem) {
    return (size_t)deform_table_of(problem, NULL).padded * 4 * sizeof(float);
}

static void deform_pack(const cf_problem *problem, void *packed) {
    const cf_deform_attr *attr = &problem->attr.deform;
    deform_table table = deform_table_of(problem, packed);
    float *to = packed;
    for (int i = 0; i < table.padded; i++) {
        int point = i % table.points, level = 0, start = 0;
        while (point >= attr->points[level]) {
            point -= attr->points[level];
            start += attr->height[level] * attr->width[level];
            level++;
        }
        to[i] = attr->offset_scale / (float)attr->points[level];
        to[table.padded + i] = (float)attr->width[level];
        to[2 * table.padded + i] = (float)attr->height[level];
        to[3 * table.padded + i] = (float)start;
    }
}

// One query: its rows as FP32, and the neighbours of all points.
typedef struct {
    float offsets[2 * DEFORM_POINTS], weights[DEFORM_POINTS], box[V_LANES];
    int32_t token[DEFORM_TAPS][DEFORM_POINTS];
    float share[DEFORM_TAPS][DEFORM_POINTS];
} deform_query;

// weights become their softmax, head by head.
static void deform_softmax(const deform_table *table, float *weights) {
    for (int head = 0; head < table->total; head += table->points) {
        v_f32 most = v_set(-INFINITY), sum = v_zero();
        for (EACH_VECTOR(i, left, table->points))
            most = v_max(v_choose(v_first(left), v_load(weights + head + i), most), most);
        most = v_set(v_most(most));
        for (EACH_VECTOR(i, left, table->points)) {
            v_f32 weight = v_choose(v_first(left), v_exp(v_load(weights + head + i) - most), v_zero());
            sum = sum + weight;
            v_store_n(weights + head + i, weight, left);
        }
        v_f32 factor = v_set(1 / v_sum(sum));
        for (EACH_VECTOR(i, left, table->points))
            v_store_n(weights + head + i, v_load(weights + head + i) * factor, left);
    }
}

static inline v_f32 v_clamp(v_f32 v, v_f32 least, v_f32 most) { // NaN becomes least
    return v_min(v_max(v, least), most);
}

// True where a pixel number lies in 0 .. size-1.
static inline v_truth inside(v_f32 v, v_f32 size) {
    return v_both(v_at_least(v, v_zero()), v_less(v, size));
}

// last: the last token. A forged plan file may bring any table, and still nothing is read beyond the memory.
static inline void deform_tap(deform_query *query, int tap, int i, v_f32 token, v_f32 last, v_truth mask, v_f32 share) {
    v_store_i32(query->token[tap] + i, v_to_i32(v_clamp(token, v_zero(), last)));
    v_store(query->share[tap] + i, v_choose(mask, share, v_zero()));
}

static void deform_places(const deform_table *table, int discrete, int tokens, deform_query *query) {
    v_f32 last = v_set((float)(tokens - 1));
    for (int i = 0; i < table->padded; i += V_LANES) {
        v_f32 width = v_load(table->width + i), height = v_load(table->height + i), start = v_load(table->start + i);
        v_f32 unit = v_load(table->unit + i), weight = v_load(query->weights + i), one = v_set(1), x, y;
        v_unzip(query->offsets + 2 * i, &x, &y);
        x = v_fma(x * unit, v_set(query->box[2]), v_set(query->box[0]));
        y = v_fma(y * unit, v_set(query->box[3]), v_set(query->box[1]));
        v_f32 last_x = width - one, last_y = height - one;
        if (discrete) { // the nearest pixel
            x = v_clamp(v_floor(v_fma(x, width, v_set(0.5f))), v_zero(), last_x);
            y = v_clamp(v_floor(v_fma(y, height, v_set(0.5f))), v_zero(), last_y);
            deform_tap(query, 0, i, v_fma(y, width, start + x), last, v_first(V_LANES), weight);
            continue;
        }
        x = v_fma(x, width, v_set(-0.5f));
        y = v_fma(y, height, v_set(-0.5f));
        v_f32 left = v_floor(x), top = v_floor(y), right = left + one, bottom = top + one;
        v_f32 dx = x - left, dy = y - top;
        v_truth has_left = inside(left, width), has_right = inside(right, width);
        v_truth has_top = inside(top, height), has_bottom = inside(bottom, height);
        left = v_clamp(left, v_zero(), last_x);
        right = v_clamp(right, v_zero(), last_x);
        top = v_fma(v_clamp(top, v_zero(), last_y), width, start);
        bottom = v_fma(v_clamp(bottom, v_zero(), last_y), width, start);
        v_f32 upper = weight * (one - dy), lower = weight * dy;
        deform_tap(query, 0, i, top + left, last, v_both(has_top, has_left), upper * (one - dx));
        deform_tap(query, 1, i, top + right, last, v_both(has_top, has_right), upper * dx);
        deform_tap(query, 2, i, bottom + left, last, v_both(has_bottom, has_left), lower * (one - dx));
        deform_tap(query, 3, i, bottom + right, last, v_both(has_bottom, has_right), lower * dx);
    }
}

// Adds up `vectors` vectors of channels from `memory` on (the last with `left` channels) over the points first ..
// first+points-1. One sum per neighbour keeps the chains of additions short.
static inline __attribute__((always_inline)) void deform_sum(const deform_query *query, int taps, int first, int points,
                                                             const char *memory, int64_t step, real_format format,
                                                             int vectors, int left, v_f32 *result) {
    v_f32 sum[DEFORM_TAPS][4];
    for (int tap = 0; tap < DEFORM_TAPS; tap++)
        for (int v = 0; v < vectors; v++) sum[tap][v] = v_zero();
    for (int p = first; p < first + points; p++)
        for (int tap = 0; tap < taps; tap++) {
            const char *at = memory + query->token[tap][p] * step;
            v_f32 share = v_set(query->share[tap][p]);
            for (int v = 0; v < vectors; v++) {
                int count = v == vectors - 1 ? left : V_LANES;
                sum[tap][v] = v_fma(share, real_read(at + v * V_LANES * format.size, format, count), sum[tap][v]);
            }
        }
    for (int v = 0; v < vectors; v++) result[v] = (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
}

// The same with what the compiler should know: format, number of neighbours and vectors.
static inline __attribute__((always_inline)) void deform_sum_of(const deform_query *query, int taps, int first,
                                                                int points, const char *memory, int64_t step,
                                                                real_format format, int vectors, int left,
                                                                v_f32 *result) {
    if (taps != DEFORM_TAPS)
        deform_sum(query, 1, first, points, memory, step, format, vectors, left, result);
    else if (vectors == 1 && left == V_LANES)
        deform_sum(query, DEFORM_TAPS, first, points, memory, step, format, 1, V_LANES, result);
    else if (vectors == 1)
        deform_sum(query, DEFORM_TAPS, first, points, memory, step, format, 1, left, result);
    else if (vectors == 2 && left == V_LANES)
        deform_sum(query, DEFORM_TAPS, first, points, memory, step, format, 2, V_LANES, result);
    else
        deform_sum(query, DEFORM_TAPS, first, points, memory, step, format, vectors, left, result);
}

static void deform_row(const cf_call *call, const deform_table *table, const deform_query *query, place at) {
    const real_format f32 = REAL_F32, bf16 = REAL_BF16, f16 = REAL_F16;
    const cf_tensor *memory = &call->in[3], *out = &call->out[0];
    const cf_deform_attr *attr = &call->problem->attr.deform;
    real_format from = real_format_of(memory), to = real_format_of(out);
    int size = out->c / attr->heads, taps = attr->discrete ? 1 : DEFORM_TAPS;
    const char *image = cf_tensor_at(memory, at.n, 0, 0);
    int64_t step = memory->pixel * from.size;
    char *result = pixel_at(out, at);
    for (int head = 0; head < attr->heads; head++)
        for (int c = 0; c < size; c += 4 * V_LANES) {
            int channels = size - c < 4 * V_LANES ? size - c : 4 * V_LANES, first = head * table->points;
            int vectors = (channels + V_LANES - 1) / V_LANES, left = channels - (vectors - 1) * V_LANES;
            const char *source = image + (long)(head * size + c) * from.size;
            v_f32 sums[4];
            if (from.dtype == CF_F32)
                deform_sum_of(query, taps, first, table->points, source, step, f32, vectors, left, sums);
            else if (from.dtype == CF_BF16)
                deform_sum_of(query, taps, first, table->points, source, step, bf16, vectors, left, sums);
            else if (from.dtype == CF_F16)
                deform_sum_of(query, taps, first, table->points, source, step, f16, vectors, left, sums);
            else
                deform_sum(query, taps, first, table->points, source, step, from, vectors, left, sums);
            for (int v = 0; v < vectors; v++)
                real_write(result + (long)(head * size + c + v * V_LANES) * to.size, to, sums[v],
                           v == vectors - 1 ? left : V_LANES);
        }
}

// Works out one query's neighbours and, where the memory does not fit into the cache of one core, calls for their
// lines, so that they come while the query before is added up.
static void deform_prepare(const cf_call *call, const deform_table *table, deform_query *query, place at) {
    const cf_tensor *memory = &call->in[3];
    const cf_deform_attr *attr = &call->problem->attr.deform;
    row_to_f32(query->offsets, pixel_at(&call->in[0], at), real_format_of(&call->in[0]), 2 * table->total);
    row_to_f32(query->weights, pixel_at(&call->in[1], at), real_format_of(&call->in[1]), table->total);
    row_to_f32(query->box, pixel_at(&call->in[2], at), real_format_of(&call->in[2]), 4);
    deform_softmax(table, query->weights);
    deform_places(table, attr->discrete, memory->w, query);
    const char *image = cf_tensor_at(memory, at.n, 0, 0);
    int64_t size = cf_dtype_size(memory->dtype), step = memory->pixel * size;
    if (memory->w * step < DEFORM_FAR) return;
    for (int head = 0, i = 0; head < attr->heads; head++, image += call->out[0].c / attr->heads * size)
        for (int end = i + table->points; i < end; i++)
            for (int tap = 0; tap < (attr->discrete ? 1 : DEFORM_TAPS); tap++)
                __builtin_prefetch(image + query->token[tap][i] * step);
}

static void deform_run(const cf_call *call, const cf_team *team) {
    deform_table table = deform_table_of(call->problem, call->packed);
    deform_query query[2]; // the one that is added up, and the next
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(&call->out[0], begin), next = at;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < table.padded; i++)
            query[k].offsets[2 * i] = query[k].offsets[2 * i + 1] = query[k].weights[i] = 0;
    if (begin < end) deform_prepare(call, &table, &query[begin % 2], next);
    for (long pixel = begin; pixel < end; pixel++, at = next) {
        place_next(&call->out[0], &next);
        if (pixel + 1 < end) deform_prepare(call, &table, &query[(pixel + 1) % 2], next);
        deform_row(call, &table, &query[pixel % 2], at);
    }
}

static const char *deform_refuse(const cf_problem *problem) {
    deform_table table = deform_table_of(problem, NULL);
    if (table.padded > DEFORM_POINTS) return "more points than the buffer holds";
    if (problem->in[3].h != 1) return "memory is not one row of tokens";
    if (problem->in[3].w >= 1 << 24) return "token numbers beyond FP32";
    return refuse_wide_or_whole(problem);
}

const cf_kernel V_ISA(cf_deform) = {.name = "deform_" V_ISA_NAME,
                                    .op = CF_OP_DEFORM,
                                    .cpu = V_CPU,
                                    .refuse = deform_refuse,
                                    .packed_size = deform_packed_size,
                                    .pack = deform_pack,
                                    .run = deform_run};
