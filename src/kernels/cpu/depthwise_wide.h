// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution with AVX-512, 3x3 and 5x5 with stride 1 or 2, of the types that the networks have. 32 channels
// of a few neighbouring pixels at a time, in FP32 arithmetic; sums stay in registers until they are stored. Anything
// else is left to depthwise.h.
//
// In bf16 a load holds 32 channels of a pixel: as FP32 numbers the even ones are its lower halves, shifted up, and the
// odd ones its upper halves, masked, an instruction each. In bytes weights and bias hold both scales and the
// input's zero point.
//
// Packed: float of 32 channels [tap, then the bias][2 vectors].
#ifndef CF_KERNELS_CPU_DEPTHWISE_WIDE_H
#define CF_KERNELS_CPU_DEPTHWISE_WIDE_H

#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/conv_panel.h"
#include "kernels/cpu/simd_act.h"

enum {
    CF_WIDE_CHANNELS = 2 * V_LANES,
    CF_WIDE_PIXELS = 8, // side by side, that share the loads of their inputs
    CF_WIDE_SIDE = 64   // channels of a row at a time: in 16 bits two cache lines, which the processor fetches together
};

// But for types.
static const char *cf_wide_refuse(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0];
    if (attr->groups != in->c || in->c != out->c) return "not depthwise";
    if (in->c % CF_WIDE_CHANNELS) return "channels do not fill vectors";
    if (attr->kernel_h != attr->kernel_w || (attr->kernel_h != 3 && attr->kernel_h != 5)) return "kernel size";
    if (attr->stride != 1 && attr->stride != 2) return "stride";
    if (problem->inputs > 1) return "a residual";
    if (attr->act != CF_ACT_NONE && attr->act != CF_ACT_RELU) return "an activation other than ReLU";
    return cf_conv_halo_suffices(problem) ? NULL : "halo narrower than the padding";
}

static int64_t cf_wide_taps(const cf_problem *problem) {
    return (int64_t)problem->attr.conv.kernel_h * problem->attr.conv.kernel_w;
}

static size_t cf_wide_packed_size(const cf_problem *problem) {
    return (size_t)((cf_wide_taps(problem) + 1) * problem->out[0].c) * sizeof(float);
}

static int cf_wide_is_bytes(const cf_tensor *tensor) {
    return tensor->dtype == CF_U8 || tensor->dtype == CF_S8;
}

static void cf_wide_pack(const cf_problem *problem, void *packed) {
    const cf_tensor *in = &problem->in[0], *out = &problem->out[0];
    const float *weight = problem->constant[0].data, *bias = problem->constant[1].data;
    float unit = cf_wide_is_bytes(out) ? 1 / out->scale : 1, step = cf_wide_is_bytes(in) ? in->scale : 1;
    float zero = cf_wide_is_bytes(in) ? (float)in->zero : 0;
    int64_t taps = cf_wide_taps(problem);
    for (int64_t c = 0; c < out->c; c++) {
        int64_t at = c % CF_WIDE_CHANNELS, lane = in->dtype == CF_BF16 ? at / 2 + at % 2 * V_LANES : at;
        float *to = (float *)packed + (c - at) * (taps + 1) + lane, sum = bias ? bias[c] : 0;
        for (int64_t t = 0; t < taps; t++) {
            to[t * CF_WIDE_CHANNELS] = weight[c * taps + t] * step * unit;
            sum -= zero * step * weight[c * taps + t];
        }
        to[taps * CF_WIDE_CHANNELS] = sum * unit;
    }
}

typedef struct {
    v_f32 low, high; // of 32 channels, in the order of the packed weights
} cf_wide_pair;

