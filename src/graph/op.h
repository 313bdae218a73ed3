// SPDX-License-Identifier: Apache-2.0
// The operators a graph is made of, their attributes, and the activation formulas.
//
// Operators are coarse and made for this network. Shapes are per image, height x width x channels ("hwc"); a sequence
// of T tokens with d channels is 1 x T x d. Weights are constants of the node, FP32, in PyTorch's order.
//
// What the list below leaves open (kernels/ref holds every formula in full):
// - add, mul: b is the second input, whose dimensions of size 1 repeat (one channel over all channels, one pixel over
//   all pixels), or else the constant [rows, cols], rows = h*w or 1, cols = c or 1, the same for every image.
// - conv: units are the scales (first row) and zero points of the input's channels, where a quantised input has not one
//   of each but is a concat of differently scaled parts.
// - activation, scale_shift, copy, add and mul may change the dtype; sums and products are formed in FP32.
// - norm, gate: over the channels of each pixel, (v - mean) / sqrt(variance + epsilon) * weight + bias; with rms
//   v / sqrt(mean of v*v + epsilon) * weight. v of norm is x, plus the second input where there is one; v of gate is
//   sigmoid(g[:d]) * a + sigmoid(g[d:]) * b. Gates come before their sigmoid.
// - max_pool, avg_pool: a window is kernel x kernel; avg_pool always divides by its full area.
// - attention: k and v may have another number of tokens than q.
// - top_queries: indices (I32, one channel, Q pixels), best row first; of equal rows the lower index first; a NaN score
//   counts as minus infinity. Q is at most T. Indices that gather and reference read are limited to 0..T-1.
// - reference: an invalid anchor is FLT_MAX, which makes the box 1.
// - shift_box: inverse_sigmoid(x) = log(max(x, 1e-5) / max(1 - x, 1e-5)) with x limited to 0..1.
// - deform: offsets [Q, heads*points*2] in x, y pairs, weights [Q, heads*points] before their softmax, points of a head
//   ordered by level; head i reads and writes channels i*d/heads .. of memory and output.
// - refine, quality: sides are ordered left, top, right, bottom, `bins` logits each, before their softmax. quality
//   gives per side the k greatest probabilities, descending, then their mean.
// - boxes are centre x, centre y, width, height in fractions of the image.
#ifndef CF_GRAPH_OP_H
#define CF_GRAPH_OP_H

#include <stdint.h>

// E4M3: eight bits of floating point, 448 at most, in a GPU's plans alone.
typedef enum cf_dtype { CF_F32, CF_BF16, CF_F16, CF_S8, CF_U8, CF_I32, CF_E4M3 } cf_dtype;

static inline int cf_dtype_size(cf_dtype dtype) {
    return dtype == CF_F32 || dtype == CF_I32 ? 4 : dtype == CF_BF16 || dtype == CF_F16 ? 2 : 1;
}

// CF_OP(enumerator, name, inputs least, inputs most): every operator once. Reference kernels (kernels/ref), fast
// kernels (kernels/kernel_list.c), shape rules (graph/shape.c) and the checker all read this list.
#define CF_OPS(CF_OP)                                                                                                  \
    CF_OP(INPUT, "input", 0, 0)             /* the image, h w 3 */                                                     \
    CF_OP(CONV, "conv", 1, 2)               /* x, [residual]; weight [o,i/g,kh,kw], bias [o], [units [2,i]] */         \
    CF_OP(BATCH_NORM, "batch_norm", 1, 1)   /* x; scale, shift [c]: folded into conv by a pass */                      \
    CF_OP(ACTIVATION, "activation", 1, 1)   /* x */                                                                    \
    CF_OP(SCALE_SHIFT, "scale_shift", 1, 1) /* x * scale + shift: the learnable affine block */                        \
    CF_OP(ADD, "add", 1, 2)                 /* a + b; b an input or a constant [h*w,c], see above */                   \
    CF_OP(MUL, "mul", 1, 2)                 /* a * b, likewise; a constant of one column masks rows */                 \
    CF_OP(CONCAT, "concat", 1, 8)           /* along channels; vanishes: producers write into slices */                \
    CF_OP(TOKENS, "tokens", 1, 4)           /* maps [h,w,c] laid out one after another as tokens; vanishes likewise */ \
    CF_OP(SLICE, "slice", 1, 1)             /* channels first .. first+count; a view */                                \
    CF_OP(HALO, "halo", 0, 0)               /* inserted by the plan: zeroes the border around a tensor */              \
    CF_OP(COPY, "copy", 1, 1)               /* inserted where a value needs two homes or another dtype */              \
    CF_OP(UPSAMPLE, "upsample", 1, 1)       /* nearest, 2x */                                                          \
    CF_OP(MAX_POOL, "max_pool", 1, 1)       /* zeros outside take part, as D-FINE pads before pooling */               \
    CF_OP(AVG_POOL, "avg_pool", 1, 1)       /* zeros outside are counted */                                            \
    CF_OP(GLOBAL_POOL, "global_pool", 1, 1) /* mean over h and w: 1 1 c */                                             \
    CF_OP(NORM, "norm", 1, 2)               /* layer or RMS norm of x [+ residual] over channels; weight, [bias] */    \
    CF_OP(GATE, "gate", 3, 3)               /* gates [T,2d], a, b: layer norm of s(g1)*a + s(g2)*b; weight, bias */    \
    CF_OP(ATTENTION, "attention", 3, 3)     /* q, k, v [T,d]: softmax(q k^T / sqrt(d/heads)) v, heads side by side */  \
    CF_OP(TOP_QUERIES, "top_queries", 1, 1) /* scores [T,classes]: indices of the Q rows with the largest maximum */   \
    CF_OP(GATHER, "gather", 2, 2)           /* rows [T,c], indices: rows [Q,c] */                                      \
    CF_OP(REFERENCE, "reference", 2, 2)     /* delta [Q,4], indices; anchors [T,4]: sigmoid(delta + anchor) */         \
    CF_OP(SHIFT_BOX, "shift_box", 2, 2)     /* delta, box [Q,4]: sigmoid(delta + inverse_sigmoid(box)) */              \
    CF_OP(DEFORM, "deform", 4, 4)           /* offsets, weights, boxes [Q,4], memory [T,d]: sampled [Q,d] */           \
    CF_OP(REFINE, "refine", 2, 2)           /* corners [Q,4*bins], box [Q,4]; project [bins]: box moved by integral */ \
    CF_OP(QUALITY, "quality", 1, 1)         /* corners [Q,4*bins]: top-k probabilities and their mean, [Q,4*(k+1)] */

