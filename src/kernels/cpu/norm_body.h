// SPDX-License-Identifier: Apache-2.0
// norm and gate over rows kept in a buffer of FP32. Included once per instruction set.
#include "kernels/cpu/rows.h"
#include "kernels/ref/ref.h"

// Writes the normalised row. For a layer norm the mean is corrected by the mean of what its subtraction leaves, so a
// mean far above the spread costs no accuracy.
CF_INLINE void normalise(const cf_norm_attr *attr, const float *row, const float *weight, const float *bias,
                         int channels, void *to, real_format format) {
    v_f32 sum = v_zero(), square = v_zero(), rest = v_zero();
    float share = 1 / (float)channels;
    if (!attr->rms)
        for (EACH_VECTOR(i, left, channels)) sum = sum + v_load_n(row + i, left);
    v_f32 mean = v_set(attr->rms ? 0 : v_sum(sum) * share);
    for (EACH_VECTOR(i, left, channels)) {
        v_f32 centred = v_load(row + i) - mean;
        if (left < V_LANES) centred = v_choose(v_first(left), centred, v_zero());
        rest = rest + centred;
        square = v_fma(centred, centred, square);
    }
    float correction = attr->rms ? 0 : v_sum(rest) * share;
    float variance = v_sum(square) * share - correction * correction;
    v_f32 factor = v_set(1 / sqrtf((variance > 0 ? variance : 0) + attr->epsilon));
    for (EACH_VECTOR(i, left, channels)) {
        v_f32 scale = v_load_n(weight + i, left) * factor;
        v_f32 shift = bias ? v_load_n(bias + i, left) : v_zero();
        v_f32 centred = v_load(row + i) - mean - v_set(correction);
        real_write((char *)to + (long)i * format.size, format, v_fma(centred, scale, shift), left);
    }
}

// The usual widths and formats apart, so that the loops above unroll and the row stays in registers.
static void normalise_row(const cf_norm_attr *attr, const float *row, const float *weight, const float *bias,
                          int channels, void *to, real_format format) {
    if (format.dtype == CF_F32 && channels == 128)
        normalise(attr, row, weight, bias, 128, to, REAL_F32);
    else if (format.dtype == CF_F32 && channels == 256)
        normalise(attr, row, weight, bias, 256, to, REAL_F32);
    else if (format.dtype == CF_BF16 && channels == 128)
        normalise(attr, row, weight, bias, 128, to, REAL_BF16);
    else if (format.dtype == CF_BF16 && channels == 256)
        normalise(attr, row, weight, bias, 256, to, REAL_BF16);
    else if (channels % V_LANES == 0)
        normalise(attr, row, weight, bias, channels / V_LANES * V_LANES, to, format);
    else
        normalise(attr, row, weight, bias, channels, to, format);
}

// What the norm kernels need to know about their tensors.
typedef struct {
    const float *weight, *bias;
    real_format in[3], out;
} norm_plan;

static norm_plan norm_plan_of(const cf_call *call) {
    norm_plan plan = {.weight = cf_constant_at(call, 0), .out = real_format_of(&call->out[0])};
    if (call->problem->attr.norm.has_bias) plan.bias = cf_constant_at(call, 1);
    for (int i = 0; i < call->problem->inputs; i++) plan.in[i] = real_format_of(&call->in[i]);
    return plan;
}

static void norm_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *out = &call->out[0];
    norm_plan plan = norm_plan_of(call);
    float row[ROW_MOST];
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        const char *a = pixel_at(&call->in[0], at);
        if (call->problem->inputs > 1) {
            const char *b = pixel_at(&call->in[1], at);
            for (EACH_VECTOR(i, left, out->c))
                v_store(row + i, real_read(a + i * plan.in[0].size, plan.in[0], left) +
                                     real_read(b + i * plan.in[1].size, plan.in[1], left));
        } else {
            row_to_f32(row, a, plan.in[0], out->c);
        }
        normalise_row(&call->problem->attr.norm, row, plan.weight, plan.bias, out->c, pixel_at(out, at), plan.out);
    }
}

static void gate_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *out = &call->out[0];
    norm_plan plan = norm_plan_of(call);
    float row[ROW_MOST];
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        const char *g1 = pixel_at(&call->in[0], at), *g2 = g1 + (long)out->c * plan.in[0].size;
        const char *a = pixel_at(&call->in[1], at), *b = pixel_at(&call->in[2], at);
        for (EACH_VECTOR(i, left, out->c)) {
            v_f32 first = v_sigmoid(real_read(g1 + i * plan.in[0].size, plan.in[0], left));
            v_f32 second = v_sigmoid(real_read(g2 + i * plan.in[0].size, plan.in[0], left));
            first = first * real_read(a + i * plan.in[1].size, plan.in[1], left);
            v_store(row + i, v_fma(second, real_read(b + i * plan.in[2].size, plan.in[2], left), first));
        }
        normalise_row(&call->problem->attr.norm, row, plan.weight, plan.bias, out->c, pixel_at(out, at), plan.out);
    }
}

const cf_kernel V_ISA(cf_norm) = {.name = "norm_" V_ISA_NAME,
                                  .op = CF_OP_NORM,
                                  .cpu = V_CPU,
                                  .refuse = refuse_wide_or_whole,
                                  .packed_size = cf_constants_size,
                                  .pack = cf_constants_pack,
                                  .run = norm_run};
const cf_kernel V_ISA(cf_gate) = {.name = "gate_" V_ISA_NAME,
                                  .op = CF_OP_GATE,
                                  .cpu = V_CPU,
                                  .refuse = refuse_wide_or_whole,
                                  .packed_size = cf_constants_size,
                                  .pack = cf_constants_pack,
                                  .run = gate_run};
