// SPDX-License-Identifier: Apache-2.0
// Rows by index: gather, reference.
#pragma once

#include "cuda/vector.cuh"

// The index of output pixel `pixel`, limited to the `rows` there are: a forged plan may put others there.
__device__ inline uint32_t index_at(const cf_tensor &indices, int n, uint32_t pixel, int rows) {
    float index = cf_get(indices, cf_pixel(indices, n, pixel));
    return index > 0 ? index < rows ? (uint32_t)index : rows - 1 : 0;
}

// Run i, of W channels, of the output of image n.
template <int W>
__device__ void gather(const cf_tensor &x, const cf_tensor &indices, const cf_tensor &out, int n, uint32_t i) {
    uint32_t runs = out.c / W, pixel = i / runs;
    int c = i % runs * W;
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    float v[W];
    cf_load(x, cf_pixel(x, n, index_at(indices, n, pixel, x.h * x.w)) + c, v);
    cf_store(out, cf_pixel(out, n, pixel) + c, v);
}

// Number c of a box: sigmoid(delta + anchor). anchors [rows, 4].
__device__ inline void reference(const cf_tensor &delta, const cf_tensor &indices, const cf_tensor &out,
                                 const float *anchors, int rows, int n, uint32_t query, int c) {
    float anchor = anchors[4 * (int64_t)index_at(indices, n, query, rows) + c];
    float at = cf_get(delta, cf_pixel(delta, n, query) + c) + anchor;
    cf_put(out, cf_pixel(out, n, query) + c, 1.f / (1.f + expf(-at)));
}
