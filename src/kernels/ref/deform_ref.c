// SPDX-License-Identifier: Apache-2.0
// Multi-scale deformable sampling (cf_deform_attr) as defined.
//
// offsets [Q, heads*points*2] (x, y), weights [Q, heads*points] before softmax, boxes [Q,4] (centre, size; fractions of
// the image), memory [T,d]: the maps of all levels one after another. Points of a head are ordered by level. Head i
// samples and writes channels i*d/heads .. of memory and out [Q,d].
#include "kernels/ref/ref.h"

#include <math.h>

// The value of the level's map at pixel (y, x), zero outside. start: the level's first token.
static double pixel_at(const cf_call *call, int n, int level, int start, double y, double x, int c) {
    const cf_deform_attr *attr = &call->problem->attr.deform;
    if (!(y >= 0 && y < attr->height[level] && x >= 0 && x < attr->width[level])) return 0;
    return (double)cf_ref_row(&call->in[3], n, start + (int)y * attr->width[level] + (int)x, c);
}

// The value of a level's map at (y, x), in fractions of the map.
static double sample(const cf_call *call, int n, int level, int start, double y, double x, int c) {
    const cf_deform_attr *attr = &call->problem->attr.deform;
    int height = attr->height[level], width = attr->width[level];
    if (attr->discrete) {
        double py = trunc(y * height + 0.5), px = trunc(x * width + 0.5);
        return pixel_at(call, n, level, start, fmin(fmax(py, 0), height - 1), fmin(fmax(px, 0), width - 1), c);
    }
    double py = y * height - 0.5, px = x * width - 0.5, top = floor(py), left = floor(px);
    if (!isfinite(py) || !isfinite(px)) return 0;
    double down = py - top, right = px - left;
    return (1 - down) * (1 - right) * pixel_at(call, n, level, start, top, left, c) +
           (1 - down) * right * pixel_at(call, n, level, start, top, left + 1, c) +
           down * (1 - right) * pixel_at(call, n, level, start, top + 1, left, c) +
           down * right * pixel_at(call, n, level, start, top + 1, left + 1, c);
}

static int points_of(const cf_deform_attr *attr) {
    int points = 0;
    for (int level = 0; level < attr->levels; level++) points += attr->points[level];
    return points;
}

// Channel c of row (y, x); first_point numbers the first point of the channel's head among all points of the row.
static double one_channel(const cf_call *call, int n, int y, int x, int first_point, int c) {
    const cf_deform_attr *attr = &call->problem->attr.deform;
    int points = points_of(attr), row = y * call->out[0].w + x;
    double box[4], most = -INFINITY, total = 0, sum = 0;
    for (int i = 0; i < 4; i++) box[i] = (double)cf_ref_row(&call->in[2], n, row, i);
    for (int p = 0; p < points; p++) most = fmax(most, (double)cf_ref_row(&call->in[1], n, row, first_point + p));
    for (int level = 0, p = first_point, start = 0; level < attr->levels; level++) {
        double unit = (double)attr->offset_scale / attr->points[level];
        for (int i = 0; i < attr->points[level]; i++, p++) {
            double weight = exp((double)cf_ref_row(&call->in[1], n, row, p) - most);
            double px = box[0] + (double)cf_ref_row(&call->in[0], n, row, 2 * p) * unit * box[2];
            double py = box[1] + (double)cf_ref_row(&call->in[0], n, row, 2 * p + 1) * unit * box[3];
            total += weight;
            sum += weight * sample(call, n, level, start, py, px, c);
        }
        start += attr->height[level] * attr->width[level];
    }
    return sum / total;
}

static void deform_pixel(const cf_call *call, int n, int y, int x) {
    const cf_deform_attr *attr = &call->problem->attr.deform;
    int size = call->out[0].c / attr->heads, points = points_of(attr);
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, (float)one_channel(call, n, y, x, c / size * points, c));
}

static void deform_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, deform_pixel);
}

CF_REF_KERNEL(cf_deform_ref, DEFORM, "deform_ref", deform_run);
