// SPDX-License-Identifier: Apache-2.0
// Running GPU kernels on the checker's cases: buffers go to the GPU, the kernel runs there, and all of them come back,
// so that the same canaries and comparisons hold.
#ifndef CF_CHECKOPS_DEVICE_H
#define CF_CHECKOPS_DEVICE_H

#include "checkops/checkops.h"
#include "cuda/queue.h"

typedef struct check_block {
    void *host;
    size_t bytes;
    void *device; // set by check_device_run
} check_block;

// Opens the GPU, or says why there is none and ends the program with the status that means skipped.
const cf_cuda_device *check_device_open(int ordinal);

// Copies the call's blocks (inputs, output, packed constants, scratch) to the GPU, launches the kernel and copies them
// back. Returns 0 and prints the reason if the GPU failed. repeats > 0: afterwards launches it that often once more and
// sets *milliseconds to the mean time of one launch.
int check_device_run(const cf_kernel *kernel, const cf_call *call, check_block *blocks, int count, int repeats,
                     double *milliseconds);

#endif
