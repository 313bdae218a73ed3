// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/conv_panel.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

// Bytes of input that one thread sweeps over before it takes the next panels: they should stay in half of a 1 MiB L2.
enum { BLOCK_BYTES = 256 << 10 };

int cf_conv_halo_suffices(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0];
    int below = (out->h - 1) * attr->stride - attr->pad_top + attr->kernel_h - in->h;
    int right = (out->w - 1) * attr->stride - attr->pad_left + attr->kernel_w - in->w;
    return attr->pad_top <= in->halo && attr->pad_left <= in->halo && below <= in->halo && right <= in->halo;
}

static int stored(cf_dtype dtype) {
    return dtype == CF_F32 || dtype == CF_BF16 || dtype == CF_F16 || dtype == CF_U8 || dtype == CF_S8;
}

const char *cf_conv_refuse(const cf_problem *problem, cf_dtype dtype) {
    if (problem->in[0].dtype != dtype || !stored(dtype)) return "another input type";
    if (!stored(problem->out[0].dtype)) return "output type";
    if (problem->inputs > 1 && !stored(problem->in[1].dtype)) return "residual type";
    if (problem->attr.conv.groups != 1) return "groups";
    if (!cf_conv_halo_suffices(problem)) return "halo narrower than the padding";
    return NULL;
}

static int lines_join(const cf_tensor *tensor) {
    return tensor->row == tensor->pixel * tensor->w;
}

static int images_join(const cf_tensor *tensor) {
    return lines_join(tensor) && tensor->image == tensor->row * tensor->h;
}

void cf_conv_geometry_make(const cf_problem *problem, int images, cf_conv_geometry *g) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0], *add = problem->inputs > 1 ? &problem->in[1] : out;
    int size = cf_dtype_size(in->dtype), kh = attr->kernel_h, kw = attr->kernel_w;
    int merged = in->pixel == in->c && kw > 1; // a kernel row is one stretch
    int length = merged ? kw * in->c : in->c;
    g->group = 4 / size;
    g->outputs = out->c;
    g->panels = (out->c + CF_PANEL - 1) / CF_PANEL;
    g->rows = kh;
    g->cols = merged ? 1 : kw;
    g->groups = length / g->group;
    g->tail = length % g->group;
    g->depth = g->rows * g->cols * (g->groups + (g->tail > 0));
    g->lead = 0;
    g->row_step = in->row * size;
    g->col_step = in->pixel * size;
    g->step = attr->stride * in->pixel * size;
    g->lines_per_image = out->h;
    g->width = out->w;
    g->lines = (int64_t)images * out->h;
    g->in_first = -attr->pad_top * in->row - attr->pad_left * in->pixel;
    g->in_line = attr->stride * in->row;
    g->in_image = in->image;
    g->out_line = out->row, g->out_image = out->image, g->out_pixel = out->pixel;
    g->add_line = add->row, g->add_image = add->image, g->add_pixel = add->pixel;
    if (kh > 1 || kw > 1 || attr->stride > 1) return;
    if (attr->coarse) return; // two lines share one of the residual
    if (lines_join(in) && lines_join(out) && lines_join(add)) {
        g->lines_per_image = 1;
        g->width = out->h * out->w;
        g->lines = images;
        if (images_join(in) && images_join(out) && images_join(add)) {
            g->width *= images;
            g->lines = 1;
        }
    }
}

int cf_conv_pairs(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0];
    return attr->kernel_w > 1 && attr->stride == 1 && problem->inputs == 1 && in->pixel == in->c &&
           out->c == CF_PANEL / 2 && out->pixel == out->c && out->w % 2 == 0;
}

static void panel_geometry(const cf_problem *problem, int images, cf_conv_geometry *g) {
    cf_conv_geometry_make(problem, images, g);
    if (!cf_conv_pairs(problem)) return;
    int length = (problem->attr.conv.kernel_w + 1) * problem->in[0].c;
    g->lead = problem->in[0].c;
    g->outputs = CF_PANEL;
    g->groups = length / g->group;
    g->tail = length % g->group;
    g->depth = g->rows * (g->groups + (g->tail > 0));
    g->step *= 2;
    g->out_pixel *= 2;
    g->width /= 2;
}

static size_t packed_size(const cf_conv_geometry *g) {
    return (size_t)g->panels * (cf_conv_panel_bytes(g) + CF_PANEL * 3 * 4);
}

