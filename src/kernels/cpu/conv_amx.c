// SPDX-License-Identifier: Apache-2.0
// Convolution on AMX tiles: bf16, int8, and FP32 accuracy from bf16.
//
// A tile of the input is up to 16 neighbouring pixels times 64 bytes of channels, loaded straight from the activation
// with its pixel stride; a tile of weights is 16 groups of a panel (conv_panel.h), which is already in tile order. Two
// input tiles times two panels keep four tiles of sums, so that each load is used twice. All tiles of a problem have
// one shape, set once: lines (all lines of an image together, where that fills tiles better) are cut into equal tiles,
// the last of which overlaps its neighbour when they do not fit, and K runs into equal chunks.
//
// FP32 accuracy: x = hi + mid + lo, each the bf16 nearest to what is left, exact to 24 bits. Of the nine products of
// two such sums the six largest are added (hi*hi, hi*mid, mid*hi, hi*lo, mid*mid, lo*hi); what is dropped is below
// 2^-24 of the product. The input is split into scratch by the whole team first, padding included.
#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/half.h"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/conv_store.h"

enum { TILE = 16, PARTS = 3, BLOCK_BYTES = 512 << 10, MOST_STEPS = 1024, LEAST_STORE = 2 };

typedef enum { USE_BF16, USE_U8, USE_S8, USE_SPLIT } product;

// Writes `count` pixels of a finished tile, from `first` on.
typedef void writer(const cf_conv_store *s, int first, int count);

// Everything that the loops need to know about a problem.
typedef struct {
    cf_conv_geometry g;
    const cf_call *call;
    const char *in;                             // the first tap of the first output
    int64_t in_line, in_image;                  // bytes between output lines, and images
    int64_t part, weight_part;                  // bytes between hi, mid and lo: of a pixel, of a panel
    int64_t panel;                              // bytes of a panel, all parts
    int32_t chunk, chunks, rows;                // groups in a tile; tiles in a K run; pixels in a tile
    int32_t steps;                              // tiles in K
    int32_t store_pixels;                       // of the block before, written a step
    const int32_t *offset;                      // bytes from the first tap, of each step
    int64_t line_width, lines, lines_per_image; // of the lines that tiles are cut from: the output's, or joined ones
    int64_t pitch;                              // positions from one output line to the next in such a line
    int64_t tiles_per_line, tiles;
    int64_t run; // tiles a team member sweeps over with two panels before it takes the next
    const float *bias, *scale;
    const void *start;
    writer *write;
} plan;

// The most groups, up to 16, that divide a K run evenly.
static int chunk_of(int groups) {
    int chunk = groups < TILE ? groups : TILE;
    while (chunk > 1 && groups % chunk) chunk--;
    return chunk;
}

static int fits(const cf_conv_geometry *g) {
    return g->groups > 0 && g->tail == 0 && g->depth <= MOST_STEPS * 8 && (chunk_of(g->groups) >= 8 || g->groups < 8);
}

