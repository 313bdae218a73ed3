// SPDX-License-Identifier: Apache-2.0
// A model as Triton loaded it: its plan, which all instances share, and what its configuration says.
#ifndef TRITON_LOADED_MODEL_H
#define TRITON_LOADED_MODEL_H

#include "cfine/cfine.h"
#include "triton_api.h"

typedef enum tensor_kind {
    KIND_COMPLETE, // image BYTES [rows, 1] -> labels, scores, boxes, counts
    KIND_RAW       // pixel_values FP32 [rows, 3, height, width] -> logits, pred_boxes
} tensor_kind;

enum { MOST_OUTPUTS = 4 };
typedef struct tensor_name {
    const char *name;
    triton_type type;
} tensor_name;

typedef struct tensor_list {
    tensor_name input;
    int output_count;
    tensor_name outputs[MOST_OUTPUTS];
} tensor_list;

extern const tensor_list tensor_lists[]; // by tensor_kind

typedef struct loaded_model {
    tensor_kind kind;
    cfine_plan *plan;
    cfine_plan_info info;
    int threads; // of an instance
    float threshold;
} loaded_model;

// Opens what the configuration names, and completes the configuration where Triton may do so.
triton_error *loaded_model_open(triton_model *model, loaded_model **out);
void loaded_model_close(loaded_model *model);

// The library's failure as Triton's.
triton_error *triton_failure(const cfine_error *error);
triton_error *triton_fail(triton_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define TRITON_TRY(call)                                                                                               \
    do {                                                                                                               \
        triton_error *error_ = (call);                                                                                 \
        if (error_) return error_;                                                                                     \
    } while (0)

#endif
