// SPDX-License-Identifier: Apache-2.0
// A tile of sums on its way out: scale and bias (int8), activation, affine, residual, rounding to the output's type. In
// the words of simd_*.h, one of which comes first.
#ifndef CF_KERNELS_CPU_CONV_STORE_H
#define CF_KERNELS_CPU_CONV_STORE_H

#include "kernels/cpu/conv_panel.h"
#include "kernels/cpu/simd_act.h"

// FP32 products are summed in chunks, whose sums join the totals in memory. Rounding errors of one long sum grow with
// its length; sums of sums keep the error of a 3x3 convolution over 384 channels (3456 products) at that of the first
// few hundred.
enum { CF_SUM_CHUNK = 64 };

// Adds a microkernel's `count` vectors of running sums to the totals in tile->sums (again 0: there are none yet) and
// starts them from zero.
CF_INLINE void cf_micro_flush(const cf_conv_tile *tile, v_f32 *sums, int count, int again) {
#pragma GCC unroll 28
    for (int i = 0; i < count; i++) {
        float *total = (float *)tile->sums + i * V_LANES;
        v_store(total, again ? v_add(v_load(total), sums[i]) : sums[i]);
        sums[i] = v_zero();
    }
}

// int32 sums to bytes in one multiply-add: the scale and the bias of each channel, in front of SiLU; else an affine
// block, the unit of the output and its zero point too, which unit and shift hold.
typedef struct {
    v_f32 scale, bias;
} cf_line;

CF_INLINE cf_line cf_line_of(const float *scale, const float *bias, v_f32 unit, v_f32 shift, int act) {
    cf_line line = {v_load(scale), v_load(bias)};
    if (act != CF_ACT_SILU) line = (cf_line){v_mul(line.scale, unit), v_fma(line.bias, unit, shift)};
    return line;
}

CF_INLINE void cf_store_rows(const cf_conv_store *s, int act, int quantised, cf_dtype out, int add) {
    cf_dtype add_dtype = add ? s->add_tensor->dtype : CF_F32;
    int out_size = cf_dtype_size(out), add_size = cf_dtype_size(add_dtype);
    v_f32 scale = v_set(s->attr->scale), shift = v_set(s->attr->shift);
    v_f32 inverse = v_set(out == CF_U8 || out == CF_S8 ? 1 / s->out_tensor->scale : 1);
    v_f32 add_scale = v_set(add ? s->add_tensor->scale : 1);
    v_i32 zero = v_set_i32(s->out_tensor->zero), add_zero = v_set_i32(add ? s->add_tensor->zero : 0);
    int coarse = add && s->attr->coarse;
    for (int c = 0; c < s->channels; c += V_LANES) {
        int lanes = s->channels - c < V_LANES ? s->channels - c : V_LANES;
        for (int m = 0; m < s->pixels; m++) {
            const float *sums = (const float *)s->sums + (int64_t)m * s->width + c;
            const char *from = add ? s->add + ((s->x + m) >> coarse) * s->add_pixel + c * add_size : NULL;
            v_f32 value;
            if (quantised)
                value = v_fma(v_from_i32(v_load_i32((const int32_t *)sums)), v_load(s->scale + c), v_load(s->bias + c));
            else
                value = v_load(sums);
            if (coarse) value = v_add(value, v_read(from, add_dtype, lanes, add_scale, add_zero));
            value = v_act_for(out, act, value);
            if (s->attr->affine) value = v_fma(value, scale, shift);
            if (add && !coarse) value = v_add(value, v_read(from, add_dtype, lanes, add_scale, add_zero));
            v_write(s->out + m * s->out_pixel + c * out_size, out, lanes, value, inverse, zero);
        }
    }
}

CF_INLINE void cf_store_act(const cf_conv_store *s, int act, int quantised, int add) {
    switch (s->out_tensor->dtype) {
    case CF_F32: cf_store_rows(s, act, quantised, CF_F32, add); break;
    case CF_BF16: cf_store_rows(s, act, quantised, CF_BF16, add); break;
    case CF_F16: cf_store_rows(s, act, quantised, CF_F16, add); break;
    case CF_U8: cf_store_rows(s, act, quantised, CF_U8, add); break;
    default: cf_store_rows(s, act, quantised, CF_S8, add); break;
    }
}

// Frequent combinations get loops of their own.
CF_INLINE void cf_store_any(const cf_conv_store *s, int quantised) {
    int add = s->add != NULL;
    switch (s->attr->act) {
    case CF_ACT_NONE:
        if (add)
            cf_store_act(s, CF_ACT_NONE, quantised, 1);
        else
            cf_store_act(s, CF_ACT_NONE, quantised, 0);
        break;
    case CF_ACT_RELU:
        if (add)
            cf_store_act(s, CF_ACT_RELU, quantised, 1);
        else
            cf_store_act(s, CF_ACT_RELU, quantised, 0);
        break;
    case CF_ACT_SILU: cf_store_act(s, CF_ACT_SILU, quantised, add); break;
    case CF_ACT_GELU: cf_store_act(s, CF_ACT_GELU, quantised, add); break;
    case CF_ACT_SIGMOID: cf_store_act(s, CF_ACT_SIGMOID, quantised, add); break;
    default: cf_store_act(s, CF_ACT_CLAMP, quantised, add); break;
    }
}

#endif
