// SPDX-License-Identifier: Apache-2.0
// Rows that other engines run, in a Python process of their own (scripts/peers.py, carried within the program).
#ifndef CLI_BENCH_PEER_H
#define CLI_BENCH_PEER_H

#include "bench.h"

typedef struct bench_peers bench_peers;

// The process is started by the first row; `python` is its interpreter.
bench_peers *bench_peers_create(const char *python, const cli_model_args *model);

// Opens a row on its engine. An engine that is missing is no failure: row->note says how to get it, row->runner stays
// NULL, and the status is CFINE_OK.
cfine_status bench_peer_open(bench_peers *peers, bench_row *row, cfine_error *error);

// Ends the process. Rows must be closed by then.
void bench_peers_destroy(bench_peers *peers);

#endif
