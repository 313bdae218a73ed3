// SPDX-License-Identifier: Apache-2.0
// attention in FP32 arithmetic. Included once per instruction set.
//
// Work is shared by (image, head, block of queries). A thread packs the keys of its (image, head) transposed, [size,S],
// and the values as rows, [S,size], both FP32, then takes QUERIES queries at a time: products against all keys, softmax
// with the greatest product subtracted, sum of the values. Queries carry log2 e, so that softmax takes powers of two.
// Everything a head needs stays in the second-level cache.
#include "kernels/cpu/rows.h"

enum {
    ATTENTION_QUERIES = 12,                    // queries at once
    ATTENTION_KEYS = V_LANES == 16 ? 2 : 1,    // vectors of keys at once: registers hold QUERIES x KEYS sums
    ATTENTION_STEP = ATTENTION_KEYS * V_LANES, // S is padded to a multiple of this
    ATTENTION_SIZE = 8 * V_LANES               // greatest head size
};

static int attention_padded(const cf_tensor *keys) {
    return (keys->h * keys->w + ATTENTION_STEP - 1) / ATTENTION_STEP * ATTENTION_STEP;
}

// Floats per thread: keys, values (rows of whole vectors), the products of a block, its queries.
static size_t attention_floats(const cf_problem *problem) {
    int size = problem->out[0].c / problem->attr.attention.heads, padded = attention_padded(&problem->in[1]);
    int wide = (size + V_LANES - 1) / V_LANES * V_LANES;
    return (size_t)padded * (size_t)(size + wide + ATTENTION_QUERIES) + (size_t)(ATTENTION_QUERIES * ATTENTION_SIZE);
}

static size_t attention_scratch(const cf_problem *problem) {
    return (size_t)problem->threads * attention_floats(problem) * sizeof(float);
}

// Room of one thread.
typedef struct {
    float *keys, *values, *products, *queries;
    int size, wide, count, padded; // wide: size in whole vectors; count: keys
} attention_room;

static attention_room attention_room_of(const cf_call *call, const cf_team *team) {
    attention_room room;
    room.size = call->out[0].c / call->problem->attr.attention.heads;
    room.wide = (room.size + V_LANES - 1) / V_LANES * V_LANES;
    room.count = call->in[1].h * call->in[1].w;
    room.padded = attention_padded(&call->in[1]);
    room.keys = (float *)call->scratch + (size_t)team->thread * attention_floats(call->problem);
    room.values = room.keys + (size_t)room.size * (size_t)room.padded;
    room.products = room.values + (size_t)room.wide * (size_t)room.padded;
    room.queries = room.products + (size_t)ATTENTION_QUERIES * (size_t)room.padded;
    return room;
}

static void attention_pack(const cf_call *call, const attention_room *room, int n, int first) {
    real_format fk = real_format_of(&call->in[1]), fv = real_format_of(&call->in[2]);
    float row[ATTENTION_SIZE];
    for (int s = 0; s < room->count; s++) {
        row_to_f32(row, (const char *)row_at(&call->in[1], n, s) + (long)first * fk.size, fk, room->size);
        for (int c = 0; c < room->size; c++) room->keys[(size_t)c * (size_t)room->padded + (size_t)s] = row[c];
        row_to_f32(room->values + (size_t)s * (size_t)room->wide,
                   (const char *)row_at(&call->in[2], n, s) + (long)first * fv.size, fv, room->size);
    }
    for (int c = 0; c < room->size; c++)
        for (int s = room->count; s < room->padded; s++) room->keys[(size_t)c * (size_t)room->padded + (size_t)s] = 0;
}

// products[i][s] = queries[i] . keys[s]
static void attention_products(const attention_room *room) {
    for (int s = 0; s < room->padded; s += ATTENTION_STEP) {
        v_f32 sum[ATTENTION_QUERIES][ATTENTION_KEYS];
        for (int i = 0; i < ATTENTION_QUERIES; i++)
            for (int k = 0; k < ATTENTION_KEYS; k++) sum[i][k] = v_zero();
        const float *keys = room->keys + s, *query = room->queries;
        for (int c = 0; c < room->size; c++, keys += room->padded, query += ATTENTION_QUERIES) {
            v_f32 key[ATTENTION_KEYS];
            for (int k = 0; k < ATTENTION_KEYS; k++) key[k] = v_load(keys + k * V_LANES);
            for (int i = 0; i < ATTENTION_QUERIES; i++)
                for (int k = 0; k < ATTENTION_KEYS; k++) sum[i][k] = v_fma(v_set(query[i]), key[k], sum[i][k]);
        }
        for (int i = 0; i < ATTENTION_QUERIES; i++)
            for (int k = 0; k < ATTENTION_KEYS; k++)
                v_store(room->products + (size_t)i * (size_t)room->padded + s + k * V_LANES, sum[i][k]);
    }
}

// 2^x for x from -150 (all below count as that) to 0; relative error 2e-7.
static inline v_f32 attention_power(v_f32 x) {
    x = v_max(v_set(-150), x); // NaN comes second: it stays
    v_f32 n = v_round(x), r = x - n;
    v_f32 p = v_fma(r, v_set(0.00132647238f), v_set(0.00967151299f));
    p = v_fma(p, r, v_set(0.0555073358f));
    p = v_fma(p, r, v_set(0.240222424f));
    p = v_fma(p, r, v_set(0.693147004f));
    p = v_fma(p, r, v_set(1));
    return v_scale_by_power(p, n);
}

