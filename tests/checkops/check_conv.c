// SPDX-License-Identifier: Apache-2.0
// Cases of the convolution: the layers of every model size, every dtype, and shapes chosen to hurt.
//
// Tolerances. Weights of bf16, int8 and E4M3 cases are drawn from values which those formats hold exactly, so packing
// them loses nothing and what remains is FP32 summation: products are exact in FP32, so the error of a sum of K terms
// is a few 2^-24 * sum |a||b| however it is ordered. int8 sums are exact; their error is that of the final scaling.
#include "checkops/checkops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/half.h"

// Scales of a concat's parts: powers of two around the tensor's own, so that weights stay exact. Zero points differ too
// where no border shows them.
static float part_scale(const cf_problem *p, size_t channel) {
    return p->in[0].scale * (channel / 4 % 3 == 0 ? 0.5f : channel / 4 % 3 == 1 ? 1 : 2);
}

static void fill_units(const cf_problem *p, float *values) {
    size_t channels = (size_t)p->in[0].c;
    int padded = p->attr.conv.pad_top + p->attr.conv.pad_left + p->attr.conv.pad_bottom + p->attr.conv.pad_right > 0;
    for (size_t c = 0; c < channels; c++) {
        values[c] = part_scale(p, c);
        values[channels + c] = (float)(p->in[0].dtype == CF_E4M3 ? 0
                                       : padded                  ? p->in[0].zero
                                                                 : (int)(c / 4 * 37 % 256));
    }
}

static void fill_constant(const check_case *one, int index, float *values, size_t count, check_random *random) {
    const cf_problem *p = &one->problem;
    if (index == 2) {
        fill_units(p, values);
        return;
    }
    for (size_t i = 0; i < count; i++) values[i] = check_value(random, one->values);
    if (index != 0) return;
    cf_dtype dtype = p->in[0].dtype;
    if (dtype == CF_BF16)
        for (size_t i = 0; i < count; i++) values[i] = cf_bf16_to_f32(cf_f32_to_bf16(values[i]));
    if (dtype == CF_F16)
        for (size_t i = 0; i < count; i++) values[i] = cf_f16_to_f32(cf_f32_to_f16(values[i]));
    if (dtype != CF_U8 && dtype != CF_S8 && dtype != CF_E4M3) return;
    size_t outputs = (size_t)p->constant[0].shape[0], each = count / outputs;
    for (size_t o = 0; o < outputs; o++) { // whole multiples of a step; 127 of them occur
        float step = check_uniform(random, 0.5f, 2) * 0x1p-8f;
        int floating = dtype == CF_E4M3, most = floating ? 448 : 127;
        if (floating) step *= 0.25f;
        for (size_t i = 0; i < each; i++) {
            float stored = floating ? cf_e4m3_to_f32((uint8_t)(check_below(random, 127) | check_below(random, 2) << 7))
                                    : (float)check_below(random, 255) - 127;
            values[o * each + i] = (one->values == CHECK_SATURATE ? (float)most : stored) * step;
        }
        if (each) values[o * each + check_below(random, (uint32_t)each)] = (float)most * step;
        size_t taps = (size_t)(p->attr.conv.kernel_h * p->attr.conv.kernel_w);
        for (size_t i = 0; i < each && p->constant[2].rank; i++) // the kernel's weights are those times the scale
            values[o * each + i] *= p->in[0].scale / part_scale(p, i / taps);
    }
}

static float input_at(const cf_problem *p, const cf_tensor *in, int n, int y, int x, int c) {
    cf_tensor part = *in;
    if (p->constant[2].data) {
        part.scale = p->constant[2].data[c];
        part.zero = (int)p->constant[2].data[in->c + c];
    }
    return cf_tensor_get(&part, n, y, x, c);
}

// What FP16 kernels of the CPU may err by, and by how much of an output's largest weight its others, and products, are
// off there.
#define F16_UNIT 0x1p-9
#define F16_WEIGHT_UNIT 0x1p-18

