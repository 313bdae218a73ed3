// SPDX-License-Identifier: Apache-2.0
// D-FINE's encoder: RT-DETR's hybrid encoder with GELAN fusion blocks.
//
//     backbone maps -> 1x1 to d channels -> transformer layer on the coarsest (AIFI)
//     -> top-down: 1x1, upsample, concatenate with the finer map, fuse (FPN)
//     -> bottom-up: 1x1 and depthwise stride 2, concatenate with the coarser map, fuse (PAN)
#include <math.h>

#include "model/build.h"

// Convolution, batch norm, activation: <prefix>.conv, <prefix>.norm.
static int32_t conv_norm(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride, int groups,
                         cf_config_activation act) {
    x = cf_conv(b, x, cf_namef("%s.conv", prefix.text), out, kernel, stride, groups);
    x = cf_batch_norm(b, x, cf_namef("%s.norm", prefix.text), b->config->batch_norm_eps);
    return cf_activation(b, x, act, prefix);
}

// RepVGG blocks: a 3x3 and a 1x1 convolution side by side, summed, then the activation (merged into one 3x3 by a pass).
int32_t cf_build_csp_path(cf_builder *b, int32_t x, cf_name prefix, cf_config_activation act) {
    int c = cf_c(b, x);
    for (int i = 0; i < b->config->encoder.block_depth; i++) {
        cf_name block = cf_namef("%s.bottlenecks.%d", prefix.text, i);
        int32_t wide = conv_norm(b, x, cf_namef("%s.conv1", block.text), c, 3, 1, 1, CF_CONFIG_IDENTITY);
        int32_t narrow = conv_norm(b, x, cf_namef("%s.conv2", block.text), c, 1, 1, 1, CF_CONFIG_IDENTITY);
        x = cf_activation(b, cf_add(b, wide, narrow, block), act, block);
    }
    return x;
}

// CSP layer: RepVGG blocks on one 1x1 branch, added to the other. Its widths are equal, so there is no last 1x1.
static int32_t csp_layer(cf_builder *b, int32_t x, cf_name prefix, int out) {
    cf_config_activation act = b->config->encoder.activation;
    int32_t path = conv_norm(b, x, cf_namef("%s.conv1", prefix.text), out, 1, 1, 1, act);
    int32_t other = conv_norm(b, x, cf_namef("%s.conv2", prefix.text), out, 1, 1, 1, act);
    path = cf_build_csp_path(b, path, prefix, act);
    return cf_add(b, path, other, prefix);
}

// The fusion block (RepNCSPELAN4): [h, w, 2d] -> [h, w, d]. A 1x1 to 2d channels; its second half feeds two CSP layers
// of c channels in a chain; 2d + c + c channels are concatenated and squeezed.
static int32_t fusion_block(cf_builder *b, int32_t x, cf_name prefix) {
    int d = b->config->encoder.channels, c = b->config->encoder.block_channels;
    int32_t both = conv_norm(b, x, cf_namef("%s.conv1", prefix.text), 2 * d, 1, 1, 1, CF_CONFIG_SILU);
    int32_t half = cf_slice(b, both, d, d, cf_namef("%s.split", prefix.text));
    int32_t first = csp_layer(b, half, cf_namef("%s.csp_rep1", prefix.text), c);
    first = conv_norm(b, first, cf_namef("%s.conv2", prefix.text), c, 3, 1, 1, CF_CONFIG_SILU);
    int32_t second = csp_layer(b, first, cf_namef("%s.csp_rep2", prefix.text), c);
    second = conv_norm(b, second, cf_namef("%s.conv3", prefix.text), c, 3, 1, 1, CF_CONFIG_SILU);
    x = cf_concat(b, (int32_t[]){both, first, second}, 3, cf_namef("%s.concat", prefix.text));
    return conv_norm(b, x, cf_namef("%s.conv4", prefix.text), d, 1, 1, 1, CF_CONFIG_SILU);
}

// 2D sine position embedding [h*w, d]: quarters of the channels hold sin and cos of y, then of x, at d/4 frequencies.
static cf_constant position_embedding(cf_builder *b, int h, int w, int d) {
    cf_constant table = cf_constant_create(b->graph, 2, (int32_t[]){h * w, d});
    int quarter = d / 4;
    for (int t = 0; t < h * w && table.data; t++)
        for (int i = 0; i < quarter; i++) {
            double omega = 1 / pow(b->config->encoder.position_temperature, (double)i / quarter);
            double y = t / w * omega, x = t % w * omega;
            float *row = table.data + (size_t)t * (size_t)d;
            row[i] = (float)sin(y);
            row[quarter + i] = (float)cos(y);
            row[2 * quarter + i] = (float)sin(x);
            row[3 * quarter + i] = (float)cos(x);
        }
    return table;
}

