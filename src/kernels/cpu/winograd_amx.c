// SPDX-License-Identifier: Apache-2.0
// Winograd's 3x3 convolution with FP32 accuracy on AMX tiles: winograd.h's transforms, and between them 16 products of
// matrices whose values are split, x = hi + mid + lo, each part bf16 (conv_amx.c says why six products of parts suffice).
//
// Inputs of a block of tiles, [16][group of tiles][32 channels][part][tile of the group][32] bf16: what a tile register
// holds lies together. Channels c and c + 16 of 32 are a pair, so that two vectors of FP32 are packed by shifts.
//
// Packed: weight[two panels][16][32 channels][part][panel][16 pairs][16 outputs][2] bf16, float bias[outputs].
#include <stdatomic.h>

#include "base/cpu.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/winograd.h"

enum {
    PARTS = 3,
    CHUNK = 32,              // channels in a tile register
    ROWS = 16,               // Winograd tiles in a tile register, at most
    TILE_BYTES = 1024,
    WIDTH = 2 * CF_PANEL,    // outputs at a time
    STEP_BYTES = PARTS * 2 * TILE_BYTES, // of weights of a chunk
    BLOCK_BYTES = 1200 << 10 // of transformed inputs of a block, in 2 MiB of L2
};

typedef struct {
    wino_layout l;
    int32_t chunks, rows; // of channels; of a tile register
    int64_t part, group;  // bytes of a tile register of inputs, of a group of tiles
    int64_t matrix;       // bytes from one of a block's 16 input matrices to the next
    int64_t weights;      // bytes of the weights of two panels and one of the 16 products
    const float *bias;
} plan;

static void make_plan(const cf_problem *problem, int images, plan *p) {
    wino_layout *l = &p->l;
    wino_layout_make(problem, images, 2, l);
    p->chunks = l->channels / CHUNK;
    int64_t most = BLOCK_BYTES / (WINO_PRODUCTS * PARTS * 2 * l->channels) / (2 * ROWS) * (2 * ROWS);
    l->block = most < 2 * ROWS ? 2 * ROWS : most;
    p->part = ROWS * CHUNK * 2;
    p->group = p->chunks * PARTS * p->part;
    p->matrix = l->block / ROWS * p->group + 64;
    p->weights = p->chunks * STEP_BYTES;
    l->width = WIDTH;
    l->out_matrix = l->block * WIDTH + 16;
}

static const char *refuse(const cf_problem *problem) {
    if (problem->in[0].c % CHUNK || problem->out[0].c % WIDTH) return "channels do not fill tiles";
    return wino_refuse(problem, CF_F32);
}

static size_t packed_size(const cf_problem *problem) {
    size_t outputs = (size_t)problem->out[0].c;
    return outputs * ((size_t)problem->in[0].c * WINO_PRODUCTS * PARTS * 2 + sizeof(float));
}

static void pack(const cf_problem *problem, void *packed) {
    plan p;
    make_plan(problem, 1, &p);
    int inputs = problem->in[0].c, outputs = problem->out[0].c;
    float *bias = (float *)((char *)packed + packed_size(problem)) - outputs;
    for (int o = 0; o < outputs; o++) {
        bias[o] = problem->constant[1].data ? problem->constant[1].data[o] : 0;
        for (int c = 0; c < inputs; c++) {
            float value[WINO_PRODUCTS];
            wino_transform_weights(problem->constant[0].data + ((size_t)o * (size_t)inputs + (size_t)c) * 9, value);
            char *to = (char *)packed + o / WIDTH * WINO_PRODUCTS * p.weights + c / CHUNK * STEP_BYTES +
                       o / CF_PANEL % 2 * TILE_BYTES + (c % 16 * CF_PANEL + o % CF_PANEL) * 4 + c / 16 % 2 * 2;
            for (int f = 0; f < WINO_PRODUCTS; f++)
                for (int part = 0; part < PARTS; part++) {
                    uint16_t half = cf_f32_to_bf16(value[f]);
                    memcpy(to + f * p.weights + part * 2 * TILE_BYTES, &half, 2);
                    value[f] -= cf_bf16_to_f32(half);
                }
        }
    }
}

// Takes the bf16 nearest to a and b off them; their bits as pairs (a, b).
CF_INLINE __m512i take_part(__m512 *a, __m512 *b) {
    __m512i half = _mm512_set1_epi32(0x8000), high = _mm512_set1_epi32((int)0xffff0000);
    __m512i near_a = _mm512_add_epi32(_mm512_castps_si512(*a), half);
    __m512i near_b = _mm512_add_epi32(_mm512_castps_si512(*b), half);
    __m512i top_b = _mm512_and_si512(near_b, high);
    *a = _mm512_sub_ps(*a, _mm512_castsi512_ps(_mm512_and_si512(near_a, high)));
    *b = _mm512_sub_ps(*b, _mm512_castsi512_ps(top_b));
    return _mm512_or_si512(_mm512_srli_epi32(near_a, 16), top_b);
}

// One Winograd tile, to row `to` of its group, in all 16 matrices.
static void transform_in(const cf_call *call, const plan *p, wino_place at, char *to) {
    wino_window window = wino_window_of(call, at);
    for (int chunk = 0; chunk < p->chunks; chunk++, to += PARTS * p->part) {
        v_f32 part[2][WINO_PRODUCTS], value[2][WINO_IN];
        for (int i = 0; i < 2; i++) wino_columns(CF_F32, &window, chunk * CHUNK + i * V_LANES, V_LANES, part[i]);
#pragma GCC unroll 4
        for (int i = 0; i < WINO_IN; i++) {
            wino_forward(part[0] + i * WINO_IN, value[0], 1);
            wino_forward(part[1] + i * WINO_IN, value[1], 1);
#pragma GCC unroll 4
            for (int k = 0; k < WINO_IN; k++) {
                char *row = to + (i * WINO_IN + k) * p->matrix;
#pragma GCC unroll 3
                for (int n = 0; n < PARTS; n++)
                    _mm512_store_si512(row + n * p->part, take_part(&value[0][k], &value[1][k]));
            }
        }
    }
}

