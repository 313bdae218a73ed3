// SPDX-License-Identifier: Apache-2.0
#include "cuda/map_cuda.h"

static int type_of(cf_dtype dtype) {
    return dtype == CF_U8 || dtype == CF_E4M3 ? CF_CU_MAP_U8 : dtype == CF_F16 ? CF_CU_MAP_F16 : CF_CU_MAP_BF16;
}

static int swizzle_of(cf_dtype dtype, int width) {
    int bytes = width * (int)cf_dtype_size(dtype);
    return bytes == 128 ? CF_CU_MAP_SWIZZLE_128 : bytes == 64 ? CF_CU_MAP_SWIZZLE_64 : CF_CU_MAP_SWIZZLE_32;
}

void cf_cuda_map_boxes(cf_cuda_queue *queue, cf_tensor_map *out, cf_dtype dtype, const void *data, int64_t width,
                       int64_t rows, int64_t stride, int box_width, int box_rows) {
    const uint64_t sizes[2] = {(uint64_t)width, (uint64_t)rows},
                   strides[1] = {(uint64_t)stride * (uint64_t)cf_dtype_size(dtype)};
    const uint32_t box[2] = {(uint32_t)box_width, (uint32_t)box_rows}, steps[2] = {1, 1};
    cf_cu_result result =
        queue->device->cu->map_boxes(out, type_of(dtype), 2, (void *)(uintptr_t)data, sizes, strides, box, steps, 0,
                                     swizzle_of(dtype, box_width), CF_CU_MAP_LINES_128, 0);
    cf_cuda_keep_failure(queue, result, "tensor map");
}

void cf_cuda_map_windows(cf_cuda_queue *queue, cf_tensor_map *out, const cf_tensor *in, int images,
                         const cf_conv_attr *attr, const cf_tensor *to, int channels, int pixels) {
    uint64_t size = (uint64_t)cf_dtype_size(in->dtype);
    const uint64_t sizes[4] = {(uint64_t)in->c, (uint64_t)in->w, (uint64_t)in->h, (uint64_t)images};
    const uint64_t strides[3] = {(uint64_t)in->pixel * size, (uint64_t)in->row * size, (uint64_t)in->image * size};
    // Where the first window begins, and how far from the last pixel the last one.
    const int lower[2] = {-attr->pad_left, -attr->pad_top};
    const int upper[2] = {(to->w - 1) * attr->stride - attr->pad_left - (in->w - 1),
                          (to->h - 1) * attr->stride - attr->pad_top - (in->h - 1)};
    const uint32_t steps[4] = {1, (uint32_t)attr->stride, (uint32_t)attr->stride, 1};
    cf_cu_result result = queue->device->cu->map_windows(out, type_of(in->dtype), 4, in->data, sizes, strides, lower,
                                                         upper, (uint32_t)channels, (uint32_t)pixels, steps, 0,
                                                         swizzle_of(in->dtype, channels), CF_CU_MAP_LINES_128, 0);
    cf_cuda_keep_failure(queue, result, "tensor map");
}
