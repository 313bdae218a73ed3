// SPDX-License-Identifier: Apache-2.0
// Winograd's 3x3 convolution along columns on AMX tiles, in bf16: F(4,3) from line to line, direct from pixel to pixel.
// Four lines of outputs take 6 times 3 products a pair of channels and column, where the direct sum takes 36.
//
// Both dimensions would save more products, F(2x2, 3x3) 2.25 times, but make four numbers of every input and of every
// output, whose way through the caches costs more than the tiles gain; along one it is 1.5. Points 0, +-3/4, +-3/2 and
// infinity: with inputs and weights rounded to bf16 behind the transform the error is 1.3 times that of F(2x2, 3x3)
// and 2.6 times that of the direct sum; with 0, +-1, +-2 it is 3.7 times. (Lavin and Gray, "Fast algorithms for
// convolutional neural networks"; Barabasz et al., "Error analysis and improving the accuracy of Winograd
// convolution".)
//
// Six lines of inputs become six lines of transformed ones, one a point, each of which is convolved with a row of three
// weights as by conv_amx.h: tiles of up to 16 neighbouring pixels times 32 channels. A block is two tiles of pixels,
// all outputs. Point after point, its inputs stay in the first cache while the weights of the point stream past from
// the second. Transforms are vector work: those of the block that comes next and of the block before run between the
// products of the one at work.
//
// Transformed inputs of a block, [tile][point][pixel, two more than outputs][channel] bf16; products,
// [point][pair of panels][tile][pixel][32] FP32.
//
// Packed: weight[point][pair of panels][column][32 channels][panel][16 pairs][16 outputs][2] bf16, float bias[outputs].
#include <string.h>

#include "base/cpu.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/conv_amx_finish.h"
#include "kernels/cpu/split_bf16.h"

enum {
    LINES = 4, // of outputs at a time
    COLUMNS = 3,
    POINTS = LINES + 2,
    CHUNK = 32, // channels in a tile
    TILE_BYTES = 1024,
    STEP_BYTES = 2 * TILE_BYTES, // of weights: a chunk of two panels
    LINE = 64,
    MOST_TILES = 2,                // of pixels in a block
    WEIGHT_BYTES = 800 << 10,      // that meet all pixels before the next: the second cache keeps them beside the rest
    MOST_BYTES = 2 * WEIGHT_BYTES, // of weights: inputs are transformed again for each part
    STORED = 8,                    // pixels transformed back and written at a time
    LEAST_CHANNELS = 96,           // below that the transforms cost more than the products save
};

static const float A = 0.75f, B = 1.5f; // points 0, A, -A, B, -B and infinity

typedef struct {
    const cf_call *call;
    int64_t tiles_per_line, groups,
        tiles;                   // tiles of pixels in a line; groups of lines in an image; tiles of all images
    int32_t rows, chunks, steps; // pixels in a tile; of 32 channels; of K
    int32_t pairs, at_once;      // of panels; those that all pixels meet before the next
    int64_t point, tile;         // bytes of a tile's inputs at a point, and at all
    int64_t products;            // floats of the products at a point
    int64_t point_weights;       // bytes
    const float *bias;
    cf_amx_writer *write;
} plan;

static void make_plan(const cf_problem *problem, int images, plan *p) {
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0];
    *p = (plan){.call = NULL};
    p->groups = (out->h + LINES - 1) / LINES;
    p->tiles_per_line = (out->w + CF_TILE - 1) / CF_TILE;
    p->rows = (int32_t)((out->w + p->tiles_per_line - 1) / p->tiles_per_line);
    p->tiles_per_line = (out->w + p->rows - 1) / p->rows;
    p->tiles = images * p->groups * p->tiles_per_line;
    p->chunks = in->c / CHUNK;
    p->pairs = out->c / CF_BLOCK_WIDTH;
    p->steps = COLUMNS * p->chunks;
    p->point = (int64_t)(p->rows + COLUMNS - 1) * in->c * 2;
    p->tile = POINTS * p->point;
    p->point_weights = (int64_t)p->pairs * p->steps * STEP_BYTES;
    int64_t cuts = (POINTS * p->point_weights + WEIGHT_BYTES - 1) / WEIGHT_BYTES;
    p->at_once = (int32_t)((p->pairs + cuts - 1) / cuts);
    p->products = (int64_t)p->at_once * MOST_TILES * p->rows * CF_BLOCK_WIDTH + LINE / 4; // a line more: other sets
}

