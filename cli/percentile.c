// SPDX-License-Identifier: Apache-2.0
#include "percentile.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void cli_sort(double *values, int count) {
    if (count) qsort(values, (size_t)count, sizeof *values, compare);
}

double cli_percentile(const double *sorted, int count, double share) {
    double place = share * (count - 1);
    int below = (int)place;
    if (below + 1 >= count) return sorted[count - 1];
    return sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]);
}
