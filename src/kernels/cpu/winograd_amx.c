// SPDX-License-Identifier: Apache-2.0
// Winograd's 3x3 convolution with FP32 accuracy on AMX tiles: winograd.h's transforms, and between them products of
// matrices whose values are split (split_bf16.h).
//
// Split weights are 96 bytes a pair of channels and must come from the third cache for every block of tiles, so blocks
// should be large, and what a block needs at a time small. Hence four passes, one for each row of the 4x4 values that a
// tile is transformed to: a pass transforms its row only, multiplies with four matrices of weights, and adds what comes
// back to the block's sums. Rows 1 and 2, of which both lines of outputs need the sum or difference, go first; row 0
// then completes the upper line, row 3 the lower.
//
// Inputs of a pass, [4][run of channels][32 tiles][32 channels][part][half of the tiles][16][32] bf16: what a tile
// register holds lies together, in the order of use. The weights of a run of channels stay in the first cache while all
// tiles of the block pass by.
//
// Packed: weight[pass][two panels][4][32 channels][part][panel][16 pairs][16 outputs][2] bf16, float bias[outputs].
#include "base/cpu.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/split_bf16.h"

#include "kernels/cpu/winograd.h"

enum {
    PARTS = CF_SPLIT_PARTS,
    CHUNK = CF_SPLIT_CHANNELS, // in a tile register
    ROWS = 16,                 // Winograd tiles in a tile register, at most
    TILE_BYTES = CF_SPLIT_TILE,
    WIDTH = 2 * CF_PANEL,                // outputs at a time
    STEP_BYTES = PARTS * 2 * TILE_BYTES, // of weights of a chunk
    BLOCK_BYTES = 1 << 20,               // of a pass's inputs and a block's sums: half of the second cache
    MOST_BLOCK = 256,
    MOST_RUN = 4, // chunks whose weights, 24 KiB, leave room in 48 KiB of first cache
    LINE = 64
};

typedef struct {
    wino_layout l;
    int32_t run, runs;      // chunks of channels in a run; runs
    int32_t groups, rows;   // pairs of tile registers in a block; rows of one
    int64_t part, group;    // bytes of a part of two tile registers of inputs, of a run of them
    int64_t matrix;         // bytes of one of the four matrices of inputs
    int64_t weights, bytes; // bytes of weights of two panels and a matrix, of a pass
    const float *bias;
} plan;

// Sets what depends on how many tiles a block has.
static void plan_block(plan *p, int64_t block) {
    wino_layout *l = &p->l;
    l->block = block;
    p->groups = (int32_t)((block + 2 * ROWS - 1) / (2 * ROWS));
    p->rows = (int32_t)((block + 2 * p->groups - 1) / (2 * p->groups));
    p->part = 2 * p->rows * CHUNK * 2;
    p->group = p->run * PARTS * p->part;
    p->matrix = p->runs * p->groups * p->group + LINE; // a line more, or four streams fall into few sets of the cache
    l->out_matrix = p->groups * 2 * p->rows * WIDTH + LINE / 4;
}

static void make_plan(const cf_problem *problem, int images, plan *p) {
    wino_layout *l = &p->l;
    wino_layout_make(problem, images, 2, l);
    l->width = WIDTH;
    int32_t chunks = l->channels / CHUNK;
    p->run = MOST_RUN;
    while (chunks % p->run) p->run--;
    p->runs = chunks / p->run;
    p->weights = chunks * STEP_BYTES;
    p->bytes = l->panels / 2 * WINO_IN * p->weights;
    int64_t most = BLOCK_BYTES / (WINO_IN * PARTS * 2 * l->channels + WINO_OUT * WINO_OUT * 4 * l->panels * CF_PANEL);
    most = most / (2 * ROWS) * (2 * ROWS);
    plan_block(p, most < 2 * ROWS ? 2 * ROWS : most > MOST_BLOCK ? MOST_BLOCK : most);
}