static size_t packed_size(const cf_problem *problem) {
    size_t outputs = (size_t)problem->out[0].c;
    return outputs * ((size_t)problem->in[0].c * POINTS * COLUMNS * 2 + sizeof(float));
}

static const char *refuse(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const char *why = cf_conv_refuse(problem, CF_BF16);
    if (why) return why;
    if (problem->out[0].dtype == CF_F16) return "FP16 results";
    if (attr->coarse) return "a coarse residual";
    if (attr->kernel_h != 3 || attr->kernel_w != COLUMNS || attr->stride != 1) return "not 3x3 with stride 1";
    if (problem->in[0].c % CHUNK || problem->out[0].c % CF_BLOCK_WIDTH) return "channels do not fill tiles";
    if (packed_size(problem) > MOST_BYTES) return "large weights";
    return problem->in[0].c < LEAST_CHANNELS || problem->out[0].c < LEAST_CHANNELS ? "few channels" : NULL;
}

// Of even and odd channels, rounded to nearest bf16, side by side.
CF_INLINE __m512i rounded_pairs(v_f32 even, v_f32 odd) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    return cf_upper_halves(_mm512_add_epi32(_mm512_castps_si512(even), half),
                           _mm512_add_epi32(_mm512_castps_si512(odd), half));
}

// The three weights of a column, of 16 outputs, at each point.
CF_INLINE void transform_weights(const v_f32 w[3], v_f32 to[POINTS]) {
    const float a2 = A * A, b2 = B * B;
    const float at[2] = {A, B}, scale[2] = {1 / (2 * a2 * (a2 - b2)), 1 / (2 * b2 * (b2 - a2))};
    to[0] = v_mul(w[0], v_set(1 / (a2 * b2)));
    for (int i = 0; i < 2; i++) {
        v_f32 even = v_fma(w[2], v_set(at[i] * at[i]), w[0]), odd = v_mul(w[1], v_set(at[i]));
        to[1 + 2 * i] = v_mul(v_add(even, odd), v_set(scale[i]));
        to[2 + 2 * i] = v_mul(v_sub(even, odd), v_set(scale[i]));
    }
    to[POINTS - 1] = w[2];
}

static void pack(const cf_problem *problem, void *packed) {
    plan p;
    make_plan(problem, 1, &p);
    int inputs = problem->in[0].c, outputs = problem->out[0].c;
    float *bias = (float *)((char *)packed + POINTS * p.point_weights);
    for (int o = 0; o < outputs; o++) bias[o] = problem->constant[1].data ? problem->constant[1].data[o] : 0;
    for (int panel = 0; panel < outputs / CF_PANEL; panel++)
        for (int column = 0; column < COLUMNS; column++)
            for (int c = 0; c < inputs; c += 2) {
                int64_t first = (int64_t)panel * CF_PANEL * inputs + c;
                v_f32 w[2][3], at[2][POINTS];
                for (int i = 0; i < 2; i++) {
                    for (int row = 0; row < 3; row++)
                        w[i][row] = cf_gather_weights(
                            problem->constant[0].data + (first + i) * 9 + row * COLUMNS + column, inputs * 9, 0xffff);
                    transform_weights(w[i], at[i]);
                }
                char *to = (char *)packed + (panel / 2 * p.steps + column * p.chunks + c / CHUNK) * STEP_BYTES +
                           panel % 2 * TILE_BYTES + c % CHUNK / 2 * LINE;
                for (int k = 0; k < POINTS; k++)
                    _mm512_storeu_si512(to + k * p.point_weights, rounded_pairs(at[0][k], at[1][k]));
            }
}

// Where a tile of pixels begins; the last tile of a line moves left to fit, `fresh` is the first pixel it does not
// share.
typedef struct {
    int64_t n, y, x, fresh;
} place;

