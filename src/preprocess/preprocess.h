// SPDX-License-Identifier: Apache-2.0
// From a decoded image to the floats that the network takes: resized, scaled, normalised where the checkpoint asks for
// it, and laid out in planes or pixel by pixel. Every value equals the reference's (numpy on Pillow's resize).
#ifndef CF_PREPROCESS_PREPROCESS_H
#define CF_PREPROCESS_PREPROCESS_H

#include "base/status.h"
#include "preprocess/resize.h"

// What becomes of an 8-bit value: value = (float)(byte * scale) with the product in double precision, then, if asked
// for, (value - mean) / std of its channel in single precision.
typedef struct cf_pixel_scale {
    double scale;
    int normalize;
    float table[3][256]; // of each channel, the value of each byte
} cf_pixel_scale;

// scale is what preprocessor_config.json says (1/255 as a double); mean and std are both NULL or both of 3 channels.
void cf_pixel_scale_init(cf_pixel_scale *out, double scale, const double *mean, const double *std);

// Where the floats go: element (y, x, channel) at base[y * row + x * pixel + channel * plane], strides in floats.
// Planes [3, H, W]: row W, pixel 1, plane H * W. Interleaved [H, W, C] with C >= 3: row W * C, pixel C, plane 1; the
// other channels of a pixel are left alone.
typedef struct cf_pixel_view {
    float *base;
    ptrdiff_t row, pixel, plane;
} cf_pixel_view;

// The second half of preprocessing, output rows [begin, end), after cf_resize_first made all its rows. Threads can
// share an image: plan once, share out the rows of each half, and put a barrier between the halves.
void cf_preprocess_rows(const cf_resizer *resizer, const uint8_t *src, const cf_pixel_scale *scale,
                        const cf_pixel_view *out, int begin, int end);

// The same without scaling: the resized pixels as bytes, row y at out + y * 3 * dst_width.
void cf_preprocess_bytes(const cf_resizer *resizer, const uint8_t *src, uint8_t *out, int begin, int end);

// Calls take(arg, rgb, pixels, y, x) for the runs of resized pixels that make up the output rows [begin, end).
typedef void cf_take_pixels(const void *arg, const uint8_t *rgb, size_t pixels, int y, int x);
void cf_preprocess_each_run(const cf_resizer *resizer, const uint8_t *src, int begin, int end, cf_take_pixels *take,
                            const void *arg);

// All of it on the calling thread: plans the resizer for the image and width x height, and fills out.
cfine_status cf_preprocess(cf_resizer *resizer, const cfine_image *image, int width, int height,
                           const cf_pixel_scale *scale, const cf_pixel_view *out, cfine_error *err);

#endif
