// SPDX-License-Identifier: Apache-2.0
// RGB images as JPEG or PNG files in memory.
#ifndef DRAW_ENCODE_H
#define DRAW_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "cfine/cfine.h"

typedef enum draw_format { DRAW_JPEG, DRAW_PNG } draw_format;

enum { DRAW_JPEG_QUALITY = 92 };

// Encodes an image; *bytes is to be freed with free().
cfine_status draw_encode(const cfine_image *image, draw_format format, uint8_t **bytes, size_t *size,
                         cfine_error *error);

#endif
