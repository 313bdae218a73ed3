// SPDX-License-Identifier: Apache-2.0
#include "preprocess/resize.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"

enum { LARGEST = 1 << 24 }; // of a side, in pixels: keeps sizes and weights far from overflow

static void release_axis(cf_resize_axis *axis) {
    cf_free(axis->starts);
    cf_free(axis->counts);
    cf_free(axis->weights);
    cf_free(axis->pairs);
    memset(axis, 0, sizeof *axis);
}

// The range of inputs that output i sees. Pillow rounds the ends of the triangle to the nearest pixel border.
static void range_of(const cf_resize_axis *axis, int i, double *centre, int *begin, int *end) {
    double scale = (double)axis->in / axis->out, support = scale < 1 ? 1 : scale;
    *centre = (i + 0.5) * scale;
    *begin = (int)(*centre - support + 0.5);
    *end = (int)(*centre + support + 0.5);
    if (*begin < 0) *begin = 0;
    if (*end > axis->in) *end = axis->in;
}

static void make_weights(cf_resize_axis *axis, int i, double *exact) {
    double centre, sum = 0, scale = (double)axis->in / axis->out, squeeze = 1 / (scale < 1 ? 1 : scale);
    int begin, end;
    range_of(axis, i, &centre, &begin, &end);
    int count = end - begin;
    for (int t = 0; t < count; t++) {
        double distance = fabs((t + begin - centre + 0.5) * squeeze);
        exact[t] = distance < 1 ? 1 - distance : 0;
        sum += exact[t];
    }
    // Near the end the stored range is moved towards the start, so that reading `taps` inputs stays inside the row.
    int start = begin + axis->taps > axis->in ? axis->in - axis->taps : begin;
    if (start < 0) start = 0;
    int32_t *weights = axis->weights + (size_t)i * (size_t)axis->taps;
    for (int t = 0; t < count; t++) {
        double weight = sum != 0 ? exact[t] / sum : exact[t];
        weights[t + begin - start] = (int32_t)(0.5 + weight * (1 << CF_RESIZE_BITS));
    }
    axis->starts[i] = start;
    axis->counts[i] = end - start;
    int32_t *pairs = axis->pairs + (size_t)i * (size_t)axis->taps;
    for (int t = 0; t < axis->taps; t += 2) {
        pairs[t] = (weights[t] & 0x7fff) | (weights[t + 1] & 0x7fff) << 16;
        pairs[t + 1] = weights[t] >> 15 | (weights[t + 1] >> 15) << 16;
    }
}

static cfine_status plan_axis(cf_resize_axis *axis, int in, int out, cfine_error *err) {
    memset(axis, 0, sizeof *axis);
    axis->in = in;
    axis->out = out;
    int most = 1;
    for (int i = 0; i < out; i++) {
        double centre;
        int begin, end;
        range_of(axis, i, &centre, &begin, &end);
        if (end - begin > most) most = end - begin;
    }
    axis->taps = (most + 1) / 2 * 2;
    size_t outputs = ((size_t)out + 3) / 4 * 4;
    int overflow = 0;
    size_t count = cf_mul_size(outputs, (size_t)axis->taps, &overflow);
    double *exact = cf_alloc((size_t)most, sizeof *exact);
    axis->starts = cf_alloc(outputs, sizeof *axis->starts);
    axis->counts = cf_alloc(outputs, sizeof *axis->counts);
    axis->weights = overflow ? NULL : cf_alloc(count, sizeof *axis->weights);
    axis->pairs = overflow ? NULL : cf_alloc(count, sizeof *axis->pairs);
    int complete = exact && axis->starts && axis->counts && axis->weights && axis->pairs;
    for (int i = 0; complete && i < out; i++) make_weights(axis, i, exact);
    cf_free(exact);
    return complete ? CFINE_OK : cf_fail_memory(err, "weights of the resize", count * 2 * sizeof(int32_t));
}

