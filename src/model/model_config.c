// SPDX-License-Identifier: Apache-2.0
// config.json and preprocessor_config.json into a cf_model_config. The order follows the network: backbone, encoder,
// decoder, labels, image.
#include "model/model_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/config_fields.h"

// Far beyond any trained model, near enough that nothing computed from them overflows.
enum {
    MAX_CHANNELS = 8192,
    MAX_BLOCKS = 64,
    MAX_LAYERS = 64,
    MAX_POINTS = 64,
    MAX_QUERIES = 10000,
    MAX_SIDE = 4096,
    MAX_LABELS = 1 << 16,
    MAX_NAME = 256
};

static cf_config_activation get_activation(cf_fields *fields, const char *field, cf_config_activation otherwise) {
    static const struct {
        const char *name;
        cf_config_activation activation;
    } names[] = {
        {"relu", CF_CONFIG_RELU},       {"silu", CF_CONFIG_SILU},          {"swish", CF_CONFIG_SILU},
        {"gelu", CF_CONFIG_GELU},       {"gelu_new", CF_CONFIG_GELU_TANH}, {"gelu_pytorch_tanh", CF_CONFIG_GELU_TANH},
        {"linear", CF_CONFIG_IDENTITY},
    };
    const char *name = cf_fields_text(fields, field, NULL);
    if (!name) return otherwise;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) return names[i].activation;
    cf_fields_refuse(fields, field, "relu, silu, gelu, gelu_new, gelu_pytorch_tanh or linear is expected");
    return otherwise;
}

// ---------------------------------------------------------------------------------------------------------------------
// Backbone

// A list with one entry per stage; its length must be that of the other lists.
static void get_per_stage(cf_fields *fields, const char *field, int *values, int stage_count, int least, int most) {
    if (cf_fields_ints(fields, field, values, 4, CF_MAX_STAGES, least, most) != stage_count)
        cf_fields_refuse(fields, field, "its length differs from that of stage_in_channels");
}

static void get_flags(cf_fields *fields, const char *field, int *values, int stage_count) {
    if (cf_fields_bools(fields, field, values, 4, CF_MAX_STAGES) != stage_count)
        cf_fields_refuse(fields, field, "its length differs from that of stage_in_channels");
}

// The stages whose results leave the backbone: out_features ("stage2", ...), else out_indices (0 is the stem), else the
// last stage. `with_defaults`: there is no backbone_config at all, and D-FINE's default is stages 2 to 4.
static void get_outputs(cf_fields *fields, cf_backbone_config *backbone, int with_defaults) {
    const json_t *features = cf_fields_get(fields, "out_features");
    int indices[CF_MAX_LEVELS] = {2, 3, 4}, count = with_defaults ? 3 : 1;
    if (!with_defaults) indices[0] = backbone->stage_count;
    if (features) {
        count = (int)json_array_size(features);
        if (!json_is_array(features) || json_array_size(features) < 1 || json_array_size(features) > CF_MAX_LEVELS) {
            cf_fields_refuse(fields, "out_features", "a list of stage names is expected");
            return;
        }
        for (int i = 0; i < count; i++) {
            const char *name = json_string_value(json_array_get(features, (size_t)i));
            int end = 0;
            if (!name || sscanf(name, "stage%1d%n", &indices[i], &end) != 1 || name[end]) indices[i] = 0;
        }
    } else {
        count = cf_fields_ints(fields, "out_indices", indices, count, CF_MAX_LEVELS, -CF_MAX_STAGES, CF_MAX_STAGES);
    }
    const char *field = features ? "out_features" : "out_indices";
    for (int i = 0; i < count; i++) {
        int stage = indices[i] < 0 ? indices[i] + backbone->stage_count : indices[i] - 1;
        if (stage < 0 || stage >= backbone->stage_count)
            cf_fields_refuse(fields, field, "these are not stages of the backbone");
        else if (i && stage <= backbone->outputs[i - 1])
            cf_fields_refuse(fields, field, "the stages must be in ascending order");
        backbone->outputs[i] = stage;
    }
    backbone->output_count = count;
}

