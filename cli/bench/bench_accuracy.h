// SPDX-License-Identifier: Apache-2.0
// Accuracy of rows: COCO AP over annotated pictures, whoever runs the network.
#ifndef CLI_BENCH_ACCURACY_H
#define CLI_BENCH_ACCURACY_H

#include "bench.h"

// Measures ap and ap50 of every row that can run; rows that differ in batch or scope alone share one measurement.
// Other engines get the pixels that cfine prepares, and their outputs become detections as cfine's do, so that a
// difference comes from the network. A peer that fails here keeps its times, and its note says why. Pictures that
// cannot be read are an error: the rows would be of other data. Ends with CFINE_OK where bench_stopped.
cfine_status bench_measure_accuracy(bench_row *rows, int count, const cli_model_args *model, const char *data,
                                    const char *images, cfine_error *error);

#endif