size_t cf_conv_packed_size(const cf_problem *problem) {
    cf_conv_geometry g;
    panel_geometry(problem, 1, &g);
    return packed_size(&g);
}

size_t cf_conv_packed_size_tiles(const cf_problem *problem) {
    cf_conv_geometry g;
    cf_conv_geometry_make(problem, 1, &g);
    return packed_size(&g);
}

// Scale and zero point of a channel of a quantised input.
static float scale_of(const cf_problem *problem, int c) {
    return problem->constant[2].data ? problem->constant[2].data[c] : problem->in[0].scale;
}

static int zero_of(const cf_problem *problem, int c) {
    return problem->constant[2].data ? (int)problem->constant[2].data[problem->in[0].c + c] : problem->in[0].zero;
}

// Weight of output o, K run (row, col), element e of the run; for a quantised input times the scale of its channel.
static float weight_at(const cf_problem *problem, const cf_conv_geometry *g, int o, int row, int col, int e) {
    const cf_conv_attr *attr = &problem->attr.conv;
    int channels = problem->in[0].c, kx = g->cols > 1 ? col : e / channels, c = e % channels;
    float scale = g->group == 4 ? scale_of(problem, c) : 1;
    return scale * problem->constant[0]
                       .data[(((size_t)o * (size_t)channels + (size_t)c) * (size_t)attr->kernel_h + (size_t)row) *
                                 (size_t)attr->kernel_w +
                             (size_t)kx];
}

void cf_conv_put(unsigned char *to, cf_dtype dtype, float value, float scale) {
    if (dtype == CF_F32) {
        memcpy(to, &value, 4);
    } else if (dtype == CF_BF16) {
        uint16_t half = cf_f32_to_bf16(value);
        memcpy(to, &half, 2);
    } else if (dtype == CF_F16) {
        uint16_t half = cf_f32_to_f16(value / scale);
        memcpy(to, &half, 2);
    } else {
        *(int8_t *)to = (int8_t)nearbyintf(value / scale);
    }
}

float cf_conv_f16_step(float most) {
    int exponent;
    frexpf(most, &exponent); // most < 2^exponent
    return most > 0 ? ldexpf(1, exponent - CF_F16_MOST_EXPONENT) : 1;
}

// Values of a K run that an output has weights for.
static int run_length(const cf_conv_geometry *g) {
    return g->groups * g->group + g->tail - g->lead;
}

// The step of an output's weights. int8: the largest one, in units of the input, becomes 127.
static float weight_step(const cf_problem *problem, const cf_conv_geometry *g, int o) {
    cf_dtype dtype = problem->in[0].dtype;
    if (dtype == CF_F32 || dtype == CF_BF16) return 1;
    float most = 0;
    for (int row = 0; row < g->rows; row++)
        for (int col = 0; col < g->cols; col++)
            for (int e = 0; e < run_length(g); e++) most = fmaxf(most, fabsf(weight_at(problem, g, o, row, col, e)));
    if (dtype == CF_F16) return cf_conv_f16_step(most);
    return most > 0 ? most / 127 : 1;
}

// shift: what signed activations are made unsigned with.
static void pack(const cf_problem *problem, const cf_conv_geometry *g, int shift, void *packed) {
    const cf_tensor *in = &problem->in[0];
    size_t panel_bytes = cf_conv_panel_bytes(g), outputs = (size_t)g->panels * CF_PANEL;
    memset(packed, 0, packed_size(g));
    float *bias = (float *)((char *)packed + (size_t)g->panels * panel_bytes), *scale = bias + outputs;
    int32_t *offset = (int32_t *)(scale + outputs);
    int size = cf_dtype_size(in->dtype);
    if (in->dtype != CF_S8) shift = 0;
    for (int lane = 0; lane < g->outputs; lane++) {
        int o = g->lead ? lane % (CF_PANEL / 2) : lane, lead = lane == o ? 0 : g->lead;
        float step = weight_step(problem, g, o);
        unsigned char *to = (unsigned char *)packed + (size_t)(lane / CF_PANEL) * panel_bytes + lane % CF_PANEL * 4;
        int32_t sum = 0;
        for (int row = 0; row < g->rows; row++)
            for (int col = 0; col < g->cols; col++) {
                for (int e = 0; e < run_length(g); e++) {
                    int at_group = (e + lead) / g->group, in_group = (e + lead) % g->group;
                    unsigned char *at = to + (size_t)at_group * CF_PANEL * 4 + in_group * size;
                    cf_conv_put(at, in->dtype, weight_at(problem, g, o, row, col, e), step);
                    if (size == 1) sum += *(int8_t *)at * (zero_of(problem, e % in->c) + shift);
                }
                to += (size_t)(g->groups + (g->tail > 0)) * CF_PANEL * 4;
            }
        bias[lane] = problem->constant[1].data ? problem->constant[1].data[o] : 0;
        scale[lane] = step;
        offset[lane] = -sum;
    }
}

