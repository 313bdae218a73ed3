// SPDX-License-Identifier: Apache-2.0
// What a checkpoint's config says about the network: everything the graph builders need, checked and complete.
//
// Filled from a Hugging Face config.json (fields that are absent take the defaults of transformers' DFineConfig,
// Deimv2Config and HGNetV2Config) or deduced from the tensors of an official .pth. All numbers are within the limits of
// model_config.c and fit together, so the builders need no checks of their own beyond the shapes of the tensors.
#ifndef CF_MODEL_MODEL_CONFIG_H
#define CF_MODEL_MODEL_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { CF_MAX_STAGES = 8, CF_MAX_LEVELS = 6 };

typedef enum cf_model_family { CF_FAMILY_DFINE, CF_FAMILY_DEIMV2 } cf_model_family;

// Activation functions as configs name them.
typedef enum cf_config_activation {
    CF_CONFIG_IDENTITY, // "linear"
    CF_CONFIG_RELU,
    CF_CONFIG_GELU,      // with erf
    CF_CONFIG_GELU_TANH, // "gelu_new", "gelu_pytorch_tanh"
    CF_CONFIG_SILU,      // "silu", "swish"
} cf_config_activation;

// One stage of the HGNetV2 backbone: [depthwise 3x3 of stride `stride`,] then `blocks` blocks. Block 0 maps in_channels
// to out_channels; later ones map out_channels to itself and add their input.
typedef struct cf_stage_config {
    int in_channels, mid_channels, out_channels;
    int blocks, layers; // layers (of mid_channels) in each block, before its two 1x1 aggregation convolutions
    int kernel;         // of the layers, odd
    int downsample;     // 1: starts with the strided depthwise convolution
    int stride;         // of that convolution; 1 where there is none
    int light;          // 1: a layer is a 1x1 (no activation), then a depthwise kernel x kernel
} cf_stage_config;

typedef struct cf_backbone_config {
    int stem_channels[3];            // image channels (3), inner, output
    int stem_strides[5];             // of stem1, stem2a, stem2b, stem3, stem4: 2, 1, 1, 2, 1
    cf_config_activation activation; // of every convolution that has one
    int affine;                      // 1: a learnable scale and bias follows each activation
    int stage_count;
    cf_stage_config stages[CF_MAX_STAGES];
    int output_count;
    int outputs[CF_MAX_LEVELS]; // stages whose results go to the encoder, ascending, 0 = the first stage
} cf_backbone_config;

typedef struct cf_encoder_config {
    int lite;            // DEIMv2's LiteEncoder: one backbone map in, two levels out
    int channels;        // of every level
    int attention_count; // levels that pass through transformer layers
    int attention_levels[CF_MAX_LEVELS];
    int layers; // transformer layers for each of them; 0: none
    int heads, ffn;
    cf_config_activation ffn_activation;
    int normalize_before;   // 1: LayerNorm before attention and MLP instead of after the residual sum
    int position_embedding; // 1: 2D sine embedding added to queries and keys
    double position_temperature;
    cf_config_activation activation; // of the RepVGG and CSP convolutions (DEIMv2: of all of the encoder's). D-FINE's
                                     // RepNCSPELAN4 uses SiLU for its own conv1..conv4 whatever the config says.
    int block_channels; // channels of the two inner branches of a fusion block: round(expansion * channels // 2)
    int block_depth;    // RepVGG blocks in each: round(3 * depth_mult)
    int sum_fusion;     // 1: levels are added (DEIMv2), 0: concatenated
    int trailing_conv;  // DEIMv2: 1: each CSP branch ends in a 3x3 convolution
} cf_encoder_config;

typedef struct cf_decoder_config {
    int channels; // d_model
    int heads, ffn;
    int layers;        // decoder layers that inference runs (eval_idx + 1)
    int layers_stored; // decoder layers of the checkpoint, >= layers
    int queries;
    int points[CF_MAX_LEVELS]; // sampling points per head of each level
    double offset_scale;
    int discrete;                        // 1: sampling rounds to the nearest pixel ("discrete"), 0: bilinear
    cf_config_activation activation;     // of the FFN (D-FINE); of query_pos_head (DEIMv2)
    cf_config_activation mlp_activation; // of the box, query-box, first-box and LQE heads
    int learned_queries;                 // 1: query contents are model.weight_embedding.weight [queries, channels]
    int bins;                            // reg_max: a box edge is a distribution over bins + 1 values; even
    double reg_scale, up;                // of the weighting function; the checkpoint's tensors, where it has them
    int lqe_top, lqe_hidden, lqe_layers; // location quality: largest probabilities used, hidden width, MLP layers

    // DEIMv2; D-FINE has the values in brackets.
    int rms_norm;            // [0] 1: RMSNorm and SwiGLU instead of LayerNorm and a two-layer MLP
    double rms_norm_eps;     // 1e-6
    int gateway;             // [1] 0: residual sum and norm instead of the gate
    int shared_box_head;     // [0] 1: all layers use bbox_embed.0
    int query_pos_per_layer; // [1] 0: query_pos_head runs once, on the initial boxes
    int encoder_output;      // [1] 0: no enc_output projection in the query selection
} cf_decoder_config;

// How an image becomes the network's input: stretched to width x height, scaled, then normalised if asked.
typedef struct cf_preprocess_config {
    int width, height; // multiples of 32
    int rescale;       // 1: 8-bit values are multiplied by rescale_factor
    double rescale_factor;
    int normalize; // 1: (value - mean) / std per channel
    double mean[3], std[3];
} cf_preprocess_config;

typedef struct cf_model_config {
    cf_model_family family;
    cf_backbone_config backbone;
    cf_encoder_config encoder;
    cf_decoder_config decoder;
    cf_preprocess_config preprocess;
    int levels;                            // feature levels that the decoder looks at
    int strides[CF_MAX_LEVELS];            // input pixels per cell of each level, ascending
    double layer_norm_eps, batch_norm_eps; // batch_norm_eps: encoder and decoder; the backbone and encoder_input_proj
                                           // always use 1e-5
    int labels;         // classes; 0 only between reading a config that does not say and opening its weights
    char **label_names; // [labels]
} cf_model_config;

// Reads config.json from memory, with the default preprocessing. `file` is for errors. Release `out` in any case.
cfine_status cf_model_config_parse(const char *json, size_t size, const char *file, cf_model_config *out,
                                   cfine_error *err);

// Reads preprocessor_config.json into config->preprocess.
cfine_status cf_preprocess_config_parse(const char *json, size_t size, const char *file, cf_model_config *config,
                                        cfine_error *err);

// Sets the names of `labels` classes: COCO's for 80, "class N" otherwise.
cfine_status cf_model_config_default_labels(cf_model_config *config, int labels, cfine_error *err);

// Checks ranges and consistency; `file` is for errors. Both parsers have called it.
cfine_status cf_model_config_check(const cf_model_config *config, const char *file, cfine_error *err);

// "D-FINE" or "DEIMv2".
const char *cf_model_family_name(cf_model_family family);

// "N", "S", "M", "L", "X" (D-FINE), "Atto", "Femto", "Pico", "N" (DEIMv2) or "custom", by the widths and depths.
const char *cf_model_config_size(const cf_model_config *config);

void cf_model_config_release(cf_model_config *config);

#endif
