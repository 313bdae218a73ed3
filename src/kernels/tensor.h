// SPDX-License-Identifier: Apache-2.0
// A tensor as kernels see it, on the CPU and on a GPU alike: plain C, read by nvcc too.
#ifndef CF_KERNELS_TENSOR_H
#define CF_KERNELS_TENSOR_H

#include <stdint.h>

#include "graph/op.h"

// Channels contiguous, everything else strided. Pixel (y, x) of image n starts at
// data + n*image + y*row + x*pixel elements. A view into a wider buffer (slice of a concat) has pixel > c.
typedef struct cf_tensor {
    void *data;
    int32_t h, w, c;
    int32_t halo;              // zero pixels on every side of each image that may be read (not written)
    int64_t image, row, pixel; // distances in elements
    cf_dtype dtype;
    float scale;  // quantised types: value = scale * (stored - zero); E4M3: scale * stored
    int32_t zero; //
} cf_tensor;

#endif