// Sum |a||w| + |bias|, through the activation (whose slope is below 1.2), the affine block and the residual.
static void magnitude(const check_case *one, const cf_call *call, double *result) {
    const cf_problem *p = call->problem;
    const cf_conv_attr *attr = &p->attr.conv;
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    int group_in = in->c / attr->groups, group_out = out->c / attr->groups;
    size_t taps = (size_t)(attr->kernel_h * attr->kernel_w);
    (void)one;
    for (int n = 0; n < call->images; n++)
        for (int oy = 0; oy < out->h; oy++)
            for (int ox = 0; ox < out->w; ox++)
                for (int o = 0; o < out->c; o++) {
                    const float *weight = p->constant[0].data + (size_t)o * (size_t)group_in * taps;
                    double sum = p->constant[1].data ? fabs((double)p->constant[1].data[o]) : 0, floor = 0;
                    for (size_t i = 0; i < (size_t)group_in * taps && in->dtype == CF_F16; i++)
                        floor = fmax(floor, fabs((double)weight[i]) * F16_WEIGHT_UNIT / F16_UNIT);
                    for (int ky = 0; ky < attr->kernel_h; ky++)
                        for (int kx = 0; kx < attr->kernel_w; kx++) {
                            int y = oy * attr->stride + ky - attr->pad_top, x = ox * attr->stride + kx - attr->pad_left;
                            if (y < 0 || y >= in->h || x < 0 || x >= in->w) continue;
                            for (int i = 0; i < group_in; i++)
                                sum += (fabs((double)weight[(size_t)i * taps + (size_t)(ky * attr->kernel_w + kx)]) +
                                        floor) *
                                           fabs((double)input_at(p, in, n, y, x, o / group_out * group_in + i)) +
                                       floor;
                        }
                    if (attr->coarse) sum += fabs((double)cf_tensor_get(&call->in[1], n, oy / 2, ox / 2, o));
                    if (attr->affine) sum = sum * fabs((double)attr->scale) + fabs((double)attr->shift);
                    if (p->inputs > 1 && !attr->coarse) sum += fabs((double)cf_tensor_get(&call->in[1], n, oy, ox, o));
                    *result++ = sum;
                }
}

static double unit(const check_case *one, const cf_kernel *kernel) {
    const cf_problem *p = &one->problem;
    // Into bytes, SiLU is exact to 2^-12 of its argument there.
    // The tensor cores add products of E4M3 with some 14 bits.
    if (strstr(kernel->name, "conv_tma_e4m3")) return 0x1p-11;
    if (strstr(kernel->name, "conv_tma_u8") && p->attr.conv.act == CF_ACT_SILU && p->out[0].dtype == CF_U8)
        return 0x1.2p-12;
    // Winograd in bf16 rounds transformed inputs and weights, sums of some of them, by 2^-9 each; magnitude() is the
    // sum of absolute products, of which those errors are a part.
    if (strstr(kernel->name, "winograd_bf16")) return 0x1p-8;
    // Sums of 32 products and then some in FP16: 2^-11 of the partial sum a step.
    if (strstr(kernel->name, "conv_f16_avx512") || strstr(kernel->name, "winograd_f16")) return F16_UNIT;
    return 2e-6; // sums of up to 5000 terms: sqrt(5000) * 2^-24 is 4e-6 only if every rounding has one sign
}

// A CPU's sigmoid of results that are rounded to bf16 or bytes errs by 2^-12.8 (simd_act.h).
static double share(const check_case *one, const cf_kernel *kernel) {
    const cf_problem *p = &one->problem;
    int coarse = p->out[0].dtype == CF_BF16 || p->out[0].dtype == CF_U8 || p->out[0].dtype == CF_S8;
    int sigmoid = p->attr.conv.act == CF_ACT_SILU || p->attr.conv.act == CF_ACT_SIGMOID;
    return coarse && sigmoid && !kernel->launch ? 0x1.4p-13 : 0;
}

