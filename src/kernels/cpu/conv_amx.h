// SPDX-License-Identifier: Apache-2.0
// The loops of a convolution on AMX tiles, for kernels that say what lies where.
//
// A tile of the input is up to 16 neighbouring pixels times 64 bytes of channels, loaded straight from the activation
// with its pixel stride; a tile of weights is 16 groups of a panel (conv_panel.h), which is already in tile order. Two
// input tiles times two panels, a block, keep four tiles of sums, so that each load is used twice; with a single panel
// four input tiles do, so that a product does not wait for the one before. All tiles of a problem have one shape, set
// once: lines (all lines of an image together, where that fills tiles better) are cut into equal tiles, the last of
// which overlaps its neighbour when they do not fit, and K runs into equal chunks.
//
// One load of 1 KB for each product is what the first cache delivers and the second does not, so that one operand must
// stay in the first. That is the input: a block's pixels meet all panels before the next block's, while the weights
// come from the second cache by loads that leave the first one alone. Where a block's input is too large K is cut into
// parts whose sums wait in scratch. Where the weights are too large for the second cache the order turns around: for
// each part of K, a pair of panels stays in the first cache and meets all pixels, which stream past. Meanwhile the
// operand that comes next is called into the second cache.
#ifndef CF_KERNELS_CPU_CONV_AMX_H
#define CF_KERNELS_CPU_CONV_AMX_H

#include <string.h>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/conv_amx_finish.h"

enum {
    CF_AMX_MOST_TILES = 4, // of pixels in a block
    CF_BLOCK_SUMS = 2 * CF_TILE * CF_BLOCK_WIDTH,
    CF_AMX_MOST_STEPS = 1024,
    CF_AMX_LEAST_STORE = 4,           // pixels written at a time
    CF_AMX_INPUT_BYTES = 48 << 10,    // of a block's input: the first cache
    CF_AMX_PART_BYTES = 32 << 10,     // of a part of it, beside sums that wait
    CF_AMX_FEW_WEIGHTS = 32 << 10,    // bytes that stay in the first cache beside the input
    CF_AMX_WEIGHT_BYTES = 1400 << 10, // of a thread's weights: what the second cache of 2 MB holds beside the rest
    CF_AMX_WAITING_BYTES = 512 << 10, // of sums that wait, in the second cache beside what they are made of
    CF_AMX_MOST_AHEAD = 16,           // calls in a step
    CF_AMX_MOST_FRESH = 64,           // pixels of a kernel that are called for
    CF_AMX_FEW_STEPS = 16,            // of a block whose output is called for
    CF_AMX_BLOCKS_AHEAD = 2,          // from a block to the one whose output is called for meanwhile
    CF_AMX_CALLED = 128,              // bytes that one call brings: the processor fetches lines in pairs
};

typedef enum { CF_AMX_BF16, CF_AMX_U8, CF_AMX_S8 } cf_amx_product;

struct cf_amx_conv;
struct cf_amx_block;
typedef void cf_amx_multiplier(const struct cf_amx_conv *p, struct cf_amx_block *b);

// What a kernel says, and what the loops make of it.
typedef struct cf_amx_conv {
    cf_conv_geometry g;
    const cf_problem *problem;
    const cf_call *call; // NULL while only the shape is known
    int32_t threads;
    int64_t in_line, in_image; // bytes between output lines, and images
    int64_t panel;             // bytes of a panel
    const char *in;            // the first tap of the first output
    const float *bias, *scale;
    const void *start; // what sums start from, a number an output

    int32_t chunk, chunks, rows; // groups in a tile; tiles in a K run; pixels in a tile
    int32_t steps, stretch;      // tiles in K; those of one part of K
    int32_t weights_outside;     // 1: the order for large weights
    int64_t run;                 // blocks of pixels that meet a part of the weights before the next
    int32_t weights_stay;        // 1: they are loaded so that they stay in the first cache, 0: so that they pass it
    int32_t input_stays;         // likewise
    int32_t store_pixels, store_turn;           // of the block before: written at a time, steps left out between
    int64_t line_width, lines, lines_per_image; // of the lines that tiles are cut from: the output's, or joined ones
    int64_t pitch;                              // positions from one output line to the next in such a line
    int64_t tiles_per_line, tiles, block; // tiles in a block, unless fewer are left: 4 with a single panel, else 2
    cf_amx_writer *write;
    cf_amx_multiplier *const (*multiply)[2]; // [tiles - 1][panels - 1]
    // Of each step bytes from the first tap, and from the panel's first weight.
    int32_t *offset, *weight_offset;
    // Pixels that neither the line nor the pixel before has read, bytes from the first tap, and calls for one of them.
    int32_t fresh[CF_AMX_MOST_FRESH], fresh_count, fresh_lines;
} cf_amx_conv;

