// SPDX-License-Identifier: Apache-2.0
// DEIMv2's LiteEncoder: one backbone map in, two levels out, no transformer layer, fusion by sums.
//
//     map [h, w, ci] -> 1x1 -> fine [h, w, d]
//     fine -> average pool 3/2 -> 1x1 -> add its global mean -> 1x1 -> coarse [h/2, w/2, d]
//     fine + upsampled coarse -> fusion block -> level 0
//     coarse + 1x1(average pool of level 0) -> fusion block -> level 1
#include "model/build.h"

static int32_t conv_norm(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, cf_config_activation act) {
    x = cf_conv(b, x, cf_namef("%s.conv", prefix.text), out, kernel, 1, 1);
    x = cf_batch_norm(b, x, cf_namef("%s.norm", prefix.text), b->config->batch_norm_eps);
    return cf_activation(b, x, act, prefix);
}

static int32_t halve(cf_builder *b, int32_t x, cf_name prefix) {
    cf_attr pool = {.pool = {.kernel = 3, .stride = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}};
    x = cf_graph_add(b->graph, CF_OP_AVG_POOL, &pool, &x, 1, NULL, 0, "%s.pool", prefix.text + 6);
    return conv_norm(b, x, prefix, b->config->encoder.channels, 1, b->config->encoder.activation);
}

// CSP layer: one 1x1 gives [residual | path]; RepVGG blocks on the path, sum, and with trailing_conv a 3x3.
static int32_t csp_layer(cf_builder *b, int32_t x, cf_name prefix, int c) {
    cf_config_activation act = b->config->encoder.activation;
    int32_t both = conv_norm(b, x, cf_namef("%s.conv1", prefix.text), 2 * c, 1, act);
    int32_t residual = cf_slice(b, both, 0, c, cf_namef("%s.residual", prefix.text));
    int32_t path = cf_slice(b, both, c, c, cf_namef("%s.path", prefix.text));
    path = cf_build_csp_path(b, path, prefix, act);
    x = cf_add(b, path, residual, prefix);
    return b->config->encoder.trailing_conv ? conv_norm(b, x, cf_namef("%s.conv2", prefix.text), c, 3, act) : x;
}

// [h, w, d] -> [h, w, d]: 1x1 to 2d, two CSP layers of c channels in a chain on its second half, all concatenated, 1x1.
static int32_t fusion_block(cf_builder *b, int32_t x, cf_name prefix) {
    const cf_encoder_config *config = &b->config->encoder;
    int d = config->channels, c = config->block_channels;
    int32_t both = conv_norm(b, x, cf_namef("%s.conv1", prefix.text), 2 * d, 1, config->activation);
    int32_t half = cf_slice(b, both, d, d, cf_namef("%s.split", prefix.text));
    int32_t first = csp_layer(b, half, cf_namef("%s.csp_rep1", prefix.text), c);
    int32_t second = csp_layer(b, first, cf_namef("%s.csp_rep2", prefix.text), c);
    x = cf_concat(b, (int32_t[]){both, first, second}, 3, cf_namef("%s.concat", prefix.text));
    return conv_norm(b, x, cf_namef("%s.conv2", prefix.text), d, 1, config->activation);
}

cf_maps cf_build_lite_encoder(cf_builder *b, const cf_maps *backbone) {
    const cf_encoder_config *config = &b->config->encoder;
    int32_t fine = conv_norm(b, backbone->value[backbone->count - 1], cf_namef("model.encoder.input_proj.0"),
                             config->channels, 1, CF_CONFIG_IDENTITY);
    int32_t coarse = halve(b, fine, cf_namef("model.encoder.down_conv1"));
    int32_t mean = cf_graph_add(b->graph, CF_OP_GLOBAL_POOL, NULL, &coarse, 1, NULL, 0, "encoder.bi_fusion_pool");
    coarse = cf_add(b, coarse, mean, cf_namef("encoder.bi_fusion_add"));
    coarse = conv_norm(b, coarse, cf_namef("model.encoder.bi_fusion_conv"), config->channels, 1, config->activation);

    int32_t x = cf_add(b, fine, cf_upsample(b, coarse, cf_namef("encoder.upsample")), cf_namef("encoder.fpn_add"));
    cf_maps maps = {.count = 2};
    maps.value[0] = fusion_block(b, x, cf_namef("model.encoder.fpn_block"));
    x = cf_add(b, halve(b, maps.value[0], cf_namef("model.encoder.down_conv2")), coarse, cf_namef("encoder.pan_add"));
    maps.value[1] = fusion_block(b, x, cf_namef("model.encoder.pan_block"));
    return maps;
}