static void get_backbone(cf_fields *fields, cf_backbone_config *backbone, int with_defaults) {
    static const cf_backbone_config defaults = {.stem_channels = {3, 32, 48}, .stem_strides = {2, 1, 1, 2, 1}};
    *backbone = defaults;
    const char *type = cf_fields_text(fields, "model_type", "hgnet_v2");
    if (strcmp(type, "hgnet_v2") != 0)
        cf_fields_refuse(fields, "model_type", "only the backbone hgnet_v2 is supported");
    if (cf_fields_ints(fields, "stem_channels", backbone->stem_channels, 3, 3, 1, MAX_CHANNELS) != 3)
        cf_fields_refuse(fields, "stem_channels", "three numbers are expected");
    if (cf_fields_ints(fields, "stem_strides", backbone->stem_strides, 5, 5, 1, 2) != 5)
        cf_fields_refuse(fields, "stem_strides", "five numbers are expected");
    backbone->activation = get_activation(fields, "hidden_act", CF_CONFIG_RELU);
    backbone->affine = cf_fields_bool(fields, "use_learnable_affine_block", 0);

    int in[CF_MAX_STAGES] = {48, 128, 512, 1024}, mid[CF_MAX_STAGES] = {48, 96, 192, 384};
    int out[CF_MAX_STAGES] = {128, 512, 1024, 2048}, blocks[CF_MAX_STAGES] = {1, 1, 3, 1};
    int layers[CF_MAX_STAGES] = {6, 6, 6, 6}, kernels[CF_MAX_STAGES] = {3, 3, 5, 5};
    int downsample[CF_MAX_STAGES] = {0, 1, 1, 1}, light[CF_MAX_STAGES] = {0, 0, 1, 1};
    int strides[CF_MAX_STAGES] = {2, 2, 2, 2, 2, 2, 2, 2};
    int count = cf_fields_ints(fields, "stage_in_channels", in, 4, CF_MAX_STAGES, 1, MAX_CHANNELS);
    get_per_stage(fields, "stage_mid_channels", mid, count, 1, MAX_CHANNELS);
    get_per_stage(fields, "stage_out_channels", out, count, 2, MAX_CHANNELS);
    get_per_stage(fields, "stage_num_blocks", blocks, count, 1, MAX_BLOCKS);
    get_per_stage(fields, "stage_numb_of_layers", layers, count, 1, MAX_LAYERS);
    get_per_stage(fields, "stage_kernel_size", kernels, count, 1, 15);
    get_flags(fields, "stage_downsample", downsample, count);
    get_flags(fields, "stage_light_block", light, count);
    // Longer than the stages is allowed, as in transformers (its default has four entries).
    if (cf_fields_ints(fields, "stage_downsample_strides", strides, CF_MAX_STAGES, CF_MAX_STAGES, 1, 2) < count)
        cf_fields_refuse(fields, "stage_downsample_strides", "it is shorter than stage_in_channels");
    backbone->stage_count = count;
    for (int i = 0; i < count; i++)
        backbone->stages[i] = (cf_stage_config){.in_channels = in[i],
                                                .mid_channels = mid[i],
                                                .out_channels = out[i],
                                                .blocks = blocks[i],
                                                .layers = layers[i],
                                                .kernel = kernels[i],
                                                .downsample = downsample[i],
                                                .stride = downsample[i] ? strides[i] : 1,
                                                .light = light[i]};
    get_outputs(fields, backbone, with_defaults);
}

// ---------------------------------------------------------------------------------------------------------------------
// Encoder and decoder

