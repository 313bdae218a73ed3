// SPDX-License-Identifier: Apache-2.0
// The shape rule of every operator: what the output looks like, and what inputs, attributes and constants must be.
#include "graph/graph.h"

#define REQUIRE(condition, ...)                                                                                        \
    do {                                                                                                               \
        if (!(condition)) return cf_fail(err, CFINE_ERROR_INTERNAL, __VA_ARGS__);                                      \
    } while (0)

// Kernels, strides, paddings and numbers of points are small, sides and channels at most CF_MAX_SIDE: the limits
// keep sums and doubles of them far from overflow. Products of sides are taken in 64 bits.
enum { SMALL = 64 };

static int small(int32_t value, int32_t least) {
    return value >= least && value <= SMALL;
}

static int same_shape(const cf_value *a, const cf_value *b) {
    return a->h == b->h && a->w == b->w && a->c == b->c;
}

static cfine_status conv_shape(const cf_graph *graph, const cf_node *node, cf_value *out, cfine_error *err) {
    const cf_value *in = &graph->values[node->inputs[0]];
    const cf_conv_attr *attr = &node->attr.conv;
    const cf_constant *weight = &node->constants[0], *bias = &node->constants[1];
    REQUIRE(small(attr->stride, 1) && attr->groups >= 1 && weight->rank == 4 && small(attr->kernel_h, 1) &&
                small(attr->kernel_w, 1) && small(attr->pad_top, 0) && small(attr->pad_left, 0) &&
                small(attr->pad_bottom, 0) && small(attr->pad_right, 0),
            "conv: bad attributes");
    REQUIRE(weight->shape[2] == attr->kernel_h && weight->shape[3] == attr->kernel_w, "conv: weight is not %dx%d",
            attr->kernel_h, attr->kernel_w);
    REQUIRE((int64_t)weight->shape[1] * attr->groups == in->c,
            "conv: weight wants %d channels in each of %d groups, the input has %d", weight->shape[1], attr->groups,
            in->c);
    REQUIRE(weight->shape[0] % attr->groups == 0, "conv: %d outputs in %d groups", weight->shape[0], attr->groups);
    REQUIRE(!bias->data || (bias->rank == 1 && bias->shape[0] == weight->shape[0]), "conv: bias has another length");
    const cf_constant *units = &node->constants[2];
    REQUIRE(!units->data || (units->rank == 2 && units->shape[0] == 2 && units->shape[1] == in->c && attr->groups == 1),
            "conv: units do not fit the input");
    int h = in->h + attr->pad_top + attr->pad_bottom - attr->kernel_h;
    int w = in->w + attr->pad_left + attr->pad_right - attr->kernel_w;
    REQUIRE(h >= 0 && w >= 0, "conv: %dx%d input is smaller than the kernel", in->h, in->w);
    out->h = h / attr->stride + 1;
    out->w = w / attr->stride + 1;
    out->c = weight->shape[0];
    REQUIRE(attr->coarse == 0 || (attr->coarse == 1 && node->input_count > 1), "conv: a coarse residual is missing");
    if (node->input_count > 1) {
        cf_value residual = graph->values[node->inputs[1]];
        if (attr->coarse) residual.h *= 2, residual.w *= 2;
        REQUIRE(same_shape(out, &residual), "conv: the residual has another shape");
    }
    return CFINE_OK;
}

static cfine_status pool_shape(const cf_value *in, const cf_pool_attr *attr, cf_value *out, cfine_error *err) {
    REQUIRE(small(attr->kernel, 1) && small(attr->pad_top, 0) && small(attr->pad_left, 0) &&
                small(attr->pad_bottom, 0) && small(attr->pad_right, 0),
            "pool: bad attributes");
    int h = in->h + attr->pad_top + attr->pad_bottom - attr->kernel;
    int w = in->w + attr->pad_left + attr->pad_right - attr->kernel;
    REQUIRE(small(attr->stride, 1) && h >= 0 && w >= 0, "pool: %dx%d input is smaller than the window", in->h, in->w);
    out->h = h / attr->stride + 1;
    out->w = w / attr->stride + 1;
    out->c = in->c;
    return CFINE_OK;
}