CF_INLINE cf_wide_pair cf_wide_read(const char *from, cf_dtype dtype) {
    switch (dtype) {
    case CF_BF16: {
        __m512i both = _mm512_loadu_si512(from), upper = _mm512_set1_epi32((int)0xffff0000);
        return (cf_wide_pair){_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)),
                              _mm512_castsi512_ps(_mm512_and_si512(both, upper))};
    }
    case CF_F16:
        return (cf_wide_pair){_mm512_cvtph_ps(v_get_16(from, V_LANES)), _mm512_cvtph_ps(v_get_16(from + 32, V_LANES))};
    case CF_U8:
        return (cf_wide_pair){v_from_i32(_mm512_cvtepu8_epi32(v_get_8(from, V_LANES))),
                              v_from_i32(_mm512_cvtepu8_epi32(v_get_8(from + V_LANES, V_LANES)))};
    case CF_S8:
        return (cf_wide_pair){v_from_i32(_mm512_cvtepi8_epi32(v_get_8(from, V_LANES))),
                              v_from_i32(_mm512_cvtepi8_epi32(v_get_8(from + V_LANES, V_LANES)))};
    default: {
        cf_wide_pair pair = {v_get_32(from, V_LANES), v_get_32(from + 64, V_LANES)};
        __asm__("" : "+v"(pair.low), "+v"(pair.high)); // GCC would load them again for every tap
        return pair;
    }
    }
}

// woven: low and high are the even and the odd channels.
CF_INLINE void cf_wide_write(char *to, cf_dtype dtype, v_f32 low, v_f32 high, __m512i zero, int woven) {
    switch (dtype) {
#ifdef __AVX512BF16__
    case CF_BF16: { // in a kernel that reads bf16: woven
        const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                               6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low)));
        break;
    }
#endif
    case CF_F16:
        v_put_16(to, V_LANES, v_to_f16(low));
        v_put_16(to + 32, V_LANES, v_to_f16(high));
        break;
    case CF_U8:
    case CF_S8: {
        __m256i bytes = v_to_bytes(dtype, low, high, zero);
        __m128i first = _mm256_castsi256_si128(bytes), second = _mm256_extracti128_si256(bytes, 1);
        v_put_8(to, V_LANES, woven ? _mm_unpacklo_epi8(first, second) : first);
        v_put_8(to + V_LANES, V_LANES, woven ? _mm_unpackhi_epi8(first, second) : second);
        break;
    }
    default: v_store((float *)(void *)to, low); v_store((float *)(void *)(to + 64), high);
    }
}

typedef struct {
    const char *in; // of the first pixel, and group of channels
    const float *weight;
    char *out;
    int64_t in_row, in_pixel, out_pixel; // bytes
    int32_t relu, affine;
    v_f32 scale, shift; // of the affine block
    __m512i zero;       // of bytes, as 16-bit numbers
} cf_wide_tile;

CF_INLINE v_f32 cf_wide_finish(const cf_wide_tile *t, v_f32 sum) {
    if (t->relu) sum = v_act(CF_ACT_RELU, sum);
    return t->affine ? v_fma(sum, t->scale, t->shift) : sum;
}

