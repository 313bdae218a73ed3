// SPDX-License-Identifier: Apache-2.0
// 3x3 convolution with stride 1 by Winograd's F(2x2, 3x3): a tile of 4x4 inputs gives 2x2 outputs with 16 products per
// pair of channels instead of 36. In the words of simd_*.h, one of which comes first; winograd_*.c instantiate it
// around the microkernels. Transforms are FP32; in the 16-bit forms what is multiplied is rounded once more, in FP16 a
// quarter of the inputs, since four of them add up.
//
// Its transforms add and halve, and the rounding error is about 1.5 times that of the direct sum in chunks of 64.
// F(4x4, 3x3) needs 2.25 products an output, not 4, but errs 4 times the direct sum even with points of 3/4 and 3/2,
// not 1 and 2: too much for a network whose near-ties swap queries.
//
// For a block of tiles: transform the inputs to 16 matrices [tiles][channels]; then for one or two panels of outputs
// multiply each with its matrix of weights, transform back, and let conv_store.h do the rest.
//
// Packed: weight[16][panels][groups of 32 bits of channels][16], float bias[panels * 16], FP16 also float scale[panels
// * 16], of the products; channels rounded up to 16.
#ifndef CF_KERNELS_CPU_WINOGRAD_H
#define CF_KERNELS_CPU_WINOGRAD_H

#include <math.h>
#include <string.h>

#include "kernels/cpu/conv_store.h"

enum {
    WINO_IN = 4,
    WINO_OUT = 2,
    WINO_PRODUCTS = WINO_IN * WINO_IN,
    WINO_GROUP = 8,          // tiles that are transformed back together
    WINO_BYTES = 256 << 10,  // of transformed inputs of a block: measured best with 1 MiB of L2
    WINO_LEAST_CHANNELS = 32 // below that the transforms cost more than the products save
};

// What FP16 inputs are multiplied with behind the transform.
#define WINO_F16_INPUT 0.25f

typedef struct wino_layout {
    int32_t channels, panels, width; // channels rounded up; columns of products: 16 times panels at once
    int64_t across, down, tiles;     // tiles of a line, of an image, of all images
    int64_t block;                   // tiles at a time
    int64_t in_matrix, out_matrix;   // elements between the matrices of a block
    int32_t size;                    // bytes of what is multiplied
} wino_layout;

static void wino_layout_make(const cf_problem *problem, int images, int most_panels, wino_layout *l) {
    const cf_tensor *out = &problem->out[0];
    l->size = cf_dtype_size(problem->in[0].dtype);
    l->channels = (problem->in[0].c + 15) / 16 * 16;
    l->panels = (out->c + CF_PANEL - 1) / CF_PANEL;
    l->width = CF_PANEL * (l->panels < most_panels ? l->panels : most_panels);
    l->across = (out->w + WINO_OUT - 1) / WINO_OUT;
    l->down = (out->h + WINO_OUT - 1) / WINO_OUT;
    l->tiles = (int64_t)images * l->across * l->down;
    l->block = WINO_BYTES / (WINO_PRODUCTS * l->size * l->channels);
    if (l->block < 14) l->block = 14;
    if (l->block > 112) l->block = 112;
    // A line of cache more, or the 16 streams of a transform fall into few sets of the cache.
    l->in_matrix = l->block * l->channels + 64 / l->size;
    l->out_matrix = l->block * l->width + 16;
}

static const char *wino_refuse(const cf_problem *problem, cf_dtype dtype) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const char *why = cf_conv_refuse(problem, dtype);
    if (why) return why;
    if (attr->coarse) return "a coarse residual";
    if (attr->kernel_h != 3 || attr->kernel_w != 3 || attr->stride != 1) return "not 3x3 with stride 1";
    if (problem->in[0].c < WINO_LEAST_CHANNELS || problem->out[0].c < WINO_LEAST_CHANNELS) return "few channels";
    return NULL;
}

static inline size_t wino_packed_size(const cf_problem *problem) {
    wino_layout l;
    wino_layout_make(problem, 1, 1, &l);
    size_t vectors = problem->in[0].dtype == CF_F16 ? 2 : 1; // bias, scale
    return (size_t)l.panels * CF_PANEL *
           ((size_t)WINO_PRODUCTS * (size_t)l.channels * (size_t)l.size + vectors * sizeof(float));
}