void cf_conv_pack(const cf_problem *problem, void *packed) {
    cf_conv_geometry g;
    panel_geometry(problem, 1, &g);
    pack(problem, &g, 128, packed);
}

void cf_conv_pack_tiles(const cf_problem *problem, void *packed) {
    cf_conv_geometry g;
    cf_conv_geometry_make(problem, 1, &g);
    pack(problem, &g, 0, packed);
}

// How the team shares the work: `across` threads side by side over panels, the others over runs of pixels.
static int threads_across(int threads, int64_t runs, int panels) {
    int best = 1;
    int64_t least = INT64_MAX;
    for (int across = 1; across <= threads; across++) {
        if (threads % across) continue;
        int down = threads / across;
        int64_t cost = ((runs + down - 1) / down) * ((panels + across - 1) / across);
        if (cost < least) least = cost, best = across;
    }
    return best;
}

cf_conv_share cf_conv_share_of(const cf_team *team, int64_t runs, int panels, int across) {
    if (across <= 1) across = threads_across(team->threads, runs, panels);
    int down = team->threads / across;
    int i = team->thread / across, j = team->thread % across;
    return (cf_conv_share){runs * i / down, runs * (i + 1) / down, panels * j / across, panels * (j + 1) / across};
}

typedef struct {
    const cf_call *call;
    const cf_conv_machine *machine;
    const cf_conv_geometry *g;
    const float *bias, *scale;
    const int32_t *offset;
    int64_t panel_bytes;
    int32_t runs_per_line, run_length, longer_runs; // the first longer_runs of a line have one pixel more
    int32_t finishes;                               // the microkernel does what store does
} work;

// Calls for the lines that a tile of some bytes a pixel touches while its sums are still being made: pixels may lie far
// apart, where the processor does not look ahead by itself.
static void fetch_ahead(const char *at, int64_t pixel, int bytes, int pixels) {
    enum { LINE = 64 };
    const char *end = at + pixel * pixels;
    if (pixel < LINE) pixel = LINE;
    for (; at < end; at += pixel) {
        __builtin_prefetch(at, 1);
        if (bytes > LINE) __builtin_prefetch(at + LINE, 1);
    }
}

// A run of pixels: part of the runs_per_line parts of a line, which are as long as each other or one longer.
typedef struct {
    int64_t n, y; // image, line in it
    int32_t part;
} place;

static place place_of(const work *w, int64_t run) {
    int64_t line = run / w->runs_per_line;
    return (place){line / w->g->lines_per_image, line % w->g->lines_per_image, (int32_t)(run % w->runs_per_line)};
}

static void next_place(const work *w, place *at) {
    if (++at->part < w->runs_per_line) return;
    at->part = 0;
    if (++at->y < w->g->lines_per_image) return;
    at->y = 0;
    at->n++;
}

// What the tiles of `count` panels from `panel` on have in common.
static void begin_panels(const work *w, int panel, int count, cf_conv_tile *tile, cf_conv_store *store) {
    const cf_conv_geometry *g = w->g;
    const cf_call *call = w->call;
    const cf_tensor *in = &call->in[0], *out = &call->out[0], *add = &call->in[1];
    int quantised = in->dtype == CF_U8 || in->dtype == CF_S8, first = panel * CF_PANEL;
    *store = (cf_conv_store){.sums = tile->sums,
                             .scale = w->scale + first,
                             .bias = w->bias + first,
                             .out_pixel = g->out_pixel * cf_dtype_size(out->dtype),
                             .add_pixel = g->add_pixel * cf_dtype_size(add->dtype),
                             .channels = g->outputs - first < count * CF_PANEL ? g->outputs - first : count * CF_PANEL,
                             .width = count * CF_PANEL,
                             .attr = &call->problem->attr.conv,
                             .out_tensor = out,
                             .add_tensor = add};
    tile->geometry = g;
    tile->weight = (const char *)call->packed + panel * w->panel_bytes;
    tile->panel = w->panel_bytes;
    tile->scale = w->scale + first;
    tile->start = quantised ? (const void *)(w->offset + first) : (const void *)(w->bias + first);
    tile->finish = w->finishes ? store : NULL;
}

