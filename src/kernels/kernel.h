// SPDX-License-Identifier: Apache-2.0
// What a kernel is: one implementation of one operator, with what it needs, how it packs weights, and how it runs.
//
// kernel_list.c lists the kernels of each operator best first, ending in the plain reference of kernels/ref, which
// accepts everything. The plan takes the first that accepts (or times all that do), lets it pack the constants once,
// and calls run with everything resolved to pointers.
#ifndef CF_KERNELS_KERNEL_H
#define CF_KERNELS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/threads.h"
#include "graph/op.h"

// A tensor as kernels see it: channels contiguous, everything else strided. Pixel (y, x) of image n starts at
// data + n*image + y*row + x*pixel elements. A view into a wider buffer (slice of a concat) has pixel > c.
typedef struct cf_tensor {
    void *data;
    int32_t h, w, c;
    int32_t halo;              // zero pixels on every side of each image that may be read (not written)
    int64_t image, row, pixel; // distances in elements
    cf_dtype dtype;
    float scale;  // quantised types: value = scale * (stored - zero)
    int32_t zero; //
} cf_tensor;

// What a kernel must know to accept, size and pack: shapes, dtypes and strides of all tensors (data pointers are NULL),
// attributes, constants.
typedef struct cf_problem {
    cf_op op;
    cf_attr attr;
    int32_t inputs, outputs, images, threads;
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

typedef struct cf_kernel {
    const char *name; // "conv_f32_avx512"
    cf_op op;
    uint32_t cpu; // features needed, as cf_cpu_features gives them; 0: any
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
} cf_kernel;

// The kernels of an operator, best first; *count is their number, at least one (the reference) for each operator that
// can appear in a plan.
const cf_kernel *const *cf_kernels_of(cf_op op, int *count);

// A kernel by name, or NULL: for plan files.
const cf_kernel *cf_kernel_find(const char *name);

// The first kernel of the list that this CPU (features) can run and that accepts the problem. reference_only: the last
// one. Never NULL for operators that can appear in a plan.
const cf_kernel *cf_kernel_select(const cf_problem *problem, uint32_t features, int reference_only);

// Element access for reference kernels and tests: the value of channel c at (n, y, x), whatever the dtype; stores round
// to nearest even and saturate.
float cf_tensor_get(const cf_tensor *tensor, int n, int y, int x, int c);
void cf_tensor_set(const cf_tensor *tensor, int n, int y, int x, int c, float value);

static inline void *cf_tensor_at(const cf_tensor *tensor, int64_t n, int64_t y, int64_t x) {
    return (char *)tensor->data +
           (n * tensor->image + y * tensor->row + x * tensor->pixel) * (int64_t)cf_dtype_size(tensor->dtype);
}

#endif
