// SPDX-License-Identifier: Apache-2.0
// The decoder: queries look at each other and at the image, layer after layer, and every layer moves the edges of the
// boxes by refining a distribution per edge (D-FINE's fine-grained distribution refinement).
//
//     x [Q, d], boxes [Q, 4]
//     layer: self-attention (+ position from the boxes), deformable sampling of the memory at the boxes, MLP
//     after layer 0: initial boxes = sigmoid(MLP(x) + inverse sigmoid(boxes))
//     after each:    corners [Q, 4*33] += MLP(x + x of the layer before); boxes = initial boxes moved by the
//                    expected distances of the corners' distributions
//     after the last: logits = linear(x) + location quality estimated from the corners' distributions
#include <math.h>

#include "model/build.h"

// The weighting function W(n) of the paper, n = 0..bins: distances that the bins of a distribution stand for. Steep at
// the ends, fine around zero.
static cf_constant weighting(cf_builder *b, double up, double reg_scale) {
    int bins = b->config->decoder.bins;
    cf_constant table = cf_constant_create(b->graph, 1, (int32_t[]){bins + 1});
    if (!table.data) return table;
    double bound = fabs(up) * fabs(reg_scale), step = pow(bound + 1, 2.0 / (bins - 2));
    table.data[0] = (float)(-2 * bound);
    table.data[bins] = (float)(2 * bound);
    for (int i = 1; i < bins / 2; i++) {
        table.data[bins / 2 + i] = (float)(pow(step, i) - 1);
        table.data[bins / 2 - i] = (float)(1 - pow(step, i));
    }
    return table; // the middle stays 0
}

static int32_t cross_attention(cf_builder *b, int32_t x, int32_t boxes, const cf_queries *queries, cf_name prefix) {
    const cf_decoder_config *config = &b->config->decoder;
    cf_attr attr = {.deform = {.heads = config->heads,
                               .levels = b->config->levels,
                               .discrete = config->discrete,
                               .offset_scale = (float)config->offset_scale}};
    int points = 0;
    for (int i = 0; i < b->config->levels; i++) {
        attr.deform.points[i] = config->points[i];
        attr.deform.height[i] = cf_h(b, queries->levels.value[i]);
        attr.deform.width[i] = cf_w(b, queries->levels.value[i]);
        points += config->points[i];
    }
    cf_name scale = cf_namef("%s.num_points_scale", prefix.text); // 1 / points of the level: known, not read
    if (cf_has(b, scale)) cf_weights_mark(b->weights, cf_weights_find(b->weights, scale.text));
    int32_t offsets = cf_linear(b, x, cf_namef("%s.sampling_offsets", prefix.text), config->heads * points * 2);
    int32_t weights = cf_linear(b, x, cf_namef("%s.attention_weights", prefix.text), config->heads * points);
    int32_t inputs[] = {offsets, weights, boxes, queries->memory};
    return cf_graph_add(b->graph, CF_OP_DEFORM, &attr, inputs, 4, NULL, 0, "%s", prefix.text + 6); // [Q, d]
}

// D-FINE: norm(g1 * residual + g2 * x) with learned gates; DEIMv2 without a gateway: norm(x + residual).
static int32_t merge_sampled(cf_builder *b, int32_t x, int32_t residual, cf_name layer) {
    const cf_decoder_config *config = &b->config->decoder;
    if (!config->gateway)
        return cf_norm(b, x, residual, cf_namef("%s.encoder_attn_layer_norm", layer.text), config->rms_norm,
                       config->rms_norm ? config->rms_norm_eps : b->config->layer_norm_eps);
    cf_name gateway = cf_namef("%s.gateway", layer.text);
    int d = config->channels;
    int32_t both = cf_concat(b, (int32_t[]){residual, x}, 2, gateway);
    int32_t gates = cf_linear(b, both, cf_namef("%s.gate", gateway.text), 2 * d);
    cf_constant constants[2] = {cf_load(b, cf_namef("%s.norm.weight", gateway.text), CF_SHAPE(d))};
    if (!config->rms_norm) constants[1] = cf_load(b, cf_namef("%s.norm.bias", gateway.text), CF_SHAPE(d));
    // The gateway's LayerNorm keeps PyTorch's default epsilon whatever the config says.
    cf_attr attr = {.norm = {.rms = config->rms_norm,
                             .has_bias = !config->rms_norm,
                             .epsilon = config->rms_norm ? (float)config->rms_norm_eps : 1e-5f}};
    int32_t inputs[] = {gates, residual, x};
    return cf_graph_add(b->graph, CF_OP_GATE, &attr, inputs, 3, constants, config->rms_norm ? 1 : 2, "%s",
                        gateway.text + 6);
}

// D-FINE: linear, activation, linear. DEIMv2: SwiGLU, down(silu(gate(x)) * up(x)); its config gives the width of gate
// and up together.
static int32_t feed_forward(cf_builder *b, int32_t x, cf_name layer) {
    const cf_decoder_config *config = &b->config->decoder;
    if (!config->rms_norm) {
        cf_name first = cf_namef("%s.fc1", layer.text);
        x = cf_activation(b, cf_linear(b, x, first, config->ffn), config->activation, first);
        return cf_linear(b, x, cf_namef("%s.fc2", layer.text), config->channels);
    }
    cf_name gate_name = cf_namef("%s.mlp.gate_proj", layer.text);
    int32_t gate = cf_activation_exact(b, cf_linear(b, x, gate_name, config->ffn / 2), CF_ACT_SILU, gate_name);
    int32_t up = cf_linear(b, x, cf_namef("%s.mlp.up_proj", layer.text), config->ffn / 2);
    x = cf_mul(b, gate, up, cf_namef("%s.mlp", layer.text));
    return cf_linear(b, x, cf_namef("%s.mlp.down_proj", layer.text), config->channels);
}