static const char *refuse(const cf_problem *problem) {
    if (problem->in[0].c % CHUNK || problem->out[0].c % WIDTH) return "channels do not fill tiles";
    return wino_refuse(problem, CF_F32);
}

static size_t packed_size(const cf_problem *problem) {
    size_t outputs = (size_t)problem->out[0].c;
    return outputs * ((size_t)problem->in[0].c * WINO_PRODUCTS * PARTS * 2 + sizeof(float));
}

typedef double doubles __attribute__((vector_size(128)));
typedef float floats __attribute__((vector_size(64)));

// wino_transform_weights for 16 outputs, `stride` floats apart.
static void transform_weights(const float *w, int32_t stride, __m512 to[WINO_PRODUCTS]) {
    doubles d[9], rows[WINO_IN][3];
    for (int i = 0; i < 9; i++)
        d[i] = __builtin_convertvector((floats)cf_gather_weights(w + i, stride, 0xffff), doubles);
    for (int x = 0; x < 3; x++) {
        rows[0][x] = d[x];
        rows[1][x] = 0.5 * d[x] + 0.5 * d[3 + x] + 0.5 * d[6 + x];
        rows[2][x] = 0.5 * d[x] - 0.5 * d[3 + x] + 0.5 * d[6 + x];
        rows[3][x] = d[6 + x];
    }
    for (int i = 0; i < WINO_IN; i++) {
        const doubles *row = rows[i];
        to[i * WINO_IN + 0] = (__m512) __builtin_convertvector(row[0], floats);
        to[i * WINO_IN + 1] = (__m512) __builtin_convertvector(0.5 * row[0] + 0.5 * row[1] + 0.5 * row[2], floats);
        to[i * WINO_IN + 2] = (__m512) __builtin_convertvector(0.5 * row[0] - 0.5 * row[1] + 0.5 * row[2], floats);
        to[i * WINO_IN + 3] = (__m512) __builtin_convertvector(row[2], floats);
    }
}

static void pack(const cf_problem *problem, void *packed) {
    plan p;
    make_plan(problem, 1, &p);
    int inputs = problem->in[0].c, outputs = problem->out[0].c;
    float *bias = (float *)((char *)packed + WINO_IN * p.bytes);
    for (int o = 0; o < outputs; o++) bias[o] = problem->constant[1].data ? problem->constant[1].data[o] : 0;
    for (int o = 0; o < outputs; o += CF_PANEL)
        for (int c = 0; c < inputs; c += CHUNK) {
            char *to = (char *)packed + o / WIDTH * WINO_IN * p.weights + c / CHUNK * STEP_BYTES +
                       o / CF_PANEL % 2 * TILE_BYTES;
            const float *from = problem->constant[0].data + ((size_t)o * (size_t)inputs + (size_t)c) * 9;
            for (int k = 0; k < CHUNK / 2; k++, from += 9) {
                __m512 low[WINO_PRODUCTS], high[WINO_PRODUCTS];
                transform_weights(from, inputs * 9, low);
                transform_weights(from + CHUNK / 2 * 9, inputs * 9, high);
                for (int f = 0; f < WINO_PRODUCTS; f++)
                    cf_split_weights(low[f], high[f], to + f / WINO_IN * p.bytes + f % WINO_IN * p.weights,
                                     2 * TILE_BYTES, k);
            }
        }
}

// Row i of the transformed values of one tile, 32 channels from c on, to their place in the four matrices.
CF_INLINE void transform_chunk(const plan *p, const wino_window *window, int i, int c, char *to) {
    static const int8_t row[WINO_IN][2] = {{0, 2}, {1, 2}, {2, 1}, {3, 1}}; // the difference of two, in row 1 the sum
    v_f32 d[WINO_IN], value[2][WINO_IN];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
#pragma GCC unroll 4
        for (int x = 0; x < WINO_IN; x++) {
            v_f32 a = wino_read(CF_F32, window, row[i][0], x, c + half * V_LANES, V_LANES);
            v_f32 b = wino_read(CF_F32, window, row[i][1], x, c + half * V_LANES, V_LANES);
            d[x] = i == 1 ? v_add(a, b) : v_sub(a, b);
        }
        wino_forward(d, value[half], 1);
    }
