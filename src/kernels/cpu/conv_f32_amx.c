// SPDX-License-Identifier: Apache-2.0
// Convolution with FP32 accuracy on AMX tiles of bf16: six products of split values (split_bf16.h).
//
// A unit is two tiles of pixels by two panels by a part of K, up to 12 steps of 32 channels: what is summed from zero
// in tile registers, for roundings of one long sum would add up. Sums of the other parts wait in scratch in FP32. A run
// of blocks of pixels is split into scratch for one part of K, which lies in the second cache; there a pair of panels,
// whose weights of that part come from there or the first cache, meets all blocks, then the next pair. Meanwhile,
// between the products, vector units split what comes next (the next part of K, or the next run's first), add the sums
// of the unit before to those that wait, or write them if they are complete, and call for the next weights.
//
// Split input: [block][step][part][tile][16 pixels][16 pairs] bf16. Sums that wait: [pair of panels][block][32][32].
// Packed: weight[pair of panels][step][part][panel][16 pairs][16 outputs][2] bf16, where the last pair may be one panel
// only; float bias[outputs].
#include "kernels/cpu/conv_amx.h"

#include "base/cpu.h"
#include "kernels/cpu/split_bf16.h"

enum {
    PRODUCTS = 6,
    MOST_PART = 12,                                  // steps
    STEP_BYTES = CF_SPLIT_PARTS * 2 * CF_SPLIT_TILE, // of a block, of a pair of panels
    RUN_BYTES = 700 << 10,                           // of a run's split input, twice, and of its sums
    INPUT_AHEAD = 2,                                 // pixels whose input is called for
    LEAST_OUTPUTS = 32,
    STORE_TURN = 3, // products between writing some pixels
    LINE = 64
};
enum { CALL_NEAR, CALL_SECOND, CALL_WRITTEN };

typedef struct {
    cf_amx_conv c; // lines, tiles, and how sums are written
    int32_t steps, part, parts;
    int32_t pairs;         // of panels
    int64_t run;           // blocks
    int64_t pair_bytes;    // of packed weights
    const int32_t *offset; // of each step, bytes from the first tap
} plan;

static void make_plan(const cf_problem *problem, int images, plan *p) {
    memset(p, 0, sizeof *p);
    cf_amx_conv *c = &p->c;
    cf_conv_geometry *g = &c->g;
    cf_conv_geometry_make(problem, images, g);
    c->problem = problem;
    c->threads = problem->threads;
    c->in_line = g->in_line * 4;
    c->in_image = g->in_image * 4;
    cf_amx_cut_lines(c);
    p->steps = g->depth / CF_SPLIT_CHANNELS;
    p->parts = (p->steps + MOST_PART - 1) / MOST_PART;
    p->part = (p->steps + p->parts - 1) / p->parts;
    p->parts = (p->steps + p->part - 1) / p->part;
    p->pairs = (g->panels + 1) / 2;
    p->pair_bytes = (int64_t)p->steps * STEP_BYTES;
    int64_t sums = p->parts > 1 ? (int64_t)p->pairs * CF_BLOCK_SUMS * 4 : 0;
    p->run = 1 + RUN_BYTES / (2 * p->part * STEP_BYTES + sums);
    p->run = cf_least(p->run, (c->tiles + 1) / 2);
}

static const char *refuse_split(const cf_problem *problem) {
    const char *why = cf_conv_refuse(problem, CF_F32);
    if (why) return why;
    if (problem->out[0].dtype == CF_F16) return "FP16 results";
    if (problem->in[0].c % CF_SPLIT_CHANNELS) return "channels are not a multiple of 32";
    if (problem->out[0].c < LEAST_OUTPUTS) return "too few outputs to pay for splitting the input";
    cf_conv_geometry g;
    cf_conv_geometry_make(problem, 1, &g);
    return g.depth / CF_SPLIT_CHANNELS <= CF_AMX_MOST_STEPS ? NULL : "a very large kernel";
}

