// SPDX-License-Identifier: Apache-2.0
// Resizing of 8-bit RGB images, bit for bit as Image.resize((w, h), BILINEAR) of Pillow 13.
//
// Pillow filters with a triangle whose support widens when shrinking, so that every source pixel counts. It runs two
// passes, one along rows ("across") and one along columns ("down"), each rounding to 8 bits; weights are integers in
// units of 2^-22. A pass whose size does not change is skipped. Rows come first, unless the height shrinks by more than
// twice as many pixels as the width; Pillow before 13 always took rows first, which can differ by 1 of 255.
//
//     cf_resizer_plan(...)      weights and scratch memory for one geometry; kept while it stays the same
//     cf_resize_first(...)      the first of two passes, rows [begin, end), into scratch
//     cf_resize_second(...)     the last pass, a block of output pixels
//
// Threads: rows of one pass may be shared among threads, with a barrier between the passes.
#ifndef CF_PREPROCESS_RESIZE_H
#define CF_PREPROCESS_RESIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { CF_RESIZE_BITS = 22 }; // weights of one output pixel sum to about 2^22

// How one axis is resampled: output i is the sum over t < counts[i] of weights[i * taps + t] * input[starts[i] + t].
typedef struct cf_resize_axis {
    int in, out;
    int taps;         // weights stored for each output, even; those beyond what is needed are 0
    int *starts;      // [out rounded up to 4], padded with 0
    int *counts;      // [out rounded up to 4]: starts[i] + counts[i] <= in
    int32_t *weights; // [out rounded up to 4][taps]
    // The weights as pairs for 16-bit multiply-add, [out rounded up to 4][taps / 2][2]: weights 2t and 2t + 1 in the
    // low and high half of a word; first the words with their lower 15 bits, then with the rest.
    int32_t *pairs;
} cf_resize_axis;

typedef struct cf_resize_kernels {
    const char *name;
    uint32_t features; // CPU features it needs
    // Outputs [begin, end) of each of `rows` rows, begin a multiple of 4. Reads up to CF_RESIZE_MARGIN bytes past a
    // source row and writes up to as many past an output row.
    void (*across)(const cf_resize_axis *axis, int begin, int end, const uint8_t *src, size_t src_stride, uint8_t *dst,
                   size_t dst_stride, int rows);
    // `bytes` bytes of output row y; src is the start of those bytes in row 0 of the input.
    void (*down)(const cf_resize_axis *axis, int y, const uint8_t *src, size_t src_stride, uint8_t *dst, size_t bytes);
    // out[i] = (float)(in[i] * scale), the product in double precision.
    void (*to_float)(const uint8_t *in, size_t count, double scale, float *out);
    // The same from RGB pixels to three planes.
    void (*to_planes)(const uint8_t *rgb, size_t pixels, double scale, float *red, float *green, float *blue);
} cf_resize_kernels;

enum { CF_RESIZE_MARGIN = 64 };

// All kernels, best first, plain C last; *count is their number.
const cf_resize_kernels *cf_resize_kernel_list(size_t *count);

typedef enum cf_resize_pass { CF_RESIZE_NONE, CF_RESIZE_ACROSS, CF_RESIZE_DOWN } cf_resize_pass;

typedef struct cf_resizer {
    int src_width, src_height, dst_width, dst_height; // planned geometry; 0: none
    cf_resize_pass first, second;                     // a single pass is the second
    cf_resize_axis x, y;                              // empty where the pass is skipped
    const cf_resize_kernels *kernels;
    uint8_t *scratch;      // what the first pass gives: [first_rows][scratch_stride]
    size_t scratch_stride; // bytes, with a margin
    size_t scratch_bytes;
    int first_rows; // rows that the first pass makes; 0 where there is none
} cf_resizer;

// Prepares a resizer (zeroed before its first use) for a geometry. Costs next to nothing when it is the last one again;
// scratch memory only grows. After an error the resizer can be planned again or released.
cfine_status cf_resizer_plan(cf_resizer *resizer, int src_width, int src_height, int dst_width, int dst_height,
                             cfine_error *err);
void cf_resizer_release(cf_resizer *resizer);

// Rows [begin, end) of resizer->first_rows of the first pass. src is the image, rows of src_width * 3 bytes.
void cf_resize_first(const cf_resizer *resizer, const uint8_t *src, int begin, int end);

// A block of the output, when the first pass is done: pixels [begin, end) (begin a multiple of 4) of rows
// [y, y + rows). Returns where it is, row r at r * *stride: in `buffer`, which has room for
// rows * CF_RESIZE_BLOCK_STRIDE(end - begin) bytes, or, when nothing changes, in src.
const uint8_t *cf_resize_second(const cf_resizer *resizer, const uint8_t *src, int y, int rows, int begin, int end,
                                uint8_t *buffer, size_t *stride);

// Row stride of a block `pixels` wide in the buffer of cf_resize_second.
#define CF_RESIZE_BLOCK_STRIDE(pixels) (((size_t)(pixels)*3 + CF_RESIZE_MARGIN + 63) / 64 * 64)

// Both passes: src [src_height, src_width, 3] to dst [dst_height, dst_width, 3].
void cf_resize(const cf_resizer *resizer, const uint8_t *src, uint8_t *dst);

#endif
