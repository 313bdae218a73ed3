// SPDX-License-Identifier: Apache-2.0
// A GPU, its compiled kernels, and the queue that work is put into.
//
// Kernels launch by the name of their CUDA C function:
//
//     const void *arguments[] = {&call->in[0], &call->out[0], &epsilon};
//     cf_cuda_launch(queue, "cf_norm", (cf_cuda_shape){rows, 1, 1}, (cf_cuda_shape){128, 1, 1}, 0, arguments);
//
// A failure is kept in the queue, later launches do nothing, and cf_cuda_queue_wait reports it.
#ifndef CF_CUDA_QUEUE_H
#define CF_CUDA_QUEUE_H

#include "cuda/driver.h"

enum { CF_CUDA_MAX_DEVICES = 16 };

// One GPU with its primary context and modules, shared by all sessions of the process.
typedef struct cf_cuda_device {
    const cf_cu *cu;
    cf_cu_context context;
    int ordinal;
    char name[96];
    int32_t compute;         // 90 for 9.0
    int32_t multiprocessors; //
    int32_t shared_bytes;    // most that a block can have
    size_t memory_bytes;     // in all
} cf_cuda_device;

// How many GPUs there are; 0 also without a driver.
int cf_cuda_count(void);
// Name, compute capability and sizes, without starting the GPU (no context).
cfine_status cf_cuda_describe(int ordinal, cf_cuda_device *out, cfine_error *err);
// Starts the GPU once per process and loads the kernels. Never closed: a context lives as long as the process.
cfine_status cf_cuda_open(int ordinal, const cf_cuda_device **out, cfine_error *err);
// 1 if this build has GPU kernels (nvcc was there).
int cf_cuda_is_built(void);

// Memory of the device. cf_cuda_alloc: out of memory says what was asked for and what is free.
cfine_status cf_cuda_alloc(const cf_cuda_device *device, size_t bytes, const char *what, void **out, cfine_error *err);
void cf_cuda_free(const cf_cuda_device *device, void *memory); // NULL is allowed
// Memory of the host that the device copies from and to at full speed.
cfine_status cf_cuda_host_alloc(const cf_cuda_device *device, size_t bytes, void **out, cfine_error *err);
void cf_cuda_host_free(const cf_cuda_device *device, void *memory); // NULL is allowed

typedef struct cf_cuda_queue {
    const cf_cuda_device *device;
    cf_cu_stream stream;
    cf_cu_result result; // of the first failure
    char what[96];       // which launch failed
    int overlap;         // 1: kernels may start while the one before ends (they wait by themselves: cf_wait_before)
} cf_cuda_queue;

cfine_status cf_cuda_queue_create(const cf_cuda_device *device, cf_cuda_queue *out, cfine_error *err);
void cf_cuda_queue_destroy(cf_cuda_queue *queue);

typedef struct cf_cuda_shape {
    uint32_t x, y, z;
} cf_cuda_shape;

// An empty grid launches nothing.
void cf_cuda_launch(cf_cuda_queue *queue, const char *function, cf_cuda_shape grid, cf_cuda_shape block,
                    size_t shared_bytes, const void *const *arguments);
void cf_cuda_upload(cf_cuda_queue *queue, void *to, const void *from, size_t bytes);
void cf_cuda_download(cf_cuda_queue *queue, void *to, const void *from, size_t bytes);
void cf_cuda_fill(cf_cuda_queue *queue, void *to, int byte, size_t bytes);

// Keeps a failure of something that was done for the queue, unless there is one already; 0 is none.
void cf_cuda_keep_failure(cf_cuda_queue *queue, cf_cu_result result, const char *what);

// Waits until the queue is empty; the first failure since the last wait.
cfine_status cf_cuda_queue_wait(cf_cuda_queue *queue, cfine_error *err);

// The whole number of `unit` blocks that cover `count`.
static inline uint32_t cf_cuda_blocks(int64_t count, int64_t unit) {
    return (uint32_t)((count + unit - 1) / unit);
}

#endif
