// SPDX-License-Identifier: Apache-2.0
// What the hosts of the matrix kernels fed by all threads share: a tile of cuda/conv_tiles.h, its launch and its price.
#ifndef CF_CUDA_CONV_TILE_CUDA_H
#define CF_CUDA_CONV_TILE_CUDA_H

#include "cuda/conv_cuda.h"

typedef struct cf_conv_tile {
    const char *function;
    int rows, columns, threads, stages, splits, blocks;
    int rate; // products that a multiprocessor forms in a cycle
} cf_conv_tile;

// Launches it; `conv` is the part of `args` that all types have, its columns are set.
void cf_conv_tile_launch(cf_cuda_queue *queue, const cf_conv_tile *tile, cf_conv_args *conv, const void *args);

// Cycles, roughly: blocks that share a multiprocessor share its tensor cores and its way to the L2 cache; alone, a
// block waits for the latency of each step.
double cf_conv_tile_estimate(const cf_problem *problem, const cf_conv_tile *tile);

#endif
