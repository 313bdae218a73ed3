// SPDX-License-Identifier: Apache-2.0
#include "preprocess/preprocess.h"

#include <string.h>

enum { ROWS = 4, PIXELS = 1024 }; // of the block that is resized and scaled at a time, in the first-level cache

void cf_pixel_scale_init(cf_pixel_scale *out, double scale, const double *mean, const double *std) {
    memset(out, 0, sizeof *out);
    out->scale = scale;
    out->normalize = mean && std;
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            float value = (float)(v * scale);
            if (out->normalize) value = (value - (float)mean[c]) / (float)std[c];
            out->table[c][v] = value;
        }
}

static void write_pixels(const cf_resizer *resizer, const cf_pixel_scale *scale, const cf_pixel_view *out,
                         const uint8_t *rgb, size_t pixels, float *to) {
    if (!scale->normalize && out->pixel == 1) {
        resizer->kernels->to_planes(rgb, pixels, scale->scale, to, to + out->plane, to + 2 * out->plane);
    } else if (!scale->normalize && out->pixel == 3 && out->plane == 1) {
        resizer->kernels->to_float(rgb, 3 * pixels, scale->scale, to);
    } else {
        for (size_t i = 0; i < pixels; i++, rgb += 3, to += out->pixel)
            for (int c = 0; c < 3; c++) to[c * out->plane] = scale->table[c][rgb[c]];
    }
}

void cf_preprocess_each_run(const cf_resizer *resizer, const uint8_t *src, int begin, int end, cf_take_pixels *take,
                            const void *arg) {
    uint8_t buffer[ROWS * CF_RESIZE_BLOCK_STRIDE(PIXELS)];
    for (int y = begin; y < end; y += ROWS)
        for (int x = 0; x < resizer->dst_width; x += PIXELS) {
            int rows = end - y < ROWS ? end - y : ROWS;
            int stop = resizer->dst_width - x < PIXELS ? resizer->dst_width : x + PIXELS;
            size_t stride;
            const uint8_t *block = cf_resize_second(resizer, src, y, rows, x, stop, buffer, &stride);
            for (int r = 0; r < rows; r++) take(arg, block + (size_t)r * stride, (size_t)(stop - x), y + r, x);
        }
}

typedef struct {
    const cf_resizer *resizer;
    const cf_pixel_scale *scale;
    const cf_pixel_view *out;
} float_rows;

static void take_floats(const void *arg, const uint8_t *rgb, size_t pixels, int y, int x) {
    const float_rows *rows = arg;
    write_pixels(rows->resizer, rows->scale, rows->out, rgb, pixels,
                 rows->out->base + y * rows->out->row + x * rows->out->pixel);
}

void cf_preprocess_rows(const cf_resizer *resizer, const uint8_t *src, const cf_pixel_scale *scale,
                        const cf_pixel_view *out, int begin, int end) {
    float_rows rows = {resizer, scale, out};
    cf_preprocess_each_run(resizer, src, begin, end, take_floats, &rows);
}

typedef struct {
    uint8_t *out;
    size_t row; // bytes
} byte_rows;

static void take_bytes(const void *arg, const uint8_t *rgb, size_t pixels, int y, int x) {
    const byte_rows *rows = arg;
    memcpy(rows->out + (size_t)y * rows->row + (size_t)x * 3, rgb, pixels * 3);
}

void cf_preprocess_bytes(const cf_resizer *resizer, const uint8_t *src, uint8_t *out, int begin, int end) {
    byte_rows rows = {out, (size_t)resizer->dst_width * 3};
    cf_preprocess_each_run(resizer, src, begin, end, take_bytes, &rows);
}

cfine_status cf_preprocess(cf_resizer *resizer, const cfine_image *image, int width, int height,
                           const cf_pixel_scale *scale, const cf_pixel_view *out, cfine_error *err) {
    if (!image->rgb) return cf_fail(err, CFINE_ERROR_ARGUMENT, "image has no pixels: rgb is NULL");
    CF_TRY(cf_resizer_plan(resizer, image->width, image->height, width, height, err));
    cf_resize_first(resizer, image->rgb, 0, resizer->first_rows);
    cf_preprocess_rows(resizer, image->rgb, scale, out, 0, height);
    return CFINE_OK;
}
