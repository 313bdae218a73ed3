// SPDX-License-Identifier: Apache-2.0
// The checker: every kernel of every operator against its reference, on cases that one file per operator makes.
//
// To add an operator: write tests/checkops/check_<op>.c that defines one `const check_op`, and name it in CHECK_OPS
// below. `cases` emits problems with shapes, dtypes and halos; the checker lays the tensors out (gaps, halos,
// canaries), fills them, runs the reference with an FP32 output and then every kernel of the list that this CPU can
// run.
#ifndef CF_CHECKOPS_H
#define CF_CHECKOPS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

// X(variable): the operators that have cases, each `const check_op variable` in its own file.
#define CHECK_OPS(X)                                                                                                   \
    X(check_conv)                                                                                                      \
    X(check_activation)                                                                                                \
    X(check_scale_shift)                                                                                               \
    X(check_copy)                                                                                                      \
    X(check_add)                                                                                                       \
    X(check_mul)                                                                                                       \
    X(check_upsample)                                                                                                  \
    X(check_max_pool)                                                                                                  \
    X(check_avg_pool)                                                                                                  \
    X(check_global_pool)                                                                                               \
    X(check_norm)                                                                                                      \
    X(check_gate)                                                                                                      \
    X(check_attention)                                                                                                 \
    X(check_top_queries)                                                                                               \
    X(check_gather)                                                                                                    \
    X(check_reference)                                                                                                 \
    X(check_deform)                                                                                                    \
    X(check_shift_box)                                                                                                 \
    X(check_refine)                                                                                                    \
    X(check_quality)                                                                                                   \
    X(check_batch_norm)                                                                                                \
    X(check_halo)

typedef enum check_values {
    CHECK_RANDOM,   // uniform -1..1
    CHECK_LARGE,    // magnitudes around 1e4, mixed with tiny ones
    CHECK_CANCEL,   // neighbours of equal size and opposite sign: sums near zero
    CHECK_DENORMAL, // 1e-39 among ordinary values
    CHECK_SATURATE, // everything at the ends of the range
    CHECK_VALUES,
    CHECK_SPLIT = CHECK_VALUES // one value of which the third bf16 part is large: of convolutions only
} check_values;

typedef struct check_case {
    char name[96];
    // op, attr, inputs, outputs, images; of each tensor h, w, c, halo, dtype, scale, zero; of each constant rank and
    // shape. Strides and threads are the checker's.
    cf_problem problem;
    int in_gap[CF_MAX_INPUTS],
        out_gap; // channels between pixels, beside the view (a slice of a wider buffer); 0: dense
    check_values values;
    uint64_t seed;
} check_case;

typedef struct check_random {
    uint64_t state;
} check_random;

float check_uniform(check_random *random, float low, float high);
uint32_t check_below(check_random *random, uint32_t count); // 0 .. count-1
float check_value(check_random *random, check_values kind); // one of the kinds above

typedef struct check_run check_run; // where cases go: the comparison or the timing

// What check_run tells a case maker.
int check_is_quick(const check_run *run);       // ctest: small and few
int check_is_bench(const check_run *run);       // timing: real shapes only, uncropped
const char *check_shapes(const check_run *run); // folder of shape files

void check_emit(check_run *run, const check_case *one);

// Calls line(context, name of the file without ".txt", text) for every line of tests/shapes/*.txt that starts with the
// operator's name, without duplicates of the part after the layer's name.
void check_shape_lines(check_run *run, cf_op op, void (*line)(void *context, const char *model, const char *text),
                       void *context);

typedef struct check_op {
    cf_op op;
    void (*cases)(check_run *run);
    // Further kernels beside those of the operator's list, NULL at the end. NULL: none.
    const cf_kernel *const *extra;
    // Logical values of input i, in n, y, x, c order. NULL: check_value of the case's kind.
    void (*fill)(const check_case *one, int input, float *values, size_t count, check_random *random);
    // Values of constant i. NULL: as above.
    void (*fill_constant)(const check_case *one, int index, float *values, size_t count, check_random *random);
    // What the error of each output element may be proportional to (sum |a||b| of a convolution), n, y, x, c order;
    // call is the reference's call. NULL: max(1, |reference|).
    void (*magnitude)(const check_case *one, const cf_call *call, double *magnitude);
    // The allowed error of a kernel in units of magnitude, beside half a step of the output's format. NULL: 4e-6.
    double (*unit)(const check_case *one, const cf_kernel *kernel);
    // The allowed error as a share of the result (without what is added to it last), beside these. NULL: none.
    double (*share)(const check_case *one, const cf_kernel *kernel);
    // Floating-point operations of one run, for GFLOP/s. NULL: none counted.
    double (*work)(const cf_problem *problem);
    // 1: the result is the border around the output, all zero; what is inside stays.
    int border;
} check_op;

// A buffer that holds a tensor, with canaries around it.
typedef struct check_buffer {
    unsigned char *block, *before; // before: a copy, to find bytes that changed
    size_t bytes;
    cf_tensor tensor; // data points into block
} check_buffer;

// Lays out a tensor of `images` images with its halo and `gap` unused channels, filled with a pattern of NaNs; pixels
// of the halo hold zero. Returns 0 when memory is short.
int check_buffer_make(check_buffer *buffer, const cf_tensor *shape, int images, int gap, int canary);
void check_buffer_free(check_buffer *buffer);
// Sets elements from logical values; NULL: poison.
void check_buffer_set(check_buffer *buffer, int images, const float *values);
// Remembers the present bytes; later the number of bytes outside the tensor's elements that changed.
void check_buffer_remember(check_buffer *buffer);
size_t check_buffer_damage(const check_buffer *buffer, int images);
// For a border: poisons it all; later the number of bytes that are not zeros in it, or not as remembered elsewhere.
void check_buffer_poison(check_buffer *buffer);
size_t check_buffer_border_damage(const check_buffer *buffer, int images);

#endif