#pragma GCC unroll 4
    for (int k = 0; k < WINO_IN; k++) {
        __m512i part[PARTS];
        cf_split(value[0][k], value[1][k], part);
#pragma GCC unroll 3
        for (int n = 0; n < PARTS; n++) _mm512_store_si512(to + k * p->matrix + n * p->part, part[n]);
    }
}

// All channels of tile t of a block.
CF_INLINE void transform_in(const cf_call *call, const plan *p, wino_place at, int i, int64_t t, char *inputs) {
    wino_window window = wino_window_of(call, at);
    int32_t in_group = 2 * p->rows, group = (int32_t)t / in_group;
    char *to = inputs + group * p->group + (t - group * in_group) * LINE;
    int c = 0;
    for (int run = 0; run < p->runs; run++, to += p->groups * p->group)
        for (int chunk = 0; chunk < p->run; chunk++, c += CHUNK) {
            if (window.whole) {
                window.whole = 1; // known to the compiler
                transform_chunk(p, &window, i, c, to + chunk * PARTS * p->part);
            } else {
                transform_chunk(p, &window, i, c, to + chunk * PARTS * p->part);
            }
        }
}

// Sums in tiles 0..3, inputs in 4 and 5, weights in 6 and 7.
static void configure(const plan *p) {
    uint8_t in = (uint8_t)p->rows, weight = CHUNK / 2;
    cf_tiles_configure((const uint8_t[8]){in, in, in, in, in, in, weight, weight},
                       (const uint16_t[8]){64, 64, 64, 64, 64, 64, 64, 64});
}

#define LOAD_INPUTS(n)                                                                                                 \
    do {                                                                                                               \
        _tile_stream_loadd(4, in + (n)*part, 64);                                                                      \
        _tile_stream_loadd(5, in + (n)*part + half, 64);                                                               \
    } while (0)
#define LOAD_WEIGHTS(n)                                                                                                \
    do {                                                                                                               \
        _tile_loadd(6, weight + (n)*2 * TILE_BYTES, 64);                                                               \
        _tile_loadd(7, weight + ((n)*2 + 1) * TILE_BYTES, 64);                                                         \
    } while (0)
#define FETCH(from, hint)                                                                                              \
    do {                                                                                                               \
        for (int line = 0; line < 8; line++) _mm_prefetch((from) + line * LINE, hint);                                 \
    } while (0)
// Products of what is loaded; meanwhile a sixth of the next chunk's inputs is called for.
#define DOT(step)                                                                                                      \
    do {                                                                                                               \
        _tile_dpbf16ps(0, 4, 6);                                                                                       \
        FETCH(in + PARTS * part + (step)*16 * LINE, _MM_HINT_T0);                                                      \
        _tile_dpbf16ps(1, 4, 7);                                                                                       \
        FETCH(in + PARTS * part + ((step)*16 + 8) * LINE, _MM_HINT_T0);                                                \
        _tile_dpbf16ps(2, 5, 6);                                                                                       \
        for (int line = 0; line < lines; line++, ahead += LINE) {                                                      \
            if (near)                                                                                                  \
                _mm_prefetch(ahead, _MM_HINT_T0);                                                                      \
            else                                                                                                       \
                _mm_prefetch(ahead, _MM_HINT_T1);                                                                      \
        }                                                                                                              \
        _tile_dpbf16ps(3, 5, 7);                                                                                       \
    } while (0)

