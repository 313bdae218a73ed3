// SPDX-License-Identifier: Apache-2.0
// What must hold between the numbers of a model config, wherever they came from; the size's name; class names.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "model/model_config.h"

static cfine_status check_backbone(const cf_backbone_config *backbone, const char *file, cfine_error *err) {
    const cf_stage_config *stages = backbone->stages;
    if (backbone->stem_channels[0] != 3)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: stem_channels begins with %d: images have 3 channels", file,
                       backbone->stem_channels[0]);
    if (backbone->stem_channels[1] % 2)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: stem_channels[1] is %d: it must be even", file,
                       backbone->stem_channels[1]);
    if (backbone->stem_strides[1] != 1 || backbone->stem_strides[2] != 1 || backbone->stem_strides[4] != 1)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: stem_strides must be 1 for stem2a, stem2b and stem4", file);
    for (int i = 0; i < backbone->stage_count; i++) {
        int before = i ? stages[i - 1].out_channels : backbone->stem_channels[2];
        if (stages[i].in_channels != before)
            return cf_fail(err, CFINE_ERROR_FORMAT,
                           "%s: stage_in_channels[%d] is %d, but what comes before it has %d channels", file, i,
                           stages[i].in_channels, before);
        if (stages[i].out_channels % 2)
            return cf_fail(err, CFINE_ERROR_FORMAT, "%s: stage_out_channels[%d] is %d: it must be even", file, i,
                           stages[i].out_channels);
        if (stages[i].kernel % 2 == 0)
            return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: stage_kernel_size[%d] is %d: it must be odd", file, i,
                           stages[i].kernel);
    }
    return CFINE_OK;
}

static cfine_status check_encoder(const cf_model_config *config, const char *file, cfine_error *err) {
    const cf_encoder_config *encoder = &config->encoder;
    for (int i = 0; i < encoder->attention_count; i++)
        if (encoder->attention_levels[i] >= config->levels)
            return cf_fail(err, CFINE_ERROR_FORMAT, "%s: encode_proj_layers names level %d, there are only %d", file,
                           encoder->attention_levels[i], config->levels);
    if (encoder->layers && encoder->channels % encoder->heads)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "%s: encoder_hidden_dim %d is not a multiple of encoder_attention_heads %d", file,
                       encoder->channels, encoder->heads);
    if (encoder->layers && encoder->position_embedding && encoder->channels % 4)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: encoder_hidden_dim %d is not a multiple of 4", file,
                       encoder->channels);
    return CFINE_OK;
}

static cfine_status check_decoder(const cf_decoder_config *decoder, const char *file, cfine_error *err) {
    if (decoder->channels % decoder->heads)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: d_model %d is not a multiple of decoder_attention_heads %d", file,
                       decoder->channels, decoder->heads);
    if (decoder->rms_norm && decoder->ffn % 2)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: decoder_ffn_dim %d is odd: the gated MLP halves it", file,
                       decoder->ffn);
    if (decoder->bins % 2) return cf_fail(err, CFINE_ERROR_FORMAT, "%s: max_num_bins %d is odd", file, decoder->bins);
    if (decoder->lqe_top > decoder->bins + 1)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: top_prob_values %d is more than the %d bins", file,
                       decoder->lqe_top, decoder->bins + 1);
    if (!isfinite(decoder->reg_scale) || decoder->reg_scale == 0 || !isfinite(decoder->up))
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: reg_scale %g and up %g give no weighting function", file,
                       decoder->reg_scale, decoder->up);
    return CFINE_OK;
}

cfine_status cf_model_config_check(const cf_model_config *config, const char *file, cfine_error *err) {
    CF_TRY(check_backbone(&config->backbone, file, err));
    for (int i = 0; i < config->levels; i++) // fusion upsamples by two, and inputs are multiples of 32
        if (config->strides[i] > 32 || (i && config->strides[i] != 2 * config->strides[i - 1]))
            return cf_fail(err, CFINE_ERROR_UNSUPPORTED,
                           "%s: level %d has the stride %d: strides must double from level to level, up to 32", file, i,
                           config->strides[i]);
    CF_TRY(check_encoder(config, file, err));
    CF_TRY(check_decoder(&config->decoder, file, err));
    const cf_preprocess_config *preprocess = &config->preprocess;
    if (preprocess->width % 32 || preprocess->height % 32 || preprocess->width <= 0 || preprocess->height <= 0)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: input size %dx%d: both must be multiples of 32", file,
                       preprocess->width, preprocess->height);
    return CFINE_OK;
}

const char *cf_model_family_name(cf_model_family family) {
    return family == CF_FAMILY_DEIMV2 ? "DEIMv2" : "D-FINE";
}