typedef struct __attribute__((packed)) {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config;

// Sums in tiles 0..3, input in 4 and 5, weights in 6 and 7.
static void configure(const plan *p) {
    tile_config config = {.palette = 1};
    for (int i = 0; i < 4; i++) config.rows[i] = (uint8_t)p->rows, config.bytes[i] = 64;
    for (int i = 4; i < 6; i++) config.rows[i] = (uint8_t)p->rows, config.bytes[i] = (uint16_t)(p->chunk * 4);
    for (int i = 6; i < 8; i++) config.rows[i] = (uint8_t)p->chunk, config.bytes[i] = 64;
    atomic_signal_fence(memory_order_seq_cst); // GCC 12 takes the stores for dead
    __asm__ volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
}

#define DOT(use, sums, in, weight)                                                                                     \
    do {                                                                                                               \
        if ((use) == USE_U8)                                                                                           \
            _tile_dpbusd(sums, in, weight);                                                                            \
        else if ((use) == USE_S8)                                                                                      \
            _tile_dpbssd(sums, in, weight);                                                                            \
        else                                                                                                           \
            _tile_dpbf16ps(sums, in, weight);                                                                          \
    } while (0)

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Where a tile of pixels begins: its image, line, and column (the last tile of a line moves left to fit).
typedef struct {
    int64_t n, y, x, fresh; // fresh: the first pixel that no earlier tile of the line holds
} place;

static place place_of(const plan *p, int64_t tile) {
    int64_t line = tile / p->tiles_per_line, fresh = tile % p->tiles_per_line * p->rows;
    return (place){line / p->lines_per_image, line % p->lines_per_image, least(fresh, p->line_width - p->rows), fresh};
}

static void next_place(const plan *p, place *at) {
    at->fresh += p->rows;
    if (at->fresh >= p->line_width) {
        at->fresh = 0;
        if (++at->y >= p->lines_per_image) at->y = 0, at->n++;
    }
    at->x = least(at->fresh, p->line_width - p->rows);
}

static const char *input_of(const plan *p, const place *at) {
    return p->in + at->n * p->in_image + at->y * p->in_line + at->x * p->g.step;
}

static void part_of(const cf_conv_store *s, int first, int count, cf_conv_store *part) {
    *part = *s;
    part->sums = (const float *)s->sums + (int64_t)first * s->width;
    part->out += first * s->out_pixel;
    part->x += first;
    part->pixels = count;
}

static void write_any(const cf_conv_store *s, int first, int count) {
    cf_conv_store part;
    part_of(s, first, count, &part);
    cf_store_any(&part, 0);
}

static void write_quantised(const cf_conv_store *s, int first, int count) {
    cf_conv_store part;
    part_of(s, first, count, &part);
    cf_store_any(&part, 1);
}

// The frequent case without any of the above: bf16 out, bf16 or no residual, whole panels.
CF_INLINE void write_bf16(const cf_conv_store *s, int first, int count, int act, int add) {
    v_f32 scale = v_set(s->attr->affine ? s->attr->scale : 1), shift = v_set(s->attr->affine ? s->attr->shift : 0);
    const float *sums = (const float *)s->sums + first * 32;
    char *out = s->out + first * s->out_pixel;
    int coarse = add ? s->attr->coarse : 0;
    for (int m = 0; m < count; m++, sums += 32, out += s->out_pixel) {
        const char *from = add ? s->add + ((s->x + first + m) >> coarse) * s->add_pixel : NULL;
        for (int c = 0; c < s->channels; c += V_LANES) {
            v_f32 value = v_load(sums + c),
                  more = add ? v_read(from + c * 2, CF_BF16, V_LANES, scale, v_set_i32(0)) : shift;
            if (add && coarse) value = v_add(value, more);
            value = v_fma(v_act_rounded(act, value), scale, shift);
            if (add && !coarse) value = v_add(value, more);
            v_put_16(out + c * 2, V_LANES, v_to_bf16(value));
        }
    }
}

#define WRITE_BF16(name, act, add)                                                                                     \
    static void name(const cf_conv_store *s, int first, int count) {                                                   \
        write_bf16(s, first, count, act, add);                                                                         \
    }
WRITE_BF16(write_none, CF_ACT_NONE, 0)
WRITE_BF16(write_none_add, CF_ACT_NONE, 1)
WRITE_BF16(write_relu, CF_ACT_RELU, 0)
WRITE_BF16(write_relu_add, CF_ACT_RELU, 1)
WRITE_BF16(write_silu, CF_ACT_SILU, 0)
WRITE_BF16(write_silu_add, CF_ACT_SILU, 1)

static writer *writer_of(const cf_problem *problem, int quantised) {
    const cf_conv_attr *attr = &problem->attr.conv;
    int add = problem->inputs > 1;
    if (quantised) return write_quantised;
    if (problem->out[0].dtype != CF_BF16 || problem->out[0].c % CF_PANEL) return write_any;
    if (add && problem->in[1].dtype != CF_BF16) return write_any;
    if (attr->act == CF_ACT_NONE) return add ? write_none_add : write_none;
    if (attr->act == CF_ACT_RELU) return add ? write_relu_add : write_relu;
    if (attr->act == CF_ACT_SILU) return add ? write_silu_add : write_silu;
    return write_any;
}

static int64_t tiles_in(int64_t width) {
    return (width + TILE - 1) / TILE;
}

// Where the input's lines are a whole number of pixels apart, all output lines of an image are one run of positions at
// equal distances, between the lines some that count for nothing: of 20 pixels every line would leave a tile of 16 and
// one of 4. Joined lines are taken where that makes fewer tiles.
static void lines_of(plan *p) {
    const cf_conv_geometry *g = &p->g;
    p->line_width = p->pitch = g->width;
    p->lines = g->lines;
    p->lines_per_image = g->lines_per_image;
    if (p->in_line % g->step) return;
    int64_t pitch = p->in_line / g->step, joined = (g->lines_per_image - 1) * pitch + g->width;
    if (pitch < g->width || tiles_in(joined) >= g->lines_per_image * tiles_in(g->width)) return;
    p->pitch = pitch;
    p->line_width = joined;
    p->lines = g->lines / g->lines_per_image;
    p->lines_per_image = 1;
}

// Shapes of the tiles, and how the work is cut. Needs the geometry and the input's strides only.
static void tiles_of(plan *p) {
    cf_conv_geometry *g = &p->g;
    lines_of(p);
    p->chunk = chunk_of(g->groups);
    p->chunks = g->groups / p->chunk;
    p->steps = g->rows * g->cols * p->chunks;
    p->tiles_per_line = tiles_in(p->line_width);
    p->rows = (int32_t)((p->line_width + p->tiles_per_line - 1) / p->tiles_per_line);
    p->tiles_per_line = (p->line_width + p->rows - 1) / p->rows;
    p->tiles = p->lines * p->tiles_per_line;
    p->run = (BLOCK_BYTES / (p->rows * g->step * 2 + 1) + 1) * 2;
    p->store_pixels = (2 * TILE + p->steps - 1) / p->steps;
    if (p->store_pixels < LEAST_STORE) p->store_pixels = LEAST_STORE;
}

static void find_steps(plan *p, int32_t *offset) {
    const cf_conv_geometry *g = &p->g;
    int32_t *to = offset;
    for (int row = 0; row < g->rows; row++)
        for (int col = 0; col < g->cols; col++)
            for (int chunk = 0; chunk < p->chunks; chunk++)
                *to++ = (int32_t)(row * g->row_step + col * g->col_step + chunk * p->chunk * 4);
    p->offset = offset;
}

// Two tiles of pixels by two panels of finished sums, waiting to be written: that happens a few pixels at a time
// between the products of the next block, so that vector units and tiles work side by side.
typedef struct {
    cf_conv_store store; // of the pixels on one output line
    int64_t n, y;        // that line
    int64_t left;        // positions from the store's first to the tile's end
} finished_tile;

typedef struct {
    float sums[2 * TILE * 32] __attribute__((aligned(64)));
    finished_tile tile[2];
    int32_t panel, panels; // that `tile` was made for; panels 0: none so far
    int32_t at, end, done; // the tile at work, one behind the last, and how many pixels of its store are done
} finished;

// What the stores of all tiles of a panel have in common.
static void begin_panels(const plan *p, int panel, int panels, finished *f) {
    const cf_call *call = p->call;
    const cf_tensor *out = &call->out[0], *add = &call->in[1];
    int first = panel * CF_PANEL;
    f->panel = panel, f->panels = panels;
    f->tile[0].store = f->tile[1].store =
        (cf_conv_store){.scale = p->scale + first,
                        .bias = p->bias + first,
                        .out_pixel = p->g.out_pixel * cf_dtype_size(out->dtype),
                        .add_pixel = p->g.add_pixel * cf_dtype_size(add->dtype),
                        .channels = (int32_t)least(p->g.outputs - first, panels * CF_PANEL),
                        .width = 32,
                        .attr = &call->problem->attr.conv,
                        .out_tensor = out,
                        .add_tensor = add};
}

// The store of what a tile has on line t->y from column x on; sums are those of the first.
static void store_line(const plan *p, int64_t x, int panel, const float *sums, finished_tile *t) {
    const cf_call *call = p->call;
    const cf_conv_geometry *g = &p->g;
    const cf_tensor *out = &call->out[0], *add = &call->in[1];
    int first = panel * CF_PANEL;
    cf_conv_store *s = &t->store;
    s->sums = sums;
    s->out = (char *)out->data +
             (t->n * g->out_image + t->y * g->out_line + x * g->out_pixel + first) * cf_dtype_size(out->dtype);
    if (call->problem->inputs > 1) s->add = cf_conv_residual(call, g, t->n, t->y) + first * cf_dtype_size(add->dtype);
    s->x = (int32_t)x;
    s->pixels = (int32_t)least(t->left, g->width - x);
}

static void place_store(const plan *p, const place *at, int panel, const float *sums, finished_tile *t) {
    int32_t lines = (int32_t)at->fresh / (int32_t)p->pitch;
    int64_t x = at->fresh - lines * p->pitch, gap = x < p->g.width ? 0 : p->pitch - x;
    *t = (finished_tile){t->store, at->n, at->y + lines + (gap > 0), at->x + p->rows - at->fresh - gap};
    if (t->left > 0)
        store_line(p, gap ? 0 : x, panel, sums + (at->fresh - at->x + gap) * 32, t);
    else
        t->store.pixels = 0;
}

// To the next output line that the tile reaches; 0 if there is none.
static int next_line(const plan *p, int panel, finished_tile *t) {
    int64_t passed = t->store.pixels + p->pitch - p->g.width;
    if (t->left <= passed) return 0;
    t->left -= passed;
    t->y++;
    store_line(p, 0, panel, (const float *)t->store.sums + passed * 32, t);
    return 1;
}

// The next `pixels` of a finished block.
CF_INLINE void store_some(const plan *p, finished *f, int pixels) {
    while (pixels > 0 && f->at < f->end) {
        finished_tile *t = &f->tile[f->at];
        int left = t->store.pixels - f->done, take = left < pixels ? left : pixels;
        p->write(&t->store, f->done, take);
        f->done += take;
        pixels -= take;
        if (take < left) continue;
        f->done = 0;
        if (!next_line(p, f->panel, t)) f->at++;
    }
}

// What a block of two tiles and two panels multiplies.
typedef struct {
    const char *in0, *in1, *weight;
    const float *start; // what the sums of every pixel start from
    float *sums;        // [2][16][32], where they go
} block;

// One step of K. new_in, new_weight: 0 where the tiles of the step before are used again.
CF_INLINE void one_product(product use, const char *a0, const char *a1, const char *weight, int64_t step, int64_t panel,
                           int tiles, int panels, int new_in, int new_weight) {
    if (new_in) _tile_loadd(4, a0, step);
    if (new_weight) _tile_loadd(6, weight, 64);
    DOT(use, 0, 4, 6);
    if (panels > 1 && new_weight) _tile_loadd(7, weight + panel, 64);
    if (panels > 1) DOT(use, 1, 4, 7);
    if (tiles > 1 && new_in) _tile_loadd(5, a1, step);
    if (tiles > 1) DOT(use, 2, 5, 6);
    if (tiles > 1 && panels > 1) DOT(use, 3, 5, 7);
}

// Sums of 1 or 2 tiles of pixels and 1 or 2 panels. `before` is written out meanwhile.
CF_INLINE void multiply(product use, const plan *p, const block *b, int tiles, int panels, finished *before) {
    int64_t step = p->g.step, part = p->part, weight_part = p->weight_part, panel = p->panel;
    const char *weight = b->weight;
    _tile_loadd(0, b->start, 0); // stride 0: all rows are the same
    if (panels > 1) _tile_loadd(1, b->start + CF_PANEL, 0);
    if (tiles > 1) _tile_loadd(2, b->start, 0);
    if (tiles > 1 && panels > 1) _tile_loadd(3, b->start + CF_PANEL, 0);
    for (int s = 0; s < p->steps; s++) {
        const char *a0 = b->in0 + p->offset[s], *a1 = b->in1 + p->offset[s];
        one_product(use, a0, a1, weight, step, panel, tiles, panels, 1, 1);
        if (use == USE_SPLIT) { // that was hi*hi; of the other parts hi*lo, hi*mid, mid*mid, mid*hi, lo*hi
            one_product(use, a0, a1, weight + 2 * weight_part, step, panel, tiles, panels, 0, 1);
            one_product(use, a0, a1, weight + weight_part, step, panel, tiles, panels, 0, 1);
            one_product(use, a0 + part, a1 + part, weight, step, panel, tiles, panels, 1, 0);
            one_product(use, a0, a1, weight, step, panel, tiles, panels, 0, 1);
            one_product(use, a0 + 2 * part, a1 + 2 * part, weight, step, panel, tiles, panels, 1, 0);
        }
        weight += p->chunk * 64;
        store_some(p, before, p->store_pixels);
    }
    store_some(p, before, 2 * TILE);
    _tile_stored(0, b->sums, 128);
    if (panels > 1) _tile_stored(1, b->sums + CF_PANEL, 128);
    if (tiles > 1) _tile_stored(2, b->sums + TILE * 32, 128);
    if (tiles > 1 && panels > 1) _tile_stored(3, b->sums + TILE * 32 + CF_PANEL, 128);
}

// Two tiles and two panels, or what is left of them; moves `at` behind them. now: the block at work; before: the one
// before, still being written.
CF_INLINE void one_block(product use, const plan *p, place *at, int tiles, int panel, int panels, finished *now,
                         finished *before) {
    block b = {.in0 = input_of(p, at),
               .weight = (const char *)p->call->packed + panel * p->panel,
               .start = (const float *)p->start + panel * CF_PANEL,
               .sums = now->sums};
    if (now->panel != panel || now->panels != panels) begin_panels(p, panel, panels, now);
    place_store(p, at, panel, now->sums, &now->tile[0]);
    next_place(p, at);
    if (tiles > 1) {
        b.in1 = input_of(p, at);
        place_store(p, at, panel, now->sums + TILE * 32, &now->tile[1]);
        next_place(p, at);
    } else {
        b.in1 = b.in0;
    }
    if (tiles > 1 && panels > 1)
        multiply(use, p, &b, 2, 2, before);
    else if (tiles > 1)
        multiply(use, p, &b, 2, 1, before);
    else if (panels > 1)
        multiply(use, p, &b, 1, 2, before);
    else
        multiply(use, p, &b, 1, 1, before);
    now->at = 0, now->end = tiles, now->done = 0;
}

CF_INLINE void run_plan(product use, plan *p, const cf_team *team) {
    cf_conv_geometry *g = &p->g;
    if (g->lines == 0 || g->width == 0) return;
    tiles_of(p);
    p->write = writer_of(p->call->problem, use == USE_U8 || use == USE_S8);
    int32_t offset[MOST_STEPS];
    find_steps(p, offset);
    configure(p);
    int64_t pairs = (p->tiles + 1) / 2;
    cf_conv_share share = cf_conv_share_of(team, pairs, (g->panels + 1) / 2);
    int64_t first = share.run_first * 2, last = least(share.run_last * 2, p->tiles);
    int panel_last = (int)least(share.panel_last * 2, g->panels);
    finished f[2];
    f[0].panels = f[1].panels = 0;
    f[0].at = f[0].end = f[1].at = f[1].end = 0;
    int turn = 0;
    for (int64_t begin = first; begin < last; begin += p->run) {
        int64_t end = least(begin + p->run, last);
        place start = place_of(p, begin);
        for (int panel = share.panel_first * 2; panel < panel_last; panel += 2) {
            place at = start;
            for (int64_t tile = begin; tile < end; tile += 2, turn ^= 1)
                one_block(use, p, &at, (int)least(end - tile, 2), panel, (int)least(panel_last - panel, 2), &f[turn],
                          &f[turn ^ 1]);
        }
    }
    store_some(p, &f[turn ^ 1], 2 * TILE);
    _tile_release();
}

// bf16 and int8 read the input in place, and share the packed form of the AVX-512 kernels.
static void plan_direct(const cf_call *call, plan *p) {
    const cf_tensor *in = &call->in[0];
    int size = cf_dtype_size(in->dtype);
    memset(p, 0, sizeof *p);
    cf_conv_geometry_make(call->problem, call->images, &p->g);
    p->call = call;
    p->in = (const char *)in->data + p->g.in_first * size;
    p->in_line = p->g.in_line * size;
    p->in_image = p->g.in_image * size;
    p->panel = (int64_t)cf_conv_panel_bytes(&p->g);
    p->bias = (const float *)((const char *)call->packed + p->g.panels * p->panel);
    p->scale = p->bias + p->g.panels * CF_PANEL;
    p->start = size == 1 ? (const void *)(p->scale + p->g.panels * CF_PANEL) : (const void *)p->bias;
}

static const char *refuse_direct(const cf_problem *problem, cf_dtype dtype) {
    const char *why = cf_conv_refuse(problem, dtype);
    if (why) return why;
    cf_conv_geometry g;
    cf_conv_geometry_make(problem, 1, &g);
    return fits(&g) ? NULL : "channels do not fill tiles";
}

static const char *refuse_bf16(const cf_problem *problem) {
    return refuse_direct(problem, CF_BF16);
}

static void run_bf16(const cf_call *call, const cf_team *team) {
    plan p;
    plan_direct(call, &p);
    run_plan(USE_BF16, &p, team);
}

static const char *refuse_int8(const cf_problem *problem) {
    return refuse_direct(problem, problem->in[0].dtype == CF_S8 ? CF_S8 : CF_U8);
}

static void pack_int8(const cf_problem *problem, void *packed) {
    cf_conv_pack_for(problem, packed, 0);
}

static void run_int8(const cf_call *call, const cf_team *team) {
    plan p;
    plan_direct(call, &p);
    if (call->in[0].dtype == CF_S8)
        run_plan(USE_S8, &p, team);
    else
        run_plan(USE_U8, &p, team);
}

// FP32 accuracy. The split input: [image][h + padding][w + padding][hi c, mid c, lo c] bf16, in scratch.
typedef struct {
    int64_t h, w; // with padding
} split_size;

static split_size split_size_of(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0];
    return (split_size){in->h + attr->pad_top + attr->pad_bottom, in->w + attr->pad_left + attr->pad_right};
}

