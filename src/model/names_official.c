// SPDX-License-Identifier: Apache-2.0
// Tensor names of the official D-FINE and DEIM repositories, and what Hugging Face calls the same tensors.
#include <stdio.h>
#include <string.h>

#include "model/names.h"

// Weights that were saved from a model wrapped for several GPUs.
static const cf_name_rule unwrap[] = {{"module.*", "*", 0}};

#define STAGE "backbone.stages.#"
#define HF_STAGE "model.backbone.model.encoder.stages.#"

// A fusion block (RepNCSPELAN4): cv1, cv2 = (CSP branch, conv), cv3 = (CSP branch, conv), cv4.
#define FUSION_BLOCK(blocks)                                                                                           \
    {"encoder." blocks ".#.cv1.*", "model.encoder." blocks ".#.conv1.*", 0},                                           \
        {"encoder." blocks ".#.cv2.0.*", "model.encoder." blocks ".#.csp_rep1.*", 0},                                  \
        {"encoder." blocks ".#.cv2.1.*", "model.encoder." blocks ".#.conv2.*", 0},                                     \
        {"encoder." blocks ".#.cv3.0.*", "model.encoder." blocks ".#.csp_rep2.*", 0},                                  \
        {"encoder." blocks ".#.cv3.1.*", "model.encoder." blocks ".#.conv3.*", 0}, {                                   \
        "encoder." blocks ".#.cv4.*", "model.encoder." blocks ".#.conv4.*", 0                                          \
    }

static const cf_name_rule official[] = {
    // Backbone. stem2a and stem2b end in a letter, so the five stem convolutions are named one by one.
    {"backbone.stem.stem#.conv.*", "model.backbone.model.embedder.stem#.convolution.*", 0},
    {"backbone.stem.stem#.bn.*", "model.backbone.model.embedder.stem#.normalization.*", 0},
    {"backbone.stem.stem#a.conv.*", "model.backbone.model.embedder.stem#a.convolution.*", 0},
    {"backbone.stem.stem#a.bn.*", "model.backbone.model.embedder.stem#a.normalization.*", 0},
    {"backbone.stem.stem#b.conv.*", "model.backbone.model.embedder.stem#b.convolution.*", 0},
    {"backbone.stem.stem#b.bn.*", "model.backbone.model.embedder.stem#b.normalization.*", 0},
    {"backbone.stem.*", "model.backbone.model.embedder.*", 0}, // lab
    {STAGE ".downsample.conv.*", HF_STAGE ".downsample.convolution.*", 0},
    {STAGE ".downsample.bn.*", HF_STAGE ".downsample.normalization.*", 0},
    {STAGE ".blocks.#.layers.#.conv.*", HF_STAGE ".blocks.#.layers.#.convolution.*", 0},
    {STAGE ".blocks.#.layers.#.bn.*", HF_STAGE ".blocks.#.layers.#.normalization.*", 0},
    {STAGE ".blocks.#.layers.#.conv#.conv.*", HF_STAGE ".blocks.#.layers.#.conv#.convolution.*", 0},
    {STAGE ".blocks.#.layers.#.conv#.bn.*", HF_STAGE ".blocks.#.layers.#.conv#.normalization.*", 0},
    {STAGE ".blocks.#.aggregation.#.conv.*", HF_STAGE ".blocks.#.aggregation.#.convolution.*", 0},
    {STAGE ".blocks.#.aggregation.#.bn.*", HF_STAGE ".blocks.#.aggregation.#.normalization.*", 0},
    {STAGE ".*", HF_STAGE ".*", 0}, // lab

    // Encoder
    {"encoder.input_proj.#.conv.*", "model.encoder_input_proj.#.0.*", 0},
    {"encoder.input_proj.#.norm.*", "model.encoder_input_proj.#.1.*", 0},
    {"encoder.encoder.#.layers.#.linear1.*", "model.encoder.encoder.#.layers.#.fc1.*", 0},
    {"encoder.encoder.#.layers.#.linear2.*", "model.encoder.encoder.#.layers.#.fc2.*", 0},
    {"encoder.encoder.#.layers.#.norm1.*", "model.encoder.encoder.#.layers.#.self_attn_layer_norm.*", 0},
    {"encoder.encoder.#.layers.#.norm2.*", "model.encoder.encoder.#.layers.#.final_layer_norm.*", 0},
    {"encoder.encoder.#.layers.#.self_attn.*", "model.encoder.encoder.#.layers.#.self_attn.*", 0},
    {"encoder.lateral_convs.#.*", "model.encoder.lateral_convs.#.*", 0},
    {"encoder.downsample_convs.#.0.cv#.*", "model.encoder.downsample_convs.#.conv#.*", 0},
    FUSION_BLOCK("fpn_blocks"),
    FUSION_BLOCK("pan_blocks"),

    // Decoder
    {"decoder.decoder.layers.#.cross_attn.*", "model.decoder.layers.#.encoder_attn.*", 0},
    {"decoder.decoder.layers.#.norm1.*", "model.decoder.layers.#.self_attn_layer_norm.*", 0},
    {"decoder.decoder.layers.#.norm3.*", "model.decoder.layers.#.final_layer_norm.*", 0},
    {"decoder.decoder.layers.#.linear1.*", "model.decoder.layers.#.fc1.*", 0},
    {"decoder.decoder.layers.#.linear2.*", "model.decoder.layers.#.fc2.*", 0},
    {"decoder.decoder.layers.#.*", "model.decoder.layers.#.*", 0}, // self_attn, gateway
    {"decoder.decoder.lqe_layers.#.*", "model.decoder.lqe_layers.#.*", 0},
    {"decoder.decoder.up", "", 0},        // the same parameters as decoder.up and decoder.reg_scale,
    {"decoder.decoder.reg_scale", "", 0}, // registered twice
    {"decoder.dec_score_head.#.*", "model.decoder.class_embed.#.*", 0},
    {"decoder.dec_bbox_head.#.*", "model.decoder.bbox_embed.#.*", 0},
    {"decoder.pre_bbox_head.*", "model.decoder.pre_bbox_head.*", 0},
    {"decoder.query_pos_head.*", "model.decoder.query_pos_head.*", 0},
    {"decoder.input_proj.#.conv.*", "model.decoder_input_proj.#.0.*", 0},
    {"decoder.input_proj.#.norm.*", "model.decoder_input_proj.#.1.*", 0},
    {"decoder.denoising_class_embed.*", "model.denoising_class_embed.*", 0},
    {"decoder.tgt_embed.*", "model.weight_embedding.*", 0},
    {"decoder.enc_output.proj.*", "model.enc_output.0.*", 0},
    {"decoder.enc_output.norm.*", "model.enc_output.1.*", 0},
    {"decoder.enc_score_head.*", "model.enc_score_head.*", 0},
    {"decoder.enc_bbox_head.*", "model.enc_bbox_head.*", 0},
    {"decoder.up", "model.decoder.up", 0},
    {"decoder.reg_scale", "model.decoder.reg_scale", 0},
    {"decoder.anchors", "model.decoder.anchors", 0},
    {"decoder.valid_mask", "model.decoder.valid_mask", 0},
};

