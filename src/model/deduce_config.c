// SPDX-License-Identifier: Apache-2.0
// The model config of an official .pth, which carries none: widths, depths, levels, points and classes are read off the
// tensors. What tensors cannot tell is as in all published D-FINE and DEIM configs: activations, epsilons, 300 queries,
// /255, and as many heads in the encoder as in the decoder.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/names.h"

enum { MOST = 64, MAX_CHANNELS = 8192, MAX_LABELS = 1 << 16 };

#define BACKBONE "model.backbone.model."
#define STAGES BACKBONE "encoder.stages."

typedef struct reader {
    const cf_weights *weights;
    cfine_status status; // the first failure sticks
    cfine_error *err;
} reader;

// The tensor with the printed name, or NULL.
static const cf_weight *find(const reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const cf_weight *find(const reader *r, const char *format, ...) {
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return cf_weights_find(r->weights, name);
}

static void refuse(reader *r, const char *what) {
    if (r->status == CFINE_OK)
        r->status = cf_fail(r->err, CFINE_ERROR_UNSUPPORTED,
                            "%s: these are not the weights of a D-FINE or DEIM with an HGNetV2 backbone", what);
}

// A dimension of a tensor that must be there, within 1..most; 1 after a failure.
static int dimension(reader *r, const char *name, int axis, int most) {
    if (r->status != CFINE_OK) return 1;
    const cf_weight *weight = cf_weights_find(r->weights, name);
    char text[400];
    if (!weight || axis >= weight->rank || weight->shape[axis] < 1 || weight->shape[axis] > most) {
        snprintf(text, sizeof text, "tensor %s %s", name, weight ? "has an unexpected shape" : "is missing");
        refuse(r, text);
        return 1;
    }
    return (int)weight->shape[axis];
}

// dimension() of a tensor of stage i, block b; "%d" twice in the format.
static int stage_dimension(reader *r, int stage, int block, const char *tail, int axis) {
    char name[256];
    if (block < 0)
        snprintf(name, sizeof name, STAGES "%d.%s", stage, tail);
    else
        snprintf(name, sizeof name, STAGES "%d.blocks.%d.%s", stage, block, tail);
    return dimension(r, name, axis, MAX_CHANNELS);
}

static void deduce_stage(reader *r, int index, int in_channels, cf_stage_config *stage) {
    stage->downsample = find(r, STAGES "%d.downsample.convolution.weight", index) != NULL;
    stage->stride = stage->downsample ? 2 : 1;
    stage->in_channels = in_channels;
    while (stage->blocks < MOST &&
           find(r, STAGES "%d.blocks.%d.aggregation.0.convolution.weight", index, stage->blocks))
        stage->blocks++;
    stage->light = find(r, STAGES "%d.blocks.0.layers.0.conv1.convolution.weight", index) != NULL;
    const char *convolution = stage->light ? "conv2.convolution.weight" : "convolution.weight";
    while (stage->layers < MOST && find(r, STAGES "%d.blocks.0.layers.%d.%s", index, stage->layers, convolution))
        stage->layers++;
    char first[80];
    snprintf(first, sizeof first, "layers.0.%s", convolution);
    stage->mid_channels = stage_dimension(r, index, 0, first, 0);
    stage->kernel = stage_dimension(r, index, 0, first, 2);
    stage->out_channels = stage_dimension(r, index, 0, "aggregation.1.convolution.weight", 0);
    if (!stage->layers) refuse(r, "a stage of the backbone has no layers");
}

static void deduce_backbone(reader *r, cf_backbone_config *backbone) {
    static const int strides[5] = {2, 1, 1, 2, 1};
    memcpy(backbone->stem_strides, strides, sizeof strides);
    backbone->stem_channels[0] = dimension(r, BACKBONE "embedder.stem1.convolution.weight", 1, MAX_CHANNELS);
    backbone->stem_channels[1] = dimension(r, BACKBONE "embedder.stem1.convolution.weight", 0, MAX_CHANNELS);
    backbone->stem_channels[2] = dimension(r, BACKBONE "embedder.stem4.convolution.weight", 0, MAX_CHANNELS);
    backbone->activation = CF_CONFIG_RELU;
    backbone->affine = find(r, BACKBONE "embedder.stem1.lab.scale") != NULL;
    int channels = backbone->stem_channels[2];
    while (backbone->stage_count < CF_MAX_STAGES &&
           find(r, STAGES "%d.blocks.0.aggregation.0.convolution.weight", backbone->stage_count)) {
        cf_stage_config *stage = &backbone->stages[backbone->stage_count];
        deduce_stage(r, backbone->stage_count++, channels, stage);
        channels = stage->out_channels;
    }
    while (backbone->output_count < CF_MAX_LEVELS &&
           find(r, "model.encoder_input_proj.%d.0.weight", backbone->output_count))
        backbone->output_count++;
    if (!backbone->output_count || backbone->output_count > backbone->stage_count) {
        refuse(r, "the encoder's input projections (encoder.input_proj) do not fit the backbone's stages");
        backbone->output_count = 0;
    }
    for (int i = 0; i < backbone->output_count; i++) // always the last stages
        backbone->outputs[i] = backbone->stage_count - backbone->output_count + i;
}

static void deduce_levels(cf_model_config *config) {
    int stride = 4, output = 0;
    for (int i = 0; i < config->backbone.stage_count && output < config->backbone.output_count; i++) {
        stride *= config->backbone.stages[i].stride;
        if (config->backbone.outputs[output] == i) config->strides[output++] = stride;
    }
    config->levels = output;
}

static void deduce_encoder(reader *r, cf_model_config *config) {
    cf_encoder_config *encoder = &config->encoder;
    encoder->channels = dimension(r, "model.encoder_input_proj.0.0.weight", 0, MAX_CHANNELS);
    while (encoder->attention_count < config->levels &&
           find(r, "model.encoder.encoder.%d.layers.0.fc1.weight", encoder->attention_count))
        encoder->attention_count++;
    for (int i = 0; i < encoder->attention_count; i++) // the coarsest levels
        encoder->attention_levels[i] = config->levels - encoder->attention_count + i;
    while (encoder->layers < MOST && find(r, "model.encoder.encoder.0.layers.%d.fc1.weight", encoder->layers))
        encoder->layers++;
    encoder->heads = config->decoder.heads;
    encoder->ffn = encoder->layers ? dimension(r, "model.encoder.encoder.0.layers.0.fc1.weight", 0, MAX_CHANNELS) : 1;
    encoder->ffn_activation = CF_CONFIG_GELU;
    encoder->activation = CF_CONFIG_SILU;
    encoder->position_embedding = 1;
    encoder->position_temperature = 10000;
    encoder->trailing_conv = 1;
    if (config->levels > 1) {
        encoder->block_channels = dimension(r, "model.encoder.fpn_blocks.0.conv2.conv.weight", 0, MAX_CHANNELS);
        while (encoder->block_depth < MOST &&
               find(r, "model.encoder.fpn_blocks.0.csp_rep1.bottlenecks.%d.conv1.conv.weight", encoder->block_depth))
            encoder->block_depth++;
    } else { // nothing to fuse
        encoder->block_channels = encoder->block_depth = 1;
    }
}

// num_points_scale holds, level by level, n times the value 1/n.
static void deduce_points(reader *r, cf_model_config *config) {
    const cf_weight *weight = find(r, "model.decoder.layers.0.encoder_attn.num_points_scale");
    float scales[CF_MAX_LEVELS * MOST];
    if (!weight || weight->rank != 1 || weight->count > CF_MAX_LEVELS * MOST) {
        refuse(r, "decoder.decoder.layers.0.cross_attn.num_points_scale is missing or too large");
        return;
    }
    cfine_status status = cf_weights_read_f32(r->weights, weight, scales, r->err);
    if (status != CFINE_OK) {
        if (r->status == CFINE_OK) r->status = status;
        return;
    }
    size_t at = 0;
    for (int level = 0; level < config->levels; level++) {
        int points = at < weight->count && scales[at] > 1.0f / (MOST + 1) ? (int)lrintf(1 / scales[at]) : 0;
        if (points < 1 || points > MOST) {
            refuse(r, "num_points_scale does not give the points of each level");
            return;
        }
        config->decoder.points[level] = points;
        at += (size_t)points;
    }
    if (at != weight->count) refuse(r, "num_points_scale has points for another number of levels");
    int rows = dimension(r, "model.decoder.layers.0.encoder_attn.attention_weights.weight", 0, 1 << 20);
    config->decoder.heads = at ? rows / (int)at : 1;
    if (config->decoder.heads < 1) config->decoder.heads = 1;
}

static void deduce_decoder(reader *r, cf_model_config *config) {
    cf_decoder_config *decoder = &config->decoder;
    decoder->channels = dimension(r, "model.enc_output.0.weight", 0, MAX_CHANNELS);
    decoder->ffn = dimension(r, "model.decoder.layers.0.fc1.weight", 0, MAX_CHANNELS);
    const cf_weight *layer;
    while (decoder->layers_stored < MOST &&
           (layer = find(r, "model.decoder.layers.%d.fc1.weight", decoder->layers_stored)) && layer->rank == 2) {
        // Layers behind the evaluated one may be wider; they only serve training.
        if (layer->shape[1] == decoder->channels && decoder->layers == decoder->layers_stored) decoder->layers++;
        decoder->layers_stored++;
    }
    if (!decoder->layers) refuse(r, "the decoder has no layers");
    decoder->queries = 300;
    decoder->learned_queries = find(r, "model.weight_embedding.weight") != NULL;
    if (decoder->learned_queries) decoder->queries = dimension(r, "model.weight_embedding.weight", 0, 10000);
    decoder->offset_scale = 0.5;
    decoder->activation = decoder->mlp_activation = CF_CONFIG_RELU;
    decoder->bins = dimension(r, "model.decoder.bbox_embed.0.layers.2.bias", 0, 4 * 1025) / 4 - 1;
    if (decoder->bins < 4) refuse(r, "the box heads (decoder.dec_bbox_head) have too few outputs");
    decoder->reg_scale = 4; // both are replaced by the tensors, which official files always have
    decoder->up = 0.5;
    decoder->lqe_hidden = dimension(r, "model.decoder.lqe_layers.0.reg_conf.layers.0.weight", 0, MAX_CHANNELS);
    decoder->lqe_top = dimension(r, "model.decoder.lqe_layers.0.reg_conf.layers.0.weight", 1, 4096) / 4 - 1;
    if (decoder->lqe_top < 1) refuse(r, "the location quality heads (lqe_layers) have too few inputs");
    while (decoder->lqe_layers < MOST &&
           find(r, "model.decoder.lqe_layers.0.reg_conf.layers.%d.weight", decoder->lqe_layers))
        decoder->lqe_layers++;
    decoder->rms_norm_eps = 1e-6;
    decoder->gateway = decoder->query_pos_per_layer = decoder->encoder_output = 1;
}

// The anchors are stored for the image size of training, one for each cell of each level: for a square image their
// number gives the size. Without them it is the usual one.
static int deduce_side(const reader *r, const cf_model_config *config) {
    const cf_weight *anchors = find(r, "model.decoder.anchors");
    if (anchors && anchors->rank == 3)
        for (int side = 32; side <= 4096; side += 32) {
            int64_t cells = 0;
            for (int i = 0; i < config->levels; i++)
                cells += (int64_t)(side / config->strides[i]) * (side / config->strides[i]);
            if (cells == anchors->shape[1]) return side;
        }
    return 640;
}

cfine_status cf_model_config_deduce(const cf_weights *weights, const char *file, cf_model_config *out,
                                    cfine_error *err) {
    *out = (cf_model_config){.family = CF_FAMILY_DFINE, .layer_norm_eps = 1e-5, .batch_norm_eps = 1e-5};
    reader r = {.weights = weights, .err = err};
    deduce_backbone(&r, &out->backbone);
    deduce_levels(out);
    deduce_decoder(&r, out);
    deduce_points(&r, out);
    deduce_encoder(&r, out);
    int labels = dimension(&r, "model.enc_score_head.bias", 0, MAX_LABELS);
    if (dimension(&r, "model.decoder.class_embed.0.bias", 0, MAX_LABELS) != labels)
        refuse(&r, "encoder and decoder score different numbers of classes");
    if (r.status == CFINE_OK) r.status = cf_model_config_default_labels(out, labels, err);
    if (r.status != CFINE_OK) return cf_fail_within(err, r.status, "%s", file);
    int side = deduce_side(&r, out);
    out->preprocess = (cf_preprocess_config){
        .width = side, .height = side, .rescale = 1, .rescale_factor = 1.0 / 255, .std = {1, 1, 1}};
    return cf_model_config_check(out, file, err);
}
