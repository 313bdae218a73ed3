// SPDX-License-Identifier: Apache-2.0
// Operators that change the size of a map: cuda/kernels/pool.cu.
#include "cuda/operator.h"

enum { THREADS = 256 };

static cf_cuda_shape grid_of(const cf_call *call, const cf_tensor *over, int wide) {
    int64_t runs = cf_cuda_pixels(over) * (over->c / (wide ? CF_CUDA_WIDTH : 1));
    return (cf_cuda_shape){cf_cuda_blocks(runs, THREADS), (uint32_t)call->images, 1};
}

static void launch_upsample(const cf_call *call, cf_cuda_queue *queue) {
    int wide = cf_cuda_all_wide(call);
    const void *arguments[] = {&call->in[0], &call->out[0], &wide};
    cf_cuda_launch(queue, "cf_upsample", grid_of(call, &call->in[0], wide), (cf_cuda_shape){THREADS, 1, 1}, 0,
                   arguments);
}

static void launch_pool(const cf_call *call, cf_cuda_queue *queue, int average) {
    int wide = cf_cuda_all_wide(call);
    const void *arguments[] = {&call->in[0], &call->out[0], &call->problem->attr.pool, &average, &wide};
    cf_cuda_launch(queue, "cf_pool", grid_of(call, &call->out[0], wide), (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch_max_pool(const cf_call *call, cf_cuda_queue *queue) {
    launch_pool(call, queue, 0);
}

static void launch_avg_pool(const cf_call *call, cf_cuda_queue *queue) {
    launch_pool(call, queue, 1);
}

static void launch_global_pool(const cf_call *call, cf_cuda_queue *queue) {
    const void *arguments[] = {&call->in[0], &call->out[0]};
    cf_cuda_launch(queue, "cf_global_pool",
                   (cf_cuda_shape){cf_cuda_blocks(call->in[0].c, 32), (uint32_t)call->images, 1},
                   (cf_cuda_shape){32, 16, 1}, 0, arguments);
}

CF_CUDA_KERNEL(cf_upsample_cuda, UPSAMPLE, "upsample_cuda", launch_upsample);
CF_CUDA_KERNEL(cf_max_pool_cuda, MAX_POOL, "max_pool_cuda", launch_max_pool);
CF_CUDA_KERNEL(cf_avg_pool_cuda, AVG_POOL, "avg_pool_cuda", launch_avg_pool);
CF_CUDA_KERNEL(cf_global_pool_cuda, GLOBAL_POOL, "global_pool_cuda", launch_global_pool);
