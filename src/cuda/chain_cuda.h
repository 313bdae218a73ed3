// SPDX-License-Identifier: Apache-2.0
// Building and launching chains: cuda/chain.h.
#ifndef CF_CUDA_CHAIN_CUDA_H
#define CF_CUDA_CHAIN_CUDA_H

#include "cuda/chain.h"
#include "cuda/queue.h"
#include "kernels/kernel.h"

// 1 for so few rows that chains are worth it: beyond, matrix products want kernels that read each weight once for many
// rows.
static inline int cf_cuda_chain_is_worth_it(int64_t rows, int multiprocessors) {
    return rows <= (int64_t)multiprocessors * CF_CHAIN_ROWS;
}

// Appends a step whose call is fully resolved; count 0: the chain begins. Returns 0, and leaves the chain as it is,
// where the step cannot follow: it mixes rows, its kernel packs weights in a way of its own, the chain is full, it
// is not worth it, or its memory was used by other rows of the chain.
int cf_cuda_chain_add(cf_chain *chain, const cf_kernel *kernel, const cf_call *call);

// Runs all its steps.
void cf_cuda_chain_launch(const cf_chain *chain, cf_cuda_queue *queue);

#endif
