// SPDX-License-Identifier: Apache-2.0
// Walks a graph and writes each operator as ONNX nodes.
//
// A value of the graph is [h, w, c]. In ONNX it has one of two forms: a map [N, c, h, w], as convolutions want it, or
// tokens [N, h*w, c], as the transformer wants it. Each node gives one form; the other is made where a reader asks for
// it, once. With FP16 the same holds of types: most nodes work in FP16, those that make boxes, and norms that sum
// squares, in FP32.
#include "export/onnx_export.h"

#include "base/memory.h"
#include "export/onnx_ops.h"

typedef enum form { MAP, TOKENS } form;

typedef enum number { SINGLE, HALF, INDEX } number; // types of values; an index has no other

typedef struct value_names {
    cf_onnx_name name[2][3]; // by form and type; "" while it does not exist
    form native;
    number type;
} value_names;

typedef struct exporter {
    const cf_graph *graph;
    cf_onnx model;
    value_names *values;
    const cf_onnx_wish *wish;
} exporter;

static const cf_value *value_of(const exporter *e, int32_t value) {
    return &e->graph->values[value];
}

static cf_onnx_name transpose3(cf_onnx *m, cf_onnx_name x) {
    return cf_onnx_1a(m, "Transpose", x, CF_ONNX_L("perm", 3, 0, 2, 1));
}

// The value in this form, of its own type.
static cf_onnx_name get_form(exporter *e, int32_t value, form wanted) {
    value_names *names = &e->values[value];
    cf_onnx_name *name = &names->name[wanted][names->type];
    if (name->text[0]) return *name;
    const cf_value *v = value_of(e, value);
    cf_onnx_name x = names->name[names->native][names->type];
    if (wanted == TOKENS) {
        x = transpose3(&e->model, cf_onnx_reshape(&e->model, x, 3, (int64_t[]){0, v->c, (int64_t)v->h * v->w}));
    } else {
        x = cf_onnx_reshape(&e->model, transpose3(&e->model, x), 4, (int64_t[]){0, v->c, v->h, v->w});
    }
    return *name = x;
}

// The value in this form, of the type that the node at hand works in.
static cf_onnx_name get(exporter *e, int32_t value, form wanted) {
    value_names *names = &e->values[value];
    number type = names->type == INDEX ? INDEX : e->model.half ? HALF : SINGLE;
    cf_onnx_name *name = &names->name[wanted][type];
    if (!name->text[0])
        *name = cf_onnx_cast(&e->model, get_form(e, value, wanted), type == HALF ? CF_ONNX_F16 : CF_ONNX_F32);
    return *name;
}

static form native(const exporter *e, int32_t value) {
    return e->values[value].native;
}

static void set(exporter *e, const cf_node *node, form made, cf_onnx_name name) {
    value_names *names = &e->values[node->output];
    names->native = made;
    names->type = node->op == CF_OP_TOP_QUERIES ? INDEX : e->model.half ? HALF : SINGLE;
    names->name[made][names->type] = name;
}