static void get_encoder(cf_fields *fields, cf_model_config *config) {
    cf_encoder_config *encoder = &config->encoder;
    int v2 = config->family == CF_FAMILY_DEIMV2;
    const char *type = v2 ? cf_fields_text(fields, "encoder_type", "hybrid") : "hybrid";
    encoder->lite = strcmp(type, "lite") == 0;
    if (!encoder->lite && strcmp(type, "hybrid") != 0)
        cf_fields_refuse(fields, "encoder_type", "hybrid or lite is expected");
    encoder->channels = cf_fields_int(fields, "encoder_hidden_dim", 256, 4, MAX_CHANNELS);
    encoder->layers = cf_fields_int(fields, "encoder_layers", 1, 0, MAX_LAYERS);
    encoder->heads = cf_fields_int(fields, "encoder_attention_heads", 8, 1, 1024);
    encoder->ffn = cf_fields_int(fields, "encoder_ffn_dim", 1024, 1, MAX_CHANNELS);
    encoder->ffn_activation = get_activation(fields, "encoder_activation_function", CF_CONFIG_GELU);
    encoder->activation = get_activation(fields, "activation_function", CF_CONFIG_SILU);
    encoder->normalize_before = cf_fields_bool(fields, "normalize_before", 0);
    // transformers leaves the embedding away when eval_size is set. D-FINE's published configs do not set it; DEIMv2's
    // do, but its weights were trained with the embedding.
    encoder->position_embedding = v2 || !cf_fields_get(fields, "eval_size");
    encoder->position_temperature = cf_fields_real(fields, "positional_encoding_temperature", 10000, 1, 1e9);
    encoder->attention_levels[0] = 2;
    encoder->attention_count =
        cf_fields_ints(fields, "encode_proj_layers", encoder->attention_levels, 1, CF_MAX_LEVELS, 0, CF_MAX_LEVELS - 1);
    if (encoder->lite) encoder->layers = 0;
    if (!encoder->layers) encoder->attention_count = 0;
    // Python's round and //: halves go to the even neighbour, and the product is floored after halving.
    double expansion = cf_fields_real(fields, "hidden_expansion", 1.0, 0, 64);
    encoder->block_channels = (int)floor(expansion * encoder->channels / 2);
    if (encoder->block_channels < 1) cf_fields_refuse(fields, "hidden_expansion", "it leaves no channels");
    encoder->block_depth = (int)nearbyint(3 * cf_fields_real(fields, "depth_mult", 1.0, 0, 16));
    if (encoder->block_depth < 1) cf_fields_refuse(fields, "depth_mult", "it leaves no layers");
    encoder->sum_fusion = v2;
    if (v2 && strcmp(cf_fields_text(fields, "encoder_fuse_op", "sum"), "sum") != 0)
        cf_fields_refuse(fields, "encoder_fuse_op", "only sum is supported");
    encoder->trailing_conv = v2 ? cf_fields_bool(fields, "encoder_has_trailing_conv", 1) : 1;
}

// decoder_n_points: one number for all levels, or a list with one for each.
static void get_points(cf_fields *fields, cf_decoder_config *decoder, int levels) {
    const json_t *points = cf_fields_get(fields, "decoder_n_points");
    if (json_is_array(points)) {
        if (cf_fields_ints(fields, "decoder_n_points", decoder->points, levels, CF_MAX_LEVELS, 1, MAX_POINTS) != levels)
            cf_fields_refuse(fields, "decoder_n_points", "one number for each of num_feature_levels is expected");
        return;
    }
    int all = cf_fields_int(fields, "decoder_n_points", 4, 1, MAX_POINTS);
    for (int i = 0; i < levels; i++) decoder->points[i] = all;
}