static place place_of(const plan *p, int64_t tile) {
    int64_t group = tile / p->tiles_per_line, fresh = tile % p->tiles_per_line * p->rows;
    int64_t most = p->call->problem->out[0].w - p->rows;
    return (place){group / p->groups, group % p->groups * LINES, fresh < most ? fresh : most, fresh};
}

// Six inputs of a column, of one vector, at each point.
CF_INLINE void transform_in(const v_f32 d[POINTS], v_f32 to[POINTS]) {
    const v_f32 a = v_set(A), b = v_set(B), a2 = v_set(A * A), b2 = v_set(B * B);
    const v_f32 product = v_set(A * A * B * B), sum = v_set(A * A + B * B);
    to[0] = v_fma(product, d[0], v_fnma(sum, d[2], d[4]));
    v_f32 even = v_fnma(b2, d[2], d[4]), odd = v_fnma(b2, d[1], d[3]);
    to[1] = v_fma(a, odd, even);
    to[2] = v_fnma(a, odd, even);
    even = v_fnma(a2, d[2], d[4]), odd = v_fnma(a2, d[1], d[3]);
    to[3] = v_fma(b, odd, even);
    to[4] = v_fnma(b, odd, even);
    to[5] = v_fma(product, d[1], v_fnma(sum, d[3], d[5]));
}

// Four outputs of a column from what its points gave.
CF_INLINE void transform_back(const v_f32 m[POINTS], v_f32 bias, v_f32 to[LINES]) {
    v_f32 sum_a = v_add(m[1], m[2]), sum_b = v_add(m[3], m[4]), odd_a = v_sub(m[1], m[2]), odd_b = v_sub(m[3], m[4]);
    to[0] = v_add(v_add(m[0], bias), v_add(sum_a, sum_b));
    to[1] = v_fma(v_set(B), odd_b, v_fma(v_set(A), odd_a, bias));
    to[2] = v_fma(v_set(B * B), sum_b, v_fma(v_set(A * A), sum_a, bias));
    to[3] = v_fma(v_set(B * B * B), odd_b, v_fma(v_set(A * A * A), odd_a, v_add(m[5], bias)));
}

// Inputs of a block on their way to its points: one pixel and chunk of channels after the other.
typedef struct {
    place at[MOST_TILES];
    int32_t tiles, tile, pixel, chunk; // tile, pixel and chunk that come next
    const char *line[POINTS];          // of the tile's first pixel; outside of the image some line that is not read
    __mmask32 inside[POINTS];          // all or none
    char *to;                          // [tile][point][pixel][channel]
} inputs;

static void begin_tile(const plan *p, inputs *t) {
    const cf_tensor *in = &p->call->in[0];
    const cf_conv_attr *attr = &p->call->problem->attr.conv;
    const place *at = &t->at[t->tile];
    for (int i = 0; i < POINTS; i++) {
        int64_t y = at->y - attr->pad_top + i;
        t->inside[i] = y >= 0 && y < in->h ? 0xffffffff : 0;
        t->line[i] = (const char *)in->data +
                     (at->n * in->image + (t->inside[i] ? y : 0) * in->row + (at->x - attr->pad_left) * in->pixel) * 2;
    }
}

static void begin_inputs(const plan *p, int64_t first, int tiles, char *to, inputs *t) {
    *t = (inputs){.tiles = tiles, .to = to};
    for (int i = 0; i < tiles; i++) t->at[i] = place_of(p, first + i);
    if (tiles) begin_tile(p, t);
}

CF_INLINE void one_input(const plan *p, inputs *t) {
    const cf_tensor *in = &p->call->in[0];
    int64_t from = (t->pixel * in->pixel + t->chunk * CHUNK) * 2;
    v_f32 even[POINTS], odd[POINTS], even_at[POINTS], odd_at[POINTS];
#pragma GCC unroll 6
    for (int i = 0; i < POINTS; i++) {
        __m512i both = _mm512_maskz_loadu_epi16(t->inside[i], t->line[i] + from);
        even[i] = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
        odd[i] = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000)));
    }
    transform_in(even, even_at);
    transform_in(odd, odd_at);
    char *to = t->to + t->tile * p->tile + ((int64_t)t->pixel * in->c + t->chunk * CHUNK) * 2;
