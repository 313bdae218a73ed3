// SPDX-License-Identifier: Apache-2.0
// attention of bf16 tensors by dot products of bf16 pairs (AVX512_BF16), summed in FP32.
//
// As attention_body.h, but keys lie as pairs of channels, [size/2,S] words, values as pairs of keys, [S/2,size] words,
// and the softmax weights are rounded to bf16 before they meet the values: a result is off by 2^-9 of the greatest
// value at most, half a step of bf16.
#include "kernels/cpu/simd_avx512.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/cpu/rows.h"

enum { QUERIES = 12, KEYS = 2, STEP = KEYS * V_LANES, SIZE_MOST = 256 };

// What a thread works in.
typedef struct {
    uint32_t *keys, *values, *queries; // [size/2,padded], [padded/2,wide], [size/2,QUERIES]
    float *products;                   // [QUERIES,padded]; then weights, bf16, in the front half of each row
    int size, wide, count, padded;     // of a head; in whole vectors; keys; keys in whole steps
} room;

static room sizes_of(const cf_problem *problem) {
    const cf_tensor *k = &problem->in[1];
    room r = {.size = problem->out[0].c / problem->attr.attention.heads, .count = k->h * k->w};
    r.wide = (r.size + V_LANES - 1) / V_LANES * V_LANES;
    r.padded = (r.count + STEP - 1) / STEP * STEP;
    return r;
}

// 32-bit words of each part, in this order: keys, values, products, queries.
static size_t key_words(const room *r) {
    return (size_t)r->size / 2 * (size_t)r->padded;
}
static size_t value_words(const room *r) {
    return (size_t)r->padded / 2 * (size_t)r->wide;
}
static size_t product_words(const room *r) {
    return (size_t)QUERIES * (size_t)r->padded;
}
static size_t room_words(const room *r) {
    return key_words(r) + value_words(r) + product_words(r) + (size_t)r->size / 2 * QUERIES;
}

static room room_of(const cf_call *call, const cf_team *team) {
    room r = sizes_of(call->problem);
    r.keys = (uint32_t *)call->scratch + (size_t)team->thread * room_words(&r);
    r.values = r.keys + key_words(&r);
    r.products = (float *)(r.values + value_words(&r));
    r.queries = (uint32_t *)r.products + product_words(&r);
    return r;
}

static size_t scratch_size(const cf_problem *problem) {
    room r = sizes_of(problem);
    return (size_t)problem->threads * room_words(&r) * sizeof(uint32_t);
}

static const uint16_t *head_of(const cf_tensor *tensor, int n, int row, int first) {
    return (const uint16_t *)row_at(tensor, n, row) + first;
}