// Scratch of a thread: the run that is multiplied and the one that is being split, then sums that wait.
static int64_t run_bytes(const plan *p) {
    return p->run * p->part * STEP_BYTES;
}

static int64_t scratch_of_one(const plan *p) {
    return 2 * run_bytes(p) + (p->parts > 1 ? p->run * p->pairs * CF_BLOCK_SUMS * 4 : 0);
}

static size_t scratch_size_split(const cf_problem *problem) {
    plan p;
    make_plan(problem, problem->images, &p);
    return (size_t)(problem->threads * scratch_of_one(&p));
}

static size_t weight_bytes(const plan *p) {
    return (size_t)p->c.g.panels * (size_t)p->steps * (STEP_BYTES / 2);
}

static size_t packed_size_split(const cf_problem *problem) {
    plan p;
    make_plan(problem, 1, &p);
    return weight_bytes(&p) + (size_t)p.c.g.panels * CF_PANEL * 4;
}

static void pack_split(const cf_problem *problem, void *packed) {
    plan p;
    make_plan(problem, 1, &p);
    const cf_conv_attr *attr = &problem->attr.conv;
    int channels = problem->in[0].c, taps = attr->kernel_h * attr->kernel_w, outputs = p.c.g.outputs;
    float *bias = (float *)((char *)packed + weight_bytes(&p));
    for (int panel = 0; panel < p.c.g.panels; panel++) {
        int beside = panel + (panel % 2 == 0) < p.c.g.panels; // whether its pair has two
        int first = panel * CF_PANEL, count = outputs - first < CF_PANEL ? outputs - first : CF_PANEL;
        char *to = (char *)packed + panel / 2 * p.pair_bytes + panel % 2 * CF_SPLIT_TILE;
        const float *from = problem->constant[0].data + (size_t)first * (size_t)channels * (size_t)taps;
        __mmask16 lanes = (__mmask16)((1u << count) - 1);
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < channels; c += CF_SPLIT_CHANNELS, to += STEP_BYTES / 2 << beside)
                for (int k = 0; k < CF_SPLIT_CHANNELS / 2; k++) {
                    const float *at = from + (c + k) * taps + t;
                    cf_split_weights(cf_gather_weights(at, channels * taps, lanes),
                                     cf_gather_weights(at + CF_SPLIT_CHANNELS / 2 * taps, channels * taps, lanes), to,
                                     CF_SPLIT_TILE << beside, k);
                }
        for (int o = 0; o < CF_PANEL; o++)
            bias[first + o] = o < count && problem->constant[1].data ? problem->constant[1].data[first + o] : 0;
    }
}

// What is to be split next: `count` times 32 channels at a time, all steps of a pixel, then its neighbour.
typedef struct {
    const char *from; // the next pixel
    char *to;         // of it, the next step
    cf_amx_place at;  // its tile
    int64_t tiles;    // left, with that
    int32_t row, odd; // the pixel in the tile, the tile in its block
    int32_t first, last, step;
} splitter;

static splitter split_of(const plan *p, cf_amx_place at, int64_t tiles, int part, char *to) {
    int32_t first = part * p->part, last = (int32_t)cf_least(first + p->part, p->steps);
    return (splitter){cf_amx_input(&p->c, &at), to, at, tiles, 0, 0, first, last, first};
}

