// SPDX-License-Identifier: Apache-2.0
// Norm and gate: normalisation over the channels of a pixel by one warp. Blocks along y are images.
#include "cuda/vector.cuh"

struct norm_rule {
    const float *weight, *bias; // bias may be NULL
    float epsilon;
    int rms;
};

// What norm normalises: x, plus the second input where there is one.
struct norm_term {
    const cf_tensor &x, &residual;
    int64_t at_x, at_residual;
    int two;

    __device__ norm_term(const cf_tensor &a, const cf_tensor &b, int inputs, int n, uint32_t pixel)
        : x(a), residual(b), at_x(cf_pixel(a, n, pixel)), at_residual(cf_pixel(b, n, pixel)), two(inputs > 1) {}
    template <int W> __device__ void load(int c, float (&v)[W]) const {
        cf_load(x, at_x + c, v);
        if (!two) return;
        float more[W];
        cf_load(residual, at_residual + c, more);
        for (int i = 0; i < W; i++) v[i] += more[i];
    }
};

// What gate normalises: sigmoid(g[c]) * a[c] + sigmoid(g[d + c]) * b[c].
struct gate_term {
    const cf_tensor &gates, &a, &b;
    int64_t at_gates, at_a, at_b;

    __device__ gate_term(const cf_tensor &g, const cf_tensor &first, const cf_tensor &second, int n, uint32_t pixel)
        : gates(g), a(first), b(second), at_gates(cf_pixel(g, n, pixel)), at_a(cf_pixel(first, n, pixel)),
          at_b(cf_pixel(second, n, pixel)) {}
    template <int W> __device__ void load(int c, float (&v)[W]) const {
        float g[W], h[W], more[W];
        cf_load(gates, at_gates + c, g);
        cf_load(gates, at_gates + a.c + c, h);
        cf_load(a, at_a + c, v);
        cf_load(b, at_b + c, more);
        for (int i = 0; i < W; i++) v[i] = v[i] / (1.f + expf(-g[i])) + more[i] / (1.f + expf(-h[i]));
    }
};

// Means are formed of differences from the pixel's first value: far from zero, sums would lose what differs.

// A lane holds STEPS runs of 8 channels, 256 channels apart.
template <int STEPS, class Term>
static __device__ void normalise_wide(const Term &term, const cf_tensor &out, int n, uint32_t pixel,
                                      const norm_rule &rule) {
    float v[STEPS][8], sum = 0, square = 0;
    int first = threadIdx.x % 32 * 8;
#pragma unroll
    for (int s = 0; s < STEPS; s++)
        if (first + s * 256 < out.c) term.load(first + s * 256, v[s]);
    float base = rule.rms ? 0.f : __shfl_sync(0xffffffffu, v[0][0], 0);
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        if (first + s * 256 >= out.c) break;
        for (int i = 0; i < 8; i++) sum += v[s][i] -= base;
    }
    float mean = rule.rms ? 0.f : cf_warp_sum(sum) / out.c;
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        if (first + s * 256 >= out.c) break;
        for (int i = 0; i < 8; i++) {
            v[s][i] -= mean;
            square += v[s][i] * v[s][i];
        }
    }
    float factor = 1.f / sqrtf(cf_warp_sum(square) / out.c + rule.epsilon);
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        int c = first + s * 256;
        if (c >= out.c) break;
        float weight[8], bias[8] = {};
        cf_load_floats(rule.weight + c, weight);
        if (rule.bias) cf_load_floats(rule.bias + c, bias);
        for (int i = 0; i < 8; i++) v[s][i] = v[s][i] * factor * weight[i] + bias[i];
        cf_store(out, cf_pixel(out, n, pixel) + c, v[s]);
    }
}

// Any channels: values are read again in each of the three passes.
template <class Term>
static __device__ void normalise_any(const Term &term, const cf_tensor &out, int n, uint32_t pixel,
                                     const norm_rule &rule) {
    float v[1], sum = 0, square = 0, base = 0;
    int first = threadIdx.x % 32;
    if (!rule.rms) {
        term.load(0, v);
        base = v[0];
    }
    for (int c = first; c < out.c && !rule.rms; c += 32) {
        term.load(c, v);
        sum += v[0] - base;
    }
    float mean = rule.rms ? 0.f : cf_warp_sum(sum) / out.c; // less base
    for (int c = first; c < out.c; c += 32) {
        term.load(c, v);
        float centred = v[0] - base - mean;
        square += centred * centred;
    }
    float factor = 1.f / sqrtf(cf_warp_sum(square) / out.c + rule.epsilon);
    for (int c = first; c < out.c; c += 32) {
        term.load(c, v);
        cf_put(out, cf_pixel(out, n, pixel) + c,
               (v[0] - base - mean) * factor * rule.weight[c] + (rule.bias ? rule.bias[c] : 0.f));
    }
}

// steps: 1, 2 or 4 runs of 8 channels a lane; 0: any number of channels, one by one.
template <class Term>
static __device__ void normalise(const Term &term, const cf_tensor &out, int n, uint32_t pixel, const norm_rule &rule,
                                 int steps) {
    if (steps == 1)
        normalise_wide<1>(term, out, n, pixel, rule);
    else if (steps == 2)
        normalise_wide<2>(term, out, n, pixel, rule);
    else if (steps == 4)
        normalise_wide<4>(term, out, n, pixel, rule);
    else
        normalise_any(term, out, n, pixel, rule);
}

// This warp's pixel of image blockIdx.y.
static __device__ uint32_t pixel_of_warp() {
    return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
}

CF_GLOBAL cf_norm(cf_tensor x, cf_tensor residual, cf_tensor out, int inputs, norm_rule rule, int steps) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t pixel = pixel_of_warp();
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    int n = blockIdx.y;
    normalise(norm_term(x, residual, inputs, n, pixel), out, n, pixel, rule, steps);
}

CF_GLOBAL cf_gate(cf_tensor gates, cf_tensor a, cf_tensor b, cf_tensor out, norm_rule rule, int steps) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t pixel = pixel_of_warp();
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    int n = blockIdx.y;
    normalise(gate_term(gates, a, b, n, pixel), out, n, pixel, rule, steps);
}