static inline int64_t cf_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// The most groups, up to 16, that divide a K run evenly.
static int cf_amx_chunk(int groups) {
    int chunk = groups < CF_TILE ? groups : CF_TILE;
    while (chunk > 1 && groups % chunk) chunk--;
    return chunk;
}

static inline const char *cf_amx_refuse(const cf_conv_geometry *g) {
    int chunk = cf_amx_chunk(g->groups);
    if (g->groups == 0 || g->tail || (chunk < 4 && g->groups >= 8)) return "channels do not fill tiles";
    return g->depth / chunk <= CF_AMX_MOST_STEPS ? NULL : "a very large kernel";
}

static int64_t cf_tiles_in(int64_t width) {
    return (width + CF_TILE - 1) / CF_TILE;
}

// Where the input's lines are a whole number of pixels apart, all output lines of an image are one run of positions at
// equal distances, between the lines some that count for nothing: of 20 pixels every line would leave a tile of 16 and
// one of 4. Joined lines are taken where that makes fewer tiles.
static void cf_amx_lines(cf_amx_conv *p) {
    const cf_conv_geometry *g = &p->g;
    p->line_width = p->pitch = g->width;
    p->lines = g->lines;
    p->lines_per_image = g->lines_per_image;
    if (p->in_line % g->step) return;
    int64_t pitch = p->in_line / g->step, joined = (g->lines_per_image - 1) * pitch + g->width;
    if (pitch < g->width || cf_tiles_in(joined) >= g->lines_per_image * cf_tiles_in(g->width)) return;
    p->pitch = pitch;
    p->line_width = joined;
    p->lines = g->lines / g->lines_per_image;
    p->lines_per_image = 1;
}

// Bytes of input that a block reads, each counted once.
static int64_t cf_amx_block_bytes(const cf_amx_conv *p) {
    const cf_conv_attr *attr = &p->problem->attr.conv;
    int stride = attr->stride < attr->kernel_w ? attr->stride : attr->kernel_w;
    int64_t pixels = p->block * p->rows * stride + attr->kernel_w - stride;
    return pixels * p->problem->in[0].c * (4 / p->g.group) * p->g.rows;
}

// Threads side by side over pairs of panels, the others over pixels: as cf_conv_share_of has them, but so many that the
// weights of each stay in its second cache.
static int cf_amx_across(const cf_amx_conv *p) {
    int64_t weights = p->g.panels * p->panel;
    int pairs = (p->g.panels + 1) / 2, across = 1;
    while (across < p->threads && (p->threads % across || weights / across > CF_AMX_WEIGHT_BYTES)) across++;
    return across > 1 && pairs >= 2 * across ? across : 1;
}

// The tiles of all lines.
static void cf_amx_cut_lines(cf_amx_conv *p) {
    cf_amx_lines(p);
    p->tiles_per_line = cf_tiles_in(p->line_width);
    p->rows = (int32_t)((p->line_width + p->tiles_per_line - 1) / p->tiles_per_line);
    p->tiles_per_line = (p->line_width + p->rows - 1) / p->rows;
    p->tiles = p->lines * p->tiles_per_line;
}

// Shapes of the tiles, and how K and the work are cut. Needs shapes and strides only.
static void cf_amx_shape(cf_amx_conv *p) {
    cf_conv_geometry *g = &p->g;
    cf_amx_cut_lines(p);
    p->chunk = cf_amx_chunk(g->groups);
    p->chunks = g->groups / p->chunk;
    p->steps = g->rows * g->cols * p->chunks;
    p->block = g->panels == 1 ? 4 : 2;
    int across = cf_amx_across(p);
    int64_t weights = p->g.panels * p->panel / across, input = cf_amx_block_bytes(p);
    int64_t cuts =
        g->panels > 4 && input > CF_AMX_INPUT_BYTES ? (input + CF_AMX_PART_BYTES - 1) / CF_AMX_PART_BYTES : 1;
    p->stretch = (int32_t)((p->steps + cuts - 1) / cuts);
    p->weights_outside = cuts > 1 && weights > CF_AMX_WEIGHT_BYTES;
    p->run = p->weights_outside ? 1 + CF_AMX_WAITING_BYTES / (g->panels * CF_BLOCK_SUMS * 2 / across) : 1;
    p->weights_stay = p->weights_outside || weights <= CF_AMX_FEW_WEIGHTS;
    p->input_stays = !p->weights_outside;
    int32_t length = p->steps - (p->steps - 1) / p->stretch * p->stretch; // of the last part of K
    int32_t pixels = (int32_t)p->block * CF_TILE;
    p->store_pixels = (pixels + length - 1) / length;
    p->store_turn = 0;
    if (p->store_pixels >= CF_AMX_LEAST_STORE) return;
    p->store_pixels = CF_AMX_LEAST_STORE;
    p->store_turn = length * CF_AMX_LEAST_STORE / pixels - 1;
    if (p->store_turn < 0) p->store_turn = 0;
}

