// SPDX-License-Identifier: Apache-2.0
// attention of bf16 tensors on AMX tiles, with exponentials in FP32 between the two products.
//
// Everything is computed transposed, keys or channels by queries: scores [keys,16] = keys * queries^T, weights, and
// sums [size,16] = values^T * weights. So a lane of a vector is a query, the greatest score and the weights need no sum
// or maximum across lanes, and two vectors of weights, of an even and an odd key, make a row of a tile of pairs by one
// shift and one merge. Keys go through twice: first for the greatest score of each query, then for weights and sums;
// scores are made again rather than kept, because tiles have the time, and all that a head needs stays near the core.
//
// Weights are cut to bf16, not rounded, and their total is that of the cut ones: a cut makes all weights smaller by the
// same on average, which the total cancels, and what is left is what rounding would leave.
#include <float.h>
#include <math.h>

#include "base/cpu.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/rows.h"

enum {
    TILE = 16,           // rows of a tile, and 32-bit words of a row; queries at once
    CHANNELS = 2 * TILE, // of a query or key in a tile, as pairs
    KEYS = 2 * TILE,     // in a tile of values or weights, as pairs
    WORDS = TILE * TILE, // of a tile
    SIZE_MOST = 3 * TILE // channels of a head: sums take as many tiles as there are left
};

// Tiles: sums of 16 channels each in 0 to 2, and these (the intrinsics want numbers).
#define SCORES 3
#define LEFT 4
#define RIGHT 5
#define TOTALS 6 // one row, as
#define PRESENT 7

// Keys and values of a head in tile order.
typedef struct {
    uint32_t *keys;                        // [size / CHANNELS][padded][TILE], pairs of channels
    uint32_t *values;                      // [padded / KEYS][size / TILE][TILE channels][TILE], pairs of keys
    uint32_t *present;                     // [padded / KEYS][TILE], pairs of keys: 1, behind the last key 0
    int size, parts, tiles, count, padded; // channels; CHANNELS and TILEs in them; keys, and in whole KEYS
} head;

// A block of queries at work.
typedef struct {
    uint32_t queries[(SIZE_MOST + CHANNELS - 1) / CHANNELS][WORDS]; // pairs of channels by queries
    float scores[2][KEYS * TILE];                                   // of the KEYS at work, and of the next
    uint32_t weights[2][WORDS];                                     // pairs of keys by queries
    float sums[SIZE_MOST / TILE][WORDS], totals[TILE];
} __attribute__((aligned(64))) block;

static head head_of(const cf_problem *problem) {
    const cf_tensor *k = &problem->in[1];
    head h = {.size = problem->out[0].c / problem->attr.attention.heads, .count = k->h * k->w};
    h.parts = (h.size + CHANNELS - 1) / CHANNELS;
    h.tiles = (h.size + TILE - 1) / TILE;
    h.padded = (h.count + KEYS - 1) / KEYS * KEYS;
    return h;
}

static size_t key_words(const head *h) {
    return (size_t)h->parts * (size_t)h->padded * TILE;
}
static size_t value_words(const head *h) {
    return (size_t)(h->padded / KEYS) * (size_t)h->tiles * WORDS;
}
static size_t head_words(const head *h) {
    return key_words(h) + value_words(h) + (size_t)(h->padded / KEYS) * TILE;
}

static size_t scratch_size(const cf_problem *problem) {
    head h = head_of(problem);
    return (size_t)problem->threads * head_words(&h) * sizeof(uint32_t);
}

static const uint16_t *row_of(const cf_tensor *tensor, int n, int row, int first) {
    return (const uint16_t *)row_at(tensor, n, row) + first;
}

// Channels part * CHANNELS .. of a row, zero behind `size`.
CF_INLINE __m512i pairs_of(const uint16_t *row, int part, int size) {
    int left = size - part * CHANNELS;
    return _mm512_maskz_loadu_epi16(left < CHANNELS ? (1u << left) - 1 : ~0u, row + part * CHANNELS);
}

