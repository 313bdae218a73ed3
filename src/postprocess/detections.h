// SPDX-License-Identifier: Apache-2.0
// From raw outputs to detections: the best (query, class) scores, boxes in pixels of the source image.
#ifndef CF_POSTPROCESS_DETECTIONS_H
#define CF_POSTPROCESS_DETECTIONS_H

#include <stdint.h>

#include "base/status.h"

// Fills `out` with the at most `most` best of queries * labels scores that are >= threshold,
// best first (ties: lower query, then lower class). logits [queries, labels] and boxes [queries, 4] (centre and size as
// fractions) with rows `logits_row` and `boxes_row` floats apart. width and height: of the source image, in pixels.
// Scores that are NaN and boxes that are not finite are never reported.
cfine_status cf_detections_select(const float *logits, int64_t logits_row, const float *boxes, int64_t boxes_row,
                                  int queries, int labels, int width, int height, float threshold, int most,
                                  cfine_detections *out, cfine_error *err);

#endif
