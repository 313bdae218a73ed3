// SPDX-License-Identifier: Apache-2.0
// norm and gate over rows kept in a buffer of FP32. Included once per instruction set.
#include "kernels/cpu/rows.h"
#include "kernels/ref/ref.h"

// Four vectors at a time, each with sums of its own: a sum waits four cycles for the one before.
enum { NORM_SUMS = 4 };
#define EACH_SUM(k, i, left, channels)                                                                                 \
    for (int block = 0; block < (channels); block += NORM_SUMS * V_LANES)                                              \
    _Pragma("GCC unroll 4") for (int k = 0; k < NORM_SUMS;                                                             \
                                 k++) for (int i = block + k * V_LANES,                                                \
                                           left = (channels)-i < V_LANES ? (channels)-i : V_LANES;                     \
                                           left > 0; left = 0)

CF_INLINE float sum_of(const v_f32 *sums) {
    return v_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Writes the normalised row. For a layer norm the mean is corrected by the mean of what its subtraction leaves, so a
// mean far above the spread costs no accuracy.
CF_INLINE void normalise(const cf_norm_attr *attr, const float *row, const float *weight, const float *bias,
                         int channels, void *to, real_format format) {
    v_f32 sum[NORM_SUMS], square[NORM_SUMS], rest[NORM_SUMS];
    for (int k = 0; k < NORM_SUMS; k++) sum[k] = square[k] = rest[k] = v_zero();
    float share = 1 / (float)channels;
    if (!attr->rms) EACH_SUM(k, i, left, channels) sum[k] = sum[k] + v_load_n(row + i, left);
    v_f32 mean = v_set(attr->rms ? 0 : sum_of(sum) * share);
    EACH_SUM(k, i, left, channels) {
        v_f32 centred = v_load(row + i) - mean;
        if (left < V_LANES) centred = v_choose(v_first(left), centred, v_zero());
        rest[k] = rest[k] + centred;
        square[k] = v_fma(centred, centred, square[k]);
    }
    float correction = attr->rms ? 0 : sum_of(rest) * share;
    float variance = sum_of(square) * share - correction * correction;
    v_f32 factor = v_set(1 / sqrtf((variance > 0 ? variance : 0) + attr->epsilon));
    for (EACH_VECTOR(i, left, channels)) {
        v_f32 scale = v_load_n(weight + i, left) * factor;
        v_f32 shift = bias ? v_load_n(bias + i, left) : v_zero();
        v_f32 centred = v_load(row + i) - mean - v_set(correction);
        real_write((char *)to + (long)i * format.size, format, v_fma(centred, scale, shift), left);
    }
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

// a, or a + b.
CF_INLINE void norm_pixels(const cf_call *call, const cf_team *team, const norm_plan *plan, int channels) {
    const cf_tensor *out = &call->out[0];
    int two = call->problem->inputs > 1;
    float row[ROW_MOST];
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        const char *a = pixel_at(&call->in[0], at), *b = two ? pixel_at(&call->in[1], at) : NULL;
        if (two)
            for (EACH_VECTOR(i, left, channels))
                v_store(row + i, real_read(a + i * plan->in[0].size, plan->in[0], left) +
                                     real_read(b + i * plan->in[1].size, plan->in[1], left));
        else
            for (EACH_VECTOR(i, left, channels))
                v_store(row + i, real_read(a + i * plan->in[0].size, plan->in[0], left));
        normalise(&call->problem->attr.norm, row, plan->weight, plan->bias, channels, pixel_at(out, at), plan->out);
    }
}

// sigmoid(first half of in[0]) * in[1] + sigmoid(second half) * in[2].
CF_INLINE void gate_pixels(const cf_call *call, const cf_team *team, const norm_plan *plan, int channels) {
    const cf_tensor *out = &call->out[0];
    float row[ROW_MOST];
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        const char *g1 = pixel_at(&call->in[0], at), *g2 = g1 + (long)channels * plan->in[0].size;
        const char *a = pixel_at(&call->in[1], at), *b = pixel_at(&call->in[2], at);
        for (EACH_VECTOR(i, left, channels)) {
            v_f32 first = real_read(g1 + i * plan->in[0].size, plan->in[0], left);
            v_f32 second = real_read(g2 + i * plan->in[0].size, plan->in[0], left);
            int exact = plan->out.dtype == CF_F32;
            first = exact ? v_sigmoid(first) : v_sigmoid_rounded(first);
            second = exact ? v_sigmoid(second) : v_sigmoid_rounded(second);
            first = first * real_read(a + i * plan->in[1].size, plan->in[1], left);
            v_store(row + i, v_fma(second, real_read(b + i * plan->in[2].size, plan->in[2], left), first));
        }
        normalise(&call->problem->attr.norm, row, plan->weight, plan->bias, channels, pixel_at(out, at), plan->out);
    }
}

// 1 if all tensors are stored as dtype.
static int norm_is_all(const cf_call *call, cf_dtype dtype) {
    for (int i = 0; i < call->problem->inputs; i++)
        if (call->in[i].dtype != dtype) return 0;
    return call->out[0].dtype == dtype;
}

// The usual widths and formats apart, so that the loops above unroll.
#define NORM_RUN(name, pixels)                                                                                         \
    CF_INLINE int name##_in(const cf_call *call, const cf_team *team, const norm_plan *plan, real_format format) {     \
        const norm_plan same = {plan->weight, plan->bias, {format, format, format}, format};                           \
        int channels = call->out[0].c;                                                                                 \
        if (!norm_is_all(call, format.dtype) || channels % V_LANES) return 0;                                          \
        if (channels == 128)                                                                                           \
            pixels(call, team, &same, 128);                                                                            \
        else if (channels == 256)                                                                                      \
            pixels(call, team, &same, 256);                                                                            \
        else                                                                                                           \
            pixels(call, team, &same, channels / V_LANES * V_LANES);                                                   \
        return 1;                                                                                                      \
    }                                                                                                                  \
    static void name(const cf_call *call, const cf_team *team) {                                                       \
        norm_plan plan = norm_plan_of(call);                                                                           \
        if (!name##_in(call, team, &plan, REAL_F32) && !name##_in(call, team, &plan, REAL_BF16) &&                     \
            !name##_in(call, team, &plan, REAL_F16))                                                                   \
            pixels(call, team, &plan, call->out[0].c);                                                                 \
    }
NORM_RUN(norm_run, norm_pixels)
NORM_RUN(gate_run, gate_pixels)

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
