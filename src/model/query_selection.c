// SPDX-License-Identifier: Apache-2.0
// Query selection: every cell of every level is scored; the best become the decoder's queries.
//
//     levels -> memory [T, d]                       T tokens of all levels, fine to coarse
//     memory, cells too near the border zeroed -> linear, LayerNorm -> features [T, d]
//     features -> class scores [T, labels] -> indices of the `queries` best by their largest score
//     features of those -> content [Q, d]; and through a 3-layer MLP, added to their anchors -> boxes [Q, 4]
//
// The published code runs the box MLP on all T tokens and gathers afterwards; rows are independent, so gathering first
// gives the same numbers for a fraction of the work.
#include <float.h>
#include <math.h>

#include "model/build.h"

static cf_maps project_levels(cf_builder *b, const cf_maps *maps) {
    const cf_model_config *config = b->config;
    int d = config->decoder.channels, lite = config->family == CF_FAMILY_DEIMV2;
    int same = config->encoder.channels == d; // then the projections do not exist
    cf_maps levels = {.count = config->levels};
    for (int i = 0; i < config->levels; i++) {
        int extra = i >= maps->count; // a further level: 3x3 stride 2 from the coarsest map
        int32_t x = maps->value[extra ? maps->count - 1 : i];
        cf_name prefix = cf_namef("model.decoder_input_proj.%d", i);
        if (!same) {
            x = cf_conv(b, x, cf_namef("%s.%s", prefix.text, lite ? "conv" : "0"), d, extra ? 3 : 1, extra ? 2 : 1, 1);
            x = cf_batch_norm(b, x, cf_namef("%s.%s", prefix.text, lite ? "norm" : "1"), config->batch_norm_eps);
        }
        levels.value[i] = x;
    }
    return levels;
}

// Anchors [T, 4] as logits, cell centres with a size of 0.05 * 2^level, and a mask [T, 1]. Cells whose centre or size
// is within 0.01 of the border of 0..1 are invalid: mask 0, anchor the largest float.
static void make_anchors(cf_builder *b, const cf_maps *levels, int tokens, cf_constant *anchors, cf_constant *mask) {
    *anchors = cf_constant_create(b->graph, 2, (int32_t[]){tokens, 4});
    *mask = cf_constant_create(b->graph, 2, (int32_t[]){tokens, 1});
    if (b->graph->status != CFINE_OK) return;
    float *anchor = anchors->data, *valid = mask->data;
    for (int level = 0; level < levels->count; level++) {
        int h = cf_h(b, levels->value[level]), w = cf_w(b, levels->value[level]);
        for (int i = 0; i < h * w; i++, anchor += 4, valid++) {
            float size = 0.05f * exp2f((float)level);
            float box[4] = {((float)(i % w) + 0.5f) / (float)w, ((float)(i / w) + 0.5f) / (float)h, size, size};
            *valid = 1;
            for (int k = 0; k < 4; k++)
                if (!(box[k] > 0.01f && box[k] < 0.99f)) *valid = 0;
            for (int k = 0; k < 4; k++) anchor[k] = *valid > 0 ? logf(box[k] / (1 - box[k])) : FLT_MAX;
        }
    }
}

// Tokens of invalid anchors become zero. With strides of 16 and more a map of 640 pixels has none: nothing to do.
static int32_t mask_tokens(cf_builder *b, int32_t memory, cf_constant *mask) {
    int64_t valid = 0, count = mask->data ? cf_constant_count(mask) : 0;
    for (int64_t i = 0; i < count; i++) valid += mask->data[i] > 0;
    if (count == 0 || valid < count) return cf_binary_constant(b, CF_OP_MUL, memory, *mask, cf_namef("memory.valid"));
    cf_constant_release(mask);
    return memory;
}

// The first `queries` rows of the learned query contents, where the checkpoint has them.
static int32_t learned_queries(cf_builder *b, int32_t like) {
    int d = b->config->decoder.channels;
    cf_name name = cf_namef("model.weight_embedding.weight");
    cf_constant table = cf_load(b, name, CF_SHAPE(b->config->decoder.queries, d));
    table.shape[0] = b->queries;
    cf_constant zero = cf_constant_create(b->graph, 2, (int32_t[]){1, 1});
    int32_t blank = cf_binary_constant(b, CF_OP_MUL, like, zero, cf_namef("query_blank"));
    return cf_binary_constant(b, CF_OP_ADD, blank, table, name);
}

cf_queries cf_build_query_selection(cf_builder *b, const cf_maps *maps) {
    const cf_decoder_config *config = &b->config->decoder;
    int d = config->channels;
    cf_queries queries = {.levels = project_levels(b, maps)};
    queries.memory = cf_tokens(b, queries.levels.value, queries.levels.count, cf_namef("memory")); // [T, d]
    int tokens = cf_w(b, queries.memory);
    if (tokens && b->queries > tokens)
        cf_graph_fail(b->graph, CFINE_ERROR_ARGUMENT,
                      "queries: %d, of %dx%d pixels there are %d cells to choose from; lower --queries or raise --size",
                      b->queries, b->width, b->height, tokens);
    cf_constant anchors, mask;
    make_anchors(b, &queries.levels, tokens, &anchors, &mask);

    int32_t features = mask_tokens(b, queries.memory, &mask);
    if (config->encoder_output) {
        features = cf_linear(b, features, cf_namef("model.enc_output.0"), d);
        features = cf_norm(b, features, CF_NONE, cf_namef("model.enc_output.1"), 0, b->config->layer_norm_eps);
    }
    int32_t scores = cf_linear(b, features, cf_namef("model.enc_score_head"), b->config->labels); // [T, labels]
    cf_attr top = {.top_queries = {b->queries}};
    int32_t best = cf_graph_add(b->graph, CF_OP_TOP_QUERIES, &top, &scores, 1, NULL, 0, "query_selection");
    int32_t content =
        cf_graph_add(b->graph, CF_OP_GATHER, NULL, (int32_t[]){features, best}, 2, NULL, 0, "query_content");

    int32_t delta = cf_mlp(b, content, cf_namef("model.enc_bbox_head"), (int[]){d, d, 4}, 3, config->mlp_activation);
    queries.boxes =
        cf_graph_add(b->graph, CF_OP_REFERENCE, NULL, (int32_t[]){delta, best}, 2, &anchors, 1, "query_boxes");
    queries.content = config->learned_queries ? learned_queries(b, content) : content;
    return queries;
}