// Numbers of sums that wait in a thread's scratch between the parts of K: of all panels and a run of pixels.
static int64_t cf_amx_waiting(const cf_amx_conv *p) {
    int64_t pairs = (p->g.panels + 1) / 2;
    return p->stretch == p->steps ? 0 : pairs * p->run * CF_BLOCK_SUMS;
}

static inline size_t cf_amx_scratch(const cf_amx_conv *p) {
    return (size_t)(p->threads * cf_amx_waiting(p)) * 4;
}

// The steps of K: kernel rows, in them columns, in them chunks of channels. Where K is cut columns come last, so that
// each part reads the pixels it needs as often as it can.
static void cf_amx_steps(cf_amx_conv *p) {
    const cf_conv_geometry *g = &p->g;
    int chunk = p->chunk * 4, s = 0;
    int whole = p->stretch == p->steps;
    for (int row = 0; row < g->rows; row++)
        for (int k = 0; k < p->chunks * g->cols; k++, s++) {
            int i = whole ? k % p->chunks : k / g->cols, col = whole ? k / p->chunks : k % g->cols;
            p->offset[s] = (int32_t)(row * g->row_step + col * g->col_step + i * chunk);
            p->weight_offset[s] = ((row * g->cols + col) * p->chunks + i) * p->chunk * 64;
        }
}

static void cf_amx_fresh(cf_amx_conv *p) {
    const cf_conv_geometry *g = &p->g;
    const cf_conv_attr *attr = &p->problem->attr.conv;
    int pixel = p->problem->in[0].c * (4 / g->group);
    int64_t apart = g->cols == 1 ? pixel : g->col_step; // a row of the kernel may be one run of K
    int row = attr->stride < attr->kernel_h ? attr->kernel_h - attr->stride : 0;
    int left = attr->stride < attr->kernel_w ? attr->kernel_w - attr->stride : 0;
    p->fresh_count = 0;
    for (; row < attr->kernel_h; row++)
        for (int col = left; col < attr->kernel_w && p->fresh_count < CF_AMX_MOST_FRESH; col++)
            p->fresh[p->fresh_count++] = (int32_t)(row * g->row_step + col * apart);
    p->fresh_lines = (pixel + CF_AMX_CALLED - 1) / CF_AMX_CALLED;
}

// Where a tile of pixels begins: its image, line, and column (the last tile of a line moves left to fit).
typedef struct {
    int64_t n, y, x, fresh; // fresh: the first pixel that no earlier tile of the line holds
} cf_amx_place;

static cf_amx_place cf_amx_place_of(const cf_amx_conv *p, int64_t tile) {
    int64_t line = tile / p->tiles_per_line, fresh = tile % p->tiles_per_line * p->rows;
    return (cf_amx_place){line / p->lines_per_image, line % p->lines_per_image,
                          cf_least(fresh, p->line_width - p->rows), fresh};
}

static void cf_amx_next_place(const cf_amx_conv *p, cf_amx_place *at) {
    at->fresh += p->rows;
    if (at->fresh >= p->line_width) {
        at->fresh = 0;
        if (++at->y >= p->lines_per_image) at->y = 0, at->n++;
    }
    at->x = cf_least(at->fresh, p->line_width - p->rows);
}

static const char *cf_amx_input(const cf_amx_conv *p, const cf_amx_place *at) {
    return p->in + at->n * p->in_image + at->y * p->in_line + at->x * p->g.step;
}

// [tile][pixel][32]
typedef float cf_finished_sums[CF_AMX_MOST_TILES * CF_TILE * CF_BLOCK_WIDTH] __attribute__((aligned(64)));

// A block whose sums wait to be written: that happens a few pixels at a time between the products of the next block, so
// that vector units and tiles work side by side. Where they go is found out then, too: at the end of a block nothing
// should keep the next one's loads from starting.
typedef struct {
    float *sums; // a cf_finished_sums
    cf_amx_place place[CF_AMX_MOST_TILES];
    int32_t panel, panels, tiles;
    int32_t tile;        // at work; -1: none yet
    int32_t done;        // pixels of `store` that are written
    cf_conv_store store; // what the tile has on one output line
    int64_t n, y;        // that line
    int64_t left;        // positions from the store's first to the tile's end
    // Bytes from where the block writes, and where its residual is, to what is called for meanwhile; 0: nothing is.
    int64_t out_ahead, add_ahead;
} cf_finished;

