// SPDX-License-Identifier: Apache-2.0
// What people are told of a calibration that was made at another input size than it is used at.
#ifndef COMMON_CALIBRATION_SIZE_H
#define COMMON_CALIBRATION_SIZE_H

#include <stdio.h>

#include "cfine/cfine.h"

// Writes a line about the calibration file of a plan and returns 1; 0 where the sizes are the same or not known.
static inline int common_calibration_size(const char *file, const cfine_plan_info *info, char *text, size_t size) {
    if (!info->calibrated_width || (info->calibrated_width == info->width && info->calibrated_height == info->height))
        return 0;
    snprintf(text, size,
             "%s: was made at %dx%d, the input is %dx%d; ranges mostly carry over. To make one for this size: cfine "
             "calibrate --size %dx%d.",
             file, info->calibrated_width, info->calibrated_height, info->width, info->height, info->width,
             info->height);
    return 1;
}

#endif