static double work(const cf_problem *p) {
    const int32_t *w = p->constant[0].shape;
    return 2.0 * p->images * p->out[0].h * p->out[0].w * p->out[0].c * w[1] * w[2] * w[3];
}

typedef struct {
    char name[64];
    int images, h, w, c, o, kh, kw, stride, pad[4], groups, act;
    int affine; // -1: by a negative number
    int coarse;
} shape;

// The dtypes of in, out and residual (-1: none).
static const struct {
    const char *name;
    cf_dtype in, out;
    int residual;
} kinds[] = {
    {"f32", CF_F32, CF_F32, -1},
    {"bf16", CF_BF16, CF_BF16, -1},
    {"u8", CF_U8, CF_U8, -1},
    {"s8", CF_S8, CF_S8, -1},
    {"f32+f32", CF_F32, CF_F32, CF_F32},
    {"bf16+bf16", CF_BF16, CF_BF16, CF_BF16},
    {"bf16+f32>f32", CF_BF16, CF_F32, CF_F32},
    {"u8+u8", CF_U8, CF_U8, CF_U8},
    {"f32+bf16>bf16", CF_F32, CF_BF16, CF_BF16},
    {"u8>f32", CF_U8, CF_F32, -1},
    {"u8+bf16>bf16", CF_U8, CF_BF16, CF_BF16},
    {"u8>s8", CF_U8, CF_S8, -1},
    {"bf16>f32", CF_BF16, CF_F32, -1},
    {"bf16>u8", CF_BF16, CF_U8, -1},
    {"bf16+u8>bf16", CF_BF16, CF_BF16, CF_U8},
    {"u8+u8>bf16", CF_U8, CF_BF16, CF_U8},
    {"u8>bf16", CF_U8, CF_BF16, -1},
    {"u8+bf16>u8", CF_U8, CF_U8, CF_BF16},
    {"bf16>s8", CF_BF16, CF_S8, -1},
    {"u8>f16", CF_U8, CF_F16, -1}, // where there is FP16 arithmetic "u8>bf16" becomes this too; storing needs none
};
enum { KINDS = sizeof kinds / sizeof *kinds, PLAIN_KINDS = 4, KIND_BF16 = 1, KIND_U8 = 2 };

static void quantise(cf_tensor *tensor, double range, int zero) {
    if (tensor->dtype != CF_U8 && tensor->dtype != CF_S8) return;
    tensor->scale = (float)(range / (tensor->dtype == CF_U8 ? 200 : 110));
    tensor->zero = zero;
}

