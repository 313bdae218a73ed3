// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution, 3x3 and 5x5 with stride 1 or 2, any stored type in FP32 arithmetic: lanes are channels, ten
// neighbouring pixels at a time share the loads of their inputs. In the words of simd_*.h, one of which comes first;
// depthwise_{avx512,avx2}.c instantiate it.
//
// Packed: float weight[tap][channels], bias[channels], channels rounded up to 16.
#ifndef CF_KERNELS_CPU_DEPTHWISE_H
#define CF_KERNELS_CPU_DEPTHWISE_H

#include <string.h>

#include "kernels/cpu/conv_store.h"

enum { CF_DEPTHWISE_PIXELS = 10, CF_DEPTHWISE_GROUP = 64 };

static const char *cf_depthwise_refuse(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0];
    if (attr->groups != in->c || in->c != out->c || in->c == 1) return "not depthwise";
    if (attr->kernel_h != attr->kernel_w || (attr->kernel_h != 3 && attr->kernel_h != 5)) return "kernel size";
    if (attr->coarse) return "a coarse residual";
    if (attr->stride != 1 && attr->stride != 2) return "stride";
    if (in->dtype == CF_I32 || out->dtype == CF_I32) return "type";
    if (problem->inputs > 1 && problem->in[1].dtype == CF_I32) return "type";
    if (!cf_conv_halo_suffices(problem)) return "halo narrower than the padding";
    return NULL;
}

static size_t cf_depthwise_channels(const cf_problem *problem) {
    return ((size_t)problem->out[0].c + 15) / 16 * 16;
}

static size_t cf_depthwise_packed_size(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    return cf_depthwise_channels(problem) * (size_t)(attr->kernel_h * attr->kernel_w + 1) * sizeof(float);
}

static void cf_depthwise_pack(const cf_problem *problem, void *packed) {
    const cf_conv_attr *attr = &problem->attr.conv;
    size_t channels = cf_depthwise_channels(problem), taps = (size_t)(attr->kernel_h * attr->kernel_w);
    float *weight = packed;
    memset(packed, 0, cf_depthwise_packed_size(problem));
    for (size_t c = 0; c < (size_t)problem->out[0].c; c++) {
        for (size_t t = 0; t < taps; t++) weight[t * channels + c] = problem->constant[0].data[c * taps + t];
        if (problem->constant[1].data) weight[taps * channels + c] = problem->constant[1].data[c];
    }
}

// Sums of `pixels` outputs, one vector of channels.
CF_INLINE void cf_depthwise_tile(const char *in, int64_t row, int64_t pixel, cf_dtype dtype, int lanes, v_f32 scale,
                                 v_i32 zero, const float *weight, size_t channels, int kernel, int stride, int pixels,
                                 float *sums) {
    v_f32 sum[CF_DEPTHWISE_PIXELS];
    v_f32 bias = v_load(weight + (size_t)(kernel * kernel) * channels);
#pragma GCC unroll 10
    for (int m = 0; m < pixels; m++) sum[m] = bias;
    for (int ky = 0; ky < kernel; ky++, in += row) {
        v_f32 w[5];
#pragma GCC unroll 5
        for (int kx = 0; kx < kernel; kx++) w[kx] = v_load(weight + (size_t)(ky * kernel + kx) * channels);
#pragma GCC unroll 24
        for (int x = 0; x < (pixels - 1) * stride + kernel; x++) {
            v_f32 value = v_read(in + x * pixel, dtype, lanes, scale, zero);
#pragma GCC unroll 5
            for (int kx = 0; kx < kernel; kx++) {
                int m = (x - kx) / stride;
                if (x >= kx && (x - kx) % stride == 0 && m < pixels) sum[m] = v_fma(value, w[kx], sum[m]);
            }
        }
    }
#pragma GCC unroll 10
    for (int m = 0; m < pixels; m++) v_store(sums + m * V_LANES, sum[m]);
}