// 16 by 16 words.
CF_INLINE void transpose(__m512i *row) {
    __m512i a[TILE], b[TILE];
    for (int i = 0; i < TILE; i += 2) {
        a[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < TILE; i += 4)
        for (int k = 0; k < 2; k++) {
            b[i + 2 * k] = _mm512_unpacklo_epi64(a[i + k], a[i + k + 2]);
            b[i + 2 * k + 1] = _mm512_unpackhi_epi64(a[i + k], a[i + k + 2]);
        }
    for (int i = 0; i < 4; i++) { // b[4g + i]: lane l holds column 4l + i of rows 4g .. 4g + 3
        __m512i low = _mm512_shuffle_i32x4(b[i], b[4 + i], 0x88),
                high = _mm512_shuffle_i32x4(b[8 + i], b[12 + i], 0x88);
        row[i] = _mm512_shuffle_i32x4(low, high, 0x88);
        row[8 + i] = _mm512_shuffle_i32x4(low, high, 0xdd);
        low = _mm512_shuffle_i32x4(b[i], b[4 + i], 0xdd), high = _mm512_shuffle_i32x4(b[8 + i], b[12 + i], 0xdd);
        row[4 + i] = _mm512_shuffle_i32x4(low, high, 0x88);
        row[12 + i] = _mm512_shuffle_i32x4(low, high, 0xdd);
    }
}

// The values of keys s .. s+KEYS-1, TILE channels from `first` on, as rows of channels.
static void pack_values(const cf_tensor *values, const head *h, int n, int s, int first, int channels, uint32_t *to) {
    __m512i row[TILE];
    for (int i = 0; i < TILE; i++, s += 2) {
        __m512i even = _mm512_setzero_si512(), odd = even;
        if (s < h->count) even = _mm512_cvtepu16_epi32(v_get_16(row_of(values, n, s, first), channels));
        if (s + 1 < h->count) odd = _mm512_cvtepu16_epi32(v_get_16(row_of(values, n, s + 1, first), channels));
        row[i] = _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
    }
    transpose(row);
    for (int i = 0; i < TILE; i++) _mm512_store_si512(to + i * TILE, row[i]);
}

static void pack_head(const cf_call *call, const head *h, int n, int first) {
    uint32_t *values = h->values;
    for (int s = 0; s < h->padded; s++)
        for (int part = 0; part < h->parts; part++)
            _mm512_store_si512(h->keys + ((size_t)part * (size_t)h->padded + (size_t)s) * TILE,
                               s < h->count ? pairs_of(row_of(&call->in[1], n, s, first), part, h->size)
                                            : _mm512_setzero_si512());
    for (int s = 0; s < h->padded; s += KEYS) {
        for (int t = 0; t < h->tiles; t++, values += WORDS)
            pack_values(&call->in[2], h, n, s, first + t * TILE, h->size - t * TILE, values);
        int left = h->count - s;
        _mm512_store_si512(h->present + s / 2, _mm512_maskz_set1_epi16(left < KEYS ? (1u << left) - 1 : ~0u, 0x3f80));
    }
    cf_before_tiles(h->keys);
}

static void pack_queries(const cf_call *call, const head *h, int n, int first, int t, int present, block *b) {
    for (int part = 0; part < h->parts; part++) {
        __m512i row[TILE];
        for (int i = 0; i < TILE; i++)
            row[i] =
                i < present ? pairs_of(row_of(&call->in[0], n, t + i, first), part, h->size) : _mm512_setzero_si512();
        transpose(row);
        for (int i = 0; i < TILE; i++) _mm512_store_si512(b->queries[part] + i * TILE, row[i]);
    }
    cf_before_tiles(b);
}

static void configure(void) {
    uint8_t rows[8];
    for (int i = 0; i < 8; i++) rows[i] = i < TOTALS ? TILE : 1;
    cf_tiles_configure(rows, (const uint16_t[8]){64, 64, 64, 64, 64, 64, 64, 64});
}

// The tile SCORES: TILE keys from s on by the queries.
CF_INLINE void multiply(const head *h, const block *b, int s) {
    const uint32_t *keys = h->keys + (size_t)s * TILE;
    _tile_zero(SCORES);
    _tile_loadd(LEFT, keys, 64);
    _tile_loadd(RIGHT, b->queries[0], 64);
    _tile_dpbf16ps(SCORES, LEFT, RIGHT);
    if (h->parts == 1) return;
    _tile_loadd(LEFT, keys + (size_t)h->padded * TILE, 64);
    _tile_loadd(RIGHT, b->queries[1], 64);
    _tile_dpbf16ps(SCORES, LEFT, RIGHT);
}

// Stores SCORES, of keys from s on; what stands behind the last key gets no weight.
CF_INLINE void store_scores(const head *h, int s, float *to) {
    _tile_stored(SCORES, to, 64);
    for (int i = h->count - s; i < TILE; i++)
        if (i >= 0) v_store(to + i * TILE, v_set(-FLT_MAX));
}

// The greatest score of each query.
static v_f32 greatest(const head *h, block *b) {
    v_f32 most[2] = {v_set(-FLT_MAX), v_set(-FLT_MAX)};
    multiply(h, b, 0);
    store_scores(h, 0, b->scores[0]);
    for (int s = 0; s < h->padded; s += TILE) {
        const float *scores = b->scores[s / TILE % 2];
        if (s + TILE < h->padded) multiply(h, b, s + TILE);
        for (int i = 0; i < TILE; i++) most[i % 2] = v_max(v_load(scores + i * TILE), most[i % 2]);
        if (s + TILE < h->padded) store_scores(h, s + TILE, b->scores[(s / TILE + 1) % 2]);
    }
    return v_max(most[0], most[1]);
}

// 2^x for x up to 0; relative error 7.5e-5, a fiftieth of a step of bf16.
CF_INLINE v_f32 power(v_f32 x) {
    v_f32 r = _mm512_reduce_ps(x, 1); // x - floor(x)
    v_f32 p = v_fma(r, v_set(0.0780245371f), v_set(0.226067199f));
    p = v_fma(p, r, v_set(0.695833489f));
    p = v_fma(p, r, v_set(0.999925228f));
    return _mm512_scalef_ps(p, x); // takes floor(x)
}

// Weights of TILE keys: 2^(score * scale + shift).
CF_INLINE void soften(const float *scores, uint32_t *weights, v_f32 scale, v_f32 shift) {
    for (int i = 0; i < TILE; i += 2) {
        v_f32 even = power(v_fma(v_load(scores + i * TILE), scale, shift));
        v_f32 odd = power(v_fma(v_load(scores + (i + 1) * TILE), scale, shift));
        __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
        _mm512_store_si512(weights + i / 2 * TILE, // low | (odd & high half)
                           _mm512_ternarylogic_epi32(low, _mm512_castps_si512(odd), _mm512_set1_epi32(-65536), 0xf8));
    }
}

// Adds the values of keys s .. s+KEYS-1 times their weights to sums, and the weights to totals.
CF_INLINE void weigh(const head *h, int s, const uint32_t *weights) {
    const uint32_t *values = h->values + (size_t)(s / KEYS) * (size_t)h->tiles * WORDS;
    cf_before_tiles(weights);
    _tile_loadd(RIGHT, weights, 64);
    _tile_loadd(PRESENT, h->present + s / 2, 64);
    _tile_dpbf16ps(TOTALS, PRESENT, RIGHT);
    _tile_loadd(LEFT, values, 64);
    _tile_dpbf16ps(0, LEFT, RIGHT);
    if (h->tiles == 1) return;
    _tile_loadd(LEFT, values + WORDS, 64);
    _tile_dpbf16ps(1, LEFT, RIGHT);
    if (h->tiles == 2) return;
    _tile_loadd(LEFT, values + 2 * WORDS, 64);
    _tile_dpbf16ps(2, LEFT, RIGHT);
}

// Sums and totals of all keys. Tiles multiply one step ahead of the exponentials, and weigh one step behind them.
static void attend(const head *h, block *b, v_f32 scale, v_f32 shift) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(TOTALS);
    for (int half = 0; half < KEYS; half += TILE) {
        multiply(h, b, half);
        store_scores(h, half, b->scores[0] + half * TILE);
    }
    for (int s = 0; s < h->padded; s += KEYS) {
        int turn = s / KEYS % 2, next = s + KEYS;
        for (int half = 0; half < KEYS; half += TILE) {
            if (next < h->padded) multiply(h, b, next + half);
            if (half == 0 && s > 0) weigh(h, s - KEYS, b->weights[!turn]);
            soften(b->scores[turn] + half * TILE, b->weights[turn] + half / 2 * TILE, scale, shift);
            if (next < h->padded) store_scores(h, next + half, b->scores[!turn] + half * TILE);
        }
    }
    weigh(h, h->padded - KEYS, b->weights[(h->padded / KEYS + 1) % 2]);
    _tile_stored(0, b->sums[0], 64);
    _tile_stored(1, b->sums[1], 64);
    _tile_stored(2, b->sums[2], 64);
    _tile_stored(TOTALS, b->totals, 64);
}