// What all stores of the block have in common.
static void cf_amx_begin_store(const cf_amx_conv *p, cf_finished *f) {
    const cf_call *call = p->call;
    const cf_tensor *out = &call->out[0], *add = &call->in[1];
    int first = f->panel * CF_PANEL;
    f->store = (cf_conv_store){.scale = p->scale + first,
                               .bias = p->bias + first,
                               .out_pixel = p->g.out_pixel * cf_dtype_size(out->dtype),
                               .add_pixel = p->g.add_pixel * cf_dtype_size(add->dtype),
                               .channels = (int32_t)cf_least(p->g.outputs - first, f->panels * CF_PANEL),
                               .width = CF_BLOCK_WIDTH,
                               .attr = &call->problem->attr.conv,
                               .out_tensor = out,
                               .add_tensor = add};
}

// The store of what a tile has on line f->y from column x on; sums are those of the first.
static void cf_amx_store_line(const cf_amx_conv *p, int64_t x, const float *sums, cf_finished *f) {
    const cf_call *call = p->call;
    const cf_conv_geometry *g = &p->g;
    const cf_tensor *out = &call->out[0], *add = &call->in[1];
    int first = f->panel * CF_PANEL;
    cf_conv_store *s = &f->store;
    s->sums = sums;
    s->out = (char *)out->data +
             (f->n * g->out_image + f->y * g->out_line + x * g->out_pixel + first) * cf_dtype_size(out->dtype);
    if (call->problem->inputs > 1) s->add = cf_conv_residual(call, g, f->n, f->y) + first * cf_dtype_size(add->dtype);
    s->x = (int32_t)x;
    s->pixels = (int32_t)cf_least(f->left, g->width - x);
}

// The store of the first line of the next tile.
static void cf_amx_next_tile(const cf_amx_conv *p, cf_finished *f) {
    if (f->tile < 0) cf_amx_begin_store(p, f);
    if (++f->tile >= f->tiles) return;
    const cf_amx_place *at = &f->place[f->tile];
    int32_t lines =
        p->line_width > p->g.width ? (int32_t)at->fresh / (int32_t)p->pitch : 0; // most lines are not joined
    int64_t x = at->fresh - lines * p->pitch, gap = x < p->g.width ? 0 : p->pitch - x;
    f->n = at->n, f->y = at->y + lines + (gap > 0), f->left = at->x + p->rows - at->fresh - gap;
    if (f->left > 0)
        cf_amx_store_line(p, gap ? 0 : x, f->sums + (f->tile * CF_TILE + at->fresh - at->x + gap) * CF_BLOCK_WIDTH, f);
    else
        f->store.pixels = 0;
}

// To the next output line that the tile reaches; 0 if there is none.
static int cf_amx_next_line(const cf_amx_conv *p, cf_finished *f) {
    int64_t passed = f->store.pixels + p->pitch - p->g.width;
    if (f->left <= passed) return 0;
    f->left -= passed;
    f->y++;
    cf_amx_store_line(p, 0, (const float *)f->store.sums + passed * CF_BLOCK_WIDTH, f);
    return 1;
}

// Calls for `count` places a stride apart.
CF_INLINE void cf_amx_call_for(const char *at, int64_t stride, int count) {
    for (int i = 0; i < count; i++, at += stride) _mm_prefetch(at, _MM_HINT_T1);
}

// The next `pixels` of a finished block.
static void cf_amx_store_some(const cf_amx_conv *p, cf_finished *f, int pixels) {
    if (f->tile < 0) cf_amx_next_tile(p, f);
    while (pixels > 0 && f->tile < f->tiles) {
        int left = f->store.pixels - f->done, take = left < pixels ? left : pixels;
        p->write(&f->store, f->done, take);
        const cf_conv_store *s = &f->store;
        if (f->out_ahead) cf_amx_call_for(s->out + f->done * s->out_pixel + f->out_ahead, s->out_pixel, take);
        if (f->add_ahead) cf_amx_call_for(s->add + (s->x + f->done) * s->add_pixel + f->add_ahead, s->add_pixel, take);
        f->done += take;
        pixels -= take;
        if (take < left) continue;
        f->done = 0;
        if (!cf_amx_next_line(p, f)) cf_amx_next_tile(p, f);
    }
}

// Memory that is called into the second cache while a block is multiplied: at each of `runs` offsets, first from
// `base`, then from `then`, on `places` places, a stride apart, `lines` calls for what lies side by side. The processor
// sees lines follow each other and runs ahead by itself: it has three times as many of them on their way as it grants
// to us.
typedef struct {
    const char *base, *then;
    const int32_t *run;
    int64_t stride;
    int32_t runs, places, lines;
    int32_t a_step; // calls in a step
    // What comes next, how much of its place and run is left, and calls that are left in all.
    const char *at, *place;
    int32_t at_run, lines_left, places_left, all;
} cf_amx_ahead;

static void cf_amx_begin_ahead(cf_amx_ahead *a) {
    a->all = a->runs * a->places * a->lines * (a->then ? 2 : 1);
    a->lines_left = a->lines, a->places_left = a->places;
    if (a->all) a->at = a->place = a->base + a->run[0];
}

