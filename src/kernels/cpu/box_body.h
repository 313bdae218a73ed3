// SPDX-License-Identifier: Apache-2.0
// shift_box, refine, quality. Included once per instruction set.
#include "kernels/cpu/rows.h"
#include "kernels/ref/ref.h"

enum { BINS_MOST = 64 };

static void shift_box_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *delta = &call->in[0], *box = &call->in[1], *out = &call->out[0];
    real_format fd = real_format_of(delta), fb = real_format_of(box), fo = real_format_of(out);
    v_f32 least = v_set(1e-5f), one = v_set(1);
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        v_f32 x = v_min(v_max(real_read(pixel_at(box, at), fb, 4), v_zero()), one);
        v_f32 logit = v_log(v_max(x, least) / v_max(one - x, least));
        real_write(pixel_at(out, at), fo, v_sigmoid(real_read(pixel_at(delta, at), fd, 4) + logit), 4);
    }
}

// The greatest of `bins` logits in all lanes.
static inline v_f32 greatest_logit(const float *logits, int bins) {
    v_f32 most = v_set(-INFINITY);
    for (EACH_VECTOR(i, left, bins)) most = v_max(v_choose(v_first(left), v_load(logits + i), most), most);
    return v_set(v_most(most));
}

// sum(softmax(logits) * project)
static float expected_distance(const float *logits, const float *project, int bins) {
    v_f32 most = greatest_logit(logits, bins), total = v_zero(), sum = v_zero();
    for (EACH_VECTOR(i, left, bins)) {
        v_f32 weight = v_choose(v_first(left), v_exp(v_load(logits + i) - most), v_zero());
        total = total + weight;
        sum = v_fma(weight, v_load_n(project + i, left), sum);
    }
    return v_sum(sum) / v_sum(total);
}

static void refine_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *corners = &call->in[0], *boxes = &call->in[1], *out = &call->out[0];
    real_format fc = real_format_of(corners), fb = real_format_of(boxes), fo = real_format_of(out);
    const float *project = cf_constant_at(call, 0);
    int bins = call->problem->attr.refine.bins;
    float scale = fabsf(call->problem->attr.refine.reg_scale), logits[4 * BINS_MOST + V_LANES], box[V_LANES];
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (int i = 0; i < V_LANES; i++) logits[4 * bins + i] = 0; // read behind the last side, then dropped
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        float side[4], result[V_LANES] = {0};
        row_to_f32(logits, pixel_at(corners, at), fc, 4 * bins);
        row_to_f32(box, pixel_at(boxes, at), fb, 4);
        for (int c = 0; c < 4; c++) {
            float distance = expected_distance(logits + c * bins, project, bins);
            float reach = (0.5f * scale + distance) * (box[2 + c % 2] / scale);
            side[c] = c < 2 ? box[c] - reach : box[c - 2] + reach;
        }
        for (int c = 0; c < 2; c++) {
            result[c] = (side[c] + side[c + 2]) * 0.5f;
            result[c + 2] = side[c + 2] - side[c];
        }
        row_from_f32(pixel_at(out, at), fo, result, 4);
    }
}

// One side: the `top` greatest probabilities and their mean. Each round takes the greatest of what is left, as often as
// it occurs.
static void side_quality(const float *logits, int bins, int top, float *result) {
    v_f32 value[BINS_MOST / V_LANES], most = greatest_logit(logits, bins), total = v_zero();
    int vectors = (bins + V_LANES - 1) / V_LANES, taken = 0;
    float sum = 0;
    for (int i = 0; i < vectors; i++) {
        int left = bins - i * V_LANES < V_LANES ? bins - i * V_LANES : V_LANES;
        v_f32 weight = v_exp(v_load(logits + i * V_LANES) - most);
        value[i] = v_choose(v_first(left), weight, v_set(-1)); // below any probability
        total = total + v_choose(v_first(left), weight, v_zero());
    }
    float factor = 1 / v_sum(total);
    while (taken < top) {
        v_f32 best = value[0];
        int times = 0;
        for (int i = 1; i < vectors; i++) best = v_max(best, value[i]);
        best = v_set(v_most(best));
        for (int i = 0; i < vectors; i++) {
            v_truth equal = v_at_least(value[i], best);
            times += v_count(equal);
            value[i] = v_choose(equal, v_set(-1), value[i]);
        }
        float lanes[V_LANES];
        v_store(lanes, best);
        if (times == 0) times = top; // NaN: every round would find nothing
        for (; times > 0 && taken < top; times--) sum += result[taken++] = lanes[0] * factor;
    }
    result[top] = sum / (float)top;
}

static void quality_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *corners = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(corners), to = real_format_of(out);
    int bins = call->problem->attr.quality.bins, top = call->problem->attr.quality.top;
    float logits[4 * BINS_MOST + V_LANES], result[4 * (BINS_MOST + 1) + V_LANES] = {0};
    long begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (int i = 0; i < V_LANES; i++) logits[4 * bins + i] = 0;
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        row_to_f32(logits, pixel_at(corners, at), from, 4 * bins);
        for (int side = 0; side < 4; side++) side_quality(logits + side * bins, bins, top, result + side * (top + 1));
        row_from_f32(pixel_at(out, at), to, result, 4 * (top + 1));
    }
}

static const char *refine_refuse(const cf_problem *problem) {
    if (problem->attr.refine.bins > BINS_MOST) return "more bins than the buffer holds";
    return refuse_wide_or_whole(problem);
}

static const char *quality_refuse(const cf_problem *problem) {
    if (problem->attr.quality.bins > BINS_MOST) return "more bins than the buffer holds";
    return refuse_wide_or_whole(problem);
}

const cf_kernel V_ISA(cf_shift_box) = {.name = "shift_box_" V_ISA_NAME,
                                       .op = CF_OP_SHIFT_BOX,
                                       .cpu = V_CPU,
                                       .refuse = refuse_wide_or_whole,
                                       .run = shift_box_run};
const cf_kernel V_ISA(cf_refine) = {.name = "refine_" V_ISA_NAME,
                                    .op = CF_OP_REFINE,
                                    .cpu = V_CPU,
                                    .refuse = refine_refuse,
                                    .packed_size = cf_constants_size,
                                    .pack = cf_constants_pack,
                                    .run = refine_run};
const cf_kernel V_ISA(cf_quality) = {
    .name = "quality_" V_ISA_NAME, .op = CF_OP_QUALITY, .cpu = V_CPU, .refuse = quality_refuse, .run = quality_run};