// `pixels` outputs of 32 channels.
CF_INLINE void cf_wide_run_tile(const cf_wide_tile *t, cf_dtype from, cf_dtype to, int kernel, int stride, int pixels) {
    const float *weight = t->weight, *bias = weight + kernel * kernel * CF_WIDE_CHANNELS;
    v_f32 low[CF_WIDE_PIXELS], high[CF_WIDE_PIXELS];
#pragma GCC unroll 8
    for (int m = 0; m < pixels; m++) low[m] = v_load(bias), high[m] = v_load(bias + V_LANES);
    const char *in = t->in;
    for (int ky = 0; ky < kernel; ky++, in += t->in_row, weight += kernel * CF_WIDE_CHANNELS) {
        const char *at = in;
#pragma GCC unroll 24
        for (int x = 0; x < (pixels - 1) * stride + kernel; x++, at += t->in_pixel) {
            cf_wide_pair value = cf_wide_read(at, from);
#pragma GCC unroll 5
            for (int kx = 0; kx < kernel; kx++) {
                int m = (x - kx) / stride;
                if (x < kx || (x - kx) % stride || m >= pixels) continue;
                low[m] = v_fma(value.low, v_load(weight + kx * CF_WIDE_CHANNELS), low[m]);
                high[m] = v_fma(value.high, v_load(weight + kx * CF_WIDE_CHANNELS + V_LANES), high[m]);
            }
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < pixels; m++)
        cf_wide_write(t->out + m * t->out_pixel, to, cf_wide_finish(t, low[m]), cf_wide_finish(t, high[m]), t->zero,
                      from == CF_BF16);
}

CF_INLINE void cf_wide_run_row(const cf_call *call, int n, int y, cf_dtype from, cf_dtype to, int kernel, int stride) {
    const cf_conv_attr *attr = &call->problem->attr.conv;
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    int in_size = cf_dtype_size(from), out_size = cf_dtype_size(to);
    float unit = cf_wide_is_bytes(out) ? 1 / out->scale : 1;
    cf_wide_tile t = {.in_row = in->row * in_size,
                      .in_pixel = in->pixel * in_size,
                      .out_pixel = out->pixel * out_size,
                      .relu = attr->act == CF_ACT_RELU,
                      .affine = attr->affine,
                      .scale = v_set(attr->scale),
                      .shift = v_set(attr->shift * unit),
                      .zero = _mm512_set1_epi16((int16_t)out->zero)};
    const char *row = (const char *)cf_tensor_at(in, n, (int64_t)y * stride - attr->pad_top, -attr->pad_left);
    char *line = cf_tensor_at(out, n, y, 0);
    for (int side = 0; side < out->c; side += CF_WIDE_SIDE)
        for (int x = 0, pixels; x < out->w; x += pixels) {
            int left = out->w - x;
            pixels = left >= CF_WIDE_PIXELS ? CF_WIDE_PIXELS : left >= 4 ? 4 : 1;
            for (int c = side; c < out->c && c < side + CF_WIDE_SIDE; c += CF_WIDE_CHANNELS) {
                t.in = row + x * stride * t.in_pixel + c * in_size;
                t.weight = (const float *)call->packed + c * (kernel * kernel + 1);
                t.out = line + x * t.out_pixel + c * out_size;
                if (pixels == CF_WIDE_PIXELS)
                    cf_wide_run_tile(&t, from, to, kernel, stride, CF_WIDE_PIXELS);
                else if (pixels == 4)
                    cf_wide_run_tile(&t, from, to, kernel, stride, 4);
                else
                    cf_wide_run_tile(&t, from, to, kernel, stride, 1);
            }
        }
}

typedef void cf_wide_row(const cf_call *call, int n, int y);

// What a kernel runs from one type to another: [5x5][stride 2]
typedef cf_wide_row *const cf_wide_table[2][2];

static inline void cf_wide_run(const cf_call *call, const cf_team *team, const cf_wide_table *table) {
    const cf_conv_attr *attr = &call->problem->attr.conv;
    cf_wide_row *row = (*table)[attr->kernel_h == 5][attr->stride == 2];
    int height = call->out[0].h;
    long begin, end;
    cf_team_range(team, (long)call->images * height, &begin, &end);
    for (long i = begin; i < end; i++) row(call, (int)(i / height), (int)(i % height));
}

#define CF_WIDE_ROW(name, ...)                                                                                         \
    static void name(const cf_call *call, int n, int y) {                                                              \
        cf_wide_run_row(call, n, y, __VA_ARGS__);                                                                      \
    }
#define CF_WIDE_TYPES(from, to)                                                                                        \
    CF_WIDE_ROW(row_##from##to##31, from, to, 3, 1)                                                                    \
    CF_WIDE_ROW(row_##from##to##32, from, to, 3, 2)                                                                    \
    CF_WIDE_ROW(row_##from##to##51, from, to, 5, 1)                                                                    \
    CF_WIDE_ROW(row_##from##to##52, from, to, 5, 2)                                                                    \
    static const cf_wide_table table_##from##to = {{row_##from##to##31, row_##from##to##32},                           \
                                                   {row_##from##to##51, row_##from##to##52}};

#endif
