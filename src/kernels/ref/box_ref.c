// SPDX-License-Identifier: Apache-2.0
// Boxes and the distributions of their sides: shift_box, refine, quality. A box is centre x, centre y, width, height in
// fractions of the image; sides are ordered left, top, right, bottom.
#include "kernels/ref/ref.h"

#include <math.h>

// log(x / (1 - x)) with both parts kept at 1e-5 or more
static double inverse_sigmoid(double x) {
    x = fmin(fmax(x, 0), 1);
    return log(fmax(x, 1e-5) / fmax(1 - x, 1e-5));
}

// out = sigmoid(delta + inverse_sigmoid(box)), all [Q,4]
static void shift_box_pixel(const cf_call *call, int n, int y, int x) {
    for (int c = 0; c < 4; c++) {
        double at = (double)cf_tensor_get(&call->in[0], n, y, x, c) +
                    inverse_sigmoid((double)cf_tensor_get(&call->in[1], n, y, x, c));
        cf_tensor_set(&call->out[0], n, y, x, c, (float)(1 / (1 + exp(-at))));
    }
}

static void shift_box_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, shift_box_pixel);
}

// The greatest of the `bins` logits from channel `first` on, and the sum of exp(logit - greatest).
static void softmax_parts(const cf_call *call, int n, int y, int x, int first, int bins, double *most, double *total) {
    *most = -INFINITY;
    *total = 0;
    for (int i = 0; i < bins; i++) *most = fmax(*most, (double)cf_tensor_get(&call->in[0], n, y, x, first + i));
    for (int i = 0; i < bins; i++) *total += exp((double)cf_tensor_get(&call->in[0], n, y, x, first + i) - *most);
}

// corners [Q,4*bins], box [Q,4], project [bins]: see cf_refine_attr
static void refine_pixel(const cf_call *call, int n, int y, int x) {
    const cf_refine_attr *attr = &call->problem->attr.refine;
    const float *project = cf_constant_at(call, 0);
    double box[4], side[4], scale = fabs((double)attr->reg_scale);
    for (int c = 0; c < 4; c++) box[c] = (double)cf_tensor_get(&call->in[1], n, y, x, c);
    for (int c = 0; c < 4; c++) {
        double most, total, distance = 0;
        softmax_parts(call, n, y, x, c * attr->bins, attr->bins, &most, &total);
        for (int i = 0; i < attr->bins; i++)
            distance += exp((double)cf_tensor_get(&call->in[0], n, y, x, c * attr->bins + i) - most) / total *
                        (double)project[i];
        double reach = (0.5 * scale + distance) * (box[2 + c % 2] / scale);
        side[c] = c < 2 ? box[c] - reach : box[c - 2] + reach;
    }
    for (int c = 0; c < 2; c++) {
        cf_tensor_set(&call->out[0], n, y, x, c, (float)((side[c] + side[c + 2]) / 2));
        cf_tensor_set(&call->out[0], n, y, x, c + 2, (float)(side[c + 2] - side[c]));
    }
}

static void refine_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, refine_pixel);
}

// corners [Q,4*bins] -> [Q,4*(top+1)]: per side the `top` greatest probabilities, descending, then their mean. Each
// step takes the greatest of the logits that come after the one taken before, equal ones in order of their index.
static void quality_pixel(const cf_call *call, int n, int y, int x) {
    int bins = call->problem->attr.quality.bins, top = call->problem->attr.quality.top;
    for (int side = 0; side < 4; side++) {
        double most, total, sum = 0, last = INFINITY;
        int last_index = -1;
        softmax_parts(call, n, y, x, side * bins, bins, &most, &total);
        for (int k = 0; k < top; k++) {
            double best = -INFINITY;
            int best_index = -1;
            for (int i = 0; i < bins; i++) {
                double logit = (double)cf_tensor_get(&call->in[0], n, y, x, side * bins + i);
                if ((logit < last || (logit == last && i > last_index)) && (best_index < 0 || logit > best)) {
                    best = logit;
                    best_index = i;
                }
            }
            last = best;
            last_index = best_index;
            sum += exp(best - most) / total;
            cf_tensor_set(&call->out[0], n, y, x, side * (top + 1) + k, (float)(exp(best - most) / total));
        }
        cf_tensor_set(&call->out[0], n, y, x, side * (top + 1) + top, (float)(sum / top));
    }
}

static void quality_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, quality_pixel);
}

CF_REF_KERNEL(cf_shift_box_ref, SHIFT_BOX, "shift_box_ref", shift_box_run);
CF_REF_KERNEL(cf_refine_ref, REFINE, "refine_ref", refine_run);
CF_REF_KERNEL(cf_quality_ref, QUALITY, "quality_ref", quality_run);