static void emit(check_run *run, const shape *s, int kind, check_values values, int gap, int halo, uint64_t seed) {
    check_case one = {.values = values, .seed = seed};
    cf_problem *p = &one.problem;
    p->op = CF_OP_CONV;
    p->attr.conv = (cf_conv_attr){s->kh,
                                  s->kw,
                                  s->stride,
                                  s->pad[0],
                                  s->pad[1],
                                  s->pad[2],
                                  s->pad[3],
                                  s->groups,
                                  s->act,
                                  s->affine != 0,
                                  s->affine < 0 ? -1.25f : 1.25f,
                                  -0.375f,
                                  s->coarse};
    p->images = s->images;
    if (s->coarse && kinds[kind].residual < 0) return;
    p->inputs = kinds[kind].residual < 0 ? 1 : 2;
    p->outputs = 1;
    int oh = (s->h + s->pad[0] + s->pad[2] - s->kh) / s->stride + 1;
    int ow = (s->w + s->pad[1] + s->pad[3] - s->kw) / s->stride + 1;
    if (oh < 1 || ow < 1) return;
    p->in[0] = (cf_tensor){.h = s->h, .w = s->w, .c = s->c, .halo = halo, .dtype = kinds[kind].in};
    p->out[0] = (cf_tensor){.h = oh, .w = ow, .c = s->o, .halo = seed / 3 % 4 == 0, .dtype = kinds[kind].out};
    p->in[1] = (cf_tensor){.h = oh >> s->coarse,
                           .w = ow >> s->coarse,
                           .c = s->o,
                           .halo = (int)(seed % 3),
                           .dtype = (cf_dtype)kinds[kind].residual};
    double terms = (double)(s->c / s->groups) * s->kh * s->kw, in_range = values == CHECK_LARGE ? 1e4 : 1;
    quantise(&p->in[0], in_range, p->in[0].dtype == CF_U8 ? 100 : seed % 2 ? 0 : -9);
    quantise(&p->in[1], 1, 120);
    quantise(&p->out[0], in_range * (values == CHECK_RANDOM ? 0.4 : 2) * sqrt(terms) + 1,
             p->out[0].dtype == CF_U8 ? 64 : 3);
    p->constant[0] = (cf_constant){NULL, 4, {s->o, s->c / s->groups, s->kh, s->kw}};
    if (p->in[0].dtype == CF_U8 && s->groups == 1 && seed % 3 == 0) p->constant[2] = (cf_constant){NULL, 2, {2, s->c}};
    if (seed % 4) p->constant[1] = (cf_constant){NULL, 1, {s->o}};
    for (int i = 0; i < p->inputs; i++) one.in_gap[i] = gap;
    if (seed % 4 == 0) one.in_gap[0] = 0; // from a tensor of its own into a slice
    one.out_gap = gap;
    static const char *const value_names[CHECK_SPLIT + 1] = {"random",   "large",    "cancel",
                                                             "denormal", "saturate", "split"};
    snprintf(one.name, sizeof one.name, "conv %.30s %s %dx%dx%dx%d o%d k%dx%d s%d g%d %s%s%s%s", s->name,
             kinds[kind].name, s->images, s->h, s->w, s->c, s->o, s->kh, s->kw, s->stride, s->groups,
             cf_act_name((cf_act)s->act),
             p->constant[2].rank ? " parts"
             : s->coarse         ? " coarse"
                                 : "",
             gap ? " slice" : "", values ? " " : "");
    strncat(one.name, values ? value_names[values] : "", sizeof one.name - strlen(one.name) - 1);
    check_emit(run, &one);
}

static int act_of(const char *name) {
    for (int act = 0; act <= CF_ACT_CLAMP; act++)
        if (!strcmp(name, cf_act_name((cf_act)act))) return act;
    return CF_ACT_NONE;
}

typedef struct {
    check_run *run;
    uint64_t seed;
} context;

static double cost(const shape *s) {
    return (double)s->images * (s->h / s->stride + 1) * (s->w / s->stride + 1) * s->c / s->groups * s->o * s->kh *
           s->kw;
}

// "NAME in=HxWxC out=O k=HxW s=S p=T,L,B,R g=G act=A"
static void shape_line(void *arg, const char *model, const char *text) {
    context *ctx = arg;
    shape s = {.images = 1};
    char layer[128], act[16];
    if (sscanf(text, "%127s in=%dx%dx%d out=%d k=%dx%d s=%d p=%d,%d,%d,%d g=%d act=%15s", layer, &s.h, &s.w, &s.c, &s.o,
               &s.kh, &s.kw, &s.stride, &s.pad[0], &s.pad[1], &s.pad[2], &s.pad[3], &s.groups, act) != 14) {
        fprintf(stderr, "checkops: %s.txt: cannot read: %s\n", model, text);
        exit(2);
    }
    s.act = act_of(act);
    size_t length = strlen(layer);
    snprintf(s.name, sizeof s.name, "%s:%s", model, layer + (length > 24 ? length - 24 : 0));
    int halo = s.kh > 1 ? (s.kh > 3 ? 2 : 1) : 0;
    ctx->seed++;
    if (check_is_bench(ctx->run)) {
        for (int kind = 0; kind < PLAIN_KINDS - 1; kind++) emit(ctx->run, &s, kind, CHECK_RANDOM, 0, halo, 1);
        return;
    }
    // Fewer rows and columns until the double-precision reference is quick enough.
    double most = check_is_quick(ctx->run) ? 5e5 : 4e7;
    while (cost(&s) > most && (s.h > 3 || s.w > 15)) {
        if (s.h > 3)
            s.h = s.h > 6 ? s.h / 2 : 3;
        else
            s.w = s.w > 30 ? s.w / 2 : 15;
    }
    if (cost(&s) > 20 * most) return;
    int first = check_is_quick(ctx->run) ? (int)(ctx->seed % PLAIN_KINDS) : 0;
    int last = check_is_quick(ctx->run) ? first : PLAIN_KINDS - 1;
    for (int kind = first; kind <= last; kind++)
        emit(ctx->run, &s, kind, CHECK_RANDOM, ctx->seed % 3 == 0 ? 16 : 0, halo, ctx->seed);
}

