// SPDX-License-Identifier: Apache-2.0
// Percentiles of measured values.
#ifndef CLI_PERCENTILE_H
#define CLI_PERCENTILE_H

// Sorts from the least to the greatest.
void cli_sort(double *values, int count);

// The value below which `share` (0..1) of at least one sorted values lie; between neighbours a straight line, as numpy.
double cli_percentile(const double *sorted, int count, double share);

#endif
