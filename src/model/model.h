// SPDX-License-Identifier: Apache-2.0
// From a checkpoint to the graph of its network: D-FINE and DEIMv2, one line an operator.
//
//     image -> hgnetv2.c (backbone) -> hybrid_encoder.c or lite_encoder.c -> query_selection.c -> decoder.c -> logits,
//     boxes
//
// build.h holds the small vocabulary those files are written in; docs/model.md explains the network with shapes.
#ifndef CF_MODEL_MODEL_H
#define CF_MODEL_MODEL_H

#include "graph/graph.h"
#include "model/checkpoint.h"

typedef struct cf_model_options {
    int width, height;  // of the network input, multiples of 32; 0: as the checkpoint says
    int queries;        // 0: as the checkpoint says
    int decoder_layers; // layers to run, at most those of the checkpoint; 0: as the checkpoint says
} cf_model_options;

// Builds the graph of a checkpoint as the papers describe it, before any pass. Every tensor the network needs is read
// and checked; tensors that nothing used are an error. options may be NULL.
cfine_status cf_model_build(const cf_checkpoint *checkpoint, const cf_model_options *options, cf_graph **out,
                            cfine_error *err);

#endif