static void cases(check_run *run) {
    context ctx = {run, 0};
    check_shape_lines(run, CF_OP_CONV, shape_line, &ctx);
    if (check_is_bench(run)) return;
    static const shape odd[] = {
        {"stem", 1, 19, 33, 3, 16, 3, 3, 2, {1, 1, 1, 1}, 1, CF_ACT_RELU, 1, 0},
        {"stem", 1, 19, 33, 4, 16, 3, 3, 2, {1, 1, 1, 1}, 1, CF_ACT_RELU, 0, 0},
        {"stem", 2, 8, 30, 3, 32, 3, 3, 2, {1, 1, 1, 1}, 1, CF_ACT_SILU, 0, 0},
        {"bottom", 1, 13, 17, 16, 8, 2, 2, 1, {0, 0, 1, 1}, 1, CF_ACT_RELU, 1, 0},
        {"pairs", 1, 12, 58, 16, 8, 2, 2, 1, {0, 0, 1, 1}, 1, CF_ACT_RELU, 1, 0}, // eight outputs of two pixels a panel
        {"pairs", 1, 6, 21, 16, 8, 2, 2, 1, {0, 0, 1, 1}, 1, CF_ACT_RELU, 0, 0},
        {"pairs", 2, 7, 22, 5, 8, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_SILU, 0, 0},
        {"pairs", 1, 5, 46, 24, 8, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_NONE, -1, 0},
        {"one", 1, 1, 1, 1, 1, 1, 1, 1, {0}, 1, CF_ACT_NONE, 0, 0},
        {"one", 1, 1, 1, 8, 1, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_NONE, 0, 0},
        {"tokens", 1, 1, 300, 64, 80, 1, 1, 1, {0}, 1, CF_ACT_NONE, 0, 0},
        {"tokens", 3, 1, 37, 48, 132, 1, 1, 1, {0}, 1, CF_ACT_RELU, 0, 0},
        {"tokens", 2, 1, 101, 40, 4, 1, 1, 1, {0}, 1, CF_ACT_SIGMOID, 0, 0},
        {"tokens", 1, 1, 31, 24, 1, 1, 1, 1, {0}, 1, CF_ACT_GELU, 0, 0},
        {"tokens", 1, 1, 29, 4, 33, 1, 1, 1, {0}, 1, CF_ACT_CLAMP, 0, 0},
        {"map", 2, 7, 41, 24, 40, 1, 1, 1, {0}, 1, CF_ACT_SILU, 1, 0},
        {"map", 1, 6, 23, 24, 48, 1, 1, 1, {0}, 1, CF_ACT_RELU, -1, 0},
        {"map", 1, 5, 19, 24, 32, 1, 1, 1, {0}, 1, CF_ACT_NONE, -1, 0},
        {"map", 1, 4, 21, 24, 48, 1, 1, 1, {0}, 1, CF_ACT_SILU, -1, 0},
        {"map", 1, 9, 9, 33, 35, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_SILU, 0, 0},
        {"map", 1, 6, 27, 32, 48, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_RELU, 1, 0},
        {"map", 2, 5, 5, 64, 64, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_SILU, 0, 0},
        {"map", 1, 20, 20, 32, 32, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_GELU, 0, 0},
        {"map", 1, 11, 13, 32, 64, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_SIGMOID, 0, 0},
        {"map", 1, 35, 37, 32, 32, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_NONE, 0, 0},
        {"map", 2, 7, 9, 160, 32, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_RELU, 0, 0},
        {"map", 1, 19, 8, 256, 96, 3, 3, 1, {0}, 1, CF_ACT_SILU, 1, 0},
        {"lines", 1, 5, 19, 96, 96, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_SILU, 1, 0},  // four lines at a time, one is left
        {"lines", 2, 3, 5, 160, 160, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_RELU, 0, 0}, // weights in two parts
        {"lines", 1, 6, 7, 96, 96, 3, 3, 1, {0}, 1, CF_ACT_NONE, 0, 0},
        {"parts", 1, 19, 29, 448, 48, 1, 1, 1, {0}, 1, CF_ACT_SILU, 1, 0},
        {"thin", 1, 12, 21, 304, 40, 1, 1, 1, {0}, 1, CF_ACT_SILU, 1, 0}, // 4 groups of bytes in a tile
        {"parts", 1, 15, 17, 800, 34, 1, 1, 1, {0}, 1, CF_ACT_RELU, -1, 0},
        {"parts", 2, 13, 22, 64, 80, 3, 3, 2, {1, 1, 1, 1}, 1, CF_ACT_NONE, 0, 0},
        {"coarse", 1, 8, 40, 24, 40, 1, 1, 1, {0}, 1, CF_ACT_SILU, 0, 1},
        {"coarse", 2, 6, 34, 40, 48, 1, 1, 1, {0}, 1, CF_ACT_RELU, 1, 1},
        {"coarse", 1, 10, 18, 16, 16, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_NONE, 0, 1},
        {"down", 1, 15, 22, 16, 24, 3, 3, 2, {1, 1, 1, 1}, 1, CF_ACT_RELU, 0, 0},
        {"down", 1, 14, 14, 16, 96, 1, 1, 2, {0}, 1, CF_ACT_NONE, 0, 0},
        {"wide", 1, 3, 4, 40, 24, 5, 5, 1, {2, 2, 2, 2}, 1, CF_ACT_NONE, 0, 0},
        {"long", 1, 1, 9, 2100, 20, 1, 1, 1, {0}, 1, CF_ACT_NONE, 0, 0},
        {"tall", 1, 40, 3, 16, 16, 3, 1, 1, {1, 0, 1, 0}, 1, CF_ACT_NONE, 0, 0},
        {"valid", 1, 9, 12, 16, 16, 3, 3, 1, {0}, 1, CF_ACT_NONE, 0, 0},
        {"depth", 1, 9, 21, 16, 16, 5, 5, 1, {2, 2, 2, 2}, 16, CF_ACT_RELU, 1, 0},
        {"depth", 2, 10, 12, 40, 40, 3, 3, 1, {1, 1, 1, 1}, 40, CF_ACT_NONE, 0, 0},
        {"depth", 1, 21, 20, 48, 48, 3, 3, 2, {1, 1, 1, 1}, 48, CF_ACT_SILU, 0, 0},
        {"depth", 1, 1, 1, 9, 9, 3, 3, 1, {1, 1, 1, 1}, 9, CF_ACT_NONE, 0, 0},
        {"depth", 1, 12, 7, 100, 100, 5, 5, 2, {2, 2, 2, 2}, 100, CF_ACT_NONE, 0, 0},
        {"depth", 1, 9, 21, 32, 32, 5, 5, 1, {2, 2, 2, 2}, 32, CF_ACT_RELU, 1, 0},
        {"depth", 2, 7, 13, 96, 96, 3, 3, 2, {1, 1, 1, 1}, 96, CF_ACT_NONE, -1, 0},
        {"depth", 1, 6, 12, 64, 64, 3, 3, 1, {1, 1, 1, 1}, 64, CF_ACT_RELU, -1, 0},
        {"depth", 1, 8, 27, 160, 160, 5, 5, 2, {2, 2, 2, 2}, 160, CF_ACT_NONE, 1, 0},
        {"groups", 1, 5, 6, 16, 32, 3, 3, 1, {1, 1, 1, 1}, 4, CF_ACT_NONE, 0, 0},
        {"empty", 0, 5, 6, 16, 32, 3, 3, 1, {1, 1, 1, 1}, 1, CF_ACT_NONE, 0, 0},
    };
    // Weights beyond a second cache, so that a thread's pixels come in runs: in bf16, and of bytes. 1 to 3 threads.
    static const shape runs[] = {{"runs", 1, 1, 170, 784, 928, 1, 1, 1, {0}, 1, CF_ACT_NONE, 0, 0},
                                 {"runs", 1, 1, 170, 1552, 928, 1, 1, 1, {0}, 1, CF_ACT_NONE, 0, 0}};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        emit(run, &runs[0], KIND_BF16, CHECK_RANDOM, 0, 0, seed);
        emit(run, &runs[1], KIND_U8, CHECK_RANDOM, 0, 0, seed);
    }
    uint64_t seed = 1000;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        int halo = odd[i].kh > 1 ? (odd[i].kh > 3 ? 2 : 1) : 0;
        for (int kind = 0; kind < KINDS; kind++, seed++) {
            emit(run, &odd[i], kind, CHECK_RANDOM, 0, halo, seed);
            emit(run, &odd[i], kind, CHECK_RANDOM, 8 + (int)(seed % 3), halo + (int)(seed % 2), seed + 1);
        }
        for (int values = 1; values < CHECK_VALUES; values++)
            for (int kind = 0; kind < PLAIN_KINDS; kind++, seed++)
                emit(run, &odd[i], kind, (check_values)values, 0, halo, seed);
        emit(run, &odd[i], 0, CHECK_SPLIT, 0, halo, seed++); // every product errs alike if one of parts is missing
    }
}