CF_INLINE void cf_amx_call_ahead(cf_amx_ahead *a) {
    for (int i = 0; i < a->a_step && a->all > 0; i++, a->all--) {
        _mm_prefetch(a->at, _MM_HINT_T1);
        a->at += CF_AMX_CALLED;
        if (--a->lines_left > 0) continue;
        a->lines_left = a->lines;
        a->at = a->place += a->stride;
        if (--a->places_left > 0) continue;
        a->places_left = a->places;
        if (++a->at_run == a->runs) a->at_run = 0, a->base = a->then;
        if (a->all > 1) a->at = a->place = a->base + a->run[a->at_run];
    }
}

// Calls in each of `steps` steps.
static int32_t cf_amx_a_step(int64_t calls, int64_t steps) {
    return (int32_t)cf_least((calls + steps - 1) / steps, CF_AMX_MOST_AHEAD);
}

// What a block of tiles and panels multiplies.
typedef struct cf_amx_block {
    const char *in[CF_AMX_MOST_TILES], *weight;
    int32_t first, last;   // steps of K
    const float *start;    // what the sums of every pixel start from; NULL: from `waiting`
    float *waiting;        // [tile][panel][16][16]
    cf_finished *finished; // where they go; NULL: to `waiting`
    cf_finished *before;   // the block before, to be written meanwhile
    cf_amx_ahead ahead;
} cf_amx_block;

#define CF_AMX_DOT(use, sums, in, weight)                                                                              \
    do {                                                                                                               \
        if ((use) == CF_AMX_U8)                                                                                        \
            _tile_dpbusd(sums, in, weight);                                                                            \
        else if ((use) == CF_AMX_S8)                                                                                   \
            _tile_dpbssd(sums, in, weight);                                                                            \
        else                                                                                                           \
            _tile_dpbf16ps(sums, in, weight);                                                                          \
    } while (0)

#define CF_AMX_LOAD(stays, tile, from, step)                                                                           \
    do {                                                                                                               \
        if (stays)                                                                                                     \
            _tile_loadd(tile, from, step);                                                                             \
        else                                                                                                           \
            _tile_stream_loadd(tile, from, step);                                                                      \
    } while (0)

// One step of K. All loads come before the products, which wait for their operands only.
CF_INLINE void cf_amx_one_product(cf_amx_product use, const cf_amx_conv *p, const char *a0, const char *a1,
                                  const char *weight, int tiles, int panels) {
    CF_AMX_LOAD(p->weights_stay, 6, weight, 64);
    CF_AMX_LOAD(p->input_stays, 4, a0, p->g.step);
    if (panels > 1) CF_AMX_LOAD(p->weights_stay, 7, weight + p->panel, 64);
    if (tiles > 1) CF_AMX_LOAD(p->input_stays, 5, a1, p->g.step);
    CF_AMX_DOT(use, 0, 4, 6);
    if (panels > 1) CF_AMX_DOT(use, 1, 4, 7);
    if (tiles > 1) CF_AMX_DOT(use, 2, 5, 6);
    if (tiles > 1 && panels > 1) CF_AMX_DOT(use, 3, 5, 7);
}

// One step of K of four tiles and one panel.
CF_INLINE void cf_amx_four_products(cf_amx_product use, const cf_amx_conv *p, const cf_amx_block *b, int32_t offset,
                                    const char *weight) {
    int64_t step = p->g.step;
    CF_AMX_LOAD(p->weights_stay, 6, weight, 64);
    _tile_loadd(4, b->in[0] + offset, step);
    CF_AMX_DOT(use, 0, 4, 6);
    _tile_loadd(5, b->in[1] + offset, step);
    CF_AMX_DOT(use, 1, 5, 6);
    _tile_loadd(4, b->in[2] + offset, step);
    CF_AMX_DOT(use, 2, 4, 6);
    _tile_loadd(5, b->in[3] + offset, step);
    CF_AMX_DOT(use, 3, 5, 6);
}

// what(tile of sums, tile of pixels, panel)
#define CF_AMX_EACH_SUM(tiles, panels, what)                                                                           \
    do {                                                                                                               \
        what(0, 0, 0);                                                                                                 \
        if ((panels) > 1) what(1, 0, 1);                                                                               \
        if ((tiles) > 2) what(1, 1, 0);                                                                                \
        if ((tiles) == 2) what(2, 1, 0);                                                                               \
        if ((tiles) == 2 && (panels) > 1) what(3, 1, 1);                                                               \
        if ((tiles) > 2) what(2, 2, 0);                                                                                \
        if ((tiles) > 2) what(3, 3, 0);                                                                                \
    } while (0)
