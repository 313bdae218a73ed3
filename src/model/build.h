// SPDX-License-Identifier: Apache-2.0
// The vocabulary of the model files: each call appends operators to the graph and reads their weights by name.
//
// Values are numbers of the graph (cf_graph_add). Errors are sticky in the graph: after the first one the calls return
// CF_NONE and do nothing. Prefixes are tensor names of the checkpoint without the last part (".weight").
#ifndef CF_MODEL_BUILD_H
#define CF_MODEL_BUILD_H

#include "graph/graph.h"
#include "model/checkpoint.h"

enum { CF_NAME_SIZE = 160 };

typedef struct cf_name {
    char text[CF_NAME_SIZE];
} cf_name;

// A tensor-name prefix by printf; cut off if it were too long (then the tensor is not found and named).
cf_name cf_namef(const char *format, ...) __attribute__((format(printf, 1, 2)));

typedef struct cf_builder {
    cf_graph *graph;
    const cf_weights *weights;
    const cf_model_config *config;
    int height, width;           // of the network input
    int queries, decoder_layers; // to build
} cf_builder;

// What a backbone or encoder hands on: one map a level, fine to coarse.
typedef struct cf_maps {
    int32_t value[CF_MAX_LEVELS];
    int count;
} cf_maps;

// Height, width or channels of a value; 0 after an error.
int cf_h(const cf_builder *b, int32_t x);
int cf_w(const cf_builder *b, int32_t x);
int cf_c(const cf_builder *b, int32_t x);

// A convolution without bias: <prefix>.weight [out, in/groups, k, k], padding (k-1)/2.
int32_t cf_conv(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride, int groups);
// The same with the padding given: the stem's 2x2 kernels pad right and bottom only.
int32_t cf_conv_padded(cf_builder *b, int32_t x, cf_name prefix, int out, int kernel, int stride, int groups,
                       int pad_before, int pad_after);
// Batch norm with stored statistics: <prefix>.{weight,bias,running_mean,running_var}.
int32_t cf_batch_norm(cf_builder *b, int32_t x, cf_name prefix, double epsilon);
// <prefix>.weight [out, in], <prefix>.bias [out].
int32_t cf_linear(cf_builder *b, int32_t x, cf_name prefix, int out);
// LayerNorm of x, or of x + residual when residual is a value: <prefix>.{weight,bias}. With rms: RMSNorm, weight only.
int32_t cf_norm(cf_builder *b, int32_t x, int32_t residual, cf_name prefix, int rms, double epsilon);
// Linear layers <prefix>.layers.<i> with `act` between them: dims[0] outputs of the first, ... dims[layers-1] of the
// last.
int32_t cf_mlp(cf_builder *b, int32_t x, cf_name prefix, const int *dims, int layers, cf_config_activation act);

int32_t cf_activation(cf_builder *b, int32_t x, cf_config_activation act, cf_name name);
int32_t cf_activation_exact(cf_builder *b, int32_t x, cf_act act, cf_name name);
// The learnable affine block: x * <prefix>.scale + <prefix>.bias, one number each.
int32_t cf_affine(cf_builder *b, int32_t x, cf_name prefix);

int32_t cf_add(cf_builder *b, int32_t x, int32_t y, cf_name name);
int32_t cf_mul(cf_builder *b, int32_t x, int32_t y, cf_name name);
// With a constant of [rows, columns] (binary_shape in graph/shape.c); the graph takes it over.
int32_t cf_binary_constant(cf_builder *b, cf_op op, int32_t x, cf_constant constant, cf_name name);
int32_t cf_concat(cf_builder *b, const int32_t *values, int count, cf_name name);
int32_t cf_tokens(cf_builder *b, const int32_t *values, int count, cf_name name);
int32_t cf_slice(cf_builder *b, int32_t x, int first, int count, cf_name name);
int32_t cf_upsample(cf_builder *b, int32_t x, cf_name name);

// Softmax attention with heads over q, k, v: tokens x channels each.
int32_t cf_attention(cf_builder *b, int32_t q, int32_t k, int32_t v, int heads, cf_name name);
// Multi-head self-attention of x with `position` (a value, or CF_NONE) added to queries and keys:
// <prefix>.{q,k,v}_proj and <prefix>.<output>.
int32_t cf_self_attention(cf_builder *b, int32_t x, int32_t position, int heads, cf_name prefix, const char *output);

// FP32 constants by name.
cf_constant cf_load(cf_builder *b, cf_name name, int rank, const int64_t *shape);
double cf_load_scalar(cf_builder *b, cf_name name, double otherwise); // `otherwise` where the tensor is absent
// 1 if the checkpoint has this tensor.
int cf_has(const cf_builder *b, cf_name name);

// The stages of the network, in the order an image passes them.
cf_maps cf_build_backbone(cf_builder *b, int32_t image);             // hgnetv2.c
cf_maps cf_build_hybrid_encoder(cf_builder *b, const cf_maps *maps); // hybrid_encoder.c (D-FINE)
cf_maps cf_build_lite_encoder(cf_builder *b, const cf_maps *maps);   // lite_encoder.c (DEIMv2)

typedef struct cf_queries {
    int32_t memory;  // tokens of all levels [T, d]
    int32_t content; // [queries, d]
    int32_t boxes;   // [queries, 4], centre and size as fractions
    cf_maps levels;  // the maps that memory is made of
} cf_queries;

cf_queries cf_build_query_selection(cf_builder *b, const cf_maps *maps); // query_selection.c
void cf_build_decoder(cf_builder *b, const cf_queries *queries);         // decoder.c: sets logits and boxes

// The fusion block both encoders share: see hybrid_encoder.c.
int32_t cf_build_csp_path(cf_builder *b, int32_t x, cf_name prefix, cf_config_activation act); // RepVGG blocks

#endif
