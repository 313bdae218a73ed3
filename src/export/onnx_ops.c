// SPDX-License-Identifier: Apache-2.0
// The formulas of kernels/ref, written in ONNX.
#include "export/onnx_ops.h"

#include <math.h>

#include "base/memory.h"

#define RESHAPE(model, x, ...)                                                                                         \
    cf_onnx_reshape(model, x, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

cf_onnx_name cf_onnx_reshape(cf_onnx *m, cf_onnx_name x, int rank, const int64_t *dims) {
    return cf_onnx_2(m, "Reshape", x, cf_onnx_ints(m, rank, dims));
}

cf_onnx_name cf_onnx_slice(cf_onnx *m, cf_onnx_name x, int axis, int64_t first, int64_t count) {
    int64_t begin[] = {first}, end[] = {first + count}, axes[] = {axis};
    cf_onnx_name inputs[] = {x, cf_onnx_ints(m, 1, begin), cf_onnx_ints(m, 1, end), cf_onnx_ints(m, 1, axes)};
    return cf_onnx_node(m, "Slice", inputs, 4, NULL, 0, NULL);
}

static cf_onnx_name concat(cf_onnx *m, const cf_onnx_name *parts, int count, int axis) {
    if (count == 1) return parts[0];
    cf_onnx_attr attr = CF_ONNX_I("axis", axis);
    return cf_onnx_node(m, "Concat", parts, count, &attr, 1, NULL);
}

static cf_onnx_name softmax(cf_onnx *m, cf_onnx_name x) {
    return cf_onnx_1a(m, "Softmax", x, CF_ONNX_I("axis", -1));
}

static cf_onnx_name transpose4(cf_onnx *m, cf_onnx_name x, int a, int b, int c, int d) {
    return cf_onnx_1a(m, "Transpose", x, CF_ONNX_L("perm", 4, a, b, c, d));
}

static cf_onnx_name mean_last(cf_onnx *m, cf_onnx_name x) {
    cf_onnx_attr attrs[] = {CF_ONNX_L("axes", 1, -1), CF_ONNX_I("keepdims", 1)};
    return cf_onnx_node(m, "ReduceMean", &x, 1, attrs, 2, NULL);
}

static cf_onnx_name constant(cf_onnx *m, const char *label, const cf_constant *c) {
    int64_t dims[4] = {0};
    for (int i = 0; i < c->rank; i++) dims[i] = c->shape[i];
    return cf_onnx_weight(m, label, c->data, 0, c->rank, dims);
}

cf_onnx_name cf_onnx_activation(cf_onnx *m, cf_act act, cf_onnx_name x) {
    switch (act) {
    case CF_ACT_NONE: return x;
    case CF_ACT_RELU: return cf_onnx_1(m, "Relu", x);
    case CF_ACT_SILU: return cf_onnx_2(m, "Mul", x, cf_onnx_1(m, "Sigmoid", x));
    case CF_ACT_SIGMOID: return cf_onnx_1(m, "Sigmoid", x);
    case CF_ACT_CLAMP: return cf_onnx_3(m, "Clip", x, cf_onnx_scalar(m, -10), cf_onnx_scalar(m, 10));
    case CF_ACT_GELU: break;
    }
    cf_onnx_name erf = cf_onnx_1(m, "Erf", cf_onnx_2(m, "Div", x, cf_onnx_scalar(m, (float)sqrt(2))));
    cf_onnx_name share = cf_onnx_2(m, "Add", erf, cf_onnx_scalar(m, 1));
    return cf_onnx_2(m, "Mul", cf_onnx_2(m, "Mul", x, share), cf_onnx_scalar(m, 0.5f));
}

// ---------------------------------------------------------------------------------------------------------------------
// Norms and attention

cf_onnx_name cf_onnx_norm(cf_onnx *m, const cf_node *node, cf_onnx_name x) {
    const cf_norm_attr *attr = &node->attr.norm;
    cf_onnx_name weight = constant(m, "weight", &node->constants[0]);
    if (attr->rms) {
        cf_onnx_name square = mean_last(m, cf_onnx_2(m, "Mul", x, x));
        cf_onnx_name root = cf_onnx_1(m, "Sqrt", cf_onnx_2(m, "Add", square, cf_onnx_scalar(m, attr->epsilon)));
        return cf_onnx_2(m, "Mul", cf_onnx_2(m, "Div", x, root), weight);
    }
    int has_bias = attr->has_bias && node->constants[1].data;
    cf_onnx_name inputs[3] = {x, weight};
    if (has_bias) inputs[2] = constant(m, "bias", &node->constants[1]);
    cf_onnx_attr attrs[] = {CF_ONNX_I("axis", -1), CF_ONNX_F("epsilon", attr->epsilon)};
    return cf_onnx_node(m, "LayerNormalization", inputs, has_bias ? 3 : 2, attrs, 2, NULL);
}

// norm(sigmoid(g[:d]) * a + sigmoid(g[d:]) * b)
cf_onnx_name cf_onnx_gate(cf_onnx *m, const cf_node *node, cf_onnx_name gates, cf_onnx_name a, cf_onnx_name b,
                          int channels) {
    cf_onnx_name share = cf_onnx_1(m, "Sigmoid", gates);
    cf_onnx_name first = cf_onnx_2(m, "Mul", cf_onnx_slice(m, share, 2, 0, channels), a);
    cf_onnx_name second = cf_onnx_2(m, "Mul", cf_onnx_slice(m, share, 2, channels, channels), b);
    return cf_onnx_norm(m, node, cf_onnx_2(m, "Add", first, second));
}

cf_onnx_name cf_onnx_attention(cf_onnx *m, int heads, int channels, cf_onnx_name q, cf_onnx_name k, cf_onnx_name v) {
    int size = channels / heads;
    q = transpose4(m, RESHAPE(m, q, 0, 0, heads, size), 0, 2, 1, 3); // [N, heads, T, size]
    k = transpose4(m, RESHAPE(m, k, 0, 0, heads, size), 0, 2, 3, 1); // [N, heads, size, S]
    v = transpose4(m, RESHAPE(m, v, 0, 0, heads, size), 0, 2, 1, 3); // [N, heads, S, size]
    q = cf_onnx_2(m, "Mul", q, cf_onnx_scalar(m, (float)(1 / sqrt(size))));
    cf_onnx_name x = cf_onnx_2(m, "MatMul", softmax(m, cf_onnx_2(m, "MatMul", q, k)), v);
    return RESHAPE(m, transpose4(m, x, 0, 2, 1, 3), 0, 0, channels);
}

// ---------------------------------------------------------------------------------------------------------------------
// Query selection

cf_onnx_name cf_onnx_top_queries(cf_onnx *m, int queries, cf_onnx_name scores) {
    cf_onnx_attr attrs[] = {CF_ONNX_L("axes", 1, -1), CF_ONNX_I("keepdims", 0)};
    cf_onnx_name best = cf_onnx_node(m, "ReduceMax", &scores, 1, attrs, 2, NULL), indices; // [N, T]
    cf_onnx_name inputs[] = {best, cf_onnx_ints(m, 1, (int64_t[]){queries})};
    cf_onnx_attr axis = CF_ONNX_I("axis", -1);
    cf_onnx_node(m, "TopK", inputs, 2, &axis, 1, &indices);
    return indices;
}

cf_onnx_name cf_onnx_gather(cf_onnx *m, int channels, cf_onnx_name rows, cf_onnx_name indices) {
    cf_onnx_name index = cf_onnx_2(m, "Unsqueeze", indices, cf_onnx_ints(m, 1, (int64_t[]){-1})); // [N, Q, 1]
    index = cf_onnx_2(m, "Expand", index, cf_onnx_ints(m, 3, (int64_t[]){1, 1, channels}));
    return cf_onnx_2a(m, "GatherElements", rows, index, CF_ONNX_I("axis", 1));
}

cf_onnx_name cf_onnx_reference(cf_onnx *m, const cf_node *node, cf_onnx_name delta, cf_onnx_name indices) {
    cf_onnx_name anchors = constant(m, "anchors", &node->constants[0]); // [T, 4]
    cf_onnx_name chosen = cf_onnx_2a(m, "Gather", anchors, indices, CF_ONNX_I("axis", 0));
    return cf_onnx_1(m, "Sigmoid", cf_onnx_2(m, "Add", delta, chosen));
}

// ---------------------------------------------------------------------------------------------------------------------
// Boxes

cf_onnx_name cf_onnx_shift_box(cf_onnx *m, cf_onnx_name delta, cf_onnx_name box) {
    cf_onnx_name zero = cf_onnx_scalar(m, 0), one = cf_onnx_scalar(m, 1), least = cf_onnx_scalar(m, 1e-5f);
    box = cf_onnx_3(m, "Clip", box, zero, one);
    cf_onnx_name over = cf_onnx_2(m, "Max", box, least);
    cf_onnx_name under = cf_onnx_2(m, "Max", cf_onnx_2(m, "Sub", one, box), least);
    cf_onnx_name logit = cf_onnx_1(m, "Log", cf_onnx_2(m, "Div", over, under));
    return cf_onnx_1(m, "Sigmoid", cf_onnx_2(m, "Add", delta, logit));
}

cf_onnx_name cf_onnx_refine(cf_onnx *m, const cf_node *node, cf_onnx_name corners, cf_onnx_name box) {
    int bins = node->attr.refine.bins;
    float scale = fabsf(node->attr.refine.reg_scale);
    cf_onnx_name project = cf_onnx_weight(m, "project", node->constants[0].data, 0, 2, (int64_t[]){bins, 1});
    cf_onnx_name distance = cf_onnx_2(m, "MatMul", softmax(m, RESHAPE(m, corners, 0, 0, 4, bins)), project);
    distance = RESHAPE(m, distance, 0, 0, 4); // left, top, right, bottom
    cf_onnx_name centre = cf_onnx_slice(m, box, 2, 0, 2), size = cf_onnx_slice(m, box, 2, 2, 2);
    cf_onnx_name unit = cf_onnx_2(m, "Div", size, cf_onnx_scalar(m, scale));
    unit = concat(m, (cf_onnx_name[]){unit, unit}, 2, -1);
    cf_onnx_name reach = cf_onnx_2(m, "Mul", cf_onnx_2(m, "Add", distance, cf_onnx_scalar(m, scale / 2)), unit);
    cf_onnx_name from = cf_onnx_2(m, "Sub", centre, cf_onnx_slice(m, reach, 2, 0, 2));
    cf_onnx_name to = cf_onnx_2(m, "Add", centre, cf_onnx_slice(m, reach, 2, 2, 2));
    centre = cf_onnx_2(m, "Mul", cf_onnx_2(m, "Add", from, to), cf_onnx_scalar(m, 0.5f));
    return concat(m, (cf_onnx_name[]){centre, cf_onnx_2(m, "Sub", to, from)}, 2, -1);
}

cf_onnx_name cf_onnx_quality(cf_onnx *m, int bins, int top, cf_onnx_name corners) {
    cf_onnx_name share = softmax(m, RESHAPE(m, corners, 0, 0, 4, bins)), indices;
    cf_onnx_name inputs[] = {share, cf_onnx_ints(m, 1, (int64_t[]){top})};
    cf_onnx_attr axis = CF_ONNX_I("axis", -1);
    cf_onnx_name best = cf_onnx_node(m, "TopK", inputs, 2, &axis, 1, &indices);
    return RESHAPE(m, concat(m, (cf_onnx_name[]){best, mean_last(m, best)}, 2, -1), 0, 0, 4 * (top + 1));
}

// ---------------------------------------------------------------------------------------------------------------------
// Deformable sampling: GridSample of every level's map at its own points, heads as images of their own

static int points_of(const cf_deform_attr *attr) {
    int points = 0;
    for (int i = 0; i < attr->levels; i++) points += attr->points[i];
    return points;
}

// Per point the fraction of the box size that an offset of 1 is: [points, 1].
static cf_onnx_name point_units(cf_onnx *m, const cf_deform_attr *attr) {
    int points = points_of(attr), place = 0;
    float *units = cf_alloc((size_t)points, sizeof *units);
    for (int level = 0; level < attr->levels && units; level++)
        for (int i = 0; i < attr->points[level]; i++) units[place++] = attr->offset_scale / (float)attr->points[level];
    return cf_onnx_weight(m, "units", units, 1, 2, (int64_t[]){points, 1});
}

// Sampling points in GridSample's -1..1: [N * heads, Q, points, 2].
static cf_onnx_name sampling_grid(cf_onnx *m, const cf_deform_attr *attr, int queries, cf_onnx_name offsets,
                                  cf_onnx_name boxes) {
    int points = points_of(attr);
    cf_onnx_name box = RESHAPE(m, boxes, 0, 0, 1, 1, 4);
    cf_onnx_name centre = cf_onnx_slice(m, box, 4, 0, 2), size = cf_onnx_slice(m, box, 4, 2, 2);
    cf_onnx_name at = RESHAPE(m, offsets, 0, 0, attr->heads, points, 2);
    at = cf_onnx_2(m, "Mul", cf_onnx_2(m, "Mul", at, point_units(m, attr)), size);
    at = cf_onnx_2(m, "Add", at, centre);
    at = cf_onnx_2(m, "Sub", cf_onnx_2(m, "Mul", at, cf_onnx_scalar(m, 2)), cf_onnx_scalar(m, 1));
    at = RESHAPE(m, at, 0, 0, attr->heads, 2 * points); // four dimensions, which every runtime can transpose
    return RESHAPE(m, transpose4(m, at, 0, 2, 1, 3), -1, queries, points, 2);
}

cf_onnx_name cf_onnx_deform(cf_onnx *m, const cf_deform_attr *attr, int queries, int channels, const cf_onnx_name *in) {
    int points = points_of(attr), size = channels / attr->heads;
    cf_onnx_name grid = sampling_grid(m, attr, queries, in[0], in[2]), samples[CF_DEFORM_LEVELS];
    int64_t token = 0, point = 0;
    for (int level = 0; level < attr->levels; level++) {
        int h = attr->height[level], w = attr->width[level];
        cf_onnx_name map = cf_onnx_slice(m, in[3], 1, token, (int64_t)h * w);
        map = cf_onnx_1a(m, "Transpose", map, CF_ONNX_L("perm", 3, 0, 2, 1)); // [N, d, h*w]
        map = RESHAPE(m, map, -1, size, h, w);                                // [N * heads, d / heads, h, w]
        cf_onnx_name at = cf_onnx_slice(m, grid, 2, point, attr->points[level]);
        cf_onnx_attr attrs[] = {CF_ONNX_S("mode", "bilinear"), CF_ONNX_S("padding_mode", "zeros"),
                                CF_ONNX_I("align_corners", 0)};
        samples[level] = cf_onnx_node(m, "GridSample", (cf_onnx_name[]){map, at}, 2, attrs, 3, NULL);
        token += (int64_t)h * w;
        point += attr->points[level];
    }
    cf_onnx_name sampled = concat(m, samples, attr->levels, 3); // [N * heads, d / heads, Q, points]
    cf_onnx_name weights = softmax(m, RESHAPE(m, in[1], 0, 0, attr->heads, points));
    weights = RESHAPE(m, transpose4(m, weights, 0, 2, 1, 3), -1, 1, queries, points);
    cf_onnx_name weighted = cf_onnx_2(m, "Mul", sampled, weights);
    cf_onnx_attr keep = CF_ONNX_I("keepdims", 0);
    cf_onnx_name sum = cf_onnx_2a(m, "ReduceSum", weighted, cf_onnx_ints(m, 1, (int64_t[]){-1}), keep);
    sum = RESHAPE(m, sum, -1, channels, queries);
    return cf_onnx_1a(m, "Transpose", sum, CF_ONNX_L("perm", 3, 0, 2, 1)); // [N, Q, d]
}

// ---------------------------------------------------------------------------------------------------------------------
// Post-processing

cf_onnx_found cf_onnx_detections(cf_onnx *m, int queries, int labels, int count, cf_onnx_name logits,
                                 cf_onnx_name boxes, cf_onnx_name sizes) {
    cf_onnx_found out;
    cf_onnx_name inputs[] = {RESHAPE(m, logits, 0, (int64_t)queries * labels), cf_onnx_ints(m, 1, (int64_t[]){count})};
    cf_onnx_attr axis = CF_ONNX_I("axis", -1);
    cf_onnx_name pair; // query * labels + class
    out.scores = cf_onnx_1(m, "Sigmoid", cf_onnx_node(m, "TopK", inputs, 2, &axis, 1, &pair));
    cf_onnx_name classes = cf_onnx_ints(m, 1, (int64_t[]){labels});
    cf_onnx_name query = cf_onnx_2(m, "Div", pair, classes);
    out.labels = cf_onnx_2(m, "Sub", pair, cf_onnx_2(m, "Mul", query, classes));
    cf_onnx_name centre = cf_onnx_slice(m, boxes, 2, 0, 2), size = cf_onnx_slice(m, boxes, 2, 2, 2);
    cf_onnx_name half = cf_onnx_2(m, "Mul", size, cf_onnx_scalar(m, 0.5f));
    cf_onnx_name corners[] = {cf_onnx_2(m, "Sub", centre, half), cf_onnx_2(m, "Add", centre, half)};
    cf_onnx_name chosen = cf_onnx_gather(m, 4, concat(m, corners, 2, -1), query);
    sizes = cf_onnx_cast(m, sizes, CF_ONNX_F32);
    sizes = concat(m, (cf_onnx_name[]){sizes, sizes}, 2, -1);
    out.boxes = cf_onnx_2(m, "Mul", chosen, RESHAPE(m, sizes, 0, 1, 4));
    return out;
}