static const cf_resize_kernels *best_kernels(void) {
    size_t count;
    const cf_resize_kernels *list = cf_resize_kernel_list(&count);
    uint32_t features = cf_cpu_features();
    for (size_t i = 0; i + 1 < count; i++)
        if ((list[i].features & features) == list[i].features) return &list[i];
    return &list[count - 1];
}

static void forget_geometry(cf_resizer *resizer) {
    release_axis(&resizer->x);
    release_axis(&resizer->y);
    resizer->src_width = resizer->src_height = resizer->dst_width = resizer->dst_height = 0;
    resizer->first = resizer->second = CF_RESIZE_NONE;
    resizer->first_rows = 0;
}

void cf_resizer_release(cf_resizer *resizer) {
    forget_geometry(resizer);
    cf_free_aligned(resizer->scratch, resizer->scratch_bytes);
    memset(resizer, 0, sizeof *resizer);
}

static cfine_status plan_scratch(cf_resizer *resizer, int rows, int width, cfine_error *err) {
    int overflow = 0;
    resizer->scratch_stride = CF_RESIZE_BLOCK_STRIDE(width);
    size_t bytes = cf_mul_size(resizer->scratch_stride, (size_t)rows, &overflow);
    resizer->first_rows = rows;
    if (!overflow && bytes <= resizer->scratch_bytes) return CFINE_OK;
    cf_free_aligned(resizer->scratch, resizer->scratch_bytes);
    resizer->scratch_bytes = 0;
    resizer->scratch = overflow ? NULL : cf_alloc_aligned(bytes);
    if (!resizer->scratch) return cf_fail_memory(err, "scratch image of the resize", bytes);
    resizer->scratch_bytes = bytes;
    return CFINE_OK;
}

static cfine_status plan_passes(cf_resizer *resizer, int src_width, int src_height, int dst_width, int dst_height,
                                cfine_error *err) {
    int across = src_width != dst_width, down = src_height != dst_height;
    if (across) CF_TRY(plan_axis(&resizer->x, src_width, dst_width, err));
    if (down) CF_TRY(plan_axis(&resizer->y, src_height, dst_height, err));
    if (!across || !down) {
        resizer->second = across ? CF_RESIZE_ACROSS : down ? CF_RESIZE_DOWN : CF_RESIZE_NONE;
        return CFINE_OK;
    }
    int down_first = src_height > dst_height && src_height - dst_height > 2 * (src_width - dst_width);
    resizer->first = down_first ? CF_RESIZE_DOWN : CF_RESIZE_ACROSS;
    resizer->second = down_first ? CF_RESIZE_ACROSS : CF_RESIZE_DOWN;
    return down_first ? plan_scratch(resizer, dst_height, src_width, err)
                      : plan_scratch(resizer, src_height, dst_width, err);
}

cfine_status cf_resizer_plan(cf_resizer *resizer, int src_width, int src_height, int dst_width, int dst_height,
                             cfine_error *err) {
    resizer->kernels = best_kernels();
    if (resizer->src_width == src_width && resizer->src_height == src_height && resizer->dst_width == dst_width &&
        resizer->dst_height == dst_height && src_width > 0)
        return CFINE_OK;
    if (src_width < 1 || src_height < 1 || dst_width < 1 || dst_height < 1 || src_width > LARGEST ||
        src_height > LARGEST || dst_width > LARGEST || dst_height > LARGEST)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "cannot resize %d x %d pixels to %d x %d: each side must be 1..%d",
                       src_width, src_height, dst_width, dst_height, LARGEST);
    forget_geometry(resizer);
    cfine_status status = plan_passes(resizer, src_width, src_height, dst_width, dst_height, err);
    if (status != CFINE_OK) {
        forget_geometry(resizer);
        return status;
    }
    resizer->src_width = src_width;
    resizer->src_height = src_height;
    resizer->dst_width = dst_width;
    resizer->dst_height = dst_height;
    return CFINE_OK;
}