// One tile: pixels of a run times the panels that begin_panels was told.
static void one_tile(const work *w, const place *at, int panel, int count, cf_conv_tile *tile, cf_conv_store *store) {
    const cf_conv_geometry *g = w->g;
    const cf_call *call = w->call;
    const cf_tensor *in = &call->in[0], *out = &call->out[0], *add = &call->in[1];
    int out_size = cf_dtype_size(out->dtype), add_size = cf_dtype_size(add->dtype), first = panel * CF_PANEL;
    int32_t longer = at->part < w->longer_runs, pixels = w->run_length + longer;
    int64_t n = at->n, y = at->y, x = (int64_t)at->part * w->run_length + (longer ? at->part : w->longer_runs);
    tile->in = (const char *)in->data + (n * g->in_image + y * g->in_line + g->in_first) * cf_dtype_size(in->dtype) +
               x * g->step;
    store->out = (char *)out->data + (n * g->out_image + y * g->out_line + x * g->out_pixel + first) * out_size;
    store->x = (int32_t)x;
    store->pixels = pixels;
    fetch_ahead(store->out, store->out_pixel, store->channels * out_size, pixels);
    if (call->problem->inputs > 1) {
        int coarse = store->attr->coarse;
        store->add = cf_conv_residual(call, g, n, y) + first * add_size;
        fetch_ahead(store->add + (x >> coarse) * store->add_pixel, store->add_pixel, store->channels * add_size,
                    (pixels + coarse) >> coarse);
    }
    w->machine->micro[count - 1][pixels - 1](tile);
    if (!w->finishes) w->machine->store(store);
}

void cf_conv_run(const cf_call *call, const cf_team *team, const cf_conv_machine *machine) {
    cf_conv_geometry g;
    panel_geometry(call->problem, call->images, &g);
    int64_t panel_bytes = (int64_t)cf_conv_panel_bytes(&g);
    work w = {.call = call, .machine = machine, .g = &g, .panel_bytes = panel_bytes};
    w.bias = (const float *)((const char *)call->packed + g.panels * panel_bytes);
    w.scale = w.bias + g.panels * CF_PANEL;
    w.offset = (const int32_t *)(w.scale + g.panels * CF_PANEL);
    w.finishes = machine->finishes && machine->finishes(call->problem);
    int step = g.panels < machine->most_panels ? g.panels : machine->most_panels, most = machine->most_run[step - 1];
    w.runs_per_line = (g.width + most - 1) / most;
    int64_t runs = g.lines * w.runs_per_line;
    if (runs == 0) return;
    w.run_length = g.width / w.runs_per_line;
    w.longer_runs = g.width % w.runs_per_line;
    cf_conv_share share = cf_conv_share_of(team, runs, (g.panels + step - 1) / step, 1);
    int panel_first = share.panel_first * step, panel_last = share.panel_last * step;
    if (panel_last > g.panels) panel_last = g.panels;
    float sums[CF_CONV_RUNS * CF_PANEL] __attribute__((aligned(64)));
    cf_conv_tile tile = {.sums = sums};
    cf_conv_store store;
    int64_t run_bytes = w.run_length * g.step * call->problem->attr.conv.stride;
    int64_t block = BLOCK_BYTES / (run_bytes + 1) + 1;
    for (int64_t begin = share.run_first; begin < share.run_last; begin += block) {
        int64_t end = begin + block < share.run_last ? begin + block : share.run_last;
        place start = place_of(&w, begin);
        for (int panel = panel_first; panel < panel_last; panel += step) {
            int count = panel_last - panel < step ? panel_last - panel : step;
            begin_panels(&w, panel, count, &tile, &store);
            place at = start;
            for (int64_t run = begin; run < end; run++, next_place(&w, &at))
                one_tile(&w, &at, panel, count, &tile, &store);
        }
    }
}
