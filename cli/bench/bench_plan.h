// SPDX-License-Identifier: Apache-2.0
// Which rows there are: every combination of the lists, or the sections of the table that people compare.
#ifndef CLI_BENCH_PLAN_H
#define CLI_BENCH_PLAN_H

#include "bench.h"
#include "bench_lists.h"

enum { BENCH_MOST_ROWS = 512 };

typedef struct bench_lists {
    bench_list engines, scopes, precisions, batches, queries;
    cli_texts calibrations; // an int8 row of cfine for each; none: one row without
} bench_lists;

// Appends a row for every combination to rows [BENCH_MOST_ROWS], all else as in `like`. Returns 0 when they do not fit.
int bench_plan_lists(const bench_lists *lists, const char *section, const bench_row *like, bench_row *rows, int *count);

// Appends the sections: engines and precisions at batch 1, then batches, queries and calibrations of cfine. queries:
// those of the checkpoint. calibrated: 1 if there are pictures for peers to calibrate with. gpu: 1 for the engines of
// an NVIDIA GPU.
int bench_plan_table(const cli_texts *calibrations, int queries, int calibrated, int gpu, const bench_row *like,
                     bench_row *rows, int *count);

#endif