#pragma GCC unroll 6
    for (int i = 0; i < POINTS; i++) _mm512_store_si512(to + i * p->point, rounded_pairs(even_at[i], odd_at[i]));
    if (++t->chunk < p->chunks) return;
    t->chunk = 0;
    if (++t->pixel < p->rows + COLUMNS - 1) return;
    t->pixel = 0;
    if (++t->tile < t->tiles) begin_tile(p, t);
}

// Up to STORED pixels of two panels.
typedef struct {
    int32_t tile, pair, pixel;
} portion;

// Products of a block on their way out: portion after portion is transformed back, then written line by line.
typedef struct {
    float sums[LINES][STORED * CF_BLOCK_WIDTH] __attribute__((aligned(64)));
    place at[MOST_TILES];
    int32_t tiles, pair_first, pair_last;
    portion now, next;
    int32_t line;          // of the portion at work; -1: transforming back
    int32_t calls;         // 1: what the next portion will write is called for
    const float *products; // [point][pair from pair_first on][tile][pixel][32]
} outputs;

static int more_outputs(const outputs *t) {
    return t->now.tile < t->tiles;
}

// The first pixel of a tile that no other tile holds too.
static int32_t fresh_pixel(const place *at) {
    return (int32_t)(at->fresh - at->x);
}

static int32_t pixels_of(const plan *p, const portion *at) {
    int left = p->rows - at->pixel;
    return left < STORED ? left : STORED;
}

static void go_on(const plan *p, const outputs *t, portion *at) {
    at->pixel += pixels_of(p, at);
    if (at->pixel < p->rows) return;
    if (++at->pair == t->pair_last) at->pair = t->pair_first, at->tile++;
    if (at->tile < t->tiles) at->pixel = fresh_pixel(&t->at[at->tile]);
}

static void begin_outputs(const plan *p, const inputs *block, const float *products, int pair_first, int pair_last,
                          outputs *t) {
    memcpy(t->at, block->at, sizeof t->at);
    t->tiles = block->tiles, t->pair_first = pair_first, t->pair_last = pair_last, t->products = products;
    t->now = t->next = (portion){0, pair_first, fresh_pixel(&t->at[0])};
    go_on(p, t, &t->next);
    t->line = -1;
}

static void back(const plan *p, outputs *t) {
    const portion *at = &t->now;
    int64_t tile = (at->pair - t->pair_first) * MOST_TILES + at->tile;
    const float *from = t->products + (tile * p->rows + at->pixel) * CF_BLOCK_WIDTH;
    for (int i = 0; i < pixels_of(p, at) * CF_BLOCK_WIDTH; i += V_LANES) {
        v_f32 m[POINTS], value[LINES];
#pragma GCC unroll 6
        for (int k = 0; k < POINTS; k++) m[k] = v_load(from + k * p->products + i);
        transform_back(m, v_load(p->bias + at->pair * CF_BLOCK_WIDTH + i % CF_BLOCK_WIDTH), value);
#pragma GCC unroll 4
        for (int y = 0; y < LINES; y++) v_store(t->sums[y] + i, value[y]);
    }
}

// Line `line` of a portion in a tensor of the output's size; NULL if it lies below.
static char *line_of(const outputs *t, const portion *part, int line, const cf_tensor *in) {
    const place *at = &t->at[part->tile];
    int64_t y = at->y + line;
    if (y >= in->h) return NULL;
    return (char *)cf_tensor_at(in, at->n, y, at->x + part->pixel) +
           part->pair * CF_BLOCK_WIDTH * cf_dtype_size(in->dtype);
}

// Calls for what will be written there: a store that misses the second cache keeps all behind it waiting.
static void call_for(const plan *p, const outputs *t, const portion *part, int line) {
    const cf_tensor *out = &p->call->out[0];
    const char *to = part->tile < t->tiles ? line_of(t, part, line, out) : NULL;
    if (!to) return;
    for (int i = 0; i < pixels_of(p, part); i++)
        _mm_prefetch(to + i * out->pixel * cf_dtype_size(out->dtype), _MM_HINT_T1);
}