// Second operand of add and mul: a value of the same shape, one channel or one pixel; or a constant [rows, columns].
static cfine_status binary_shape(const cf_graph *graph, const cf_node *node, cf_value *out, cfine_error *err) {
    const cf_value *a = &graph->values[node->inputs[0]];
    if (node->input_count == 2) {
        const cf_value *b = &graph->values[node->inputs[1]];
        REQUIRE(same_shape(a, b) || (b->h == a->h && b->w == a->w && b->c == 1) ||
                    (b->h == 1 && b->w == 1 && b->c == a->c),
                "%s: [%d,%d,%d] and [%d,%d,%d]", cf_op_name(node->op), a->h, a->w, a->c, b->h, b->w, b->c);
    } else {
        const cf_constant *b = &node->constants[0];
        REQUIRE(b->data && b->rank == 2 && (b->shape[0] == 1 || b->shape[0] == (int64_t)a->h * a->w) &&
                    (b->shape[1] == 1 || b->shape[1] == a->c),
                "%s: the constant does not fit [%d,%d,%d]", cf_op_name(node->op), a->h, a->w, a->c);
    }
    *out = (cf_value){.h = a->h, .w = a->w, .c = a->c};
    return CFINE_OK;
}

static cfine_status concat_shape(const cf_graph *graph, const cf_node *node, cf_value *out, cfine_error *err) {
    const cf_value *first = &graph->values[node->inputs[0]];
    out->h = node->op == CF_OP_TOKENS ? 1 : first->h;
    out->w = first->w;
    out->c = node->op == CF_OP_TOKENS ? first->c : 0;
    int64_t tokens = 0;
    for (int i = 0; i < node->input_count; i++) {
        const cf_value *in = &graph->values[node->inputs[i]];
        if (node->op == CF_OP_TOKENS) {
            REQUIRE(in->c == first->c, "tokens: %d channels and %d", first->c, in->c);
            tokens += (int64_t)in->h * in->w;
        } else {
            REQUIRE(in->h == first->h && in->w == first->w, "concat: %dx%d and %dx%d", first->h, first->w, in->h,
                    in->w);
            out->c += in->c;
        }
    }
    REQUIRE(tokens <= CF_MAX_SIDE, "tokens: %lld of them", (long long)tokens);
    if (node->op == CF_OP_TOKENS) out->w = (int32_t)tokens;
    return CFINE_OK;
}

static cfine_status deform_shape(const cf_graph *graph, const cf_node *node, cf_value *out, cfine_error *err) {
    const cf_value *offsets = &graph->values[node->inputs[0]], *weights = &graph->values[node->inputs[1]];
    const cf_value *boxes = &graph->values[node->inputs[2]], *memory = &graph->values[node->inputs[3]];
    const cf_deform_attr *attr = &node->attr.deform;
    int points = 0;
    int64_t tokens = 0;
    REQUIRE(attr->levels >= 1 && attr->levels <= CF_DEFORM_LEVELS && small(attr->heads, 1),
            "deform: %d levels, %d heads", attr->levels, attr->heads);
    for (int i = 0; i < attr->levels; i++)
        REQUIRE(small(attr->points[i], 0) && attr->height[i] >= 1 && attr->width[i] >= 1, "deform: bad level %d", i);
    for (int i = 0; i < attr->levels; i++) {
        points += attr->points[i];
        tokens += (int64_t)attr->height[i] * attr->width[i];
    }
    REQUIRE(tokens == memory->w && memory->h == 1, "deform: levels have %lld tokens, memory %d", (long long)tokens,
            memory->w);
    REQUIRE(offsets->c == attr->heads * points * 2 && weights->c == attr->heads * points && boxes->c == 4,
            "deform: %d heads of %d points do not fit %d offsets, %d weights", attr->heads, points, offsets->c,
            weights->c);
    REQUIRE(memory->c % attr->heads == 0, "deform: %d channels in %d heads", memory->c, attr->heads);
    REQUIRE(offsets->w == weights->w && offsets->w == boxes->w, "deform: numbers of queries differ");
    *out = (cf_value){.h = 1, .w = boxes->w, .c = memory->c};
    return CFINE_OK;
}

