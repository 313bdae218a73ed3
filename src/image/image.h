// SPDX-License-Identifier: Apache-2.0
// Encoded images to 8-bit RGB: the readers, what they share, and the limits they keep.
//
// Pixels equal Pillow's Image.open(f).convert("RGB") in all but one case: grey with more than 8 bits is scaled to 8
// bits as colour is, where Pillow cuts every value above 255 to white.
#ifndef CF_IMAGE_IMAGE_H
#define CF_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct cf_image_limits {
    int64_t max_pixels; // checked before pixels are decoded; 0: 178,956,970
    int64_t max_bytes;  // of the encoded image; 0: 1 GiB
    int ignore_orientation;
} cf_image_limits;

// Decodes an image by content. out is written only on success; release it with cfine_image_release. Error texts do not
// name the file. limits may be NULL.
cfine_status cf_image_decode(const void *bytes, size_t size, const cf_image_limits *limits, cfine_image *out,
                             cfine_error *err);

// ---------------------------------------------------------------------------------------------------------------------
// For readers

// What a reader works on: the encoded bytes, and the image it fills.
typedef struct cf_image_job {
    const uint8_t *bytes;
    size_t size;
    int64_t max_pixels;
    cfine_image image; // of cf_image_begin; released by the caller when the reader fails
    int orientation;   // EXIF: 1 upright .. 8; 1 until a reader finds another
} cf_image_job;

typedef struct cf_image_reader {
    const char *name;
    int (*probe)(const uint8_t *bytes, size_t size); // 1 when the bytes begin as this format does
    cfine_status (*read)(cf_image_job *job, cfine_error *err);
} cf_image_reader;

extern const cf_image_reader cf_image_jpeg, cf_image_png, cf_image_webp, cf_image_bmp, cf_image_pnm;

// Checks a size that a header claims (at least 1x1, within the limits) and allocates the zeroed pixels of job->image.
cfine_status cf_image_begin(cf_image_job *job, int64_t width, int64_t height, cfine_error *err);

// Start of row y (width * 3 bytes).
static inline uint8_t *cf_image_row(const cf_image_job *job, int y) {
    return job->image.rgb + (size_t)y * (size_t)job->image.width * 3;
}

#endif