static void write_line(const plan *p, const outputs *t) {
    const cf_problem *problem = p->call->problem;
    const cf_tensor *out = &p->call->out[0], *add = &p->call->in[1];
    cf_conv_store s = {.sums = t->sums[t->line],
                       .scale = p->bias, // neither is read: sums are FP32 and hold the bias
                       .bias = p->bias,
                       .out = line_of(t, &t->now, t->line, out),
                       .out_pixel = out->pixel * cf_dtype_size(out->dtype),
                       .pixels = pixels_of(p, &t->now),
                       .channels = CF_BLOCK_WIDTH,
                       .width = CF_BLOCK_WIDTH,
                       .attr = &problem->attr.conv,
                       .out_tensor = out,
                       .add_tensor = add};
    if (!s.out) return;
    if (problem->inputs > 1) {
        s.add = line_of(t, &t->now, t->line, add);
        s.add_pixel = add->pixel * cf_dtype_size(add->dtype);
    }
    p->write(&s, 0, s.pixels);
}

static void one_output(const plan *p, outputs *t) {
    if (t->line < 0)
        back(p, t);
    else
        write_line(p, t);
    if (t->calls && t->line >= 0) call_for(p, t, &t->next, t->line);
    if (++t->line < LINES) return;
    t->line = -1;
    t->now = t->next;
    go_on(p, t, &t->next);
}

// The vector work beside a block's products, in pieces that are spread evenly over the steps.
typedef struct {
    inputs *next;
    outputs *before;
    int32_t pieces, steps, due; // due: of pieces, times steps
} beside;

// The next piece; 0 if there is none.
CF_INLINE int one_piece(const plan *p, const beside *w) {
    if (w->next->tile < w->next->tiles)
        one_input(p, w->next);
    else if (more_outputs(w->before))
        one_output(p, w->before);
    else
        return 0;
    return 1;
}

CF_INLINE void work_a_step(const plan *p, beside *w) {
    for (w->due += w->pieces; w->due >= w->steps; w->due -= w->steps)
        if (!one_piece(p, w)) return;
}

// One point of a block, two panels: sums in tiles 0..3, inputs in 4 and 5, weights in 6 and 7.
CF_INLINE void multiply(const plan *p, const char *in, const char *weight, float *to, int tiles, beside *w) {
    int64_t pixel = (int64_t)p->chunks * LINE;
    _tile_zero(0);
    _tile_zero(1);
    if (tiles > 1) _tile_zero(2);
    if (tiles > 1) _tile_zero(3);
    for (int column = 0; column < COLUMNS; column++)
        for (int chunk = 0; chunk < p->chunks; chunk++, weight += STEP_BYTES) {
            const char *from = in + column * pixel + chunk * LINE;
            _tile_stream_loadd(6, weight, LINE);
            _tile_loadd(4, from, pixel);
            _tile_stream_loadd(7, weight + TILE_BYTES, LINE);
            if (tiles > 1) _tile_loadd(5, from + p->tile, pixel);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            if (tiles > 1) _tile_dpbf16ps(2, 5, 6);
            if (tiles > 1) _tile_dpbf16ps(3, 5, 7);
            // Where no FP addition came for some 2,000 cycles, the next store of a tile was seen to take 800.
            __asm__ volatile("vaddps %%zmm31, %%zmm31, %%zmm31" ::: "xmm31");
            work_a_step(p, w);
        }
    float *lower = to + p->rows * CF_BLOCK_WIDTH;
    _tile_stored(0, to, CF_BLOCK_WIDTH * 4);
    _tile_stored(1, to + CF_PANEL, CF_BLOCK_WIDTH * 4);
    if (tiles > 1) _tile_stored(2, lower, CF_BLOCK_WIDTH * 4);
    if (tiles > 1) _tile_stored(3, lower + CF_PANEL, CF_BLOCK_WIDTH * 4);
}

