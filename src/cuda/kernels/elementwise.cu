// SPDX-License-Identifier: Apache-2.0
// One thread an element: activation, scale and shift, copy between types.
#include "cuda/device.cuh"

struct position {
    int n, y, x, c;
};

// The place of an element in a dense [n, h, w, c] order.
static __device__ position place_of(const cf_tensor &t, int64_t i) {
    position p;
    p.c = i % t.c, i /= t.c;
    p.x = i % t.w, i /= t.w;
    p.y = i % t.h;
    p.n = i / t.h;
    return p;
}

CF_GLOBAL cf_unary(cf_tensor x, cf_tensor out, int64_t count, int act, float scale, float shift) {
    cf_wait_before();
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= count) return;
    position p = place_of(out, i);
    float v = cf_activate(act, cf_get(x, cf_at(x, p.n, p.y, p.x, p.c)));
    cf_put(out, cf_at(out, p.n, p.y, p.x, p.c), v * scale + shift);
}