// The problem as the tiles see it: a bf16 input with three times the channels between pixels.
static void split_problem(const cf_problem *problem, cf_problem *split) {
    split_size size = split_size_of(problem);
    *split = *problem;
    cf_tensor *in = &split->in[0];
    in->dtype = CF_BF16;
    in->h = (int32_t)size.h, in->w = (int32_t)size.w;
    in->pixel = (int64_t)in->c * PARTS;
    in->row = in->pixel * size.w;
    in->image = in->row * size.h;
    cf_conv_attr *attr = &split->attr.conv;
    attr->pad_top = attr->pad_left = attr->pad_bottom = attr->pad_right = 0;
}

static const char *refuse_split(const cf_problem *problem) {
    const char *why = cf_conv_refuse(problem, CF_F32);
    if (why) return why;
    cf_problem split;
    cf_conv_geometry g;
    split_problem(problem, &split);
    cf_conv_geometry_make(&split, 1, &g);
    if (problem->in[0].c % 16) return "channels are not a multiple of 16";
    return fits(&g) ? NULL : "channels do not fill tiles";
}

static size_t scratch_size_split(const cf_problem *problem) {
    cf_problem split;
    split_problem(problem, &split);
    return (size_t)(split.in[0].image * problem->images * 2);
}

// Packed: per panel hi, mid, lo of the weights, each as conv_panel.h has them; then the bias.
static size_t packed_size_split(const cf_problem *problem) {
    cf_problem split;
    cf_conv_geometry g;
    split_problem(problem, &split);
    cf_conv_geometry_make(&split, 1, &g);
    return (size_t)g.panels * (PARTS * cf_conv_panel_bytes(&g) + CF_PANEL * 4);
}