// Outputs [begin, end) of rows [y, y + rows) of an image with in_rows rows.
static void run_across(const cf_resizer *resizer, const uint8_t *in, size_t in_stride, int in_rows, int y, int rows,
                       int begin, int end, uint8_t *out, size_t out_stride) {
    size_t count;
    const cf_resize_kernels *plain = cf_resize_kernel_list(&count) + count - 1;
    // Vector loads read past a row. The last rows of an image without a margin have too little behind them: plain C.
    size_t slack = in_stride - (size_t)resizer->src_width * 3;
    int unsafe = slack >= CF_RESIZE_MARGIN ? 0 : (int)((CF_RESIZE_MARGIN + in_stride - 1) / in_stride);
    int safe = in_rows - unsafe - y;
    if (safe > rows) safe = rows;
    if (safe < 0) safe = 0;
    in += (size_t)y * in_stride;
    if (safe > 0) resizer->kernels->across(&resizer->x, begin, end, in, in_stride, out, out_stride, safe);
    in += (size_t)safe * in_stride;
    out += (size_t)safe * out_stride;
    if (rows > safe) plain->across(&resizer->x, begin, end, in, in_stride, out, out_stride, rows - safe);
}

void cf_resize_first(const cf_resizer *resizer, const uint8_t *src, int begin, int end) {
    size_t src_stride = (size_t)resizer->src_width * 3, stride = resizer->scratch_stride;
    uint8_t *out = resizer->scratch + (size_t)begin * stride;
    if (resizer->first == CF_RESIZE_ACROSS)
        run_across(resizer, src, src_stride, resizer->src_height, begin, end - begin, 0, resizer->dst_width, out,
                   stride);
    if (resizer->first == CF_RESIZE_DOWN)
        for (int y = begin; y < end; y++, out += stride)
            resizer->kernels->down(&resizer->y, y, src, src_stride, out, src_stride);
}

const uint8_t *cf_resize_second(const cf_resizer *resizer, const uint8_t *src, int y, int rows, int begin, int end,
                                uint8_t *buffer, size_t *stride) {
    int two = resizer->first != CF_RESIZE_NONE;
    const uint8_t *in = two ? resizer->scratch : src;
    size_t in_stride = two ? resizer->scratch_stride : (size_t)resizer->src_width * 3;
    *stride = CF_RESIZE_BLOCK_STRIDE(end - begin);
    switch (resizer->second) {
    case CF_RESIZE_ACROSS:
        run_across(resizer, in, in_stride, resizer->dst_height, y, rows, begin, end, buffer, *stride);
        return buffer;
    case CF_RESIZE_DOWN:
        for (int r = 0; r < rows; r++)
            resizer->kernels->down(&resizer->y, y + r, in + (size_t)begin * 3, in_stride, buffer + (size_t)r * *stride,
                                   (size_t)(end - begin) * 3);
        return buffer;
    case CF_RESIZE_NONE: break;
    }
    *stride = in_stride;
    return in + (size_t)y * in_stride + (size_t)begin * 3;
}

void cf_resize(const cf_resizer *resizer, const uint8_t *src, uint8_t *dst) {
    enum { ROWS = 4, PIXELS = 1024 };
    uint8_t buffer[ROWS * CF_RESIZE_BLOCK_STRIDE(PIXELS)];
    cf_resize_first(resizer, src, 0, resizer->first_rows);
    for (int y = 0; y < resizer->dst_height; y += ROWS)
        for (int x = 0; x < resizer->dst_width; x += PIXELS) {
            int rows = resizer->dst_height - y < ROWS ? resizer->dst_height - y : ROWS;
            int end = resizer->dst_width - x < PIXELS ? resizer->dst_width : x + PIXELS;
            size_t stride, width = (size_t)resizer->dst_width;
            const uint8_t *block = cf_resize_second(resizer, src, y, rows, x, end, buffer, &stride);
            for (int r = 0; r < rows; r++)
                memcpy(dst + ((size_t)(y + r) * width + (size_t)x) * 3, block + (size_t)r * stride,
                       (size_t)(end - x) * 3);
        }
}
