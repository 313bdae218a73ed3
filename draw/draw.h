// SPDX-License-Identifier: Apache-2.0
// Detections drawn upon an image: a frame for each, and a label that stays inside the image and off other labels.
#ifndef DRAW_DRAW_H
#define DRAW_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "cfine/cfine.h"

// Name of a class, or NULL; context is what draw_detections was given.
typedef const char *draw_name_function(const void *context, int label);

// Draws upon image->rgb. Frames and letters grow with the image. Any thread.
cfine_status draw_detections(cfine_image *image, const cfine_detections *found, draw_name_function *name,
                             const void *context, cfine_error *error);

// The colour of a class: as different as can be from its neighbours', and light enough for black letters.
void draw_class_colour(int label, uint8_t rgb[3]);

#endif