static void get_decoder(cf_fields *fields, cf_model_config *config) {
    cf_decoder_config *decoder = &config->decoder;
    int v2 = config->family == CF_FAMILY_DEIMV2;
    decoder->channels = cf_fields_int(fields, "d_model", 256, 4, MAX_CHANNELS);
    decoder->heads = cf_fields_int(fields, "decoder_attention_heads", 8, 1, 1024);
    decoder->ffn = cf_fields_int(fields, "decoder_ffn_dim", 1024, 2, MAX_CHANNELS);
    decoder->layers_stored = cf_fields_int(fields, "decoder_layers", 6, 1, MAX_LAYERS);
    int last = cf_fields_int(fields, "eval_idx", -1, -MAX_LAYERS, MAX_LAYERS - 1);
    if (last < 0) last += decoder->layers_stored;
    if (last < 0 || last >= decoder->layers_stored) cf_fields_refuse(fields, "eval_idx", "there is no such layer");
    decoder->layers = last + 1;
    decoder->queries = cf_fields_int(fields, "num_queries", 300, 1, MAX_QUERIES);
    get_points(fields, decoder, config->levels);
    decoder->offset_scale = cf_fields_real(fields, "decoder_offset_scale", 0.5, 0, 1e3);
    const char *method = cf_fields_text(fields, "decoder_method", "default");
    decoder->discrete = strcmp(method, "discrete") == 0;
    if (!decoder->discrete && strcmp(method, "default") != 0)
        cf_fields_refuse(fields, "decoder_method", "default or discrete is expected");
    decoder->activation = get_activation(fields, "decoder_activation_function", CF_CONFIG_RELU);
    decoder->mlp_activation = v2 ? get_activation(fields, "mlp_activation_function", CF_CONFIG_RELU) : CF_CONFIG_RELU;
    decoder->learned_queries = cf_fields_bool(fields, "learn_initial_query", 0);
    decoder->bins = cf_fields_int(fields, "max_num_bins", 32, 4, 1024);
    decoder->reg_scale = cf_fields_real(fields, "reg_scale", 4.0, -1e4, 1e4);
    decoder->up = cf_fields_real(fields, "up", 0.5, -1e4, 1e4);
    decoder->lqe_top = cf_fields_int(fields, "top_prob_values", 4, 1, 1024);
    decoder->lqe_hidden = cf_fields_int(fields, "lqe_hidden_dim", 64, 1, MAX_CHANNELS);
    decoder->lqe_layers = cf_fields_int(fields, "lqe_layers", 2, 1, 16);
    decoder->rms_norm = v2;
    decoder->rms_norm_eps = 1e-6;
    decoder->gateway = v2 ? cf_fields_bool(fields, "use_gateway", 1) : 1;
    decoder->shared_box_head = v2 ? cf_fields_bool(fields, "share_bbox_head", 0) : 0;
    decoder->query_pos_per_layer = v2 ? cf_fields_bool(fields, "query_pos_per_layer", 1) : 1;
    decoder->encoder_output = v2 ? cf_fields_bool(fields, "use_enc_output", 1) : 1;
}

// The levels that the decoder sees, and their strides: those of the backbone's outputs; LiteEncoder adds one.
static void get_levels(cf_fields *fields, cf_model_config *config) {
    const cf_backbone_config *backbone = &config->backbone;
    int outputs = backbone->output_count, stride = 1, next = 0;
    for (int i = 0; i < 5; i++) stride *= backbone->stem_strides[i];
    for (int i = 0; i < backbone->stage_count && next < outputs; i++) {
        stride *= backbone->stages[i].stride;
        if (backbone->outputs[next] == i) config->strides[next++] = stride;
    }
    config->levels = outputs;
    if (config->encoder.lite) {
        if (outputs != 1)
            cf_fields_refuse(fields, "encoder_type", "lite needs a backbone with one output (out_features)");
        config->strides[1] = 2 * config->strides[0];
        config->levels = 2;
    }
    if (cf_fields_int(fields, "num_feature_levels", 3, 1, 64) != config->levels)
        cf_fields_refuse(fields, "num_feature_levels", "the backbone's outputs give another number of levels");
    int channels[CF_MAX_LEVELS] = {256, 256, 256}, in_channels[CF_MAX_LEVELS] = {512, 1024, 2048};
    if (cf_fields_ints(fields, "encoder_in_channels", in_channels, 3, CF_MAX_LEVELS, 1, MAX_CHANNELS) != outputs)
        cf_fields_refuse(fields, "encoder_in_channels", "one number for each output of the backbone is expected");
    if (cf_fields_ints(fields, "decoder_in_channels", channels, 3, CF_MAX_LEVELS, 1, MAX_CHANNELS) != config->levels)
        cf_fields_refuse(fields, "decoder_in_channels", "one number for each of num_feature_levels is expected");
    for (int i = 0; i < config->levels; i++)
        if (channels[i] != config->encoder.channels)
            cf_fields_refuse(fields, "decoder_in_channels", "all must be equal to encoder_hidden_dim");
    for (int i = 0; i < outputs; i++)
        if (in_channels[i] != backbone->stages[backbone->outputs[i]].out_channels)
            cf_fields_refuse(fields, "encoder_in_channels", "it differs from the backbone's stage_out_channels");
}