static void pack_head(const cf_call *call, const room *r, int n, int first) {
    for (int s = 0; s < r->padded; s++) {
        const uint16_t *key = s < r->count ? head_of(&call->in[1], n, s, first) : NULL;
        for (int c = 0; c < r->size / 2; c++) {
            uint32_t pair = 0;
            if (key) memcpy(&pair, key + 2 * c, sizeof pair);
            r->keys[(size_t)c * (size_t)r->padded + (size_t)s] = pair;
        }
    }
    for (int s = 0; s < r->padded; s += 2) {
        uint32_t *to = r->values + (size_t)(s / 2) * (size_t)r->wide;
        for (EACH_VECTOR(c, left, r->size)) {
            __m512i even = _mm512_setzero_si512(), odd = even;
            if (s < r->count) even = _mm512_cvtepu16_epi32(v_get_16(head_of(&call->in[2], n, s, first) + c, left));
            if (s + 1 < r->count)
                odd = _mm512_cvtepu16_epi32(v_get_16(head_of(&call->in[2], n, s + 1, first) + c, left));
            _mm512_storeu_si512(to + c, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
    }
}

static inline __m512 add_pairs(__m512 sum, __m512i vector, uint32_t pair) {
    return _mm512_dpbf16_ps(sum, (__m512bh)vector, (__m512bh)_mm512_set1_epi32((int)pair));
}

// products[i][s] = queries[i] . keys[s]
static void multiply(const room *r) {
    for (int s = 0; s < r->padded; s += STEP) {
        __m512 sum[QUERIES][KEYS];
        for (int i = 0; i < QUERIES; i++)
            for (int k = 0; k < KEYS; k++) sum[i][k] = _mm512_setzero_ps();
        const uint32_t *keys = r->keys + s, *query = r->queries;
        for (int c = 0; c < r->size / 2; c++, keys += r->padded, query += QUERIES) {
            __m512i key[KEYS];
            for (int k = 0; k < KEYS; k++) key[k] = _mm512_loadu_si512(keys + k * V_LANES);
            for (int i = 0; i < QUERIES; i++)
                for (int k = 0; k < KEYS; k++) sum[i][k] = add_pairs(sum[i][k], key[k], query[i]);
        }
        for (int i = 0; i < QUERIES; i++)
            for (int k = 0; k < KEYS; k++)
                v_store(r->products + (size_t)i * (size_t)r->padded + s + k * V_LANES, sum[i][k]);
    }
}

// 2^x for x up to 0; relative error 7.5e-5, a fiftieth of a step of bf16.
static inline __m512 power(__m512 x) {
    __m512 n = v_round(x), e = v_sub(x, n);
    __m512 p = v_fma(e, v_set(0.0551716687f), v_set(0.242611133f));
    p = v_fma(p, e, v_set(0.693260986f));
    p = v_fma(p, e, v_set(0.999928073f));
    return v_scale_by_power(p, n);
}

// The row becomes bf16 weights 2^((product - greatest) * scale), 0 behind the last key; returns 1 / their sum. A vector
// of weights is half as long as the products it came from, so none is overwritten before it is read.
static float soften(float *row, int count, int padded, float scale) {
    __m512 most[2] = {v_set(-INFINITY), v_set(-INFINITY)}, total[2] = {v_zero(), v_zero()};
    for (int s = 0; s < padded; s += STEP)
        for (int k = 0; k < 2; k++) {
            int left = count - s - k * V_LANES;
            __m512 product = v_load(row + s + k * V_LANES);
            if (left < V_LANES) product = v_choose(v_first(left > 0 ? left : 0), product, most[k]);
            most[k] = v_max(product, most[k]);
        }
    __m512 shift = v_set(-v_most(v_max(most[0], most[1])) * scale);
    for (int s = 0; s < padded; s += STEP) {
        __m512 weight[2];
        for (int k = 0; k < 2; k++) {
            int left = count - s - k * V_LANES;
            weight[k] = power(v_fma(v_load(row + s + k * V_LANES), v_set(scale), shift));
            if (left < V_LANES) weight[k] = v_choose(v_first(left > 0 ? left : 0), weight[k], v_zero());
            total[k] = v_add(total[k], weight[k]);
        }
        _mm512_storeu_si512((char *)row + (size_t)s * 2, (__m512i)_mm512_cvtne2ps_pbh(weight[1], weight[0]));
    }
    return 1 / v_sum(v_add(total[0], total[1]));
}

// sums[i]: the weighted values of all keys, one vector of channels from `channel` on.
static void weigh(const room *r, int channel, __m512 *sums) {
    __m512 sum[QUERIES];
    for (int i = 0; i < QUERIES; i++) sum[i] = _mm512_setzero_ps();
    const uint32_t *values = r->values + channel, *weights = (const uint32_t *)r->products;
    for (int s = 0; s < r->count; s += 2, values += r->wide, weights++) {
        __m512i value = _mm512_loadu_si512(values);
        for (int i = 0; i < QUERIES; i++) sum[i] = add_pairs(sum[i], value, weights[(size_t)i * (size_t)r->padded]);
    }
    for (int i = 0; i < QUERIES; i++) sums[i] = sum[i];
}

// Queries t .. t+present-1 of one head; missing ones repeat the last.
static void block(const cf_call *call, const room *r, int n, int first, int t, int present) {
    const cf_tensor *out = &call->out[0];
    real_format format = real_format_of(out);
    float factor[QUERIES];
    for (int i = 0; i < QUERIES; i++) {
        const uint16_t *query = head_of(&call->in[0], n, t + (i < present ? i : present - 1), first);
        for (int c = 0; c < r->size / 2; c++) memcpy(r->queries + c * QUERIES + i, query + 2 * c, sizeof(uint32_t));
    }
    multiply(r);
    for (int i = 0; i < QUERIES; i++)
        factor[i] = soften(r->products + (size_t)i * (size_t)r->padded, r->count, r->padded,
                           1.44269504f / sqrtf((float)r->size)); // log2 e, for powers of two
    for (EACH_VECTOR(c, left, r->size)) {
        __m512 sums[QUERIES];
        weigh(r, c, sums);
        for (int i = 0; i < present; i++)
            real_write((char *)row_at(out, n, t + i) + (long)(first + c) * format.size, format,
                       v_mul(sums[i], v_set(factor[i])), left);
    }
}

static void run(const cf_call *call, const cf_team *team) {
    int heads = call->problem->attr.attention.heads, rows = call->out[0].h * call->out[0].w;
    room r = room_of(call, team);
    long blocks = (rows + QUERIES - 1) / QUERIES, begin, end, packed = -1;
    cf_team_range(team, (long)call->images * heads * blocks, &begin, &end);
    for (long job = begin; job < end; job++) {
        long image_head = job / blocks;
        int n = (int)(image_head / heads), first = (int)(image_head % heads) * r.size;
        int t = (int)(job % blocks) * QUERIES;
        if (packed != image_head) pack_head(call, &r, n, first);
        packed = image_head;
        block(call, &r, n, first, t, rows - t < QUERIES ? rows - t : QUERIES);
    }
}

static const char *refuse(const cf_problem *problem) {
    int size = problem->out[0].c / problem->attr.attention.heads;
    for (int i = 0; i < 3; i++)
        if (problem->in[i].dtype != CF_BF16) return "not bf16";
    if (problem->out[0].dtype == CF_I32) return "integers as the result";
    return size % 2 || size > SIZE_MOST ? "odd or wide heads" : NULL;
}

const cf_kernel cf_attention_bf16_avx512 = {.name = "attention_bf16_avx512",
                                            .op = CF_OP_ATTENTION,
                                            .cpu = CF_CPU_AVX512 | CF_CPU_AVX512_BF16,
                                            .refuse = refuse,
                                            .scratch_size = scratch_size,
                                            .run = run};