static __attribute__((noinline)) void split_some(const plan *p, splitter *s, int64_t count) {
    int64_t ahead = INPUT_AHEAD * p->c.g.step;
    for (; count > 0 && s->tiles > 0; count--) {
        const char *from = s->from + p->offset[s->step];
        _mm_prefetch(from + ahead, _MM_HINT_T0);
        _mm_prefetch(from + ahead + LINE, _MM_HINT_T0);
        __m512i part[CF_SPLIT_PARTS];
        cf_split(_mm512_loadu_ps(from), _mm512_loadu_ps(from + LINE), part);
#pragma GCC unroll 3
        for (int k = 0; k < CF_SPLIT_PARTS; k++) _mm512_store_si512(s->to + k * 2 * CF_SPLIT_TILE, part[k]);
        s->to += STEP_BYTES;
        if (++s->step < s->last) continue;
        s->step = s->first;
        s->from += p->c.g.step;
        s->to += LINE - (s->last - s->first) * STEP_BYTES;
        if (++s->row < p->c.rows) continue;
        s->row = 0;
        s->to += (s->odd ? p->part * STEP_BYTES - CF_SPLIT_TILE : CF_SPLIT_TILE) - p->c.rows * LINE;
        s->odd ^= 1;
        if (--s->tiles == 0) return;
        cf_amx_next_place(&p->c, &s->at);
        s->from = cf_amx_input(&p->c, &s->at);
    }
}

// Sums of a unit and what is to happen with them.
typedef struct {
    cf_finished finished; // to be written, once `waiting` is added
    float *waiting;       // or NULL
    int32_t more;         // 1: to be added to `waiting` instead
} pending;

// Memory to be called for, `step` lines at a time.
typedef struct {
    const char *at;
    int64_t stride;
    int32_t count, step;
} ahead;

typedef struct {
    const char *in, *weight;
    int32_t steps;
    const float *start; // of the sums of every pixel; NULL: zero
    float *to;
    // Meanwhile:
    ahead weights, waiting, out[2];
    pending *before;
    const float *more; // to be added to `sums`, `adds` vectors that are left, some at a time
    float *sums;
    int32_t adds, adds_step, store_pixels;
    splitter split;
    int32_t split_rate, split_due; // times 32 channels after each product, in parts of 256
} unit;

static ahead call_for(const char *at, int64_t stride, int64_t count, int64_t turns) {
    return (ahead){at, stride, (int32_t)count, (int32_t)((count + turns - 1) / turns)};
}

CF_INLINE void call_some(ahead *a, int kind) {
    if (a->count <= 0) return;
    for (int i = 0; i < a->step; i++, a->at += a->stride) {
        if (kind == CALL_NEAR) _mm_prefetch(a->at, _MM_HINT_T0);
        if (kind == CALL_SECOND) _mm_prefetch(a->at, _MM_HINT_T1);
        if (kind == CALL_WRITTEN) __builtin_prefetch(a->at, 1), __builtin_prefetch(a->at + LINE, 1);
    }
    a->count -= a->step;
}

CF_INLINE void add_some(unit *u) {
    for (int i = 0; i < u->adds_step && u->adds > 0; i++, u->adds--, u->sums += V_LANES, u->more += V_LANES)
        v_store(u->sums, v_add(v_load(u->sums), v_load(u->more)));
}

static __attribute__((noinline)) void store_some(const plan *p, pending *before, int pixels) {
    cf_amx_store_some(&p->c, &before->finished, pixels);
}

// What the unit before left to do.
static void begin_adds(unit *u) {
    pending *before = u->before;
    int turns = PRODUCTS * u->steps, write = before->finished.tile < before->finished.tiles;
    u->adds = before->waiting ? CF_BLOCK_SUMS / V_LANES : 0;
    u->sums = before->more ? before->waiting : before->finished.sums;
    u->more = before->more ? before->finished.sums : before->waiting;
    if (u->adds && write) turns /= 2; // sums are complete before they are written
    u->adds_step = (CF_BLOCK_SUMS / V_LANES + turns - 1) / turns;
    u->store_pixels = (2 * CF_TILE * STORE_TURN + turns - 1) / turns;
}