// 32 tiles by two panels, a run of channels. Products of small parts first. `lines` a step of `ahead` are called for,
// near or just into the second cache.
CF_INLINE void multiply_group(const plan *p, const char *in, const char *weight, float *sums, int more,
                              const char *ahead, int lines, int near) {
    int64_t part = p->part, half = part / 2;
    float *lower = sums + p->rows * WIDTH;
    if (more) {
        _tile_loadd(0, sums, WIDTH * 4);
        _tile_loadd(1, sums + CF_PANEL, WIDTH * 4);
        _tile_loadd(2, lower, WIDTH * 4);
        _tile_loadd(3, lower + CF_PANEL, WIDTH * 4);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int chunk = 0; chunk < p->run; chunk++, in += PARTS * part, weight += STEP_BYTES) {
        LOAD_INPUTS(2);
        LOAD_WEIGHTS(0);
        DOT(0);
        LOAD_INPUTS(1);
        DOT(1);
        LOAD_WEIGHTS(1);
        DOT(2);
        LOAD_INPUTS(0);
        DOT(3);
        LOAD_WEIGHTS(2);
        DOT(4);
        LOAD_WEIGHTS(0);
        DOT(5);
    }
    _tile_stored(0, sums, WIDTH * 4);
    _tile_stored(1, sums + CF_PANEL, WIDTH * 4);
    _tile_stored(2, lower, WIDTH * 4);
    _tile_stored(3, lower + CF_PANEL, WIDTH * 4);
}

// A block by two panels, one of the four matrices. The weights that come next are called from the third cache while all
// groups but the last are at work, and with the last into the first.
static void multiply(const plan *p, const char *in, const char *weight, float *products) {
    int64_t run_bytes = p->run * STEP_BYTES;
    int lines = p->groups > 1 ? STEP_BYTES / LINE / 6 / (p->groups - 1) : 0;
    for (int run = 0; run < p->runs; run++, weight += run_bytes) {
        const char *next = weight + run_bytes;
        for (int g = 0; g < p->groups; g++, in += p->group) {
            float *sums = products + g * 2 * p->rows * WIDTH;
            if (g < p->groups - 1)
                multiply_group(p, in, weight, sums, run > 0, next + g * p->run * lines * 6 * LINE, lines, 0);
            else
                multiply_group(p, in, weight, sums, run > 0, next, STEP_BYTES / LINE / 6, 1);
        }
    }
}

// Two outputs of a line, of 16 channels, from the four products of a pass.
CF_INLINE void back_row(const plan *p, const float *products, v_f32 *value) {
    v_f32 m[WINO_IN];
#pragma GCC unroll 4
    for (int k = 0; k < WINO_IN; k++) m[k] = v_load(products + k * p->l.out_matrix);
    wino_back(m, value);
}

// Pass 1 and 2 of a block, two panels: to sums[tile][2 lines][2][WIDTH].
CF_INLINE void add_to_sums(const plan *p, int pass, const float *products, float *sums, int64_t tiles) {
    for (int64_t t = 0; t < tiles; t++, products += WIDTH, sums += WINO_OUT * WINO_OUT * WIDTH)
        for (int c = 0; c < WIDTH; c += V_LANES) {
            v_f32 value[WINO_OUT];
            back_row(p, products + c, value);
#pragma GCC unroll 2
            for (int x = 0; x < WINO_OUT; x++) {
                float *upper = sums + x * WIDTH + c, *lower = upper + WINO_OUT * WIDTH;
                v_f32 first = pass == 1 ? v_zero() : v_load(upper);
                if (pass != 1) v_store(lower, v_sub(first, value[x]));
                v_store(upper, pass == 1 ? value[x] : v_add(first, value[x]));
            }
        }
}

static void store(const cf_conv_store *s) {
    cf_store_any(s, 0);
}