#define CF_AMX_START(tile, row, panel) _tile_loadd(tile, b->start + (panel)*CF_PANEL, 0) // stride 0: rows are the same
#define CF_AMX_GO_ON(tile, row, panel) _tile_loadd(tile, b->waiting + (tile)*CF_TILE * CF_PANEL, 64)
#define CF_AMX_WAIT(tile, row, panel) _tile_stored(tile, b->waiting + (tile)*CF_TILE * CF_PANEL, 64)
#define CF_AMX_FINISH(tile, row, panel)                                                                                \
    _tile_stored(tile, b->finished->sums + (row)*CF_TILE * CF_BLOCK_WIDTH + (panel)*CF_PANEL, CF_BLOCK_WIDTH * 4)

// Sums of 1, 2 or 4 tiles of pixels and 1 or, unless there are 4 tiles, 2 panels.
CF_INLINE void cf_amx_multiply(cf_amx_product use, const cf_amx_conv *p, cf_amx_block *b, int tiles, int panels) {
    cf_finished *before = b->before;
    if (b->start)
        CF_AMX_EACH_SUM(tiles, panels, CF_AMX_START);
    else
        CF_AMX_EACH_SUM(tiles, panels, CF_AMX_GO_ON);
    for (int s = b->first, last = b->last, turn = 0; s < last; s++) {
        const char *weight = b->weight + p->weight_offset[s];
        if (tiles == CF_AMX_MOST_TILES)
            cf_amx_four_products(use, p, b, p->offset[s], weight);
        else
            cf_amx_one_product(use, p, b->in[0] + p->offset[s], b->in[1] + p->offset[s], weight, tiles, panels);
        // Where no FP addition came for some 2,000 cycles, the next store of a tile was seen to take 800.
        __asm__ volatile("vaddps %%zmm31, %%zmm31, %%zmm31" ::: "xmm31");
        if (b->ahead.all) cf_amx_call_ahead(&b->ahead);
        if (--turn < 0 && before->tile < before->tiles) {
            cf_amx_store_some(p, before, p->store_pixels);
            turn = p->store_turn;
        }
    }
    if (b->finished) {
        if (before->tile < before->tiles) cf_amx_store_some(p, before, CF_AMX_MOST_TILES * CF_TILE);
        CF_AMX_EACH_SUM(tiles, panels, CF_AMX_FINISH);
    } else {
        CF_AMX_EACH_SUM(tiles, panels, CF_AMX_WAIT);
    }
}

#define CF_AMX_MULTIPLY(name, use, tiles, panels)                                                                      \
    static __attribute__((noinline)) void name(const cf_amx_conv *p, cf_amx_block *b) {                                \
        cf_amx_multiply(use, p, b, tiles, panels);                                                                     \
    }