// The AMX kernels on emulated tiles (amx_emulated.h), AVX-VNNI's with AVX-512's instruction (avxvnni_emulated.h). They
// ask for less of the CPU than the real ones, or for other things.
extern const cf_kernel emulated_conv_bf16_amx, emulated_conv_int8_amx, emulated_conv_f32_amx, emulated_winograd_amx,
    emulated_winograd_bf16_amx, emulated_conv_int8_avxvnni;
enum { EMULATED = 6 };
static cf_kernel emulated[EMULATED];
static const cf_kernel *const extra[EMULATED + 1] = {&emulated[0], &emulated[1], &emulated[2], &emulated[3],
                                                     &emulated[4], &emulated[5], NULL};

static void cases_and_emulated(check_run *run) {
    emulated[0] = emulated_conv_bf16_amx, emulated[0].name = "conv_bf16_amx emulated";
    emulated[1] = emulated_conv_int8_amx, emulated[1].name = "conv_int8_amx emulated";
    emulated[2] = emulated_conv_f32_amx, emulated[2].name = "conv_f32_amx emulated";
    emulated[3] = emulated_winograd_amx, emulated[3].name = "conv_winograd_amx emulated";
    emulated[4] = emulated_winograd_bf16_amx, emulated[4].name = "conv_winograd_bf16_amx emulated";
    for (int i = 0; i < EMULATED; i++) emulated[i].cpu &= ~(uint32_t)(CF_CPU_AMX_BF16 | CF_CPU_AMX_INT8);
    emulated[5] = emulated_conv_int8_avxvnni, emulated[5].name = "conv_int8_avxvnni emulated";
    emulated[5].cpu = CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_VNNI;
    cases(run);
}

const check_op check_conv = {.op = CF_OP_CONV,
                             .cases = cases_and_emulated,
                             .extra = extra,
                             .fill_constant = fill_constant,
                             .magnitude = magnitude,
                             .unit = unit,
                             .share = share,
                             .work = work};