// What vector units do between the products, in small pieces: the processor looks no more than a few tile instructions
// ahead. They must not pause for long either: after some 2,000 cycles they take 800 to wake up.
CF_INLINE void work_aside(const plan *p, unit *u, int turn) {
    call_some(&u->weights, CALL_SECOND);
    call_some(&u->waiting, CALL_NEAR);
    call_some(&u->out[turn & 1], CALL_WRITTEN);
    if (u->adds > 0)
        add_some(u);
    else if (turn % STORE_TURN == STORE_TURN - 1 && u->before->finished.tile < u->before->finished.tiles)
        store_some(p, u->before, u->store_pixels);
    u->split_due += u->split_rate;
    if (u->split_due < 256 || u->split.tiles == 0) return;
    split_some(p, &u->split, u->split_due / 256);
    u->split_due %= 256;
}

static void end_work_aside(const plan *p, unit *u) {
    while (u->adds > 0) add_some(u);
    if (u->before->finished.tile < u->before->finished.tiles) store_some(p, u->before, 2 * CF_TILE);
}

#define LOAD_INPUT(part)                                                                                               \
    do {                                                                                                               \
        _tile_stream_loadd(4, in + (part)*2 * CF_SPLIT_TILE, 64);                                                      \
        if (tiles > 1) _tile_stream_loadd(5, in + ((part)*2 + 1) * CF_SPLIT_TILE, 64);                                 \
    } while (0)
#define LOAD_WEIGHTS(part)                                                                                             \
    do {                                                                                                               \
        _tile_loadd(6, weight + (part)*panels * CF_SPLIT_TILE, 64);                                                    \
        if (panels > 1) _tile_loadd(7, weight + ((part)*panels + 1) * CF_SPLIT_TILE, 64);                              \
    } while (0)
#define DOT(turn)                                                                                                      \
    do {                                                                                                               \
        _tile_dpbf16ps(0, 4, 6);                                                                                       \
        if (panels > 1) _tile_dpbf16ps(1, 4, 7);                                                                       \
        if (tiles > 1) _tile_dpbf16ps(2, 5, 6);                                                                        \
        if (tiles > 1 && panels > 1) _tile_dpbf16ps(3, 5, 7);                                                          \
        work_aside(p, u, turn);                                                                                        \
    } while (0)
#define START(tile, row, panel) _tile_loadd(tile, u->start + (panel)*CF_PANEL, 0) // stride 0: rows are the same
#define CLEAR(tile, row, panel) _tile_zero(tile)
#define KEEP(tile, row, panel)                                                                                         \
    _tile_stored(tile, u->to + (row)*CF_TILE * CF_BLOCK_WIDTH + (panel)*CF_PANEL, CF_BLOCK_WIDTH * 4)

CF_INLINE void multiply(const plan *p, unit *u, int tiles, int panels) {
    const char *in = u->in, *weight = u->weight;
    begin_adds(u);
    cf_before_tiles(in);
    if (u->start)
        CF_AMX_EACH_SUM(tiles, panels, START);
    else
        CF_AMX_EACH_SUM(tiles, panels, CLEAR);
    for (int s = 0; s < u->steps; s++, in += STEP_BYTES, weight += CF_SPLIT_PARTS * panels * CF_SPLIT_TILE) {
        LOAD_INPUT(2); // products of small parts first
        LOAD_WEIGHTS(0);
        DOT(0);
        LOAD_INPUT(1);
        DOT(1);
        LOAD_WEIGHTS(1);
        DOT(2);
        LOAD_INPUT(0);
        DOT(3);
        LOAD_WEIGHTS(2);
        DOT(4);
        LOAD_WEIGHTS(0);
        DOT(5);
    }
    end_work_aside(p, u);
    CF_AMX_EACH_SUM(tiles, panels, KEEP);
}

#define MULTIPLY(tiles, panels)                                                                                        \
    static __attribute__((noinline)) void multiply_##tiles##panels(const plan *p, unit *u) {                           \
        multiply(p, u, tiles, panels);                                                                                 \
    }
MULTIPLY(1, 1)
MULTIPLY(1, 2)
MULTIPLY(2, 1)
MULTIPLY(2, 2)