// Nodes that FP16 is too narrow or too coarse for, even where the rest has it.
static int needs_single(const cf_node *node) {
    switch (node->op) {
    case CF_OP_INPUT:
    case CF_OP_TOP_QUERIES:
    case CF_OP_REFERENCE:
    case CF_OP_SHIFT_BOX:
    case CF_OP_REFINE:
    case CF_OP_DEFORM: return 1;
    case CF_OP_NORM:
    case CF_OP_GATE: return node->attr.norm.rms;
    default: return 0;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Convolutions and linear layers

// [in, out] of a weight [out, in, 1, 1].
static cf_onnx_name linear_weight(cf_onnx *m, const cf_constant *weight) {
    int64_t out = weight->shape[0], in = weight->shape[1];
    float *data = cf_alloc((size_t)(out * in), sizeof *data);
    for (int64_t o = 0; o < out && data; o++)
        for (int64_t i = 0; i < in; i++) data[i * out + o] = weight->data[o * in + i];
    return cf_onnx_weight(m, "weight", data, 1, 2, (int64_t[]){in, out});
}

static cf_onnx_name vector(cf_onnx *m, const char *label, const cf_constant *constant) {
    return cf_onnx_weight(m, label, constant->data, 0, 1, (int64_t[]){cf_constant_count(constant)});
}

static cfine_status export_conv(exporter *e, const cf_node *node, cfine_error *err) {
    const cf_conv_attr *attr = &node->attr.conv;
    const cf_constant *weight = &node->constants[0], *bias = &node->constants[1];
    cf_onnx *m = &e->model;
    if (attr->act || attr->affine || node->input_count > 1)
        return cf_fail(err, CFINE_ERROR_INTERNAL, "export: %s is fused already", node->name);
    int pads = attr->pad_top | attr->pad_left | attr->pad_bottom | attr->pad_right;
    int pointwise = attr->kernel_h == 1 && attr->kernel_w == 1 && attr->stride == 1 && attr->groups == 1 && !pads;
    if (pointwise && native(e, node->inputs[0]) == TOKENS) {
        cf_onnx_name x = cf_onnx_2(m, "MatMul", get(e, node->inputs[0], TOKENS), linear_weight(m, weight));
        set(e, node, TOKENS, bias->data ? cf_onnx_2(m, "Add", x, vector(m, "bias", bias)) : x);
        return CFINE_OK;
    }
    int64_t dims[4];
    for (int i = 0; i < 4; i++) dims[i] = weight->shape[i];
    cf_onnx_name inputs[3] = {get(e, node->inputs[0], MAP), cf_onnx_weight(m, "weight", weight->data, 0, 4, dims)};
    if (bias->data) inputs[2] = vector(m, "bias", bias);
    cf_onnx_attr attrs[] = {CF_ONNX_L("kernel_shape", 2, attr->kernel_h, attr->kernel_w),
                            CF_ONNX_L("strides", 2, attr->stride, attr->stride),
                            CF_ONNX_L("pads", 4, attr->pad_top, attr->pad_left, attr->pad_bottom, attr->pad_right),
                            CF_ONNX_I("group", attr->groups)};
    set(e, node, MAP, cf_onnx_node(m, "Conv", inputs, bias->data ? 3 : 2, attrs, 4, NULL));
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Elementwise operators

// A constant [rows, cols] (rows = pixels or 1, cols = channels or 1) as it broadcasts to this form of an [h, w, c].
static cf_onnx_name second_constant(exporter *e, const cf_constant *constant, form f, const cf_value *v) {
    int64_t rows = constant->shape[0], cols = constant->shape[1];
    if (f == TOKENS) return cf_onnx_weight(&e->model, "constant", constant->data, 0, 2, (int64_t[]){rows, cols});
    float *data = cf_alloc((size_t)(rows * cols), sizeof *data);
    for (int64_t r = 0; r < rows && data; r++)
        for (int64_t c = 0; c < cols; c++) data[c * rows + r] = constant->data[r * cols + c];
    int64_t dims[] = {1, cols, rows == 1 ? 1 : v->h, rows == 1 ? 1 : v->w};
    return cf_onnx_weight(&e->model, "constant", data, 1, 4, dims);
}

static void export_binary(exporter *e, const cf_node *node, const char *op) {
    form f = native(e, node->inputs[0]);
    cf_onnx_name second = node->input_count > 1 ? get(e, node->inputs[1], f)
                                                : second_constant(e, &node->constants[0], f, value_of(e, node->output));
    set(e, node, f, cf_onnx_2(&e->model, op, get(e, node->inputs[0], f), second));
}

static void export_scale_shift(exporter *e, const cf_node *node) {
    form f = native(e, node->inputs[0]);
    cf_onnx_name x = get(e, node->inputs[0], f);
    x = cf_onnx_2(&e->model, "Mul", x, cf_onnx_scalar(&e->model, node->attr.scale_shift.scale));
    set(e, node, f, cf_onnx_2(&e->model, "Add", x, cf_onnx_scalar(&e->model, node->attr.scale_shift.shift)));
}

static void export_batch_norm(exporter *e, const cf_node *node) {
    int64_t dims[] = {1, cf_constant_count(&node->constants[0]), 1, 1};
    cf_onnx_name scale = cf_onnx_weight(&e->model, "scale", node->constants[0].data, 0, 4, dims);
    cf_onnx_name shift = cf_onnx_weight(&e->model, "shift", node->constants[1].data, 0, 4, dims);
    cf_onnx_name x = cf_onnx_2(&e->model, "Mul", get(e, node->inputs[0], MAP), scale);
    set(e, node, MAP, cf_onnx_2(&e->model, "Add", x, shift));
}

// ---------------------------------------------------------------------------------------------------------------------
// Operators that move things

// concat joins channels, tokens joins maps as tokens.
static void export_concat(exporter *e, const cf_node *node) {
    form f = node->op == CF_OP_TOKENS ? TOKENS : native(e, node->inputs[0]);
    cf_onnx_name parts[CF_MAX_INPUTS], x;
    for (int i = 0; i < node->input_count; i++) parts[i] = get(e, node->inputs[i], f);
    cf_onnx_attr axis = CF_ONNX_I("axis", node->op == CF_OP_TOKENS ? 1 : f == MAP ? 1 : 2);
    x = node->input_count == 1 ? parts[0] : cf_onnx_node(&e->model, "Concat", parts, node->input_count, &axis, 1, NULL);
    set(e, node, f, x);
}

static void export_upsample(exporter *e, const cf_node *node) {
    float *scales = cf_alloc(4, sizeof *scales);
    for (int i = 0; i < 4 && scales; i++) scales[i] = i < 2 ? 1 : 2;
    int half = e->model.half;
    cf_onnx_name x = get(e, node->inputs[0], MAP);
    e->model.half = 0; // scales are FP32 always
    cf_onnx_name inputs[] = {x, {""}, cf_onnx_weight(&e->model, "scales", scales, 1, 1, (int64_t[]){4})};
    e->model.half = half;
    cf_onnx_attr attrs[] = {CF_ONNX_S("mode", "nearest"), CF_ONNX_S("nearest_mode", "floor"),
                            CF_ONNX_S("coordinate_transformation_mode", "asymmetric")};
    set(e, node, MAP, cf_onnx_node(&e->model, "Resize", inputs, 3, attrs, 3, NULL));
}

// Zeros outside take part in the maximum, so they are added in front of it.
static void export_max_pool(exporter *e, const cf_node *node) {
    const cf_pool_attr *attr = &node->attr.pool;
    cf_onnx_name x = get(e, node->inputs[0], MAP);
    if (attr->pad_top | attr->pad_left | attr->pad_bottom | attr->pad_right) {
        int64_t pads[] = {0, 0, attr->pad_top, attr->pad_left, 0, 0, attr->pad_bottom, attr->pad_right};
        x = cf_onnx_3(&e->model, "Pad", x, cf_onnx_ints(&e->model, 8, pads), cf_onnx_scalar(&e->model, 0));
    }
    cf_onnx_attr attrs[] = {CF_ONNX_L("kernel_shape", 2, attr->kernel, attr->kernel),
                            CF_ONNX_L("strides", 2, attr->stride, attr->stride)};
    set(e, node, MAP, cf_onnx_node(&e->model, "MaxPool", &x, 1, attrs, 2, NULL));
}

static void export_avg_pool(exporter *e, const cf_node *node) {
    const cf_pool_attr *attr = &node->attr.pool;
    cf_onnx_name x = get(e, node->inputs[0], MAP);
    cf_onnx_attr attrs[] = {CF_ONNX_L("kernel_shape", 2, attr->kernel, attr->kernel),
                            CF_ONNX_L("strides", 2, attr->stride, attr->stride),
                            CF_ONNX_L("pads", 4, attr->pad_top, attr->pad_left, attr->pad_bottom, attr->pad_right),
                            CF_ONNX_I("count_include_pad", 1)};
    set(e, node, MAP, cf_onnx_node(&e->model, "AveragePool", &x, 1, attrs, 4, NULL));
}

// ---------------------------------------------------------------------------------------------------------------------

static cfine_status export_deform(exporter *e, const cf_node *node, cfine_error *err) {
    const cf_deform_attr *attr = &node->attr.deform;
    const cf_value *out = value_of(e, node->output);
    if (attr->discrete)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED,
                       "%s: sampling of the nearest pixel (decoder_method \"discrete\") has no ONNX form", node->name);
    cf_onnx_name in[4];
    for (int i = 0; i < 4; i++) in[i] = get(e, node->inputs[i], TOKENS);
    set(e, node, TOKENS, cf_onnx_deform(&e->model, attr, out->w, out->c, in));
    return CFINE_OK;
}

static void export_norm(exporter *e, const cf_node *node) {
    cf_onnx_name x = get(e, node->inputs[0], TOKENS);
    if (node->input_count > 1) x = cf_onnx_2(&e->model, "Add", x, get(e, node->inputs[1], TOKENS));
    set(e, node, TOKENS, cf_onnx_norm(&e->model, node, x));
}

static cf_onnx_name tokens(exporter *e, const cf_node *node, int input) {
    return get(e, node->inputs[input], TOKENS);
}

static cfine_status export_node(exporter *e, const cf_node *node, cfine_error *err) {
    cf_onnx *m = &e->model;
    const cf_value *out = value_of(e, node->output);
    form f = node->input_count ? native(e, node->inputs[0]) : MAP;
    m->where = node->name;
    m->half = e->wish->half && !needs_single(node);
    switch (node->op) {
    case CF_OP_INPUT: set(e, node, MAP, cf_onnx_named("pixel_values")); break;
    case CF_OP_CONV: return export_conv(e, node, err);
    case CF_OP_BATCH_NORM: export_batch_norm(e, node); break;
    case CF_OP_ACTIVATION:
        set(e, node, f, cf_onnx_activation(m, (cf_act)node->attr.activation.act, get(e, node->inputs[0], f)));
        break;
    case CF_OP_SCALE_SHIFT: export_scale_shift(e, node); break;
    case CF_OP_ADD: export_binary(e, node, "Add"); break;
    case CF_OP_MUL: export_binary(e, node, "Mul"); break;
    case CF_OP_CONCAT:
    case CF_OP_TOKENS: export_concat(e, node); break;
    case CF_OP_SLICE:
        set(e, node, f,
            cf_onnx_slice(m, get(e, node->inputs[0], f), f == MAP ? 1 : 2, node->attr.slice.first,
                          node->attr.slice.count));
        break;
    case CF_OP_COPY: set(e, node, f, get(e, node->inputs[0], f)); break;
    case CF_OP_UPSAMPLE: export_upsample(e, node); break;
    case CF_OP_MAX_POOL: export_max_pool(e, node); break;
    case CF_OP_AVG_POOL: export_avg_pool(e, node); break;
    case CF_OP_GLOBAL_POOL: set(e, node, MAP, cf_onnx_1(m, "GlobalAveragePool", get(e, node->inputs[0], MAP))); break;
    case CF_OP_NORM: export_norm(e, node); break;
    case CF_OP_GATE:
        set(e, node, TOKENS, cf_onnx_gate(m, node, tokens(e, node, 0), tokens(e, node, 1), tokens(e, node, 2), out->c));
        break;
    case CF_OP_ATTENTION:
        set(e, node, TOKENS,
            cf_onnx_attention(m, node->attr.attention.heads, out->c, tokens(e, node, 0), tokens(e, node, 1),
                              tokens(e, node, 2)));
        break;
    case CF_OP_TOP_QUERIES:
        set(e, node, TOKENS, cf_onnx_top_queries(m, node->attr.top_queries.queries, tokens(e, node, 0)));
        break;
    case CF_OP_GATHER: set(e, node, TOKENS, cf_onnx_gather(m, out->c, tokens(e, node, 0), tokens(e, node, 1))); break;
    case CF_OP_REFERENCE:
        set(e, node, TOKENS, cf_onnx_reference(m, node, tokens(e, node, 0), tokens(e, node, 1)));
        break;
    case CF_OP_SHIFT_BOX: set(e, node, TOKENS, cf_onnx_shift_box(m, tokens(e, node, 0), tokens(e, node, 1))); break;
    case CF_OP_DEFORM: return export_deform(e, node, err);
    case CF_OP_REFINE: set(e, node, TOKENS, cf_onnx_refine(m, node, tokens(e, node, 0), tokens(e, node, 1))); break;
    case CF_OP_QUALITY:
        set(e, node, TOKENS, cf_onnx_quality(m, node->attr.quality.bins, node->attr.quality.top, tokens(e, node, 0)));
        break;
    case CF_OP_HALO:
    case CF_OP_COUNT: return cf_fail(err, CFINE_ERROR_INTERNAL, "export: no ONNX form of %s", cf_op_name(node->op));
    }
    return CFINE_OK;
}

static void export_raw(exporter *e, const char *name, int32_t value) {
    const cf_value *v = value_of(e, value);
    e->model.where = name;
    cf_onnx_output(&e->model, name, get(e, value, TOKENS), CF_ONNX_F32, 3, (int64_t[]){e->wish->batch, v->w, v->c});
}

static void export_detections(exporter *e) {
    const cf_value *logits = value_of(e, e->graph->logits);
    int64_t batch = e->wish->batch, pairs = (int64_t)logits->w * logits->c;
    int count = e->wish->detections < pairs ? e->wish->detections : (int)pairs;
    cf_onnx *m = &e->model;
    m->where = "detections";
    cf_onnx_input(m, "orig_target_sizes", CF_ONNX_I64, 2, (int64_t[]){batch, 2});
    cf_onnx_found found = cf_onnx_detections(m, logits->w, logits->c, count, get(e, e->graph->logits, TOKENS),
                                             get(e, e->graph->boxes, TOKENS), cf_onnx_named("orig_target_sizes"));
    cf_onnx_output(m, "labels", found.labels, CF_ONNX_I64, 2, (int64_t[]){batch, count});
    cf_onnx_output(m, "boxes", found.boxes, CF_ONNX_F32, 3, (int64_t[]){batch, count, 4});
    cf_onnx_output(m, "scores", found.scores, CF_ONNX_F32, 2, (int64_t[]){batch, count});
}

static void export_outputs(exporter *e) {
    e->model.half = 0;
    if (e->wish->detections) {
        export_detections(e);
        return;
    }
    export_raw(e, "logits", e->graph->logits);
    export_raw(e, "pred_boxes", e->graph->boxes);
}

cfine_status cf_onnx_export(const cf_graph *graph, const cf_onnx_wish *wish, const char *name, const char *path,
                            cfine_error *err) {
    CF_TRY(cf_graph_check(graph, err));
    exporter e = {.graph = graph, .wish = wish};
    e.values = cf_alloc((size_t)graph->value_count, sizeof *e.values);
    if (!e.values) return cf_fail_memory(err, "names of an ONNX model", (size_t)graph->value_count * sizeof *e.values);
    const cf_value *image = value_of(&e, graph->input);
    cf_onnx_input(&e.model, "pixel_values", CF_ONNX_F32, 4, (int64_t[]){wish->batch, image->c, image->h, image->w});
    cfine_status status = CFINE_OK;
    for (int i = 0; i < graph->node_count && status == CFINE_OK; i++)
        if (!graph->nodes[i].dead) status = export_node(&e, &graph->nodes[i], err);
    if (status == CFINE_OK) {
        export_outputs(&e);
        status = cf_onnx_save(&e.model, name, path, err);
    }
    cf_onnx_release(&e.model);
    cf_free(e.values);
    return status;
}
