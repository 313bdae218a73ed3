// SPDX-License-Identifier: Apache-2.0
// The tile sizes of the matrix convolutions, once for the kernels and once for the list that the plan chooses from.
//
// X(Y, instruction, rows, columns, warps down, warps across, stages, splits, blocks): a block makes rows x columns
// outputs (pixels x channels); `splits` blocks of a cluster share the terms of one tile; `blocks` fit on a
// multiprocessor. Y is the caller's.
#ifndef CF_CUDA_CONV_TILES_H
#define CF_CUDA_CONV_TILES_H

// mma, all chips that we compile for; at most 64 KB of shared memory.
#define CF_CONV_MMA_TILES(X, Y)                                                                                        \
    X(Y, mma, 64, 64, 2, 2, 4, 1, 3)                                                                                   \
    X(Y, mma, 128, 32, 4, 1, 3, 1, 3)                                                                                  \
    X(Y, mma, 128, 16, 4, 1, 3, 1, 4)                                                                                  \
    X(Y, mma, 64, 32, 2, 2, 5, 1, 3)                                                                                   \
    X(Y, mma, 32, 64, 2, 2, 5, 1, 3)                                                                                   \
    X(Y, mma, 32, 32, 2, 2, 7, 1, 3)

// mma, with more shared memory: compute capability 8.0 and up.
#define CF_CONV_MMA_WIDE_TILES(X, Y)                                                                                   \
    X(Y, mma, 128, 128, 2, 4, 3, 1, 2)                                                                                 \
    X(Y, mma, 128, 64, 4, 2, 4, 1, 2)                                                                                  \
    X(Y, mma, 128, 96, 4, 2, 3, 1, 2)                                                                                  \
    X(Y, mma, 256, 64, 4, 2, 2, 1, 2)

// mma of FP32 by three products of TF32: compute capability 8.0 and up.
#define CF_CONV_MMA_FP32_TILES(X, Y)                                                                                   \
    X(Y, mma, 128, 128, 4, 4, 3, 1, 1)                                                                                 \
    X(Y, mma, 128, 64, 4, 2, 3, 1, 2)                                                                                  \
    X(Y, mma, 64, 64, 2, 2, 4, 1, 3)                                                                                   \
    X(Y, mma, 128, 32, 4, 1, 3, 1, 3)                                                                                  \
    X(Y, mma, 64, 32, 2, 2, 5, 1, 3)                                                                                   \
    X(Y, mma, 32, 32, 2, 2, 7, 1, 3)

// mma on clusters: compute capability 9.0 and up.
#define CF_CONV_MMA_SPLIT_TILES(X, Y)                                                                                  \
    X(Y, mma, 64, 64, 2, 2, 4, 2, 3)                                                                                   \
    X(Y, mma, 64, 64, 2, 2, 4, 4, 3)                                                                                   \
    X(Y, mma, 32, 64, 2, 2, 5, 2, 3)                                                                                   \
    X(Y, mma, 32, 64, 2, 2, 5, 4, 3)                                                                                   \
    X(Y, mma, 32, 32, 2, 2, 7, 2, 3)                                                                                   \
    X(Y, mma, 32, 32, 2, 2, 7, 4, 3)                                                                                   \
    X(Y, mma, 32, 32, 2, 2, 7, 8, 3)

// wgmma, for what the copy engine's tiles refuse: compute capability 9.0 only.
#define CF_CONV_WGMMA_TILES(X, Y)                                                                                      \
    X(Y, wgmma, 64, 64, 4, 1, 6, 1, 2)                                                                                 \
    X(Y, wgmma, 64, 128, 4, 1, 4, 1, 2)                                                                                \
    X(Y, wgmma, 128, 128, 8, 1, 3, 1, 2)                                                                               \
    X(Y, wgmma, 128, 256, 8, 1, 4, 1, 1)                                                                               \
    X(Y, wgmma, 64, 64, 4, 1, 6, 2, 2)

// wgmma with operands brought by the copy engine, compute capability 9.0 only:
// X(Y, way, rows, columns, groups, stages, slots): warp groups take turns (way turns) or share each tile (way share);
// `slots` pieces of 16 pixels x 64 or 32 channels wait for being stored, of each warp.
#define CF_CONV_TMA_TILES(X, Y)                                                                                        \
    X(Y, turns, 128, 64, 2, 6, 2)                                                                                      \
    X(Y, turns, 128, 128, 2, 5, 2)                                                                                     \
    X(Y, turns, 64, 192, 2, 5, 3)                                                                                      \
    X(Y, turns, 64, 64, 2, 8, 2)                                                                                       \
    X(Y, turns, 128, 192, 2, 4, 3)                                                                                     \
    X(Y, turns, 64, 128, 3, 6, 2)                                                                                      \
    X(Y, turns, 128, 32, 2, 8, 4)                                                                                      \
    X(Y, turns, 256, 64, 2, 4, 4)                                                                                      \
    X(Y, share, 128, 192, 2, 4, 3)                                                                                     \
    X(Y, share, 128, 256, 2, 4, 2)