// What a member of the team is at.
typedef struct {
    const plan *p;
    pending queue[2];
    int32_t turn; // which of them is next; the other still waits
    int32_t panel, panel_last;
    float *waiting;
    unit unit;
} work;

// Calls for the output of a tile, where its lines are not joined or have no gap.
static ahead call_for_output(const plan *p, const cf_amx_place *at, int panel, int64_t turns) {
    const cf_tensor *out = &p->c.call->out[0];
    const cf_conv_geometry *g = &p->c.g;
    int64_t line = at->x / p->c.pitch, x = at->x % p->c.pitch; // most lines are not joined
    int64_t first = at->n * g->out_image + (at->y + line) * g->out_line + x * g->out_pixel + panel * CF_PANEL;
    int size = cf_dtype_size(out->dtype);
    return call_for((const char *)out->data + first * size, g->out_pixel * size, p->c.rows, turns);
}

// A block by a pair of panels by a part of K.
static void one_unit(work *w, const cf_amx_place place[2], int tiles, int panel, int part, float *waiting) {
    static void (*const table[2][2])(const plan *, unit *) = {{multiply_11, multiply_12}, {multiply_21, multiply_22}};
    const plan *p = w->p;
    unit *u = &w->unit;
    pending *now = &w->queue[w->turn];
    cf_finished *f = &now->finished;
    int panels = panel + 1 < w->panel_last ? 2 : 1, ends = part == p->parts - 1, turns = PRODUCTS * u->steps;
    u->start = part == 0 ? p->c.bias + panel * CF_PANEL : NULL;
    u->to = part == 0 && !ends ? waiting : f->sums;
    u->before = &w->queue[w->turn ^ 1];
    u->waiting = call_for((const char *)waiting, LINE, part > 0 ? CF_BLOCK_SUMS * 4 / LINE : 0, turns);
    for (int i = 0; i < 2; i++)
        u->out[i] = ends && i < tiles ? call_for_output(p, &place[i], panel, turns / 2) : (ahead){0};
    table[tiles - 1][panels - 1](p, u);
    now->waiting = part > 0 ? waiting : NULL;
    now->more = !ends;
    f->place[0] = place[0], f->place[1] = place[1];
    f->panel = panel, f->panels = panels, f->tiles = tiles, f->tile = ends ? -1 : tiles, f->done = 0;
    w->turn ^= 1;
}

// A part of K of the run of `tiles` from `at` on that lies split at `in`.
static void run_part(work *w, cf_amx_place at, int64_t tiles, int part, const char *in) {
    const plan *p = w->p;
    unit *u = &w->unit;
    int64_t blocks = (tiles + 1) / 2;
    int32_t pairs = (w->panel_last - w->panel + 1) / 2;
    u->steps = (int32_t)cf_least(p->part, p->steps - part * p->part);
    int64_t turns = blocks * u->steps * PRODUCTS, due = u->split.tiles * p->c.rows * (u->split.last - u->split.first);
    u->split_rate = (int32_t)(256 * due / (turns * pairs)) + 1;
    u->split_due = 0;
    for (int panel = w->panel; panel < w->panel_last; panel += 2) {
        int64_t step = STEP_BYTES / 2 * (panel + 1 < w->panel_last ? 2 : 1);
        u->weight = (const char *)p->c.call->packed + panel / 2 * p->pair_bytes + part * p->part * step;
        u->weights =
            call_for(u->weight + p->pair_bytes, LINE, panel + 3 < w->panel_last ? u->steps * step / LINE : 0, turns);
        cf_amx_place place = at;
        for (int64_t b = 0; b < blocks; b++) {
            cf_amx_place both[2];
            for (int i = 0; i < 2; i++) both[i] = place, cf_amx_next_place(&p->c, &place);
            u->in = in + b * p->part * STEP_BYTES;
            one_unit(w, both, (int)cf_least(2, tiles - 2 * b), panel, part,
                     w->waiting ? w->waiting + (panel / 2 * p->run + b) * CF_BLOCK_SUMS : NULL);
        }
    }
    split_some(p, &u->split, INT64_MAX);
}

