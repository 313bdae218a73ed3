// SPDX-License-Identifier: Apache-2.0
// Writes images into the network's input, which is FP32 with 3 channels or, in plans of half precision, bf16 with a
// fourth channel of zeros. A stored number times the tensor's scale is the pixel: bf16 in units of 1/255 holds the
// bytes of an image exactly.
#ifndef CF_PREPROCESS_NETWORK_INPUT_H
#define CF_PREPROCESS_NETWORK_INPUT_H

#include "kernels/tensor.h"
#include "preprocess/preprocess.h"

// Rows [begin, end) of image n from planes [3, h, w].
void cf_input_from_planes(const cf_tensor *input, int n, const float *planes, int begin, int end);

// The second half of preprocessing (cf_preprocess_rows) into image n.
void cf_input_from_image(const cf_tensor *input, int n, const cf_resizer *resizer, const uint8_t *src,
                         const cf_pixel_scale *scale, int begin, int end);

#endif
