// SPDX-License-Identifier: Apache-2.0
// Normalisation over the channels of each pixel: norm and gate. weight [c], bias [c].
#include "kernels/ref/ref.h"

#include <math.h>

// The value to be normalised, for channel c of a pixel.
typedef double (*term)(const cf_call *call, int n, int y, int x, int c);

static void normalise(const cf_call *call, int n, int y, int x, term value) {
    const cf_norm_attr *attr = &call->problem->attr.norm;
    const float *weight = cf_constant_at(call, 0), *bias = cf_constant_at(call, 1);
    int channels = call->out[0].c;
    double mean = 0, square = 0;
    if (!attr->rms)
        for (int c = 0; c < channels; c++) mean += value(call, n, y, x, c) / channels;
    for (int c = 0; c < channels; c++) {
        double centred = value(call, n, y, x, c) - mean;
        square += centred * centred / channels;
    }
    double factor = 1 / sqrt(square + (double)attr->epsilon);
    for (int c = 0; c < channels; c++) {
        double result = (value(call, n, y, x, c) - mean) * factor * (double)weight[c];
        cf_tensor_set(&call->out[0], n, y, x, c, (float)(result + (attr->has_bias && bias ? (double)bias[c] : 0)));
    }
}

// in[0], plus in[1] where there are two inputs.
static double norm_term(const cf_call *call, int n, int y, int x, int c) {
    double value = (double)cf_tensor_get(&call->in[0], n, y, x, c);
    return call->problem->inputs > 1 ? value + (double)cf_tensor_get(&call->in[1], n, y, x, c) : value;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

// sigmoid(g[c]) * a[c] + sigmoid(g[d + c]) * b[c]
static double gate_term(const cf_call *call, int n, int y, int x, int c) {
    const cf_tensor *gates = &call->in[0];
    return sigmoid((double)cf_tensor_get(gates, n, y, x, c)) * (double)cf_tensor_get(&call->in[1], n, y, x, c) +
           sigmoid((double)cf_tensor_get(gates, n, y, x, call->out[0].c + c)) *
               (double)cf_tensor_get(&call->in[2], n, y, x, c);
}

static void norm_pixel(const cf_call *call, int n, int y, int x) {
    normalise(call, n, y, x, norm_term);
}

static void norm_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, norm_pixel);
}

static void gate_pixel(const cf_call *call, int n, int y, int x) {
    normalise(call, n, y, x, gate_term);
}

static void gate_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, gate_pixel);
}

CF_REF_KERNEL(cf_norm_ref, NORM, "norm_ref", norm_run);
CF_REF_KERNEL(cf_gate_ref, GATE, "gate_ref", gate_run);
