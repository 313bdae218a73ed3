// SPDX-License-Identifier: Apache-2.0
// Pictures of any size, sent to a GPU and resized there, bit for bit as the CPU does it (preprocess/resize.h). A few
// slots of pinned memory take turns: while one picture travels or is resized, the next is copied into another slot.
#ifndef CF_EXEC_PICTURES_CUDA_H
#define CF_EXEC_PICTURES_CUDA_H

#include "base/threads.h"
#include "cuda/queue.h"
#include "kernels/tensor.h"
#include "preprocess/resize.h"

enum { CF_PICTURE_SLOTS = 4 };

typedef struct cf_cuda_pictures {
    struct {
        unsigned char *host, *device; // tables of the resize, then the picture
        cf_cu_event used;             // the GPU is done with what was sent
    } slots[CF_PICTURE_SLOTS];
    int next;
} cf_cuda_pictures;

// 1 if pictures of this size are resized by the GPU for an input of w x h pixels: larger ones are reduced before they
// travel.
int cf_cuda_picture_fits(int width, int height, int w, int h);

// Of the GPU's memory, for an input of w x h pixels.
size_t cf_cuda_pictures_bytes(int w, int h);

cfine_status cf_cuda_pictures_create(cf_cuda_pictures *pictures, const cf_cuda_device *device, int w, int h,
                                     cfine_error *err);
void cf_cuda_pictures_destroy(cf_cuda_pictures *pictures, const cf_cuda_device *device);

// Sends a picture that fits, and has it resized into `out`, one image of the network's input on the GPU; `values`: what
// bytes become there. The pool copies. Failures stay in the queue.
void cf_cuda_picture_send(cf_cuda_pictures *pictures, cf_cuda_queue *queue, cf_pool *pool, const cf_resizer *resizer,
                          const uint8_t *rgb, const float *values, const cf_tensor *out);

#endif
