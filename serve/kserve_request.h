// SPDX-License-Identifier: Apache-2.0
// Inference requests of KServe's version 2 protocol: JSON, with tensors as JSON or (the binary-tensor extension) as
// bytes behind it. Two kinds of model:
//
//     images  image BYTES [rows, 1]                      -> labels INT64 [rows, D], scores FP32 [rows, D],
//             (JPEG, PNG, ...; base64 where JSON)           boxes FP32 [rows, D, 4], counts INT64 [rows, 1]
//     pixels  pixel_values FP32 [rows, 3, height, width] -> logits FP32 [rows, queries, labels],
//                                                           pred_boxes FP32 [rows, queries, 4]
#ifndef SERVE_KSERVE_REQUEST_H
#define SERVE_KSERVE_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "cfine/cfine.h"

enum { KSERVE_MAX_OUTPUTS = 4 };

typedef enum kserve_kind { KSERVE_IMAGES, KSERVE_PIXELS, KSERVE_KINDS } kserve_kind;

typedef struct kserve_tensor {
    const char *name, *type;
} kserve_tensor;

typedef struct kserve_signature {
    kserve_tensor input;
    int output_count;
    kserve_tensor outputs[KSERVE_MAX_OUTPUTS];
} kserve_signature;

extern const kserve_signature kserve_signatures[KSERVE_KINDS];

// What the model takes.
typedef struct kserve_limits {
    kserve_kind kind;
    int rows; // at most
    int width, height;
} kserve_limits;

typedef struct kserve_bytes {
    const uint8_t *bytes; // into the body, or into `decoded`
    size_t size;
} kserve_bytes;

typedef struct kserve_request {
    char *id; // or NULL
    int rows;
    kserve_bytes *images; // [rows] KSERVE_IMAGES
    uint8_t *decoded;     // what base64 gave
    float *pixels;        // [rows, 3, height, width] KSERVE_PIXELS
    struct {
        int wanted, binary;
    } outputs[KSERVE_MAX_OUTPUTS];
    double timeout;   // seconds; 0: not given
    double threshold; // negative: not given
} kserve_request;

// Reads a body of `size` bytes of which the first json_size are JSON. The body must outlive the request. Release it in
// any case.
cfine_status kserve_request_parse(const uint8_t *body, size_t size, size_t json_size, const kserve_limits *limits,
                                  kserve_request *out, cfine_error *error);
void kserve_request_release(kserve_request *request);

#endif