static void pack_split(const cf_problem *problem, void *packed) {
    cf_problem split;
    cf_conv_geometry g;
    split_problem(problem, &split);
    cf_conv_geometry_make(&split, 1, &g);
    const cf_conv_attr *attr = &problem->attr.conv;
    int channels = problem->in[0].c, taps = attr->kernel_h * attr->kernel_w;
    size_t part = cf_conv_panel_bytes(&g);
    memset(packed, 0, packed_size_split(problem));
    float *bias = (float *)((char *)packed + (size_t)g.panels * PARTS * part);
    for (int o = 0; o < g.outputs; o++) {
        char *panel = (char *)packed + (size_t)(o / CF_PANEL) * PARTS * part + o % CF_PANEL * 4;
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < channels; c++) {
                float left =
                    problem->constant[0].data[((size_t)o * (size_t)channels + (size_t)c) * (size_t)taps + (size_t)t];
                char *to = panel + (size_t)(t * (channels / 2) + c / 2) * 64 + c % 2 * 2;
                for (int i = 0; i < PARTS; i++) {
                    uint16_t half = cf_f32_to_bf16(left);
                    memcpy(to + (size_t)i * part, &half, 2);
                    left -= cf_bf16_to_f32(half);
                }
            }
        if (problem->constant[1].data) bias[o] = problem->constant[1].data[o];
    }
}