typedef enum cf_op {
#define CF_OP(enumerator, name, least, most) CF_OP_##enumerator,
    CF_OPS(CF_OP)
#undef CF_OP
        CF_OP_COUNT
} cf_op;

const char *cf_op_name(cf_op op);

typedef enum cf_act {
    CF_ACT_NONE,
    CF_ACT_RELU,    // max(x, 0)
    CF_ACT_SILU,    // x * sigmoid(x)
    CF_ACT_GELU,    // x * (1 + erf(x / sqrt 2)) / 2
    CF_ACT_SIGMOID, // 1 / (1 + exp(-x))
    CF_ACT_CLAMP,   // limited to -10 .. 10 (query positions)
} cf_act;

const char *cf_act_name(cf_act act);

// The exact formula, as the reference kernels use it.
float cf_act_apply(cf_act act, float x);

enum { CF_DEFORM_LEVELS = 6, CF_MAX_INPUTS = 8, CF_MAX_OUTPUTS = 1, CF_MAX_CONSTANTS = 3 };

// The most pixels across or down, and the most channels, that a value may have.
enum { CF_MAX_SIDE = 1 << 24 };

// FP32 constants of a node in the order that CF_OPS lists. data is NULL where the node has none.
typedef struct cf_constant {
    float *data;
    int32_t rank, shape[4];
} cf_constant;

// y = act(conv(x) + bias); y = y * scale + shift; y = y + residual. In this order, whatever is absent left out. With
// coarse the residual is half as high and wide, each of its pixels counts for 2x2, and it joins before the activation:
// y = act(conv(x) + bias + upsample(residual)).
typedef struct cf_conv_attr {
    int32_t kernel_h, kernel_w, stride;
    int32_t pad_top, pad_left, pad_bottom, pad_right; // zeros
    int32_t groups;                                   // 1, or the channels for depthwise
    int32_t act;                                      // cf_act
    int32_t affine;                                   // 1: scale and shift are applied
    float scale, shift;
    int32_t coarse; // see above
} cf_conv_attr;

typedef struct cf_pool_attr {
    int32_t kernel, stride, pad_top, pad_left, pad_bottom, pad_right;
} cf_pool_attr;

typedef struct cf_norm_attr {
    int32_t rms;      // 1: no mean, no bias
    int32_t has_bias; //
    float epsilon;
} cf_norm_attr;

// Multi-scale deformable sampling, D-FINE's form: per head the points of all levels share one softmax; a point lies at
// box centre + offset * (1 / points of its level) * box size * offset_scale, in fractions of the map; bilinear with
// zeros outside, pixel centres at (i + 0.5) / size. With discrete = 1 the nearest pixel, clamped to the map.
typedef struct cf_deform_attr {
    int32_t heads, levels, discrete;
    int32_t points[CF_DEFORM_LEVELS];
    int32_t height[CF_DEFORM_LEVELS], width[CF_DEFORM_LEVELS]; // of each level's map; tokens in this order
    float offset_scale;
} cf_deform_attr;

// distance = sum(softmax(corners of a side) * project); the box's sides move out by (reg_scale / 2 + distance) *
// (box size / reg_scale) from its centre.
typedef struct cf_refine_attr {
    int32_t bins; // 33
    float reg_scale;
} cf_refine_attr;

typedef union cf_attr {
    cf_conv_attr conv;
    cf_pool_attr pool;
    cf_norm_attr norm;
    cf_deform_attr deform;
    cf_refine_attr refine;
    struct {
        int32_t act;
    } activation;
    struct {
        float scale, shift;
    } scale_shift;
    struct {
        int32_t first, count;
    } slice;
    struct {
        int32_t heads;
    } attention;
    struct {
        int32_t queries;
    } top_queries;
    struct {
        int32_t bins, top;
    } quality;
} cf_attr;

#endif