// in_proj_weight [3d, d] and in_proj_bias [3d] hold the projections of query, key and value one after the other.
static cfine_status split_projection(cf_weights *weights, size_t index, size_t stem, const char *kind,
                                     cfine_error *err) {
    const cf_weight fused = *cf_weights_at(weights, index);
    if (fused.rank < 1 || fused.shape[0] % 3 || fused.rank > 2)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "tensor %s does not hold query, key and value: its first dimension is %lld", fused.name,
                       fused.rank ? (long long)fused.shape[0] : 0);
    int64_t shape[2] = {fused.shape[0] / 3, fused.shape[1]};
    size_t bytes = fused.count / 3 * cf_weight_type_size(fused.type);
    for (int part = 0; part < 3; part++) {
        char name[600];
        snprintf(name, sizeof name, "%.*s%c_proj.%s", (int)stem, cf_weights_at(weights, index)->name, "qkv"[part],
                 kind);
        CF_TRY(cf_weights_add(weights, name, fused.type, fused.rank, shape, fused.data + (size_t)part * bytes, bytes,
                              err));
    }
    cf_weights_remove(weights, index);
    return CFINE_OK;
}

static cfine_status split_projections(cf_weights *weights, cfine_error *err) {
    for (size_t i = 0; i < cf_weights_count(weights);) {
        const char *name = cf_weights_at(weights, i)->name, *weight = strstr(name, "in_proj_weight");
        const char *bias = strstr(name, "in_proj_bias");
        if (weight && !weight[strlen("in_proj_weight")])
            CF_TRY(split_projection(weights, i, (size_t)(weight - name), "weight", err));
        else if (bias && !bias[strlen("in_proj_bias")])
            CF_TRY(split_projection(weights, i, (size_t)(bias - name), "bias", err));
        else
            i++;
    }
    return CFINE_OK;
}

cfine_status cf_names_from_official(cf_weights *weights, cfine_error *err) {
    CF_TRY(cf_names_apply(weights, unwrap, sizeof unwrap / sizeof *unwrap, err));
    CF_TRY(cf_names_apply(weights, official, sizeof official / sizeof *official, err));
    return split_projections(weights, err);
}