static v_f32 attention_greatest(const float *products, int count) {
    v_f32 most[2] = {v_set(-INFINITY), v_set(-INFINITY)};
    int s = 0;
    for (; s + 2 * V_LANES <= count; s += 2 * V_LANES)
        for (int k = 0; k < 2; k++) most[k] = v_max(v_load(products + s + k * V_LANES), most[k]);
    for (int left = count - s; left > 0; left -= V_LANES, s += V_LANES)
        most[0] = v_max(left < V_LANES ? v_choose(v_first(left), v_load(products + s), most[0]) : v_load(products + s),
                        most[0]);
    return v_set(v_most(v_max(most[0], most[1])));
}

// products of one query become 2^(product - greatest); returns 1 / their sum.
static float attention_softmax(float *products, int count) {
    v_f32 most = attention_greatest(products, count), total[2] = {v_zero(), v_zero()};
    int s = 0;
    for (; s + 2 * V_LANES <= count; s += 2 * V_LANES)
        for (int k = 0; k < 2; k++) {
            v_f32 weight = attention_power(v_load(products + s + k * V_LANES) - most);
            total[k] = total[k] + weight;
            v_store(products + s + k * V_LANES, weight);
        }
    for (int left = count - s; left > 0; left -= V_LANES, s += V_LANES) {
        v_f32 weight = attention_power(v_load(products + s) - most);
        v_store(products + s, weight);
        total[0] = total[0] + (left < V_LANES ? v_choose(v_first(left), weight, v_zero()) : weight);
    }
    return 1 / v_sum(total[0] + total[1]);
}

// sums[i] of one vector of channels: the weighted values of all keys, for all queries of the block.
static void attention_weigh(const attention_room *room, int channel, v_f32 *sums) {
    v_f32 sum[ATTENTION_QUERIES];
    for (int i = 0; i < ATTENTION_QUERIES; i++) sum[i] = v_zero();
    const float *values = room->values + channel, *weights = room->products;
    for (int s = 0; s < room->count; s++, values += room->wide, weights++) {
        v_f32 value = v_load(values);
        for (int i = 0; i < ATTENTION_QUERIES; i++)
            sum[i] = v_fma(v_set(weights[(size_t)i * (size_t)room->padded]), value, sum[i]);
    }
    for (int i = 0; i < ATTENTION_QUERIES; i++) sums[i] = sum[i];
}

// Queries t .. t+present-1 of one head.
static void attention_block(const cf_call *call, const attention_room *room, int n, int first, int t, int present) {
    const cf_tensor *q = &call->in[0], *out = &call->out[0];
    real_format fq = real_format_of(q), fo = real_format_of(out);
    float row[ATTENTION_SIZE], factor[ATTENTION_QUERIES], scale = 1.44269504f / sqrtf((float)room->size);
    for (int i = 0; i < ATTENTION_QUERIES; i++) { // missing queries repeat the last
        int at = t + (i < present ? i : present - 1);
        row_to_f32(row, (const char *)row_at(q, n, at) + (long)first * fq.size, fq, room->size);
        for (int c = 0; c < room->size; c++) room->queries[c * ATTENTION_QUERIES + i] = row[c] * scale;
    }
    attention_products(room);
    for (int i = 0; i < ATTENTION_QUERIES; i++)
        factor[i] = attention_softmax(room->products + (size_t)i * (size_t)room->padded, room->count);
    for (EACH_VECTOR(c, left, room->size)) {
        v_f32 sums[ATTENTION_QUERIES];
        attention_weigh(room, c, sums);
        for (int i = 0; i < present; i++) {
            char *to = (char *)row_at(out, n, t + i) + (long)(first + c) * fo.size;
            real_write(to, fo, sums[i] * v_set(factor[i]), left);
        }
    }
}

static void attention_run(const cf_call *call, const cf_team *team) {
    int heads = call->problem->attr.attention.heads, rows = call->out[0].h * call->out[0].w;
    attention_room room = attention_room_of(call, team);
    long blocks = (rows + ATTENTION_QUERIES - 1) / ATTENTION_QUERIES, begin, end, packed = -1;
    cf_team_range(team, (long)call->images * heads * blocks, &begin, &end);
    for (long job = begin; job < end; job++) {
        long image_head = job / blocks;
        int n = (int)(image_head / heads), first = (int)(image_head % heads) * room.size;
        int t = (int)(job % blocks) * ATTENTION_QUERIES;
        if (packed != image_head) attention_pack(call, &room, n, first);
        packed = image_head;
        attention_block(call, &room, n, first, t, rows - t < ATTENTION_QUERIES ? rows - t : ATTENTION_QUERIES);
    }
}

static const char *attention_refuse(const cf_problem *problem) {
    if (problem->out[0].c / problem->attr.attention.heads > ATTENTION_SIZE) return "heads too wide";
    return refuse_wide_or_whole(problem);
}

const cf_kernel V_ISA(cf_attention) = {.name = "attention_" V_ISA_NAME,
                                       .op = CF_OP_ATTENTION,
                                       .cpu = V_CPU,
                                       .refuse = attention_refuse,
                                       .scratch_size = attention_scratch,
                                       .run = attention_run};
