// SPDX-License-Identifier: Apache-2.0
#include "quant/range.h"

#include <math.h>
#include <string.h>

enum { BINS = CF_HISTOGRAM_BINS, LEVELS = 256, TRIES = 64 };

static const double OUTSIDE = 1e-4; // share of the values that percentile leaves out on each side

// Doubles the reach: bins -2048..2047 around zero become the inner half.
static void widen(cf_histogram *h) {
    int64_t joined[BINS] = {0};
    for (int i = 0; i < BINS; i++) joined[BINS / 4 + i / 2] += h->bins[i];
    memcpy(h->bins, joined, sizeof joined);
    h->reach *= 2;
}

void cf_histogram_add(cf_histogram *h, const float *values, int32_t count) {
    float low = h->low, high = h->high;
    for (int32_t i = 0; i < count; i++) {
        if (values[i] < low && values[i] >= -3e38f) low = values[i];
        if (values[i] > high && values[i] <= 3e38f) high = values[i];
    }
    h->low = low;
    h->high = high;
    double most = fmax(-(double)low, (double)high);
    if (most > 0 && h->reach <= 0) h->reach = most * 1.0001;
    while (h->reach > 0 && most >= h->reach * 0.9999) widen(h);
    float scale = h->reach > 0 ? (float)(BINS / 2 / h->reach) : 0; // all zeros so far: the bin right of zero
    for (int32_t i = 0; i < count; i++) {
        float at = values[i] * scale + BINS / 2;
        if (!(at >= 0 && at < BINS)) continue;
        h->bins[(int)at]++;
        h->total++;
    }
}

static double left_edge(const cf_histogram *h, int bin) {
    return (bin - BINS / 2) * h->reach / (BINS / 2);
}

// Bins first..last hold all that was seen.
static void used_bins(const cf_histogram *h, int *first, int *last) {
    *first = 0;
    *last = BINS - 1;
    while (*first < BINS - 1 && !h->bins[*first]) ++*first;
    while (*last > 0 && !h->bins[*last]) --*last;
}

// What lies beyond the outermost bins of a choice is exact where the choice is all that was seen.
static void edges(const cf_histogram *h, int first, int last, int from, int to, float *low, float *high) {
    *low = from <= first ? h->low : (float)left_edge(h, from);
    *high = to >= last ? h->high : (float)left_edge(h, to + 1);
}

static void percentile(const cf_histogram *h, int *from, int *to) {
    int64_t left = (int64_t)((double)h->total * OUTSIDE), right = left;
    while (*from < *to && h->bins[*from] <= left) left -= h->bins[(*from)++];
    while (*to > *from && h->bins[*to] <= right) right -= h->bins[(*to)--];
}

// Squared error of storing the histogram in LEVELS steps from bin `from` to `to`: a step's width squared over twelve
// for what lies inside, the distance squared for what lies outside. The outermost bin on the left is exact when nothing
// is cut off there: behind a ReLU it holds one number.
static double squared_error(const cf_histogram *h, int first, int last, int from, int to) {
    double width = h->reach / (BINS / 2), step = (to + 1 - from) * width / (LEVELS - 1), error = 0, inside = 0;
    for (int i = first; i <= last; i++) {
        double count = (double)h->bins[i];
        double beyond = i < from ? (from - i) * width : i > to ? (i - to) * width : 0;
        if (beyond > 0)
            error += count * beyond * beyond;
        else if (i > first)
            inside += count;
    }
    return error + inside * step * step / 12;
}

// Kullback-Leibler divergence of the histogram, its tails put into the outermost bins, from itself in LEVELS steps.
static double divergence(const cf_histogram *h, int first, int last, int from, int to) {
    double sum = 0, total = (double)h->total;
    int bins = to + 1 - from;
    double below = 0, above = 0;
    for (int i = first; i < from; i++) below += (double)h->bins[i];
    for (int i = to + 1; i <= last; i++) above += (double)h->bins[i];
    for (int level = 0; level < LEVELS; level++) {
        int begin = from + bins * level / LEVELS, end = from + bins * (level + 1) / LEVELS, nonzero = 0;
        double mass = 0;
        for (int i = begin; i < end; i++) mass += (double)h->bins[i], nonzero += h->bins[i] > 0;
        for (int i = begin; i < end; i++) {
            double p = (double)h->bins[i] + (i == from ? below : 0) + (i == to ? above : 0);
            double q = nonzero && h->bins[i] ? mass / nonzero : 0;
            if (p > 0) sum += p / total * log(p / fmax(q, 1e-3));
        }
    }
    return sum;
}

// The cheapest of TRIES ends on the right, then of TRIES beginnings on the left; ends never cross zero.
static void search(const cf_histogram *h, double (*cost)(const cf_histogram *, int, int, int, int), int *from,
                   int *to) {
    int first = *from, last = *to, zero = BINS / 2;
    int right = last > zero ? last - zero : 0, left = first < zero ? zero - first : 0;
    double least = cost(h, first, last, first, last);
    for (int side = 0; side < 2; side++)
        for (int i = 1; i < TRIES; i++) {
            int begin = side ? zero - left * i / TRIES : *from, end = side ? *to : zero + right * i / TRIES;
            if ((side ? left : right) < TRIES || end - begin + 1 < LEVELS / 4) continue;
            double error = cost(h, first, last, begin, end);
            if (error >= least) continue;
            least = error;
            *from = begin;
            *to = end;
        }
}

void cf_histogram_range(const cf_histogram *h, cf_range_method method, float *low, float *high) {
    *low = h->low;
    *high = h->high;
    if (h->reach <= 0 || h->total == 0) return;
    int first, last;
    used_bins(h, &first, &last);
    int from = first, to = last;
    if (method == CF_RANGE_PERCENTILE) percentile(h, &from, &to);
    if (method == CF_RANGE_ENTROPY) search(h, divergence, &from, &to);
    if (method == CF_RANGE_MSE) search(h, squared_error, &from, &to);
    edges(h, first, last, from, to, low, high);
}