static void split_row(const float *from, uint16_t *to, int64_t pixels, int64_t pixel, int channels) {
    for (int64_t x = 0; x < pixels; x++, from += pixel, to += (int64_t)channels * PARTS)
        for (int c = 0; c < channels; c += 16) {
            __m512 left = _mm512_loadu_ps(from + c);
            for (int i = 0; i < PARTS; i++) {
                __m256i half = v_to_bf16(left);
                _mm256_storeu_si256((__m256i *)(to + (int64_t)i * channels + c), half);
                left = _mm512_sub_ps(left, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)));
            }
        }
}

static void run_split(const cf_call *call, const cf_team *team) {
    const cf_problem *problem = call->problem;
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &call->in[0];
    split_size size = split_size_of(problem);
    cf_problem split;
    split_problem(problem, &split);
    const cf_tensor *wide = &split.in[0];
    long begin, end;
    cf_team_range(team, (long)(call->images * size.h), &begin, &end);
    for (long line = begin; line < end; line++) {
        int64_t n = line / size.h, y = line % size.h - attr->pad_top;
        uint16_t *to = (uint16_t *)call->scratch + line * wide->row;
        if (y < 0 || y >= in->h) {
            memset(to, 0, (size_t)wide->row * 2);
            continue;
        }
        memset(to, 0, (size_t)(attr->pad_left * wide->pixel) * 2);
        to += attr->pad_left * wide->pixel;
        split_row(cf_tensor_at(in, n, y, 0), to, in->w, in->pixel, in->c);
        memset(to + in->w * wide->pixel, 0, (size_t)(attr->pad_right * wide->pixel) * 2);
    }
    cf_team_barrier(team);
    plan p;
    memset(&p, 0, sizeof p);
    cf_conv_geometry_make(&split, call->images, &p.g);
    p.call = call;
    p.in = call->scratch;
    p.in_line = p.g.in_line * 2;
    p.in_image = p.g.in_image * 2;
    p.part = (int64_t)in->c * 2;
    p.weight_part = (int64_t)cf_conv_panel_bytes(&p.g);
    p.panel = PARTS * p.weight_part;
    p.bias = (const float *)((const char *)call->packed + p.g.panels * p.panel);
    p.scale = p.bias;
    p.start = p.bias;
    run_plan(USE_SPLIT, &p, team);
}

#define AVX512 (CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16)

const cf_kernel cf_conv_bf16_amx = {.name = "conv_bf16_amx",
                                    .op = CF_OP_CONV,
                                    .cpu = AVX512 | CF_CPU_AMX_BF16,
                                    .refuse = refuse_bf16,
                                    .packed_size = cf_conv_packed_size,
                                    .pack = cf_conv_pack,
                                    .run = run_bf16};

const cf_kernel cf_conv_int8_amx = {.name = "conv_int8_amx",
                                    .op = CF_OP_CONV,
                                    .cpu = AVX512 | CF_CPU_AMX_INT8,
                                    .refuse = refuse_int8,
                                    .packed_size = cf_conv_packed_size,
                                    .pack = pack_int8,
                                    .run = run_int8};

const cf_kernel cf_conv_f32_amx = {.name = "conv_f32_amx",
                                   .op = CF_OP_CONV,
                                   .cpu = AVX512 | CF_CPU_AMX_BF16,
                                   .refuse = refuse_split,
                                   .packed_size = packed_size_split,
                                   .pack = pack_split,
                                   .scratch_size = scratch_size_split,
                                   .run = run_split};