// One transformer layer over the cells of a map: self-attention and a two-layer MLP, each with a residual and a norm,
// after the sum or (normalize_before) in front.
static int32_t transformer_layer(cf_builder *b, int32_t x, cf_name prefix, int h, int w) {
    const cf_encoder_config *config = &b->config->encoder;
    double eps = b->config->layer_norm_eps;
    int d = config->channels;
    cf_name attention = cf_namef("%s.self_attn", prefix.text), mlp = cf_namef("%s.fc1", prefix.text);
    cf_name norm1 = cf_namef("%s.self_attn_layer_norm", prefix.text),
            norm2 = cf_namef("%s.final_layer_norm", prefix.text);

    int32_t residual = x;
    if (config->normalize_before) x = cf_norm(b, x, CF_NONE, norm1, 0, eps);
    int32_t where = x;
    if (config->position_embedding)
        where = cf_binary_constant(b, CF_OP_ADD, x, position_embedding(b, h, w, d),
                                   cf_namef("%s.position", attention.text));
    int32_t q = cf_linear(b, where, cf_namef("%s.q_proj", attention.text), d);
    int32_t k = cf_linear(b, where, cf_namef("%s.k_proj", attention.text), d);
    int32_t v = cf_linear(b, x, cf_namef("%s.v_proj", attention.text), d);
    x = cf_attention(b, q, k, v, config->heads, attention);
    x = cf_add(b, cf_linear(b, x, cf_namef("%s.out_proj", attention.text), d), residual, attention);
    x = cf_norm(b, x, CF_NONE, config->normalize_before ? norm2 : norm1, 0, eps);

    // With normalize_before the published code takes the residual behind the norm; so do we.
    residual = x;
    x = cf_activation(b, cf_linear(b, x, mlp, config->ffn), config->ffn_activation, mlp);
    x = cf_add(b, cf_linear(b, x, cf_namef("%s.fc2", prefix.text), d), residual, mlp);
    return config->normalize_before ? x : cf_norm(b, x, CF_NONE, norm2, 0, eps);
}

cf_maps cf_build_hybrid_encoder(cf_builder *b, const cf_maps *backbone) {
    const cf_encoder_config *config = &b->config->encoder;
    int d = config->channels, count = backbone->count;
    cf_maps maps = {.count = count};
    for (int i = 0; i < count; i++) { // [h, w, ci] -> [h, w, d]
        int32_t x = cf_conv(b, backbone->value[i], cf_namef("model.encoder_input_proj.%d.0", i), d, 1, 1, 1);
        maps.value[i] = cf_batch_norm(b, x, cf_namef("model.encoder_input_proj.%d.1", i), 1e-5);
    }
    for (int i = 0; i < config->attention_count && config->layers > 0; i++) { // AIFI
        int32_t *map = &maps.value[config->attention_levels[i]];
        for (int layer = 0; layer < config->layers; layer++)
            *map = transformer_layer(b, *map, cf_namef("model.encoder.encoder.%d.layers.%d", i, layer), cf_h(b, *map),
                                     cf_w(b, *map));
    }
    for (int i = 0; i < count - 1; i++) { // FPN, coarse to fine
        int fine = count - 2 - i;
        int32_t *coarse = &maps.value[fine + 1];
        *coarse = conv_norm(b, *coarse, cf_namef("model.encoder.lateral_convs.%d", i), d, 1, 1, 1, CF_CONFIG_IDENTITY);
        int32_t up = cf_upsample(b, *coarse, cf_namef("encoder.upsample.%d", i));
        int32_t both = cf_concat(b, (int32_t[]){up, maps.value[fine]}, 2, cf_namef("encoder.fpn_concat.%d", i));
        maps.value[fine] = fusion_block(b, both, cf_namef("model.encoder.fpn_blocks.%d", i));
    }
    for (int i = 0; i < count - 1; i++) { // PAN, fine to coarse
        cf_name down = cf_namef("model.encoder.downsample_convs.%d", i);
        int32_t x = conv_norm(b, maps.value[i], cf_namef("%s.conv1", down.text), d, 1, 1, 1, CF_CONFIG_IDENTITY);
        x = conv_norm(b, x, cf_namef("%s.conv2", down.text), d, 3, 2, d, CF_CONFIG_IDENTITY);
        int32_t both = cf_concat(b, (int32_t[]){x, maps.value[i + 1]}, 2, cf_namef("encoder.pan_concat.%d", i));
        maps.value[i + 1] = fusion_block(b, both, cf_namef("model.encoder.pan_blocks.%d", i));
    }
    return maps;
}
