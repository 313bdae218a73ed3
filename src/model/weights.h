// SPDX-License-Identifier: Apache-2.0
// Named tensors of a checkpoint as stored: found by name, checked against the expected shape, read as FP32.
//
// Whoever builds a model asks for each tensor by name and shape; what was read is remembered, so that missing,
// misshapen and left-over tensors can all be named. A cf_weights is filled by one thread (a reader, then the renaming);
// afterwards any number of threads may find and read.
#ifndef CF_MODEL_WEIGHTS_H
#define CF_MODEL_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"

enum { CF_WEIGHT_MAX_RANK = 8 };

typedef enum cf_weight_type {
    CF_WEIGHT_F32,
    CF_WEIGHT_F16,
    CF_WEIGHT_BF16,
    CF_WEIGHT_F64,
    CF_WEIGHT_I64,
    CF_WEIGHT_I32,
    CF_WEIGHT_I16,
    CF_WEIGHT_I8,
    CF_WEIGHT_U8,
    CF_WEIGHT_BOOL,
    CF_WEIGHT_TYPES // how many there are
} cf_weight_type;

typedef struct cf_weight {
    const char *name;
    cf_weight_type type;
    int rank;                          // 0: a scalar
    int64_t shape[CF_WEIGHT_MAX_RANK]; // outermost first
    size_t count;                      // elements: product of shape
    const uint8_t *data;               // little-endian, row-major, dense; may be unaligned
} cf_weight;

typedef struct cf_weights cf_weights;

// "F32", ...: the name of a type; its bytes per element; 1 if it is a floating-point type.
const char *cf_weight_type_name(cf_weight_type type);
size_t cf_weight_type_size(cf_weight_type type);
int cf_weight_type_is_float(cf_weight_type type);

// "[64, 3, 3, 3]" into text.
void cf_weight_shape_text(int rank, const int64_t *shape, char *text, size_t size);

// ---------------------------------------------------------------------------------------------------------------------
// Reading

// Number of tensors, and the i-th one.
size_t cf_weights_count(const cf_weights *weights);
const cf_weight *cf_weights_at(const cf_weights *weights, size_t index);

// The tensor of that name, or NULL.
const cf_weight *cf_weights_find(const cf_weights *weights, const char *name);

// For the two arguments rank and shape: CF_SHAPE(64, 3, 3, 3).
#define CF_SHAPE(...)                                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {                                     \
        __VA_ARGS__                                                                                                    \
    }

// The tensor of that name, which must be there, hold floating-point numbers and have this shape; otherwise the error
// names the tensor, the expected and the found shape. Marks it as used. `out` may be NULL.
cfine_status cf_weights_expect(const cf_weights *weights, const char *name, int rank, const int64_t *shape,
                               const cf_weight **out, cfine_error *err);

// Converts all elements of a tensor to FP32, into out[weight->count], and marks it as used. NaN and infinity (also from
// an FP64 too large for FP32) are errors that name the tensor and the index.
cfine_status cf_weights_read_f32(const cf_weights *weights, const cf_weight *weight, float *out, cfine_error *err);

// cf_weights_expect and cf_weights_read_f32 at once; out holds the product of shape.
cfine_status cf_weights_load(const cf_weights *weights, const char *name, int rank, const int64_t *shape, float *out,
                             cfine_error *err);

// Marks a tensor as used without reading it (one that is known to be equal to another).
void cf_weights_mark(const cf_weights *weights, const cf_weight *weight);

// After the whole model was built with its first `decoder_layers` decoder layers: every tensor must have been used or
// be a known harmless one (batch counters, denoising embedding, anchors, heads and layers that inference does not run).
// Otherwise an error that names the first left-over and says how many there are.
cfine_status cf_weights_check_leftovers(const cf_weights *weights, int decoder_layers, cfine_error *err);

// 1 if a tensor takes no part in inference with the first `decoder_layers` decoder layers.
int cf_weight_is_harmless(const char *name, int decoder_layers);

// ---------------------------------------------------------------------------------------------------------------------
// Filling (readers and the renaming)

// NULL when out of memory.
cf_weights *cf_weights_new(void);
void cf_weights_free(cf_weights *weights);

// Hands over bytes that tensors point into; they are released with the weights, or at once when this fails.
cfine_status cf_weights_own(cf_weights *weights, cf_bytes bytes, cfine_error *err);

// Gives the memory of mapped files back to the system; pages that are read again come from its cache. Call it when a
// model has been built: X then needs a quarter of a gigabyte less while its weights are packed.
void cf_weights_drop_pages(const cf_weights *weights);

// Adds a tensor; the name is copied. A name that is there already, a rank or shape beyond the limits, or `bytes` other
// than what type and shape need is an error. `data` must stay valid (cf_weights_own).
cfine_status cf_weights_add(cf_weights *weights, const char *name, cf_weight_type type, int rank, const int64_t *shape,
                            const uint8_t *data, size_t bytes, cfine_error *err);

// Renames the i-th tensor; a name that another tensor has is an error.
cfine_status cf_weights_rename(cf_weights *weights, size_t index, const char *name, cfine_error *err);

// Takes the i-th tensor out of the list; the last one takes its place.
void cf_weights_remove(cf_weights *weights, size_t index);

// ---------------------------------------------------------------------------------------------------------------------
// Readers

// A .safetensors file: from memory (which must stay valid as long as the weights), and mapped. `file` is for errors.
cfine_status cf_safetensors_parse(const uint8_t *data, size_t size, const char *file, cf_weights *weights,
                                  cfine_error *err);
cfine_status cf_safetensors_open(const char *path, cf_weights *weights, cfine_error *err);

// A sharded checkpoint: the index file (model.safetensors.index.json) and the shards beside it.
cfine_status cf_safetensors_open_index(const char *path, cf_weights *weights, cfine_error *err);

// An official .pth (a zip with a pickle and raw tensors): the state dict of its "ema", else of its "model", else
// itself. Names stay as found. `data` must stay valid as long as the weights.
cfine_status cf_pth_parse(const uint8_t *data, size_t size, const char *file, cf_weights *weights, cfine_error *err);
cfine_status cf_pth_open(const char *path, cf_weights *weights, cfine_error *err);

#endif
