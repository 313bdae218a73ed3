// SPDX-License-Identifier: Apache-2.0
// Rows that other engines run, in a Python process of their own (scripts/peers.py, carried within the program).
#ifndef CLI_BENCH_PEER_H
#define CLI_BENCH_PEER_H

#include "bench.h"
#include "inputs.h"

typedef struct bench_peers bench_peers;

// The process is started by the first row; `python` is its interpreter. calibration: pictures for engines that
// calibrate an int8 model themselves (may be empty).
bench_peers *bench_peers_create(const char *python, const cli_model_args *model, const cli_inputs *calibration);

// Opens a row on its engine. An engine that is missing is no failure: row->note says how to get it, row->runner stays
// NULL, and the status is CFINE_OK.
cfine_status bench_peer_open(bench_peers *peers, bench_row *row, cfine_error *error);

// Runs pixels [batch, 3, height, width] of a row to logits [batch, queries, labels] and boxes [batch, queries, 4], both
// allocated here: free(*logits) frees both. Fails where the engine gives other numbers of queries and labels.
cfine_status bench_peer_infer(const bench_row *row, const float *pixels, size_t pixel_count, int queries, int labels,
                              float **logits, float **boxes, cfine_error *error);

// Ends the process. Rows must be closed by then.
void bench_peers_destroy(bench_peers *peers);

#endif
