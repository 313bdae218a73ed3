// SPDX-License-Identifier: Apache-2.0
// Choosing queries: cuda/kernels/select.cu.
#include "cuda/operator.h"

// Per image: keys of candidates and their order, 8 bytes each, and the best score of each row.
static size_t top_queries_scratch(const cf_problem *problem) {
    return (size_t)problem->images * (size_t)cf_cuda_pixels(&problem->in[0]) *
           (2 * sizeof(uint64_t) + sizeof(uint32_t));
}

static void launch_top_queries(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 256, ROW_LANES = 4, CHOOSE_THREADS = 1024, STAGED_BYTES = 36 * 1024 };
    int rows = (int)cf_cuda_pixels(&call->in[0]), wide = cf_cuda_wide(&call->in[0]);
    uint64_t *room = call->scratch;
    uint32_t *best = (uint32_t *)(room + (size_t)call->images * 2 * (size_t)rows);
    const void *best_arguments[] = {&call->in[0], &best, &wide};
    cf_cuda_launch(queue, "cf_row_best",
                   (cf_cuda_shape){cf_cuda_blocks((int64_t)rows * ROW_LANES, THREADS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, best_arguments);
    size_t bytes = (size_t)rows * sizeof(uint32_t);
    int staged = bytes <= STAGED_BYTES;
    const void *arguments[] = {&best, &room, &call->out[0], &rows, &staged};
    cf_cuda_launch(queue, "cf_choose", (cf_cuda_shape){1, (uint32_t)call->images, 1},
                   (cf_cuda_shape){CHOOSE_THREADS, 1, 1}, staged ? bytes : 0, arguments);
}

static void launch_gather(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    const cf_tensor *out = &call->out[0];
    int wide = cf_cuda_wide(&call->in[0]) && cf_cuda_wide(out);
    const void *arguments[] = {&call->in[0], &call->in[1], out, &wide};
    int64_t runs = cf_cuda_pixels(out) * (out->c / (wide ? CF_CUDA_WIDTH : 1));
    cf_cuda_launch(queue, "cf_gather", (cf_cuda_shape){cf_cuda_blocks(runs, THREADS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch_reference(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    const float *anchors = cf_constant_at(call, 0);
    const void *arguments[] = {&call->in[0], &call->in[1], &call->out[0], &anchors,
                               &call->problem->constant[0].shape[0]};
    cf_cuda_launch(
        queue, "cf_reference",
        (cf_cuda_shape){cf_cuda_blocks(cf_cuda_pixels(&call->out[0]) * 4, THREADS), (uint32_t)call->images, 1},
        (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

const cf_kernel cf_top_queries_cuda = {.name = "top_queries_cuda",
                                       .op = CF_OP_TOP_QUERIES,
                                       .refuse = cf_accept_all,
                                       .scratch_size = top_queries_scratch,
                                       .launch = launch_top_queries};
CF_CUDA_KERNEL(cf_gather_cuda, GATHER, "gather_cuda", launch_gather);
CF_CUDA_KERNEL(cf_reference_cuda, REFERENCE, "reference_cuda", launch_reference);