// Queries t .. t+present-1 of one head.
static void one_block(const cf_call *call, const head *h, int n, int first, int t, int present, block *b) {
    const cf_tensor *out = &call->out[0];
    real_format format = real_format_of(out);
    v_f32 scale = v_set(1.44269504f / sqrtf((float)h->size)); // log2 e, for powers of two
    pack_queries(call, h, n, first, t, present, b);
    attend(h, b, scale, v_fnma(greatest(h, b), scale, v_zero()));
    v_f32 factor = v_div(v_set(1), v_load(b->totals));
    for (int tile = 0; tile < h->tiles; tile++) {
        __m512i row[TILE];
        for (int i = 0; i < TILE; i++) row[i] = _mm512_castps_si512(v_mul(v_load(b->sums[tile] + i * TILE), factor));
        transpose(row);
        int left = h->size - tile * TILE;
        for (int i = 0; i < present; i++)
            real_write((char *)row_at(out, n, t + i) + (long)(first + tile * TILE) * format.size, format,
                       _mm512_castsi512_ps(row[i]), left < TILE ? left : TILE);
    }
}

static void run(const cf_call *call, const cf_team *team) {
    int heads = call->problem->attr.attention.heads, rows = call->out[0].h * call->out[0].w;
    head h = head_of(call->problem);
    h.keys = (uint32_t *)call->scratch + (size_t)team->thread * head_words(&h);
    h.values = h.keys + key_words(&h);
    h.present = h.values + value_words(&h);
    block b;
    long blocks = (rows + TILE - 1) / TILE, begin, end, packed = -1;
    cf_team_range(team, (long)call->images * heads * blocks, &begin, &end);
    if (begin == end) return;
    configure();
    for (long job = begin; job < end; job++) {
        long image_head = job / blocks;
        int n = (int)(image_head / heads), first = (int)(image_head % heads) * h.size;
        int t = (int)(job % blocks) * TILE;
        if (packed != image_head) pack_head(call, &h, n, first);
        packed = image_head;
        one_block(call, &h, n, first, t, rows - t < TILE ? rows - t : TILE, &b);
    }
    _tile_release();
}

static const char *refuse(const cf_problem *problem) {
    for (int i = 0; i < 3; i++)
        if (problem->in[i].dtype != CF_BF16) return "not bf16";
    if (problem->out[0].dtype == CF_I32) return "integers as the result";
    return problem->out[0].c / problem->attr.attention.heads > SIZE_MOST ? "heads wider than the tiles" : NULL;
}

const cf_kernel cf_attention_bf16_amx = {.name = "attention_bf16_amx",
                                         .op = CF_OP_ATTENTION,
                                         .cpu = CF_CPU_AVX512 | CF_CPU_AVX512_BF16 | CF_CPU_AMX_BF16,
                                         .refuse = refuse,
                                         .scratch_size = scratch_size,
                                         .run = run};
