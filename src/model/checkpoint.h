// SPDX-License-Identifier: Apache-2.0
// A checkpoint on disk: its model config and its named tensors, whatever the file format.
#ifndef CF_MODEL_CHECKPOINT_H
#define CF_MODEL_CHECKPOINT_H

#include <stdint.h>

#include "model/model_config.h"
#include "model/weights.h"

typedef struct cf_checkpoint {
    char *source; // as opened
    cf_model_config config;
    cf_weights *weights;  // names as Hugging Face stores them (docs/model.md), also for an official .pth
    const char *size;     // cf_model_config_size
    int64_t parameters;   // trained numbers that inference uses (no batch statistics, no denoising)
    int64_t weight_bytes; // of all tensors, as stored
} cf_checkpoint;

// Opens a Hugging Face directory (config.json, optionally preprocessor_config.json, model.safetensors or
// model.safetensors.index.json), a .safetensors file or index inside one, or an official .pth of D-FINE or DEIM. Tensor
// data stay mapped and are not read yet: opening costs the headers only.
cfine_status cf_checkpoint_open(const char *path, cf_checkpoint **out, cfine_error *err);
void cf_checkpoint_close(cf_checkpoint *checkpoint); // NULL is allowed

// 64-bit hash of the config and of every tensor (name, type, shape, bytes), independent of their order in the file: it
// tells whether a plan was built from this model. Reads all tensor data once.
uint64_t cf_checkpoint_hash(const cf_checkpoint *checkpoint);

#endif