// The 3x3 weights of a pair of channels, transformed.
static inline void wino_transform_weights(const float *w, float *to) {
    static const double g[WINO_IN][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    for (int i = 0; i < WINO_IN; i++) {
        double row[3];
        for (int x = 0; x < 3; x++)
            row[x] = g[i][0] * (double)w[x] + g[i][1] * (double)w[3 + x] + g[i][2] * (double)w[6 + x];
        for (int k = 0; k < WINO_IN; k++)
            to[i * WINO_IN + k] = (float)(row[0] * g[k][0] + row[1] * g[k][1] + row[2] * g[k][2]);
    }
}

// The step of an output's weights.
static inline float wino_step(const cf_problem *problem, size_t o) {
    if (problem->in[0].dtype != CF_F16) return 1;
    size_t inputs = (size_t)problem->in[0].c;
    float most = 0, value[WINO_PRODUCTS];
    for (size_t c = 0; c < inputs; c++) {
        wino_transform_weights(problem->constant[0].data + (o * inputs + c) * 9, value);
        for (int f = 0; f < WINO_PRODUCTS; f++) most = fmaxf(most, fabsf(value[f]));
    }
    return cf_conv_f16_step(most);
}

static inline void wino_pack(const cf_problem *problem, void *packed) {
    wino_layout l;
    wino_layout_make(problem, 1, 1, &l);
    memset(packed, 0, wino_packed_size(problem));
    size_t channels = (size_t)l.channels, matrix = (size_t)l.panels * channels * CF_PANEL, group = 4 / (size_t)l.size;
    size_t inputs = (size_t)problem->in[0].c, outputs = (size_t)problem->out[0].c;
    cf_dtype dtype = problem->in[0].dtype;
    float *bias = (float *)((char *)packed + WINO_PRODUCTS * matrix * (size_t)l.size);
    for (size_t o = 0; o < outputs; o++) {
        float step = wino_step(problem, o), value[WINO_PRODUCTS];
        if (problem->constant[1].data) bias[o] = problem->constant[1].data[o];
        if (dtype == CF_F16) bias[(size_t)l.panels * CF_PANEL + o] = step / WINO_F16_INPUT;
        for (size_t c = 0; c < inputs; c++) {
            wino_transform_weights(problem->constant[0].data + (o * inputs + c) * 9, value);
            size_t at = (o / CF_PANEL * channels + c / group * group) * CF_PANEL + o % CF_PANEL * group + c % group;
            for (size_t f = 0; f < WINO_PRODUCTS; f++)
                cf_conv_put((unsigned char *)packed + (f * matrix + at) * (size_t)l.size, dtype, value[f], step);
        }
    }
}

// Values of the polynomial through d0..d3 at 0, 1, -1 and infinity.
CF_INLINE void wino_forward(const v_f32 *d, v_f32 *to, int step) {
    to[0] = v_sub(d[0], d[2]);
    to[1 * step] = v_add(d[1], d[2]);
    to[2 * step] = v_sub(d[2], d[1]);
    to[3 * step] = v_sub(d[3], d[1]);
}

// Two outputs from four products.
CF_INLINE void wino_back(const v_f32 *m, v_f32 *to) {
    to[0] = v_add(v_add(m[1], m[2]), m[0]);
    to[1] = v_add(v_sub(m[1], m[2]), m[3]);
}

typedef struct {
    int64_t n, y, x; // image, first output row and column
} wino_place;

static inline wino_place wino_place_of(const wino_layout *l, int64_t tile) {
    int64_t line = tile / l->across;
    return (wino_place){line / l->down, line % l->down * WINO_OUT, tile % l->across * WINO_OUT};
}

// Where a tile's 4x4 inputs are.
typedef struct {
    const char *first;   // of the 16, which may lie beyond the border
    int64_t row, pixel;  // bytes
    int64_t top, left;   // of the first
    int32_t h, w, whole; // of the image; whole: all 16 can be read, be it from the halo, which is zero
} wino_window;

CF_INLINE wino_window wino_window_of(const cf_call *call, wino_place at) {
    const cf_tensor *in = &call->in[0];
    const cf_conv_attr *attr = &call->problem->attr.conv;
    int64_t top = at.y - attr->pad_top, left = at.x - attr->pad_left, size = cf_dtype_size(in->dtype);
    int whole = top >= -in->halo && left >= -in->halo && top + WINO_IN <= in->h + in->halo &&
                left + WINO_IN <= in->w + in->halo;
    return (wino_window){(const char *)in->data + (at.n * in->image + top * in->row + left * in->pixel) * size,
                         in->row * size,
                         in->pixel * size,
                         top,
                         left,
                         in->h,
                         in->w,
                         whole};
}

// `lanes` channels from c on of input (y, x) of a tile.
CF_INLINE v_f32 wino_read(cf_dtype dtype, const wino_window *in, int y, int x, int c, int lanes) {
    const char *pixel = in->first + y * in->row + x * in->pixel + c * cf_dtype_size(dtype);
    if (in->whole && lanes == V_LANES) return v_read(pixel, dtype, V_LANES, v_zero(), v_set_i32(0));
    if (in->whole || (in->top + y >= 0 && in->left + x >= 0 && in->top + y < in->h && in->left + x < in->w))
        return v_read(pixel, dtype, lanes, v_zero(), v_set_i32(0));
    return v_zero();
}

// One tile: all channels, to matrix[16][tile][channels].
CF_INLINE void wino_transform_in(cf_dtype dtype, const cf_call *call, const wino_layout *l, wino_place at, char *to) {
    const cf_tensor *in = &call->in[0];
    wino_window window = wino_window_of(call, at);
    for (int c = 0; c < l->channels; c += V_LANES) {
        int lanes = in->c - c < V_LANES ? (in->c - c < 0 ? 0 : in->c - c) : V_LANES;
        v_f32 part[WINO_PRODUCTS], d[WINO_IN], value[WINO_IN];
#pragma GCC unroll 4
        for (int x = 0; x < WINO_IN; x++) {
#pragma GCC unroll 4
            for (int y = 0; y < WINO_IN; y++) d[y] = wino_read(dtype, &window, y, x, c, lanes);
            wino_forward(d, part + x, WINO_IN);
        }
#pragma GCC unroll 4
        for (int i = 0; i < WINO_IN; i++) {
            wino_forward(part + i * WINO_IN, value, 1);
#pragma GCC unroll 4
            for (int k = 0; k < WINO_IN; k++)
                v_write(to + ((i * WINO_IN + k) * l->in_matrix + c) * l->size, dtype, V_LANES,
                        dtype == CF_F16 ? v_mul(value[k], v_set(WINO_F16_INPUT)) : value[k], v_zero(), v_set_i32(0));
        }
    }
}

// One vector of outputs of a tile, from matrix[16][index][width] to sums[2 lines][line floats].
CF_INLINE void wino_transform_back(const wino_layout *l, const float *from, v_f32 bias, float *sums, int64_t line) {
    v_f32 part[WINO_OUT * WINO_IN], value[WINO_OUT];
#pragma GCC unroll 4
    for (int k = 0; k < WINO_IN; k++) {
        v_f32 m[WINO_IN];
#pragma GCC unroll 4
        for (int i = 0; i < WINO_IN; i++) m[i] = v_load(from + (i * WINO_IN + k) * l->out_matrix);
        wino_back(m, value);
#pragma GCC unroll 4
        for (int y = 0; y < WINO_OUT; y++) part[y * WINO_IN + k] = value[y];
    }
#pragma GCC unroll 4
    for (int y = 0; y < WINO_OUT; y++) {
        wino_back(part + y * WINO_IN, value);
#pragma GCC unroll 4
        for (int x = 0; x < WINO_OUT; x++) v_store(sums + y * line + x * l->width, v_add(value[x], bias));
    }
}

// Sums of one line of outputs, those of `count` tiles side by side from `at` on, y below its first line: out.
CF_INLINE void wino_line_out(const cf_call *call, const wino_layout *l, const float *sums, wino_place at, int y,
                             int count, int panel, int panels, void (*store)(const cf_conv_store *)) {
    const cf_tensor *out = &call->out[0], *add = &call->in[1];
    if (at.y + y >= out->h) return;
    int out_size = cf_dtype_size(out->dtype), add_size = cf_dtype_size(add->dtype), first = panel * CF_PANEL;
    int64_t pixels = out->w - at.x < count * WINO_OUT ? out->w - at.x : count * WINO_OUT;
    cf_conv_store s = {.sums = sums,
                       .out = (char *)cf_tensor_at(out, at.n, at.y + y, at.x) + first * out_size,
                       .add = call->problem->inputs > 1
                                  ? (const char *)cf_tensor_at(add, at.n, at.y + y, at.x) + first * add_size
                                  : NULL,
                       .out_pixel = out->pixel * out_size,
                       .add_pixel = add->pixel * add_size,
                       .pixels = (int32_t)pixels,
                       .channels = out->c - first < panels * CF_PANEL ? out->c - first : panels * CF_PANEL,
                       .width = l->width,
                       .attr = &call->problem->attr.conv,
                       .out_tensor = out,
                       .add_tensor = add};
    store(&s);
}

// How many tiles from `tile` on are transformed back together: up to `last`, side by side on one line.
CF_INLINE int wino_group_of(const wino_layout *l, wino_place at, int64_t tile, int64_t last) {
    int64_t count = l->across - at.x / WINO_OUT;
    if (count > WINO_GROUP) count = WINO_GROUP;
    return (int)(count < last - tile ? count : last - tile);
}

// `count` tiles side by side and one step of panels: back, and out.
CF_INLINE void wino_group_out(const cf_call *call, const wino_layout *l, const float *products, const float *bias,
                              wino_place at, int count, int panel, int panels, void (*store)(const cf_conv_store *)) {
    float sums[WINO_OUT * WINO_GROUP * WINO_OUT * 2 * CF_PANEL] __attribute__((aligned(64)));
    int64_t line = (int64_t)count * WINO_OUT * l->width;
    for (int t = 0; t < count; t++)
        for (int c = 0; c < panels * CF_PANEL; c += V_LANES)
            wino_transform_back(l, products + t * l->width + c, v_load(bias + panel * CF_PANEL + c),
                                sums + (int64_t)t * WINO_OUT * l->width + c, line);
    for (int y = 0; y < WINO_OUT; y++) wino_line_out(call, l, sums + y * line, at, y, count, panel, panels, store);
}

// The 16 products of a block with a step of panels. scale: of FP16 alone.
static inline void wino_multiply(const cf_call *call, const wino_layout *l, const cf_conv_machine *machine,
                                 const char *inputs, const float *scale, float *products, int64_t tiles, int panel,
                                 int panels) {
    static const float zeros[3 * CF_PANEL] __attribute__((aligned(64)));
    int64_t row = (int64_t)l->channels * l->size, panel_bytes = row * CF_PANEL, most = machine->most_run[panels - 1];
    cf_conv_geometry g = {.group = 4 / l->size, .rows = 1, .cols = 1, .groups = (int32_t)(row / 4), .step = row};
    int64_t runs = (tiles + most - 1) / most;
    for (int i = 0; i < WINO_PRODUCTS; i++)
        for (int64_t run = 0; run < runs; run++) {
            int64_t first = tiles * run / runs, last = tiles * (run + 1) / runs;
            cf_conv_tile tile = {&g,
                                 inputs + i * l->in_matrix * l->size + first * row,
                                 (const char *)call->packed + (i * l->panels + panel) * panel_bytes,
                                 panel_bytes,
                                 zeros,
                                 scale + panel * CF_PANEL,
                                 products + i * l->out_matrix + first * panels * CF_PANEL,
                                 NULL};
            machine->micro[panels - 1][last - first - 1](&tile);
        }
}

static inline size_t wino_scratch_of_one(const wino_layout *l) {
    return WINO_PRODUCTS * ((size_t)l->in_matrix * (size_t)l->size + (size_t)l->out_matrix * sizeof(float));
}

CF_INLINE void wino_run(cf_dtype dtype, const cf_call *call, const cf_team *team, const cf_conv_machine *machine) {
    wino_layout whole, l;
    wino_layout_make(call->problem, call->images, machine->most_panels, &whole);
    int step = whole.width / CF_PANEL;
    char *inputs = (char *)call->scratch + (size_t)team->thread * wino_scratch_of_one(&whole);
    float *products = (float *)(inputs + WINO_PRODUCTS * whole.in_matrix * whole.size);
    int64_t weight_bytes = (int64_t)WINO_PRODUCTS * whole.panels * whole.channels * CF_PANEL * whole.size;
    const float *bias = (const float *)((const char *)call->packed + weight_bytes);
    const float *scale = bias + whole.panels * CF_PANEL;
    cf_conv_share share = cf_conv_share_of(team, whole.tiles, (whole.panels + step - 1) / step, 1);
    int64_t mine = share.run_last - share.run_first, blocks = (mine + whole.block - 1) / whole.block;
    int panel_last = share.panel_last * step < whole.panels ? share.panel_last * step : whole.panels;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = share.run_first + mine * b / blocks, last = share.run_first + mine * (b + 1) / blocks;
        for (int64_t t = first; t < last; t++)
            wino_transform_in(dtype, call, &whole, wino_place_of(&whole, t),
                              inputs + (t - first) * whole.channels * whole.size);
        for (int panel = share.panel_first * step; panel < panel_last; panel += step) {
            int panels = panel_last - panel < step ? panel_last - panel : step;
            l = whole;
            l.width = panels * CF_PANEL;
            wino_multiply(call, &l, machine, inputs, scale, products, last - first, panel, panels);
            for (int64_t t = first, count; t < last; t += count) {
                wino_place at = wino_place_of(&l, t);
                count = wino_group_of(&l, at, t, last);
                wino_group_out(call, &l, products + (t - first) * l.width, bias, at, (int)count, panel, panels,
                               machine->store);
            }
        }
    }
}

static inline size_t wino_scratch(const cf_problem *problem, int most_panels) {
    wino_layout l;
    wino_layout_make(problem, problem->images, most_panels, &l);
    return (size_t)problem->threads * wino_scratch_of_one(&l);
}

#endif
