// SPDX-License-Identifier: Apache-2.0
// Convolutions without matrix products: any shape and type one output a thread, and the stem.
#include "cuda/kernels/conv.cuh"

enum { CHUNK = 32 }; // products that make a sum of their own: conv_f32.cu says why

// One thread an output element, whatever the types. Weights in FP32 as [tap][channel of a group][output], so that
// neighbouring threads read neighbours. units: scale and then zero point of each input channel, or NULL.
CF_GLOBAL cf_conv_any(const __grid_constant__ cf_conv_args a, const float *units) {
    cf_wait_before();
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= (int64_t)a.pixels * a.out.c) return;
    unsigned m = i / a.out.c, o = i - (int64_t)m * a.out.c;
    unsigned line = m / (unsigned)a.out.w, ox = m - line * a.out.w, n = line / (unsigned)a.out.h,
             oy = line - n * a.out.h;
    int group_in = a.in.c / a.attr.groups, group_out = a.out.c / a.attr.groups, first = o / group_out * group_in;
    const float *weight = static_cast<const float *>(a.weight) + o;
    float sum = a.bias[o];
    for (int ky = 0; ky < a.attr.kernel_h; ky++)
        for (int kx = 0; kx < a.attr.kernel_w; kx++, weight += (int64_t)group_in * a.out.c) {
            int y = (int)oy * a.attr.stride + ky - a.attr.pad_top, x = (int)ox * a.attr.stride + kx - a.attr.pad_left;
            if (y < 0 || y >= a.in.h || x < 0 || x >= a.in.w) continue;
            int64_t at = cf_at(a.in, n, y, x, first);
            float part = 0;
            for (int c = 0; c < group_in; c++) {
                float value = cf_get(a.in, at + c);
                if (units) {
                    float stored = value / a.in.scale;
                    if (a.in.dtype != CF_E4M3) stored = rintf(stored) + a.in.zero - units[a.in.c + first + c];
                    value = stored * units[first + c];
                }
                part = fmaf(weight[(int64_t)c * a.out.c], value, part);
                if (c % CHUNK == CHUNK - 1) sum += part, part = 0;
            }
            sum += part;
        }
    if (a.attr.coarse) sum += cf_get(a.residual, cf_at(a.residual, n, oy / 2, ox / 2, o));
    float value = cf_activate(a.attr.act, sum);
    if (a.attr.affine) value = value * a.attr.scale + a.attr.shift;
    if (a.residual.data && !a.attr.coarse) value += cf_get(a.residual, cf_at(a.residual, n, oy, ox, o));
    cf_put(a.out, cf_at(a.out, n, oy, ox, o), value);
}

// The stem: 3x3 over three channels. A thread makes all channels of one pixel, eight at a time; weights as FP32
// [tap][channel][output rounded up to 8], in shared memory.
enum { STEM_TERMS = 27 };

CF_GLOBAL __launch_bounds__(128) cf_conv_stem(const __grid_constant__ cf_conv_args a) {
    extern __shared__ float4 shared4[];
    float *weight = reinterpret_cast<float *>(shared4);
    int outputs = (a.out.c + 7) / 8 * 8;
    for (int i = threadIdx.x; i < STEM_TERMS * outputs; i += blockDim.x)
        weight[i] = static_cast<const float *>(a.weight)[i];
    __syncthreads();
    cf_wait_before();
    cf_let_next_start();
    unsigned m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= (unsigned)a.pixels) return;
    unsigned line = m / (unsigned)a.out.w, ox = m - line * a.out.w, n = line / (unsigned)a.out.h,
             oy = line - n * a.out.h;
    float in[STEM_TERMS];
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
        int y = (int)oy * a.attr.stride + tap / 3 - a.attr.pad_top;
        int x = (int)ox * a.attr.stride + tap % 3 - a.attr.pad_left;
        int inside = y >= 0 && y < a.in.h && x >= 0 && x < a.in.w;
        int64_t at = cf_at(a.in, n, y, x, 0);
#pragma unroll
        for (int c = 0; c < 3; c++) in[tap * 3 + c] = inside ? cf_get(a.in, at + c) : 0.f;
    }
    for (int o = 0; o < a.out.c; o += 8) {
        cf_eight e = {};
#pragma unroll
        for (int k = 0; k < STEM_TERMS; k++) {
            cf_eight w = cf_load8_f32(weight + k * outputs + o);
#pragma unroll
            for (int i = 0; i < 8; i++) e.v[i] = fmaf(in[k], w.v[i], e.v[i]);
        }
        cf_conv_finish8<true>(a, m, o, e);
    }
}
