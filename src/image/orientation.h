// SPDX-License-Identifier: Apache-2.0
// EXIF orientation: how a camera was held, read from the EXIF block and applied to pixels.
#ifndef CF_IMAGE_ORIENTATION_H
#define CF_IMAGE_ORIENTATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

// Orientation 1..8 of an EXIF block (from its TIFF header "II*\0" or "MM\0*"), or 1 when the block is broken or says
// nothing: a damaged EXIF block is no reason to refuse the picture.
int cf_exif_orientation(const uint8_t *exif, size_t size);

// Turns and mirrors the pixels so that orientation becomes 1; 5..8 swap width and height.
cfine_status cf_image_turn_upright(cfine_image *image, int orientation, cfine_error *err);

#endif
