// SPDX-License-Identifier: Apache-2.0
// A chain: steps of a plan that follow one another and work on rows of their own (the decoder's queries between two
// attentions), run by one launch. A block, or a cluster of blocks, takes 16 rows through all steps; the values between
// them stay where the plan put them, in the L2 cache. For small batches, whose launches cost more than their work.
//
// Plain C, read by nvcc too.
#ifndef CF_CUDA_CHAIN_H
#define CF_CUDA_CHAIN_H

#include "kernels/tensor.h"

enum { CF_CHAIN_STEPS = 28, CF_CHAIN_ROWS = 16, CF_CHAIN_TERMS = 1024, CF_CHAIN_THREADS = 512 };

typedef enum cf_chain_kind {
    CF_CHAIN_LINEAR_F16, // tensor cores; weight [outputs][terms], bias
    CF_CHAIN_LINEAR_BF16,
    CF_CHAIN_LINEAR_ANY, // few terms of any type; weight FP32 [terms][outputs], bias
    CF_CHAIN_ADD,        // of two inputs
    CF_CHAIN_MUL,
    CF_CHAIN_ACTIVATION,
    CF_CHAIN_NORM, // weight, bias or NULL
    CF_CHAIN_GATE,
    CF_CHAIN_GATHER,
    CF_CHAIN_REFERENCE, // weight: anchors; terms: how many
    CF_CHAIN_SHIFT_BOX,
    CF_CHAIN_DEFORM,
    CF_CHAIN_REFINE, // weight: project
    CF_CHAIN_QUALITY,
} cf_chain_kind;

typedef struct cf_chain_step {
    int32_t kind, inputs;
    cf_attr attr;
    cf_tensor in[4], out;
    const void *weight;
    const float *bias;
    int32_t terms; // of a sum; on tensor cores rounded up to 64
    int32_t line;  // LINEAR_ANY: floats between the weights of two terms
    int32_t wide;  // 1: runs of 8 channels; norm, gate: how many runs a lane holds; deform: lanes of a point
} cf_chain_step;

typedef struct cf_chain {
    int32_t count, images, rows; // rows: of one image
    cf_chain_step step[CF_CHAIN_STEPS];
} cf_chain;

#endif