// All of a kind of product, and a table of them: [tiles - 1][panels - 1].
#define CF_AMX_MULTIPLIES(name, use)                                                                                   \
    CF_AMX_MULTIPLY(name##_11, use, 1, 1)                                                                              \
    CF_AMX_MULTIPLY(name##_12, use, 1, 2)                                                                              \
    CF_AMX_MULTIPLY(name##_21, use, 2, 1)                                                                              \
    CF_AMX_MULTIPLY(name##_22, use, 2, 2)                                                                              \
    CF_AMX_MULTIPLY(name##_41, use, 4, 1)                                                                              \
    static cf_amx_multiplier *const name[CF_AMX_MOST_TILES][2] = {                                                     \
        {name##_11, name##_12}, {name##_21, name##_22}, {0}, {name##_41}};

// What a member of the team is at.
typedef struct {
    const cf_amx_conv *p;
    cf_finished finished[2];
    int32_t turn;         // which of them is next; the other still waits to be written
    int32_t panel, pairs; // the first panel, and pairs of panels, that a block meets before the next block
    int32_t calls_out, calls_add;
    int32_t tiles;
    cf_amx_place place[CF_AMX_MOST_TILES];
    cf_amx_block block;
} cf_amx_work;

// Tiles of the next block where `left` are left.
static int64_t cf_amx_next_tiles(const cf_amx_conv *p, int64_t left) {
    return left >= p->block ? p->block : cf_least(left, 2);
}

// Takes the block of tiles from `tile` on; *at is where the first lies, and moves behind the last.
static void cf_amx_take_block(cf_amx_work *w, int64_t tile, int64_t last, cf_amx_place *at) {
    w->tiles = (int)cf_amx_next_tiles(w->p, last - tile);
    w->block.in[1] = cf_amx_input(w->p, at); // of a single tile not loaded
    for (int i = 0; i < w->tiles; i++) {
        w->place[i] = *at;
        w->block.in[i] = cf_amx_input(w->p, at);
        cf_amx_next_place(w->p, at);
    }
}

// What is called for while a block is written: the output of the second block from here, as if its tiles lay on one
// line, and its residual.
static void cf_amx_look_ahead(const cf_amx_work *w, int panel, cf_finished *f) {
    const cf_amx_conv *p = w->p;
    const cf_tensor *out = &p->call->out[0], *add = &p->call->in[1];
    int32_t at = (panel - w->panel) / 2, then = at + CF_AMX_BLOCKS_AHEAD; // pairs of panels
    int64_t pixels = then / w->pairs * p->block * p->rows, outputs = (then % w->pairs - at) * CF_BLOCK_WIDTH;
    if (w->calls_out) f->out_ahead = (pixels * p->g.out_pixel + outputs) * cf_dtype_size(out->dtype);
    if (w->calls_add) f->add_ahead = (pixels * p->g.add_pixel + outputs) * cf_dtype_size(add->dtype);
}

// Multiplies the block of tiles with the panels from `panel` on.
static void cf_amx_one_block(cf_amx_work *w, int panel, int panel_last, float *waiting) {
    const cf_amx_conv *p = w->p;
    cf_amx_block *b = &w->block;
    cf_finished *now = &w->finished[w->turn];
    int panels = panel_last - panel > 1 ? 2 : 1, ends = b->last == p->steps;
    b->weight = (const char *)p->call->packed + panel * p->panel;
    b->start = b->first == 0 ? (const float *)p->start + panel * CF_PANEL : NULL;
    b->waiting = waiting;
    b->finished = ends ? now : NULL;
    b->before = &w->finished[w->turn ^ 1];
    p->multiply[w->tiles - 1][panels - 1](p, b);
    if (!ends) return;
    memcpy(now->place, w->place, sizeof now->place);
    if (w->calls_out || w->calls_add) cf_amx_look_ahead(w, panel, now);
    now->panel = panel, now->panels = panels, now->tiles = w->tiles, now->tile = -1, now->done = 0;
    w->turn ^= 1;
}

typedef struct {
    int64_t tile, tile_last;
    int32_t panel, panel_last;
} cf_amx_share;

static cf_amx_share cf_amx_share_of(const cf_amx_conv *p, const cf_team *team) {
    int64_t runs = (p->tiles + 1) / 2;
    int32_t pairs = (p->g.panels + 1) / 2, across = cf_amx_across(p);
    cf_conv_share share = cf_conv_share_of(team, runs, pairs, across);
    return (cf_amx_share){share.run_first * 2, cf_least(share.run_last * 2, p->tiles), share.panel_first * 2,
                          (int32_t)cf_least(share.panel_last * 2, p->g.panels)};
}

// Pixels so close that one call brings several.
static int32_t cf_amx_skip(const cf_amx_conv *p) {
    int32_t skip = 1;
    while (2 * skip * p->g.step <= CF_AMX_CALLED && skip < CF_TILE) skip *= 2;
    return skip;
}

// The input of the block that comes next, at `at`, with `left` tiles left, as if its tiles lay on one line.
static void cf_amx_call_for_input(cf_amx_work *w, cf_amx_place at, int64_t left, int32_t a_step) {
    const cf_amx_conv *p = w->p;
    int32_t skip = cf_amx_skip(p), pixels = (int32_t)cf_amx_next_tiles(p, left) * p->rows;
    w->block.ahead = (cf_amx_ahead){.base = cf_amx_input(p, &at),
                                    .run = p->fresh,
                                    .stride = skip * p->g.step,
                                    .runs = left > 0 ? p->fresh_count : 0,
                                    .places = (pixels + skip - 1) / skip,
                                    .lines = p->fresh_lines,
                                    .a_step = a_step};
    cf_amx_begin_ahead(&w->block.ahead);
}

// Pixels outside: each block of input meets all panels, while the next block's input is called for.
static void cf_amx_by_pixels(cf_amx_work *w, const cf_amx_share *share, float *waiting) {
    const cf_amx_conv *p = w->p;
    cf_amx_place at = cf_amx_place_of(p, share->tile);
    w->panel = share->panel, w->pairs = (share->panel_last - share->panel + 1) / 2;
    // Where blocks are short, and output is much beside the input, stores that miss the second cache come faster than
    // they can wait.
    w->calls_out = p->steps <= CF_AMX_FEW_STEPS && p->problem->out[0].c * 2 >= p->problem->in[0].c &&
                   cf_amx_is_cold(p->call, &p->call->out[0]);
    w->calls_add = p->problem->inputs > 1 && !p->problem->attr.conv.coarse && cf_amx_is_cold(p->call, &p->call->in[1]);
    int32_t a_step = cf_amx_a_step(p->fresh_count * p->fresh_lines * p->block * CF_TILE / cf_amx_skip(p),
                                   (int64_t)p->steps * w->pairs);
    for (int64_t tile = share->tile; tile < share->tile_last; tile += w->tiles) {
        cf_amx_take_block(w, tile, share->tile_last, &at);
        cf_amx_call_for_input(w, at, share->tile_last - tile - w->tiles, a_step);
        for (int first = 0; first < p->steps; first += p->stretch) {
            w->block.first = first, w->block.last = (int)cf_least(first + p->stretch, p->steps);
            for (int panel = share->panel; panel < share->panel_last; panel += 2)
                cf_amx_one_block(w, panel, share->panel_last, waiting + (int64_t)(panel / 2) * CF_BLOCK_SUMS);
        }
    }
}

// The weights of the pair of panels behind `panel`, for the part of K at work.
static void cf_amx_call_for_weights(cf_amx_work *w, int panel, int panel_last, int64_t blocks) {
    const cf_amx_conv *p = w->p;
    const char *next = (const char *)p->call->packed + (panel + 2) * p->panel;
    int32_t lines = (p->chunk * 64 + CF_AMX_CALLED - 1) / CF_AMX_CALLED;
    w->block.ahead = (cf_amx_ahead){.base = next,
                                    .then = next + p->panel,
                                    .run = p->weight_offset + w->block.first,
                                    .runs = panel + 3 < panel_last ? w->block.last - w->block.first : 0,
                                    .places = 1,
                                    .lines = lines,
                                    .a_step = cf_amx_a_step(2 * lines, blocks)};
    cf_amx_begin_ahead(&w->block.ahead);
}

// Weights outside: in each run of pixels, for each part of K, a pair of panels meets all blocks, while the next pair's
// weights are called for.
static void cf_amx_by_weights(cf_amx_work *w, const cf_amx_share *share, float *waiting) {
    const cf_amx_conv *p = w->p;
    int64_t all = (share->tile_last - share->tile + 1) / 2, runs = (all + p->run - 1) / p->run;
    for (int64_t run = 0; run < runs; run++) { // of equal lengths
        int64_t begin = share->tile + all * run / runs * 2;
        int64_t end = cf_least(share->tile + all * (run + 1) / runs * 2, share->tile_last);
        for (int first = 0; first < p->steps; first += p->stretch) {
            w->block.first = first, w->block.last = (int)cf_least(first + p->stretch, p->steps);
            for (int panel = share->panel; panel < share->panel_last; panel += 2) {
                cf_amx_place at = cf_amx_place_of(p, begin);
                cf_amx_call_for_weights(w, panel, share->panel_last, (end - begin + 1) / 2);
                for (int64_t tile = begin; tile < end; tile += 2) {
                    cf_amx_take_block(w, tile, end, &at);
                    cf_amx_one_block(w, panel, share->panel_last,
                                     waiting + (panel / 2 * p->run + (tile - begin) / 2) * CF_BLOCK_SUMS);
                }
            }
        }
    }
}

// Sums in tiles 0..3, input in 4 and 5, weights in 6 and 7.
static void cf_amx_configure(const cf_amx_conv *p) {
    uint8_t in = (uint8_t)p->rows, weight = (uint8_t)p->chunk;
    uint16_t in_bytes = (uint16_t)(p->chunk * 4);
    cf_tiles_configure((const uint8_t[8]){in, in, in, in, in, in, weight, weight},
                       (const uint16_t[8]){64, 64, 64, 64, in_bytes, in_bytes, 64, 64});
}

// quantised: sums are int32, to be scaled.
static inline void cf_amx_run(cf_amx_conv *p, const cf_team *team,
                              cf_amx_multiplier *const multiply[CF_AMX_MOST_TILES][2], int quantised) {
    if (p->g.lines == 0 || p->g.width == 0) return;
    cf_amx_shape(p);
    p->multiply = multiply;
    p->write = cf_amx_writer_of(p->problem, quantised ? p->scale : NULL, p->bias);
    int32_t offset[CF_AMX_MOST_STEPS], weight_offset[CF_AMX_MOST_STEPS];
    p->offset = offset, p->weight_offset = weight_offset;
    cf_amx_steps(p);
    cf_amx_fresh(p);
    cf_amx_share share = cf_amx_share_of(p, team);
    if (share.tile >= share.tile_last || share.panel >= share.panel_last) return;
    cf_amx_configure(p);
    cf_finished_sums sums[2];
    cf_amx_work w = {.p = p, .finished = {{.sums = sums[0]}, {.sums = sums[1]}}, .pairs = 1};
    float *waiting = (float *)p->call->scratch + team->thread * cf_amx_waiting(p);
    if (p->weights_outside)
        cf_amx_by_weights(&w, &share, waiting);
    else
        cf_amx_by_pixels(&w, &share, waiting);
    cf_amx_store_some(p, &w.finished[w.turn ^ 1], CF_AMX_MOST_TILES * CF_TILE);
    _tile_release();
}

#endif