typedef struct __attribute__((packed)) {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config;

// Sums in tiles 0..3, inputs in 4 and 5, weights in 6 and 7.
static void configure(const plan *p) {
    tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.rows[i] = (uint8_t)(i < 6 ? p->rows : CHUNK / 2), config.bytes[i] = 64;
    atomic_signal_fence(memory_order_seq_cst); // GCC 12 takes the stores for dead
    __asm__ volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
}

#define LOAD_INPUTS(n)                                                                                                 \
    do {                                                                                                               \
        _tile_stream_loadd(4, in + (n) * part, 64);                                                                    \
        _tile_stream_loadd(5, in + group + (n) * part, 64);                                                            \
    } while (0)
#define LOAD_WEIGHTS(n)                                                                                                \
    do {                                                                                                               \
        _tile_loadd(6, weight + (n) * 2 * TILE_BYTES, 64);                                                             \
        _tile_loadd(7, weight + ((n) * 2 + 1) * TILE_BYTES, 64);                                                       \
    } while (0)
#define DOT()                                                                                                          \
    do {                                                                                                               \
        _tile_dpbf16ps(0, 4, 6);                                                                                       \
        _tile_dpbf16ps(1, 4, 7);                                                                                       \
        _tile_dpbf16ps(2, 5, 6);                                                                                       \
        _tile_dpbf16ps(3, 5, 7);                                                                                       \
    } while (0)

// Two groups of tiles by two panels, all channels. Products of small parts first.
static void multiply_groups(const plan *p, const char *in, const char *weight, float *sums) {
    int64_t part = p->part, group = p->group;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int chunk = 0; chunk < p->chunks; chunk++, in += PARTS * part, weight += STEP_BYTES) {
        LOAD_INPUTS(2);
        LOAD_WEIGHTS(0);
        DOT();
        LOAD_INPUTS(1);
        DOT();
        LOAD_WEIGHTS(1);
        DOT();
        LOAD_INPUTS(0);
        DOT();
        LOAD_WEIGHTS(2);
        DOT();
        LOAD_WEIGHTS(0);
        DOT();
    }
    _tile_stored(0, sums, WIDTH * 4);
    _tile_stored(1, sums + CF_PANEL, WIDTH * 4);
    _tile_stored(2, sums + p->rows * WIDTH, WIDTH * 4);
    _tile_stored(3, sums + p->rows * WIDTH + CF_PANEL, WIDTH * 4);
}

static size_t scratch_of_one(const plan *p) {
    return WINO_PRODUCTS * ((size_t)p->matrix + (size_t)p->l.out_matrix * sizeof(float));
}

static size_t scratch_size(const cf_problem *problem) {
    plan p;
    make_plan(problem, problem->images, &p);
    return (size_t)problem->threads * scratch_of_one(&p);
}

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

static void run(const cf_call *call, const cf_team *team) {
    plan p;
    make_plan(call->problem, call->images, &p);
    const wino_layout *l = &p.l;
    char *inputs = (char *)call->scratch + (size_t)team->thread * scratch_of_one(&p);
    float *products = (float *)(inputs + WINO_PRODUCTS * p.matrix);
    int pairs = l->panels / 2;
    const char *weights = call->packed;
    const float *bias = (const float *)(weights + pairs * WINO_PRODUCTS * p.weights);
    cf_conv_share share = cf_conv_share_of(team, l->tiles, pairs);
    int64_t mine = share.run_last - share.run_first, blocks = (mine + l->block - 1) / l->block;
    if (mine == 0) return;
    int64_t most = (mine + blocks - 1) / blocks, groups = (most + 2 * ROWS - 1) / (2 * ROWS) * 2;
    p.rows = (int32_t)((most + groups - 1) / groups);
    p.part = p.rows * CHUNK * 2;
    p.group = p.chunks * PARTS * p.part;
    configure(&p);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = share.run_first + mine * b / blocks, last = share.run_first + mine * (b + 1) / blocks;
        for (int64_t t = first; t < last; t++)
            transform_in(call, &p, wino_place_of(l, t),
                         inputs + (t - first) / p.rows * p.group + (t - first) % p.rows * 64);
        for (int pair = share.panel_first; pair < share.panel_last; pair++) {
            for (int f = 0; f < WINO_PRODUCTS; f++)
                for (int64_t group = 0; group < groups; group += 2)
                    multiply_groups(&p, inputs + f * p.matrix + group * p.group,
                                    weights + (pair * WINO_PRODUCTS + f) * p.weights,
                                    products + f * l->out_matrix + group * p.rows * WIDTH);
            for (int64_t t = first, count; t < last; t += count) {
                wino_place at = wino_place_of(l, t);
                count = l->across - at.x / WINO_OUT; // to the end of the line of tiles
                if (count > WINO_GROUP) count = WINO_GROUP;
                if (count > last - t) count = last - t;
                wino_group_out(call, l, products + (t - first) * WIDTH, bias, at, (int)count, pair * 2, 2, store);
            }
        }
    }
    _tile_release();
}

const cf_kernel cf_winograd_amx = {.name = "conv_winograd_amx",
                                   .op = CF_OP_CONV,
                                   .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16 | CF_CPU_AMX_BF16,
                                   .refuse = refuse,
                                   .packed_size = packed_size,
                                   .pack = pack,
                                   .scratch_size = scratch_size,
                                   .run = run};