static int32_t decoder_layer(cf_builder *b, int32_t x, int32_t position, int32_t boxes, const cf_queries *queries,
                             cf_name layer) {
    const cf_decoder_config *config = &b->config->decoder;
    int rms = config->rms_norm;
    double eps = rms ? config->rms_norm_eps : b->config->layer_norm_eps;
    int32_t mixed = cf_self_attention(b, x, position, config->heads, cf_namef("%s.self_attn", layer.text),
                                      rms ? "o_proj" : "out_proj");
    x = cf_norm(b, mixed, x, cf_namef("%s.self_attn_layer_norm", layer.text), rms, eps);
    int32_t where = cf_add(b, x, position, cf_namef("%s.query", layer.text));
    int32_t sampled = cross_attention(b, where, boxes, queries, cf_namef("%s.encoder_attn", layer.text));
    x = merge_sampled(b, sampled, x, layer);
    // The published D-FINE clamps this sum to +-65504 for FP16's sake; FP32 values of a usable model never get there.
    return cf_norm(b, feed_forward(b, x, layer), x, cf_namef("%s.final_layer_norm", layer.text), rms, eps);
}

static int32_t query_position(cf_builder *b, int32_t boxes) {
    const cf_decoder_config *config = &b->config->decoder;
    cf_name prefix = cf_namef("model.decoder.query_pos_head");
    int d = config->channels, lite = b->config->family == CF_FAMILY_DEIMV2;
    int32_t x = lite ? cf_mlp(b, boxes, prefix, (int[]){d, d, d}, 3, config->activation)
                     : cf_mlp(b, boxes, prefix, (int[]){2 * d, d}, 2, CF_CONFIG_RELU);
    return cf_activation_exact(b, x, CF_ACT_CLAMP, prefix);
}

// Checkpoints name a layer's head "model.decoder.<head>.<i>" or "<head>.<i>" (the two are tied).
static cf_name head_name(const cf_builder *b, const char *head, int layer, const char *probe) {
    cf_name inner = cf_namef("model.decoder.%s.%d", head, layer);
    return cf_has(b, cf_namef("%s.%s", inner.text, probe)) ? inner : cf_namef("%s.%d", head, layer);
}

static int32_t add_quality(cf_builder *b, int32_t logits, int32_t corners, int layer) {
    const cf_decoder_config *config = &b->config->decoder;
    cf_attr attr = {.quality = {config->bins + 1, config->lqe_top}};
    cf_name prefix = cf_namef("model.decoder.lqe_layers.%d.reg_conf", layer);
    int32_t x = cf_graph_add(b->graph, CF_OP_QUALITY, &attr, &corners, 1, NULL, 0, "%s", prefix.text + 6);
    int dims[8];
    if (config->lqe_layers > 8) return cf_graph_fail(b->graph, CFINE_ERROR_UNSUPPORTED, "lqe_layers: at most 8");
    for (int i = 0; i < config->lqe_layers; i++) dims[i] = i < config->lqe_layers - 1 ? config->lqe_hidden : 1;
    x = cf_mlp(b, x, prefix, dims, config->lqe_layers, config->mlp_activation); // [Q, 1]
    return cf_add(b, logits, x, cf_namef("logits"));
}

void cf_build_decoder(cf_builder *b, const cf_queries *queries) {
    const cf_decoder_config *config = &b->config->decoder;
    int d = config->channels, corner_count = 4 * (config->bins + 1);
    double reg_scale = cf_load_scalar(b, cf_namef("model.decoder.reg_scale"), config->reg_scale);
    double up = cf_load_scalar(b, cf_namef("model.decoder.up"), config->up);
    cf_attr refine = {.refine = {.bins = config->bins + 1, .reg_scale = (float)fabs(reg_scale)}};

    int32_t x = queries->content, boxes = queries->boxes, initial = CF_NONE, corners = CF_NONE, before = CF_NONE;
    int32_t position = CF_NONE;
    for (int i = 0; i < b->decoder_layers; i++) {
        if (i == 0 || config->query_pos_per_layer) position = query_position(b, boxes);
        x = decoder_layer(b, x, position, boxes, queries, cf_namef("model.decoder.layers.%d", i));
        if (i == 0) {
            int32_t delta =
                cf_mlp(b, x, cf_namef("model.decoder.pre_bbox_head"), (int[]){d, d, 4}, 3, config->mlp_activation);
            initial =
                cf_graph_add(b->graph, CF_OP_SHIFT_BOX, NULL, (int32_t[]){delta, boxes}, 2, NULL, 0, "initial_boxes");
        }
        int32_t seen = before == CF_NONE ? x : cf_add(b, x, before, cf_namef("decoder.refine.%d", i));
        cf_name head = head_name(b, "bbox_embed", config->shared_box_head ? 0 : i, "layers.0.weight");
        int32_t moved = cf_mlp(b, seen, head, (int[]){d, d, corner_count}, 3, config->mlp_activation);
        corners = corners == CF_NONE ? moved : cf_add(b, moved, corners, cf_namef("decoder.corners.%d", i));
        cf_constant project = weighting(b, up, reg_scale);
        boxes =
            cf_graph_add(b->graph, CF_OP_REFINE, &refine, (int32_t[]){corners, initial}, 2, &project, 1, "boxes.%d", i);
        before = x;
    }
    int last = b->decoder_layers - 1;
    int32_t logits = cf_linear(b, x, head_name(b, "class_embed", last, "weight"), b->config->labels);
    b->graph->logits = add_quality(b, logits, corners, last);
    b->graph->boxes = boxes;
}
