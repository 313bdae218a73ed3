// SPDX-License-Identifier: Apache-2.0
// Making tensor maps (cuda/tensor_map.h) of F16, BF16 and U8 tensors. What the copy engine reads outside of a tensor is
// zero bits, what it writes there is lost. Addresses and strides are multiples of 16 bytes. Failures stay in the queue.
#ifndef CF_CUDA_MAP_CUDA_H
#define CF_CUDA_MAP_CUDA_H

#include "cuda/queue.h"
#include "cuda/tensor_map.h"
#include "kernels/tensor.h"

// A matrix of `rows` rows of `width` elements, which lie `stride` elements apart, copied in boxes of box_rows x
// box_width: 64 or 128 bytes, the 16-byte pieces of whose rows are swizzled over these in shared memory.
void cf_cuda_map_boxes(cf_cuda_queue *queue, cf_tensor_map *out, cf_dtype dtype, const void *data, int64_t width,
                       int64_t rows, int64_t stride, int box_width, int box_rows);

// The input of a convolution, copied in pieces of `channels` (64 or 128 bytes) of one tap of `pixels` windows, which
// make the pixels of `to` one after another.
void cf_cuda_map_windows(cf_cuda_queue *queue, cf_tensor_map *out, const cf_tensor *in, int images,
                         const cf_conv_attr *attr, const cf_tensor *to, int channels, int pixels);

#endif
