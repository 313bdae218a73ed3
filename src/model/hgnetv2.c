// SPDX-License-Identifier: Apache-2.0
// The backbone: HGNetV2 (PaddlePaddle, PP-HGNetV2), as D-FINE and DEIMv2 use it.
//
//     image [H, W, 3]
//     stem:    [H/4, W/4, c0]     two 3x3 stride-2 convolutions, a pooled and a 2x2-convolved path between them
//     stage i: [H/4/2^i, ..., ci] depthwise 3x3 stride 2 (from stage 1 on), then HG blocks
//
// An HG block runs its layers in a chain, concatenates its input and every layer's result, and squeezes that with two
// 1x1 convolutions. Blocks after the first of a stage add their input.
#include "model/build.h"

// Convolution, batch norm, activation, and with `affine` the learnable scale and bias behind it.
static int32_t conv_layer(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride, int groups,
                          int pad_before, int pad_after, cf_config_activation act) {
    x = cf_conv_padded(b, x, cf_namef("%s.convolution", prefix.text), out, kernel, stride, groups, pad_before,
                       pad_after);
    x = cf_batch_norm(b, x, cf_namef("%s.normalization", prefix.text), 1e-5);
    if (act == CF_CONFIG_IDENTITY) return x;
    x = cf_activation(b, x, act, prefix);
    return b->config->backbone.affine ? cf_affine(b, x, cf_namef("%s.lab", prefix.text)) : x;
}

static int32_t plain_layer(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride) {
    int pad = (kernel - 1) / 2;
    return conv_layer(b, x, prefix, out, kernel, stride, 1, pad, pad, b->config->backbone.activation);
}

static int32_t stem(cf_builder *b, int32_t image, const char *model) {
    const cf_backbone_config *config = &b->config->backbone;
    cf_config_activation act = config->activation;
    const int *strides = config->stem_strides;
    int inner = config->stem_channels[1];
    int32_t x = plain_layer(b, image, cf_namef("%s.embedder.stem1", model), inner, 3, strides[0]); // [H/2, W/2, inner]
    // The 2x2 kernels and the pool see one row and column of zeros at the bottom and on the right.
    int32_t branch = conv_layer(b, x, cf_namef("%s.embedder.stem2a", model), inner / 2, 2, strides[1], 1, 0, 1, act);
    branch = conv_layer(b, branch, cf_namef("%s.embedder.stem2b", model), inner, 2, strides[2], 1, 0, 1, act);
    cf_attr pool = {.pool = {.kernel = 2, .stride = 1, .pad_bottom = 1, .pad_right = 1}};
    int32_t pooled =
        cf_graph_add(b->graph, CF_OP_MAX_POOL, &pool, &x, 1, NULL, 0, "backbone.embedder.pool"); // [H/2, W/2, inner]
    x = cf_concat(b, (int32_t[]){pooled, branch}, 2, cf_namef("backbone.embedder.concat"));
    x = plain_layer(b, x, cf_namef("%s.embedder.stem3", model), inner, 3, strides[3]); // [H/4, W/4, inner]
    return plain_layer(b, x, cf_namef("%s.embedder.stem4", model), config->stem_channels[2], 1, strides[4]);
}

// One layer of a block: k x k, or light: 1x1 without activation, then depthwise k x k.
static int32_t block_layer(cf_builder *b, int32_t x, cf_name prefix, const cf_stage_config *stage) {
    if (!stage->light) return plain_layer(b, x, prefix, stage->mid_channels, stage->kernel, 1);
    int pad = (stage->kernel - 1) / 2;
    x = conv_layer(b, x, cf_namef("%s.conv1", prefix.text), stage->mid_channels, 1, 1, 1, 0, 0, CF_CONFIG_IDENTITY);
    return conv_layer(b, x, cf_namef("%s.conv2", prefix.text), stage->mid_channels, stage->kernel, 1,
                      stage->mid_channels, pad, pad, b->config->backbone.activation);
}

static int32_t hg_block(cf_builder *b, int32_t x, cf_name prefix, const cf_stage_config *stage, int residual) {
    enum { MOST = CF_MAX_INPUTS - 1 };
    int32_t parts[CF_MAX_INPUTS] = {x}, identity = x;
    if (stage->layers > MOST)
        return cf_graph_fail(b->graph, CFINE_ERROR_UNSUPPORTED, "%s: %d layers in a block, at most %d", prefix.text,
                             stage->layers, MOST);
    for (int i = 0; i < stage->layers; i++)
        parts[i + 1] = x = block_layer(b, x, cf_namef("%s.layers.%d", prefix.text, i), stage);
    x = cf_concat(b, parts, stage->layers + 1, cf_namef("%s.concat", prefix.text)); // in + layers * mid channels
    x = plain_layer(b, x, cf_namef("%s.aggregation.0", prefix.text), stage->out_channels / 2, 1, 1);
    x = plain_layer(b, x, cf_namef("%s.aggregation.1", prefix.text), stage->out_channels, 1, 1);
    return residual ? cf_add(b, x, identity, cf_namef("%s.residual", prefix.text)) : x;
}

cf_maps cf_build_backbone(cf_builder *b, int32_t image) {
    const cf_backbone_config *config = &b->config->backbone;
    const char *model = b->config->family == CF_FAMILY_DEIMV2 ? "model.conv_encoder.model" : "model.backbone.model";
    cf_maps maps = {.count = 0};
    int32_t x = stem(b, image, model);
    for (int s = 0; s < config->stage_count; s++) {
        const cf_stage_config *stage = &config->stages[s];
        cf_name prefix = cf_namef("%s.encoder.stages.%d", model, s);
        if (stage->downsample)
            x = conv_layer(b, x, cf_namef("%s.downsample", prefix.text), stage->in_channels, 3, stage->stride,
                           stage->in_channels, 1, 1, CF_CONFIG_IDENTITY);
        for (int i = 0; i < stage->blocks; i++)
            x = hg_block(b, x, cf_namef("%s.blocks.%d", prefix.text, i), stage, i > 0);
        if (maps.count < config->output_count && config->outputs[maps.count] == s) maps.value[maps.count++] = x;
    }
    return maps;
}