// The same of bytes, X(Y, way, terms of a step, rows, columns, groups, stages, slots): steps of 64 where the channels
// do not fill 128.
#define CF_CONV_TMA_INT8_TILES(X, Y)                                                                                   \
    X(Y, turns, 128, 128, 128, 2, 5, 2)                                                                                \
    X(Y, turns, 128, 128, 192, 2, 4, 3)                                                                                \
    X(Y, turns, 128, 64, 192, 2, 5, 3)                                                                                 \
    X(Y, turns, 128, 64, 128, 3, 6, 2)                                                                                 \
    X(Y, turns, 128, 128, 64, 2, 6, 2)                                                                                 \
    X(Y, turns, 128, 64, 64, 2, 8, 2)                                                                                  \
    X(Y, share, 128, 128, 192, 2, 4, 3)                                                                                \
    X(Y, share, 128, 128, 256, 2, 4, 2)                                                                                \
    X(Y, turns, 64, 128, 192, 2, 8, 3)                                                                                 \
    X(Y, turns, 64, 64, 192, 2, 10, 3)                                                                                 \
    X(Y, turns, 64, 128, 64, 2, 12, 2)                                                                                 \
    X(Y, turns, 64, 256, 64, 2, 8, 4)                                                                                  \
    X(Y, share, 64, 128, 192, 2, 8, 3)

// Bytes, X(Y, instruction, rows, columns, warps down, warps across, stages, blocks): at most 64 KB of shared memory,
#define CF_CONV_INT8_MMA_TILES(X, Y)                                                                                   \
    X(Y, mma, 64, 64, 2, 2, 4, 3)                                                                                      \
    X(Y, mma, 128, 32, 4, 1, 3, 3)                                                                                     \
    X(Y, mma, 64, 32, 2, 2, 5, 3)                                                                                      \
    X(Y, mma, 32, 32, 2, 2, 7, 3)

// and with more.
#define CF_CONV_INT8_MMA_WIDE_TILES(X, Y)                                                                              \
    X(Y, mma, 128, 128, 2, 4, 3, 2)                                                                                    \
    X(Y, mma, 128, 64, 4, 2, 4, 2)                                                                                     \
    X(Y, mma, 128, 96, 4, 2, 3, 2)                                                                                     \
    X(Y, mma, 256, 64, 4, 2, 2, 2)                                                                                     \
    X(Y, mma, 256, 128, 4, 2, 3, 1)

// E4M3, compute capability 8.9 and up: at most 99 KB of shared memory a block.
#define CF_CONV_E4M3_MMA_TILES(X, Y)                                                                                   \
    X(Y, mma, 64, 64, 2, 2, 4, 3)                                                                                      \
    X(Y, mma, 32, 32, 2, 2, 7, 3)                                                                                      \
    X(Y, mma, 128, 32, 4, 1, 3, 3)                                                                                     \
    X(Y, mma, 128, 64, 4, 2, 4, 1)                                                                                     \
    X(Y, mma, 128, 128, 2, 4, 3, 1)

// wgmma: compute capability 9.0 only.
#define CF_CONV_INT8_WGMMA_TILES(X, Y)                                                                                 \
    X(Y, wgmma, 64, 64, 4, 1, 6, 2)                                                                                    \
    X(Y, wgmma, 64, 128, 4, 1, 4, 2)                                                                                   \
    X(Y, wgmma, 64, 192, 4, 1, 4, 1)                                                                                   \
    X(Y, wgmma, 128, 64, 8, 1, 4, 2)                                                                                   \
    X(Y, wgmma, 192, 64, 12, 1, 4, 1)                                                                                  \
    X(Y, wgmma, 128, 128, 8, 1, 4, 1)                                                                                  \
    X(Y, wgmma, 128, 192, 8, 1, 4, 1)                                                                                  \
    X(Y, wgmma, 128, 256, 8, 1, 4, 1)                                                                                  \
    X(Y, wgmma, 256, 128, 8, 1, 4, 1)                                                                                  \
    X(Y, wgmma, 256, 192, 8, 1, 4, 1)

#define CF_CONV_INT8_TILES(X, Y)                                                                                       \
    CF_CONV_INT8_WGMMA_TILES(X, Y) CF_CONV_INT8_MMA_TILES(X, Y) CF_CONV_INT8_MMA_WIDE_TILES(X, Y)

// Every tile.
#define CF_CONV_TILES(X, Y)                                                                                            \
    CF_CONV_WGMMA_TILES(X, Y) CF_CONV_MMA_TILES(X, Y) CF_CONV_MMA_WIDE_TILES(X, Y) CF_CONV_MMA_SPLIT_TILES(X, Y)

#endif
