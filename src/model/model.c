// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include "model/build.h"

enum { MAX_SIDE = 4096, SIZE_UNIT = 32 };

static cfine_status choose(cf_builder *b, const cf_model_options *options, cfine_error *err) {
    const cf_model_config *config = b->config;
    b->width = options && options->width ? options->width : config->preprocess.width;
    b->height = options && options->height ? options->height : config->preprocess.height;
    b->queries = options && options->queries ? options->queries : config->decoder.queries;
    b->decoder_layers = options && options->decoder_layers ? options->decoder_layers : config->decoder.layers;
    if (b->width < SIZE_UNIT || b->height < SIZE_UNIT || b->width > MAX_SIDE || b->height > MAX_SIDE ||
        b->width % SIZE_UNIT || b->height % SIZE_UNIT)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "size %dx%d: width and height must be multiples of %d from %d to %d",
                       b->width, b->height, SIZE_UNIT, SIZE_UNIT, MAX_SIDE);
    if (b->decoder_layers < 1 || b->decoder_layers > config->decoder.layers)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "decoder layers: %d, this model has 1 to %d", b->decoder_layers,
                       config->decoder.layers);
    if (b->queries < 1) return cf_fail(err, CFINE_ERROR_ARGUMENT, "queries: %d, must be at least 1", b->queries);
    if (config->decoder.learned_queries && b->queries > config->decoder.queries)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "queries: %d, this model has learned %d", b->queries,
                       config->decoder.queries);
    return CFINE_OK;
}

cfine_status cf_model_build(const cf_checkpoint *checkpoint, const cf_model_options *options, cf_graph **out,
                            cfine_error *err) {
    cf_builder b = {.weights = checkpoint->weights, .config = &checkpoint->config};
    *out = NULL;
    cfine_status status = choose(&b, options, err);
    if (status != CFINE_OK) return cf_fail_within(err, status, "%s", checkpoint->source);
    CF_TRY(cf_graph_create(&b.graph, err));

    int32_t image = cf_graph_add_input(b.graph, b.height, b.width, 3);
    cf_maps maps = cf_build_backbone(&b, image);
    maps = b.config->encoder.lite ? cf_build_lite_encoder(&b, &maps) : cf_build_hybrid_encoder(&b, &maps);
    cf_queries queries = cf_build_query_selection(&b, &maps);
    cf_build_decoder(&b, &queries);

    status = cf_graph_check(b.graph, err);
    if (status == CFINE_OK) status = cf_weights_check_leftovers(b.weights, b.decoder_layers, err);
    if (status != CFINE_OK) {
        cf_graph_destroy(b.graph);
        return status == CFINE_ERROR_INTERNAL ? status : cf_fail_within(err, status, "%s", checkpoint->source);
    }
    cf_graph_drop_unused(b.graph);
    cf_weights_drop_pages(b.weights); // everything was copied
    *out = b.graph;
    return CFINE_OK;
}