// Pass 0 or 3: completes the upper or lower line of outputs.
static void finish_line(const cf_call *call, const plan *p, int y, const float *products, const float *sums,
                        int64_t first, int64_t last, int pair) {
    float line[WINO_GROUP * WINO_OUT * WIDTH] __attribute__((aligned(64)));
    sums += y * WINO_OUT * WIDTH;
    for (int64_t t = first, count; t < last; t += count) {
        wino_place at = wino_place_of(&p->l, t);
        count = wino_group_of(&p->l, at, t, last);
        for (int64_t i = 0; i < count; i++, products += WIDTH, sums += WINO_OUT * WINO_OUT * WIDTH)
            for (int c = 0; c < WIDTH; c += V_LANES) {
                v_f32 value[WINO_OUT], bias = v_load(p->bias + pair * WIDTH + c);
                back_row(p, products + c, value);
#pragma GCC unroll 2
                for (int x = 0; x < WINO_OUT; x++)
                    v_store(line + (i * WINO_OUT + x) * WIDTH + c,
                            v_add(v_add(v_load(sums + x * WIDTH + c), value[x]), bias));
            }
        wino_line_out(call, &p->l, line, at, y, (int)count, pair * 2, 2, store);
    }
}

// Bytes for one member of the team: inputs and products of a pass, sums of a block.
static size_t inputs_size(const plan *p) {
    return (size_t)(WINO_IN * p->matrix);
}

static size_t products_size(const plan *p) {
    return (size_t)(WINO_IN * p->l.out_matrix) * sizeof(float);
}

static int64_t sums_of_pair(const plan *p) { // floats
    return p->l.block * WINO_OUT * WINO_OUT * WIDTH;
}

static size_t scratch_of_one(const plan *p) {
    return inputs_size(p) + products_size(p) + (size_t)(p->l.panels / 2 * sums_of_pair(p)) * sizeof(float);
}

static size_t scratch_size(const cf_problem *problem) {
    plan p;
    make_plan(problem, problem->images, &p);
    return (size_t)problem->threads * scratch_of_one(&p);
}

// Row i of what a block's tiles are transformed to.
CF_INLINE void run_pass(const cf_call *call, const plan *p, int i, int64_t first, int64_t last, int pair_first,
                        int pair_last, char *inputs) {
    float *products = (float *)(inputs + inputs_size(p));
    float *sums = (float *)((char *)products + products_size(p));
    const char *weights = (const char *)call->packed + i * p->bytes;
    int64_t tiles = last - first;
    for (int64_t t = 0; t < tiles; t++) transform_in(call, p, wino_place_of(&p->l, first + t), i, t, inputs);
    for (int pair = pair_first; pair < pair_last; pair++, sums += sums_of_pair(p)) {
        for (int k = 0; k < WINO_IN; k++)
            multiply(p, inputs + k * p->matrix, weights + (pair * WINO_IN + k) * p->weights,
                     products + k * p->l.out_matrix);
        if (i == 1 || i == 2)
            add_to_sums(p, i, products, sums, tiles);
        else
            finish_line(call, p, i == 3, products, sums, first, last, pair);
    }
}

static void run(const cf_call *call, const cf_team *team) {
    plan p;
    make_plan(call->problem, call->images, &p);
    char *scratch = (char *)call->scratch + (size_t)team->thread * scratch_of_one(&p);
    int pairs = p.l.panels / 2;
    p.bias = (const float *)((const char *)call->packed + WINO_IN * p.bytes);
    cf_conv_share share = cf_conv_share_of(team, p.l.tiles, pairs, 1);
    int64_t mine = share.run_last - share.run_first, blocks = (mine + p.l.block - 1) / p.l.block;
    if (mine == 0) return;
    plan_block(&p, (mine + blocks - 1) / blocks);
    configure(&p);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = share.run_first + mine * b / blocks, last = share.run_first + mine * (b + 1) / blocks;
        run_pass(call, &p, 1, first, last, share.panel_first, share.panel_last, scratch);
        run_pass(call, &p, 2, first, last, share.panel_first, share.panel_last, scratch);
        run_pass(call, &p, 0, first, last, share.panel_first, share.panel_last, scratch);
        run_pass(call, &p, 3, first, last, share.panel_first, share.panel_last, scratch);
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