// ---------------------------------------------------------------------------------------------------------------------
// Labels

// The index that a key of id2label stands for, or -1.
static long label_index(const char *key) {
    if (!*key || strspn(key, "0123456789") != strlen(key) || strlen(key) > 6) return -1;
    return strtol(key, NULL, 10);
}

static void get_labels(cf_fields *fields, cf_model_config *config) {
    const json_t *names = cf_fields_get(fields, "id2label");
    int declared = cf_fields_int(fields, "num_labels", 0, 1, MAX_LABELS);
    if (names && (!json_is_object(names) || !json_object_size(names) || json_object_size(names) > MAX_LABELS)) {
        cf_fields_refuse(fields, "id2label", "an object with 1 to 65536 class names is expected");
        return;
    }
    if (fields->status != CFINE_OK || (!names && !declared)) return; // the weights will tell
    int count = names ? (int)json_object_size(names) : declared;
    fields->status = cf_model_config_default_labels(config, count, fields->err);
    if (fields->status != CFINE_OK || !names) return;
    for (void *i = json_object_iter((json_t *)names); i; i = json_object_iter_next((json_t *)names, i)) {
        long index = label_index(json_object_iter_key(i));
        const char *name = json_string_value(json_object_iter_value(i));
        if (index < 0 || index >= count || !name || strlen(name) > MAX_NAME) {
            fields->status = cf_fail(fields->err, CFINE_ERROR_FORMAT,
                                     "%s: id2label: entry \"%.20s\" is not a name of at most %d bytes for a class from "
                                     "0 to %d",
                                     fields->file, json_object_iter_key(i), MAX_NAME, count - 1);
            return;
        }
        cf_free(config->label_names[index]);
        config->label_names[index] = cf_strdup(name);
        if (!config->label_names[index]) {
            fields->status = cf_fail_memory(fields->err, "class names", strlen(name));
            return;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The two files

// The size in a list field (height, width), or one number for both; what is absent leaves the size as it is.
static void get_side(cf_fields *fields, const char *field, cf_preprocess_config *out) {
    const json_t *value = cf_fields_get(fields, field);
    if (!value) return;
    int sides[2] = {out->height, out->width};
    if (json_is_array(value)) {
        if (cf_fields_ints(fields, field, sides, 2, 2, 1, MAX_SIDE) != 2)
            cf_fields_refuse(fields, field, "a height and a width are expected");
    } else {
        sides[0] = sides[1] = cf_fields_int(fields, field, 640, 1, MAX_SIDE);
    }
    out->height = sides[0];
    out->width = sides[1];
}

static void get_model(cf_fields *fields, cf_model_config *config) {
    const char *type = cf_fields_text(fields, "model_type", NULL);
    if (!type || (strcmp(type, "d_fine") != 0 && strcmp(type, "deimv2") != 0)) {
        cf_fields_refuse(fields, "model_type", "cfine runs the models d_fine and deimv2");
        return;
    }
    config->family = strcmp(type, "deimv2") == 0 ? CF_FAMILY_DEIMV2 : CF_FAMILY_DFINE;
    config->layer_norm_eps = cf_fields_real(fields, "layer_norm_eps", 1e-5, 0, 1);
    config->batch_norm_eps = cf_fields_real(fields, "batch_norm_eps", 1e-5, 0, 1);
    const json_t *backbone = cf_fields_get(fields, "backbone_config");
    if (backbone && !json_is_object(backbone)) cf_fields_refuse(fields, "backbone_config", "an object is expected");
    if (fields->status != CFINE_OK) return;
    cf_fields inner = *fields;
    inner.object = backbone; // NULL finds no field, so that every one takes its default
    inner.prefix = "backbone_config.";
    get_backbone(&inner, &config->backbone, !backbone);
    fields->status = inner.status;
    if (fields->status != CFINE_OK) return;
    get_encoder(fields, config);
    get_levels(fields, config);
    get_decoder(fields, config);
    get_labels(fields, config);
    get_side(fields, "eval_size", &config->preprocess);
    get_side(fields, "anchor_image_size", &config->preprocess);
}

cfine_status cf_model_config_parse(const char *json, size_t size, const char *file, cf_model_config *out,
                                   cfine_error *err) {
    *out = (cf_model_config){.preprocess = {.width = 640,
                                            .height = 640,
                                            .rescale = 1,
                                            .rescale_factor = 1.0 / 255,
                                            .mean = {0.485, 0.456, 0.406},
                                            .std = {0.229, 0.224, 0.225}}};
    cf_fields fields;
    json_t *root = cf_fields_open(&fields, json, size, file, err);
    if (!root) return fields.status;
    get_model(&fields, out);
    json_decref(root);
    return fields.status == CFINE_OK ? cf_model_config_check(out, file, err) : fields.status;
}

// size: {"height": H, "width": W} or [H, W]. Other forms keep the aspect ratio, which this network was not trained for.
static void get_image_size(cf_fields *fields, cf_preprocess_config *preprocess) {
    const json_t *size = cf_fields_get(fields, "size");
    if (!size) return;
    if (json_is_array(size)) {
        get_side(fields, "size", preprocess);
        return;
    }
    const json_t *height = json_object_get(size, "height"), *width = json_object_get(size, "width");
    if (!json_is_integer(height) || !json_is_integer(width) || json_integer_value(height) < 1 ||
        json_integer_value(height) > MAX_SIDE || json_integer_value(width) < 1 ||
        json_integer_value(width) > MAX_SIDE) {
        cf_fields_refuse(fields, "size", "an object with height and width, each from 1 to 4096, is expected");
        return;
    }
    preprocess->height = (int)json_integer_value(height);
    preprocess->width = (int)json_integer_value(width);
}

cfine_status cf_preprocess_config_parse(const char *json, size_t size, const char *file, cf_model_config *config,
                                        cfine_error *err) {
    cf_fields fields;
    json_t *root = cf_fields_open(&fields, json, size, file, err);
    if (!root) return fields.status;
    cf_preprocess_config *preprocess = &config->preprocess;
    get_image_size(&fields, preprocess);
    if (!cf_fields_bool(&fields, "do_resize", 1))
        cf_fields_refuse(&fields, "do_resize", "images are always resized to the network's input");
    if (cf_fields_int(&fields, "resample", 2, 0, 5) != 2)
        cf_fields_refuse(&fields, "resample", "only 2 (bilinear) is supported");
    if (cf_fields_bool(&fields, "do_pad", 0) && cf_fields_get(&fields, "pad_size"))
        cf_fields_refuse(&fields, "pad_size", "padding is not supported");
    preprocess->rescale = cf_fields_bool(&fields, "do_rescale", 1);
    preprocess->rescale_factor = cf_fields_real(&fields, "rescale_factor", 1.0 / 255, 1e-9, 1e9);
    preprocess->normalize = cf_fields_bool(&fields, "do_normalize", 0);
    cf_fields_reals3(&fields, "image_mean", preprocess->mean, -1e6, 1e6);
    cf_fields_reals3(&fields, "image_std", preprocess->std, 1e-9, 1e9);
    json_decref(root);
    return fields.status == CFINE_OK ? cf_model_config_check(config, file, err) : fields.status;
}