const char *cf_model_config_size(const cf_model_config *config) {
    // The published sizes: width of the stem, of the last stage and its blocks, of encoder and decoder; levels, decoder
    // layers, width and depth of the fusion blocks. 0: any, where the rest tells enough.
    static const struct {
        cf_model_family family;
        int wanted[10];
        const char *name;
    } sizes[] = {
        {CF_FAMILY_DFINE, {16, 16, 1024, 1, 128, 128, 2, 3, 21, 2}, "N"},
        {CF_FAMILY_DFINE, {16, 16, 1024, 1, 256, 256, 3, 3, 64, 1}, "S"},
        {CF_FAMILY_DFINE, {24, 32, 1536, 1, 256, 256, 3, 4, 128, 2}, "M"},
        {CF_FAMILY_DFINE, {32, 48, 2048, 1, 256, 256, 3, 6, 128, 3}, "L"},
        {CF_FAMILY_DFINE, {32, 64, 2048, 2, 384, 256, 3, 6, 192, 3}, "X"},
        {CF_FAMILY_DEIMV2, {16, 16, 256, 1, 64, 64, 2, 3, 0, 0}, "Atto"},
        {CF_FAMILY_DEIMV2, {16, 16, 512, 1, 0, 0, 2, 3, 0, 0}, "Femto"},
        {CF_FAMILY_DEIMV2, {16, 16, 512, 2, 0, 0, 2, 3, 0, 0}, "Pico"},
        {CF_FAMILY_DEIMV2, {16, 16, 1024, 1, 128, 128, 2, 3, 0, 0}, "N"},
    };
    const cf_backbone_config *backbone = &config->backbone;
    const cf_stage_config *last = &backbone->stages[backbone->stage_count - 1];
    const int found[] = {
        backbone->stem_channels[1],     backbone->stem_channels[2], last->out_channels, last->blocks,
        config->encoder.channels,       config->decoder.channels,   config->levels,     config->decoder.layers_stored,
        config->encoder.block_channels, config->encoder.block_depth};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int same = config->family == sizes[i].family;
        for (size_t k = 0; k < sizeof found / sizeof *found; k++)
            same &= !sizes[i].wanted[k] || sizes[i].wanted[k] == found[k];
        if (same) return sizes[i].name;
    }
    return "custom";
}

// The 80 categories of COCO in the order of their ids, which have gaps; a class index is a position in this list.
static const char *const coco[80] = {
    "person",         "bicycle",    "car",           "motorcycle",    "airplane",     "bus",           "train",
    "truck",          "boat",       "traffic light", "fire hydrant",  "stop sign",    "parking meter", "bench",
    "bird",           "cat",        "dog",           "horse",         "sheep",        "cow",           "elephant",
    "bear",           "zebra",      "giraffe",       "backpack",      "umbrella",     "handbag",       "tie",
    "suitcase",       "frisbee",    "skis",          "snowboard",     "sports ball",  "kite",          "baseball bat",
    "baseball glove", "skateboard", "surfboard",     "tennis racket", "bottle",       "wine glass",    "cup",
    "fork",           "knife",      "spoon",         "bowl",          "banana",       "apple",         "sandwich",
    "orange",         "broccoli",   "carrot",        "hot dog",       "pizza",        "donut",         "cake",
    "chair",          "couch",      "potted plant",  "bed",           "dining table", "toilet",        "tv",
    "laptop",         "mouse",      "remote",        "keyboard",      "cell phone",   "microwave",     "oven",
    "toaster",        "sink",       "refrigerator",  "book",          "clock",        "vase",          "scissors",
    "teddy bear",     "hair drier", "toothbrush"};

static void free_labels(cf_model_config *config) {
    for (int i = 0; i < config->labels; i++) cf_free(config->label_names[i]);
    cf_free(config->label_names);
    config->label_names = NULL;
    config->labels = 0;
}

cfine_status cf_model_config_default_labels(cf_model_config *config, int labels, cfine_error *err) {
    free_labels(config);
    config->label_names = cf_alloc((size_t)labels, sizeof *config->label_names);
    if (!config->label_names) return cf_fail_memory(err, "class names", (size_t)labels * sizeof *config->label_names);
    config->labels = labels;
    for (int i = 0; i < labels; i++) {
        config->label_names[i] = labels == 80 ? cf_strdup(coco[i]) : cf_format("class %d", i);
        if (!config->label_names[i]) return cf_fail_memory(err, "class names", sizeof coco[0]);
    }
    return CFINE_OK;
}

void cf_model_config_release(cf_model_config *config) {
    free_labels(config);
}
