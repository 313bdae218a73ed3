// SPDX-License-Identifier: Apache-2.0
// What a kernel is: one implementation of one operator, with what it needs, how it packs weights, and how it runs.
//
// kernel_list.c lists the CPU's kernels of each operator best first, ending in the plain reference of kernels/ref,
// which accepts everything; cuda/kernel_list_cuda.c those of a GPU, ending in one that accepts everything too. The plan
// takes the first that accepts (or times all that do), lets it pack the constants once, and calls run with everything
// resolved to pointers.
#ifndef CF_KERNELS_KERNEL_H
#define CF_KERNELS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/threads.h"
#include "kernels/tensor.h"

// What a kernel must know to accept, size and pack: shapes, dtypes and strides of all tensors (data pointers are NULL),
// attributes, constants.
typedef struct cf_problem {
    cf_op op;
    cf_attr attr;
    int32_t inputs, outputs, images;
    int32_t threads; // of the team; on a GPU its multiprocessors
    cf_tensor in[CF_MAX_INPUTS], out[CF_MAX_OUTPUTS];
    cf_constant constant[CF_MAX_CONSTANTS];
} cf_problem;

// Everything resolved. problem.images is the number of images of this run; problem.threads the size of the team.
// constants hold no data here: what run needs of them is in packed.
typedef struct cf_call {
    const cf_problem *problem;
    cf_tensor in[CF_MAX_INPUTS], out[CF_MAX_OUTPUTS]; // with data
    const void *packed;                               // as pack wrote it, 64-byte aligned
    void *scratch;                                    // scratch_size bytes for the whole team, 64-byte aligned
    int32_t images;
} cf_call;

// Where a plan runs, and what that device can do.
typedef enum cf_backend { CF_CPU, CF_CUDA } cf_backend;

typedef struct cf_target {
    cf_backend backend;
    uint32_t features; // CF_CPU: as cf_cpu_features gives them
    int32_t compute;   // CF_CUDA: compute capability, 90 for 9.0
} cf_target;

struct cf_cuda_queue; // cuda/queue.h

typedef struct cf_kernel {
    const char *name; // "conv_f32_avx512"
    cf_op op;
    uint32_t cpu;                     // features needed, as cf_cpu_features gives them; 0: any
    int32_t compute_from, compute_to; // compute capabilities, inclusive; 0: any
    // NULL when the kernel can do it, else the reason in a few words. Must look at dtypes, shapes, strides, halos.
    const char *(*refuse)(const cf_problem *problem);
    // Bytes of packed constants, and packing them. NULL: none needed.
    size_t (*packed_size)(const cf_problem *problem);
    void (*pack)(const cf_problem *problem, void *packed);
    // Bytes of scratch for a whole team of problem->threads. NULL: none. Packing must not depend on the threads.
    size_t (*scratch_size)(const cf_problem *problem);
    // Called by every member of the team at the same time; each takes its share (cf_team_range) and writes all of its
    // part of out. Barriers inside are allowed (cf_team_barrier). No allocation, no failure.
    void (*run)(const cf_call *call, const cf_team *team);
    // GPU kernels have this instead of run: enqueues the work; tensors, packed and scratch are in the GPU's memory.
    // Only enqueues, so that it can be captured into a graph. Failures stay in the queue.
    void (*launch)(const cf_call *call, struct cf_cuda_queue *queue);
    // Expected time in any unit common to the kernels of the operator, smaller is better; where kernels of a list have
    // one, the best estimate wins over the order. NULL: the order of the list decides.
    double (*estimate)(const cf_problem *problem);
} cf_kernel;

// The kernels of an operator on a backend, best first; *count is their number, at least one (which accepts everything)
// for each operator that can appear in a plan.
const cf_kernel *const *cf_kernels_of(cf_backend backend, cf_op op, int *count);
const cf_kernel *const *cf_cpu_kernels_of(cf_op op, int *count);
const cf_kernel *const *cf_cuda_kernels_of(cf_op op, int *count);

// A kernel by name, or NULL: for plan files.
const cf_kernel *cf_kernel_find(const char *name);

// 1 if the target can run the kernel.
int cf_kernel_runs_on(const cf_kernel *kernel, const cf_target *target);

// The best kernel that the target can run and that accepts the problem: the smallest estimate, or the first of the
// list. reference_only: the last one. Never NULL for operators that can appear in a plan.
const cf_kernel *cf_kernel_select(const cf_problem *problem, const cf_target *target, int reference_only);

// Element access for reference kernels and tests: the value of channel c at (n, y, x), whatever the dtype; stores round
// to nearest even and saturate.
float cf_tensor_get(const cf_tensor *tensor, int n, int y, int x, int c);
void cf_tensor_set(const cf_tensor *tensor, int n, int y, int x, int c, float value);

static inline void *cf_tensor_at(const cf_tensor *tensor, int64_t n, int64_t y, int64_t x) {
    return (char *)tensor->data +
           (n * tensor->image + y * tensor->row + x * tensor->pixel) * (int64_t)cf_dtype_size(tensor->dtype);
}

#endif