static void run_split(const cf_call *call, const cf_team *team) {
    plan p;
    make_plan(call->problem, call->images, &p);
    cf_amx_conv *c = &p.c;
    if (c->g.lines == 0 || c->g.width == 0) return;
    c->call = call;
    c->in = (const char *)call->in[0].data + c->g.in_first * 4;
    c->bias = c->scale = (const float *)(const void *)((const char *)call->packed + weight_bytes(&p));
    c->write = cf_amx_writer_of(call->problem, NULL, NULL);
    int32_t offset[CF_AMX_MOST_STEPS];
    p.offset = offset;
    int s = 0;
    for (int row = 0; row < c->g.rows; row++)
        for (int col = 0; col < c->g.cols; col++)
            for (int i = 0; i < c->g.groups; i += CF_SPLIT_CHANNELS)
                offset[s++] = (int32_t)(row * c->g.row_step + col * c->g.col_step + i * 4);
    cf_conv_share share = cf_conv_share_of(team, (c->tiles + 1) / 2, p.pairs, 1);
    if (share.run_first >= share.run_last || share.panel_first >= share.panel_last) return;
    uint8_t rows = (uint8_t)c->rows;
    cf_tiles_configure((const uint8_t[8]){rows, rows, rows, rows, rows, rows, CF_TILE, CF_TILE},
                       (const uint16_t[8]){64, 64, 64, 64, 64, 64, 64, 64});
    char *scratch = (char *)call->scratch + team->thread * scratch_of_one(&p);
    cf_finished_sums sums[2];
    work w;
    w.p = &p;
    w.turn = 0;
    w.panel = share.panel_first * 2, w.panel_last = (int32_t)cf_least(share.panel_last * 2, c->g.panels);
    w.waiting = p.parts > 1 ? (float *)(void *)(scratch + 2 * run_bytes(&p)) : NULL;
    for (int i = 0; i < 2; i++) {
        w.queue[i].waiting = NULL;
        w.queue[i].more = 0;
        w.queue[i].finished = (cf_finished){.sums = sums[i]}; // units call for their output
    }
    int64_t tile = share.run_first * 2, left = cf_least(share.run_last * 2, c->tiles) - tile;
    int64_t runs = ((left + 1) / 2 + p.run - 1) / p.run, most = 2 * (((left + 1) / 2 + runs - 1) / runs);
    cf_amx_place at = cf_amx_place_of(c, tile);
    w.unit.split = split_of(&p, at, cf_least(most, left), 0, scratch);
    split_some(&p, &w.unit.split, INT64_MAX);
    for (int half = 0; left > 0;) {
        int64_t now = cf_least(most, left), next = cf_least(most, left - now);
        tile += now, left -= now;
        cf_amx_place after = next > 0 ? cf_amx_place_of(c, tile) : at;
        for (int part = 0; part < p.parts; part++, half ^= 1) {
            char *other = scratch + (half ^ 1) * run_bytes(&p);
            w.unit.split =
                part + 1 < p.parts ? split_of(&p, at, now, part + 1, other) : split_of(&p, after, next, 0, other);
            run_part(&w, at, now, part, scratch + half * run_bytes(&p));
        }
        at = after;
    }
    w.unit.before = &w.queue[w.turn ^ 1];
    w.unit.steps = 1;
    begin_adds(&w.unit);
    end_work_aside(&p, &w.unit);
    _tile_release();
}

const cf_kernel cf_conv_f32_amx = {.name = "conv_f32_amx",
                                   .op = CF_OP_CONV,
                                   .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16 | CF_CPU_AMX_BF16,
                                   .refuse = refuse_split,
                                   .packed_size = packed_size_split,
                                   .pack = pack_split,
                                   .scratch_size = scratch_size_split,
                                   .run = run_split};