static void multiply_block(const plan *p, const inputs *block, float *products, int pair_first, int pair_last,
                           beside *w) {
    cf_before_tiles(block->to);
    for (int point = 0; point < POINTS; point++)
        for (int pair = pair_first; pair < pair_last; pair++) {
            const char *in = block->to + point * p->point;
            const char *weight =
                (const char *)p->call->packed + point * p->point_weights + pair * p->steps * STEP_BYTES;
            float *to =
                products + point * p->products + (int64_t)(pair - pair_first) * MOST_TILES * p->rows * CF_BLOCK_WIDTH;
            if (block->tiles > 1)
                multiply(p, in, weight, to, 2, w);
            else
                multiply(p, in, weight, to, 1, w);
        }
}

// Bytes for one member of the team: inputs of two blocks, products of two.
static size_t inputs_size(const plan *p) {
    return (size_t)(MOST_TILES * p->tile);
}

static size_t products_size(const plan *p) {
    return (size_t)(POINTS * p->products) * sizeof(float);
}

static size_t scratch_size(const cf_problem *problem) {
    plan p;
    make_plan(problem, problem->images, &p);
    return (size_t)problem->threads * 2 * (inputs_size(&p) + products_size(&p));
}

// All tiles of a share by some pairs of panels, those of the share or a part of them.
static void run_blocks(const plan *p, const cf_conv_share *share, char *scratch) {
    int64_t blocks = (share->run_last - share->run_first + MOST_TILES - 1) / MOST_TILES;
    int pairs = share->panel_last - share->panel_first, writes = (LINES + 1) * ((p->rows + STORED - 1) / STORED);
    float *products = (float *)(scratch + 2 * inputs_size(p));
    inputs block[2];
    outputs before = {.tiles = 0, .calls = cf_amx_is_cold(p->call, &p->call->out[0])};
    beside w = {.before = &before,
                .pieces = MOST_TILES * (pairs * writes + (p->rows + COLUMNS - 1) * p->chunks),
                .steps = POINTS * pairs * p->steps};
    for (int64_t b = -1; b < blocks; b++) { // -1: nothing to multiply yet
        int64_t next = share->run_first + (b + 1) * MOST_TILES, left = share->run_last - next;
        w.next = &block[(b + 1) & 1];
        w.due = 0;
        if (left < 0) left = 0;
        begin_inputs(p, next, left < MOST_TILES ? (int)left : MOST_TILES,
                     scratch + ((b + 1) & 1) * (int64_t)inputs_size(p), w.next);
        float *sums = products + (b & 1) * POINTS * p->products;
        if (b >= 0) multiply_block(p, &block[b & 1], sums, share->panel_first, share->panel_last, &w);
        while (one_piece(p, &w)) continue;
        if (b >= 0) begin_outputs(p, &block[b & 1], sums, share->panel_first, share->panel_last, &before);
    }
    while (one_piece(p, &w)) continue;
}

static void run(const cf_call *call, const cf_team *team) {
    plan p;
    make_plan(call->problem, call->images, &p);
    p.call = call;
    p.bias = (const float *)((const char *)call->packed + POINTS * p.point_weights);
    p.write = cf_amx_writer_of(call->problem, NULL, NULL);
    cf_conv_share share = cf_conv_share_of(team, p.tiles, p.pairs, 1);
    if (share.run_first == share.run_last || share.panel_first == share.panel_last) return;
    uint8_t in = (uint8_t)p.rows, weight = CHUNK / 2;
    cf_tiles_configure((const uint8_t[8]){in, in, in, in, in, in, weight, weight},
                       (const uint16_t[8]){64, 64, 64, 64, 64, 64, 64, 64});
    char *scratch = (char *)call->scratch + (size_t)team->thread * 2 * (inputs_size(&p) + products_size(&p));
    for (cf_conv_share part = share; part.panel_first < share.panel_last; part.panel_first = part.panel_last) {
        part.panel_last = part.panel_first + p.at_once;
        if (part.panel_last > share.panel_last) part.panel_last = share.panel_last;
        run_blocks(&p, &part, scratch);
    }
    _tile_release();
}

const cf_kernel cf_winograd_bf16_amx = {.name = "conv_winograd_bf16_amx",
                                        .op = CF_OP_CONV,
                                        .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16 | CF_CPU_AMX_BF16,
                                        .refuse = refuse,
                                        .packed_size = packed_size,
                                        .pack = pack,
                                        .scratch_size = scratch_size,
                                        .run = run};
