// SPDX-License-Identifier: Apache-2.0
// Convolution with FP32 accuracy on AMX tiles of bf16.
//
// x = hi + mid + lo, each the bf16 nearest to what is left, exact to 24 bits. Of the nine products of two such sums the
// six largest are added (hi*hi, hi*mid, mid*hi, hi*lo, mid*mid, lo*hi); what is dropped is below 2^-24 of the product.
// The input is split into scratch by the whole team first, padding included.
#include "kernels/cpu/conv_amx.h"

#include "base/cpu.h"
#include "base/half.h"

enum { CF_SPLIT_PARTS = 3, LEAST_OUTPUTS = 256 };

CF_AMX_MULTIPLIES(multiply_split, CF_AMX_SPLIT)

// The split input: [image][h + padding][w + padding][hi c, mid c, lo c] bf16, in scratch.
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
    in->pixel = (int64_t)in->c * CF_SPLIT_PARTS;
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
    if (problem->in[0].c % 32) return "channels are not a multiple of 32";
    if (problem->out[0].c < LEAST_OUTPUTS) return "too few outputs to pay for splitting the input";
    return cf_amx_refuse(&g);
}

// What the shape of a split problem says.
static void shape_of(const cf_problem *split, int images, cf_amx_conv *p) {
    memset(p, 0, sizeof *p);
    cf_conv_geometry_make(split, images, &p->g);
    p->problem = split;
    p->threads = split->threads;
    p->in_line = p->g.in_line * 2;
    p->in_image = p->g.in_image * 2;
    p->part = (int64_t)split->in[0].c * 2;
    p->parts = CF_SPLIT_PARTS;
    p->weight_part = (int64_t)cf_conv_panel_bytes(&p->g);
    p->panel = CF_SPLIT_PARTS * p->weight_part;
}

// Scratch: sums that wait, then the split input.
static size_t waiting_size(const cf_problem *split) {
    cf_amx_conv p;
    shape_of(split, split->images, &p);
    cf_amx_shape(&p);
    return cf_amx_scratch(&p);
}

static size_t scratch_size_split(const cf_problem *problem) {
    cf_problem split;
    split_problem(problem, &split);
    return waiting_size(&split) + (size_t)(split.in[0].image * problem->images * 2);
}

// Packed: per panel hi, mid, lo of the weights, each as conv_panel.h has them; then the bias.
static size_t packed_size_split(const cf_problem *problem) {
    cf_problem split;
    cf_conv_geometry g;
    split_problem(problem, &split);
    cf_conv_geometry_make(&split, 1, &g);
    return (size_t)g.panels * (CF_SPLIT_PARTS * cf_conv_panel_bytes(&g) + CF_PANEL * 4);
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
    float *bias = (float *)((char *)packed + (size_t)g.panels * CF_SPLIT_PARTS * part);
    for (int o = 0; o < g.outputs; o++) {
        char *panel = (char *)packed + (size_t)(o / CF_PANEL) * CF_SPLIT_PARTS * part + o % CF_PANEL * 4;
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < channels; c++) {
                float left =
                    problem->constant[0].data[((size_t)o * (size_t)channels + (size_t)c) * (size_t)taps + (size_t)t];
                char *to = panel + (size_t)(t * (channels / 2) + c / 2) * 64 + c % 2 * 2;
                for (int i = 0; i < CF_SPLIT_PARTS; i++) {
                    uint16_t half = cf_f32_to_bf16(left);
                    memcpy(to + (size_t)i * part, &half, 2);
                    left -= cf_bf16_to_f32(half);
                }
            }
        if (problem->constant[1].data) bias[o] = problem->constant[1].data[o];
    }
}

static void split_row(const float *from, uint16_t *to, int64_t pixels, int64_t pixel, int channels) {
    for (int64_t x = 0; x < pixels; x++, from += pixel, to += (int64_t)channels * CF_SPLIT_PARTS)
        for (int c = 0; c < channels; c += 16) {
            __m512 left = _mm512_loadu_ps(from + c);
            for (int i = 0; i < CF_SPLIT_PARTS; i++) {
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
    char *parts = (char *)call->scratch + waiting_size(&split);
    long begin, end;
    cf_team_range(team, (long)(call->images * size.h), &begin, &end);
    for (long line = begin; line < end; line++) {
        int64_t n = line / size.h, y = line % size.h - attr->pad_top;
        uint16_t *to = (uint16_t *)(void *)parts + line * wide->row;
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
    cf_amx_conv p;
    shape_of(&split, call->images, &p);
    p.call = call;
    p.in = parts;
    p.bias = (const float *)((const char *)call->packed + p.g.panels * p.panel);
    p.scale = p.bias;
    p.start = p.bias;
    cf_amx_run(&p, team, multiply_split, 0);
}

const cf_kernel cf_conv_f32_amx = {.name = "conv_f32_amx",
                                   .op = CF_OP_CONV,
                                   .cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16 | CF_CPU_AMX_BF16,
                                   .refuse = refuse_split,
                                   .packed_size = packed_size_split,
                                   .pack = pack_split,
                                   .scratch_size = scratch_size_split,
                                   .run = run_split};
