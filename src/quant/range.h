// SPDX-License-Identifier: Apache-2.0
// Histograms of values, and the range that each method reads from one.
#ifndef CF_QUANT_RANGE_H
#define CF_QUANT_RANGE_H

#include "quant/calibration.h"

enum { CF_HISTOGRAM_BINS = 4096 };

// Counts of values between -reach and reach. When one lies beyond, the reach doubles and bins join in pairs, so one
// pass over the images is enough and at least a quarter of the bins is used.
typedef struct cf_histogram {
    double reach; // 0: nothing seen but zeros
    float low, high;
    int64_t total;
    int64_t bins[CF_HISTOGRAM_BINS];
} cf_histogram;

// Adds values; those that are not finite are left out.
void cf_histogram_add(cf_histogram *histogram, const float *values, int32_t count);

// The range [low, high] of a histogram: all of it; without the outermost 0.01 % on each side; where the distribution
// in 256 steps differs least from what it was (Kullback-Leibler); or where the squared error of storing it in 256 steps
// is least.
void cf_histogram_range(const cf_histogram *histogram, cf_range_method method, float *low, float *high);

#endif
