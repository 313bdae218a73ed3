// SPDX-License-Identifier: Apache-2.0
// Rows that other engines run: ONNX Runtime and OpenVINO through their C libraries (bench_native.c), PyTorch in a
// Python process of its own (bench_python.c). Both get what this file keeps for them: the model, and its exported
// networks.
#ifndef CLI_BENCH_PEER_H
#define CLI_BENCH_PEER_H

#include "bench.h"
#include "bench_folder.h"
#include "bench_helper.h"
#include "inputs.h"

typedef struct bench_peers {
    bench_helper *helper;
    const cli_model_args *model;
    const cli_inputs *calibration;      // pictures for engines that calibrate an int8 model themselves (may be empty)
    const char *onnxruntime, *openvino; // files of these libraries that the user named; NULL: none
    double patience;                    // seconds that a row of the Python process may take to get ready
    bench_folder folder;                // of exported networks, made when first needed
    cfine_model *opened;
    cfine_model_info info;
    int width, height; // of the network's input, once it is opened
    char nncf[64];     // its version, once it has quantised
} bench_peers;

// Makes peers->helper; the other fields up to `patience` are the caller's.
void bench_peers_start(bench_peers *peers, const char *python);
// Ends the process and removes the folder. Rows must be closed by then.
void bench_peers_end(bench_peers *peers);

// Opens a row on its engine. An engine that is missing is no failure: row->note says how to get it, row->runner stays
// NULL, and the status is CFINE_OK.
cfine_status bench_peer_open(bench_peers *peers, bench_row *row, cfine_error *error);

// A file in the folder, to be freed; NULL: no folder can be made.
char *bench_peer_file(bench_peers *peers, const char *name, cfine_error *error);
// The model as an ONNX file for this row: written once a number of queries. To be freed; NULL: it cannot be written.
char *bench_peer_export(bench_peers *peers, const bench_row *row, cfine_error *error);

// As bench_peer_open, by the two kinds of peers: CFINE_ERROR_NOT_FOUND where the engine is missing or refuses the row.
cfine_status bench_python_open(bench_peers *peers, bench_row *row, cfine_error *error);
cfine_status bench_native_open(bench_peers *peers, bench_row *row, cfine_error *error);

#endif