CF_INLINE void cf_depthwise_row(const cf_call *call, int n, int y, int kernel, int stride, cf_dtype dtype,
                                void (*store)(const cf_conv_store *)) {
    const cf_conv_attr *attr = &call->problem->attr.conv;
    const cf_tensor *in = &call->in[0], *out = &call->out[0], *add = &call->in[1];
    int size = cf_dtype_size(dtype), out_size = cf_dtype_size(out->dtype), add_size = cf_dtype_size(add->dtype);
    int has_add = call->problem->inputs > 1;
    size_t channels = cf_depthwise_channels(call->problem);
    v_f32 scale = v_set(in->scale);
    v_i32 zero = v_set_i32(in->zero);
    int64_t pixel = in->pixel * size, row = in->row * size;
    const char *from = (const char *)cf_tensor_at(in, n, (int64_t)y * stride - attr->pad_top, -attr->pad_left);
    char *to = cf_tensor_at(out, n, y, 0);
    const char *extra = has_add ? (const char *)cf_tensor_at(add, n, y, 0) : NULL;
    float sums[CF_DEPTHWISE_PIXELS * V_LANES] __attribute__((aligned(64)));
    cf_conv_store s = {.sums = sums,
                       .out_pixel = out->pixel * out_size,
                       .add_pixel = add->pixel * add_size,
                       .width = V_LANES,
                       .attr = attr,
                       .out_tensor = out,
                       .add_tensor = add};
    // Channels in groups whose weights stay in the first-level cache while the row goes by.
    for (int group = 0; group < out->c; group += CF_DEPTHWISE_GROUP)
        for (int x = 0; x < out->w; x += s.pixels) {
            int left = out->w - x;
            s.pixels = left >= CF_DEPTHWISE_PIXELS ? CF_DEPTHWISE_PIXELS : left >= 4 ? 4 : 1;
            for (int c = group; c < out->c && c < group + CF_DEPTHWISE_GROUP; c += V_LANES) {
                int lanes = out->c - c < V_LANES ? out->c - c : V_LANES;
                const char *at = from + x * stride * pixel + c * size;
                const float *weight = (const float *)call->packed + c;
                if (s.pixels == CF_DEPTHWISE_PIXELS && lanes == V_LANES)
                    cf_depthwise_tile(at, row, pixel, dtype, V_LANES, scale, zero, weight, channels, kernel, stride,
                                      CF_DEPTHWISE_PIXELS, sums);
                else if (s.pixels == CF_DEPTHWISE_PIXELS)
                    cf_depthwise_tile(at, row, pixel, dtype, lanes, scale, zero, weight, channels, kernel, stride,
                                      CF_DEPTHWISE_PIXELS, sums);
                else if (s.pixels == 4)
                    cf_depthwise_tile(at, row, pixel, dtype, lanes, scale, zero, weight, channels, kernel, stride, 4,
                                      sums);
                else
                    cf_depthwise_tile(at, row, pixel, dtype, lanes, scale, zero, weight, channels, kernel, stride, 1,
                                      sums);
                s.out = to + x * s.out_pixel + c * out_size;
                s.add = has_add ? extra + x * s.add_pixel + c * add_size : NULL;
                s.channels = lanes;
                store(&s);
            }
        }
}

CF_INLINE void cf_depthwise_rows(const cf_call *call, const cf_team *team, int kernel, int stride, cf_dtype dtype,
                                 void (*store)(const cf_conv_store *)) {
    long begin, end;
    cf_team_range(team, (long)call->images * call->out[0].h, &begin, &end);
    for (long row = begin; row < end; row++)
        cf_depthwise_row(call, (int)(row / call->out[0].h), (int)(row % call->out[0].h), kernel, stride, dtype, store);
}

// Four shapes of one type.
#define CF_DEPTHWISE_RUN(name, dtype, store)                                                                           \
    static void name(const cf_call *call, const cf_team *team) {                                                       \
        int kernel = call->problem->attr.conv.kernel_h, stride = call->problem->attr.conv.stride;                      \
        if (kernel == 3 && stride == 1)                                                                                \
            cf_depthwise_rows(call, team, 3, 1, dtype, store);                                                         \
        else if (kernel == 3)                                                                                          \
            cf_depthwise_rows(call, team, 3, 2, dtype, store);                                                         \
        else if (stride == 1)                                                                                          \
            cf_depthwise_rows(call, team, 5, 1, dtype, store);                                                         \
        else                                                                                                           \
            cf_depthwise_rows(call, team, 5, 2, dtype, store);                                                         \
    }

#endif