cfine_status cf_shape_infer(const cf_graph *graph, const cf_node *node, cf_value *out, cfine_error *err) {
    const cf_value *in[CF_MAX_INPUTS];
    for (int i = 0; i < node->input_count; i++) in[i] = &graph->values[node->inputs[i]];
    static const struct {
        int least, most;
    } arity[] = {
#define CF_OP(enumerator, name, least, most) {least, most},
        CF_OPS(CF_OP)
#undef CF_OP
    };
    REQUIRE((unsigned)node->op < CF_OP_COUNT && node->input_count >= arity[node->op].least &&
                node->input_count <= arity[node->op].most,
            "%s: %d inputs", cf_op_name(node->op), node->input_count);
    for (int i = 0; i < node->input_count; i++)
        REQUIRE(in[i]->h >= 1 && in[i]->w >= 1 && in[i]->c >= 1 && in[i]->h <= CF_MAX_SIDE && in[i]->w <= CF_MAX_SIDE &&
                    in[i]->c <= CF_MAX_SIDE,
                "%s: input %d is [%d,%d,%d]", cf_op_name(node->op), i, in[i]->h, in[i]->w, in[i]->c);
    if (node->input_count) {
        out->h = in[0]->h;
        out->w = in[0]->w;
        out->c = in[0]->c;
    }
    switch (node->op) {
    case CF_OP_INPUT:
    case CF_OP_HALO:
    case CF_OP_ACTIVATION:
    case CF_OP_SCALE_SHIFT:
    case CF_OP_COPY: return CFINE_OK;
    case CF_OP_CONV: return conv_shape(graph, node, out, err);
    case CF_OP_BATCH_NORM:
        REQUIRE(cf_constant_count(&node->constants[0]) == in[0]->c &&
                    cf_constant_count(&node->constants[1]) == in[0]->c,
                "batch_norm: constants do not fit %d channels", in[0]->c);
        return CFINE_OK;
    case CF_OP_ADD:
    case CF_OP_MUL: return binary_shape(graph, node, out, err);
    case CF_OP_CONCAT:
    case CF_OP_TOKENS: return concat_shape(graph, node, out, err);
    case CF_OP_SLICE:
        REQUIRE(node->attr.slice.first >= 0 && node->attr.slice.count > 0 &&
                    node->attr.slice.count <= in[0]->c - node->attr.slice.first,
                "slice: %d+%d of %d channels", node->attr.slice.first, node->attr.slice.count, in[0]->c);
        out->c = node->attr.slice.count;
        return CFINE_OK;
    case CF_OP_UPSAMPLE:
        out->h *= 2;
        out->w *= 2;
        return CFINE_OK;
    case CF_OP_MAX_POOL:
    case CF_OP_AVG_POOL: return pool_shape(in[0], &node->attr.pool, out, err);
    case CF_OP_GLOBAL_POOL: out->h = out->w = 1; return CFINE_OK;
    case CF_OP_NORM:
        REQUIRE(node->input_count == 1 || same_shape(in[0], in[1]), "norm: the residual has another shape");
        REQUIRE(cf_constant_count(&node->constants[0]) == in[0]->c, "norm: weight does not fit %d channels", in[0]->c);
        return CFINE_OK;
    case CF_OP_GATE:
        REQUIRE(same_shape(in[1], in[2]) && in[0]->c == 2 * in[1]->c && in[0]->w == in[1]->w, "gate: shapes differ");
        out->c = in[1]->c;
        return CFINE_OK;
    case CF_OP_ATTENTION:
        REQUIRE(same_shape(in[1], in[2]) && in[0]->c == in[1]->c, "attention: shapes differ");
        REQUIRE(node->attr.attention.heads >= 1 && in[0]->c % node->attr.attention.heads == 0,
                "attention: %d channels in %d heads", in[0]->c, node->attr.attention.heads);
        return CFINE_OK;
    case CF_OP_TOP_QUERIES:
        REQUIRE(node->attr.top_queries.queries >= 1 && node->attr.top_queries.queries <= in[0]->w,
                "top_queries: %d queries of %d tokens", node->attr.top_queries.queries, in[0]->w);
        *out = (cf_value){.h = 1, .w = node->attr.top_queries.queries, .c = 1, .dtype = CF_I32};
        return CFINE_OK;
    case CF_OP_GATHER: out->w = in[1]->w; return CFINE_OK;
    case CF_OP_REFERENCE:
        REQUIRE(in[0]->c == 4 && in[0]->w == in[1]->w && node->constants[0].rank == 2, "reference: shapes differ");
        return CFINE_OK;
    case CF_OP_SHIFT_BOX:
        REQUIRE(in[0]->c == 4 && same_shape(in[0], in[1]), "shift_box: shapes differ");
        return CFINE_OK;
    case CF_OP_DEFORM: return deform_shape(graph, node, out, err);
    case CF_OP_REFINE:
        REQUIRE(in[0]->c % 4 == 0 && in[0]->c / 4 == node->attr.refine.bins && in[1]->c == 4 && in[0]->w == in[1]->w,
                "refine: %d corners for %d bins", in[0]->c, node->attr.refine.bins);
        out->c = 4;
        return CFINE_OK;
    case CF_OP_QUALITY:
        REQUIRE(in[0]->c % 4 == 0 && in[0]->c / 4 == node->attr.quality.bins && node->attr.quality.top >= 1 &&
                    node->attr.quality.top <= node->attr.quality.bins,
                "quality: top %d of %d bins", node->attr.quality.top, node->attr.quality.bins);
        out->c = 4 * (node->attr.quality.top + 1);
        return CFINE_OK;
    case CF_OP_COUNT: break;
    }
    return cf_fail(err, CFINE_ERROR_INTERNAL, "unknown operator %d", (int)node->op);
}
