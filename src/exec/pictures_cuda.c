// SPDX-License-Identifier: Apache-2.0
#include "exec/pictures_cuda.h"

#include <string.h>

#include "cuda/resize_args.h"

// A picture has at most LARGEST times the input's pixels, and LONGEST times a side.
enum { LARGEST = 4, LONGEST = 16, ALIGNMENT = 256 };

int cf_cuda_picture_fits(int width, int height, int w, int h) {
    return width <= LONGEST * w && height <= LONGEST * h &&
           (int64_t)width * height <= LARGEST * (int64_t)w * (int64_t)h;
}

// Of an axis of `out` outputs: starts, counts and weights, as many as the most reduced side has.
static size_t table_bytes(int out) {
    enum { MOST_TAPS = 2 * LONGEST + 2 };
    return (size_t)out * (2 + MOST_TAPS) * sizeof(int32_t);
}

static size_t slot_bytes(int w, int h) {
    return table_bytes(w) + table_bytes(h) + ALIGNMENT + LARGEST * 3 * (size_t)w * (size_t)h;
}

size_t cf_cuda_pictures_bytes(int w, int h) {
    return CF_PICTURE_SLOTS * slot_bytes(w, h);
}

cfine_status cf_cuda_pictures_create(cf_cuda_pictures *pictures, const cf_cuda_device *device, int w, int h,
                                     cfine_error *err) {
    for (int i = 0; i < CF_PICTURE_SLOTS; i++) {
        void *host, *memory;
        CF_TRY(cf_cuda_host_alloc(device, slot_bytes(w, h), &host, err));
        pictures->slots[i].host = host;
        CF_TRY(cf_cuda_alloc(device, slot_bytes(w, h), "pictures", &memory, err));
        pictures->slots[i].device = memory;
        cf_cu_result result = device->cu->event_create(&pictures->slots[i].used, CF_CU_EVENT_NO_TIMING);
        if (result) return cf_cu_fail(device->cu, result, "creating an event", err);
    }
    return CFINE_OK;
}

void cf_cuda_pictures_destroy(cf_cuda_pictures *pictures, const cf_cuda_device *device) {
    for (int i = 0; i < CF_PICTURE_SLOTS; i++) {
        if (pictures->slots[i].used) device->cu->event_destroy(pictures->slots[i].used);
        cf_cuda_free(device, pictures->slots[i].device);
        cf_cuda_host_free(device, pictures->slots[i].host);
    }
}

typedef struct copy_job {
    unsigned char *to;
    const uint8_t *from;
    size_t bytes;
} copy_job;

static void copy_share(void *arg, const cf_team *team) {
    const copy_job *job = arg;
    long begin, end;
    cf_team_range(team, (long)job->bytes, &begin, &end);
    memcpy(job->to + begin, job->from + begin, (size_t)(end - begin));
}

// Appends an axis to what is sent; the pointers are the GPU's.
static cf_cuda_resize_axis put_axis(const cf_resize_axis *axis, unsigned char *host, unsigned char *device,
                                    size_t *used) {
    if (!axis->weights) return (cf_cuda_resize_axis){.taps = 0};
    size_t vector = (size_t)axis->out * sizeof(int32_t), weights = vector * (size_t)axis->taps;
    memcpy(host + *used, axis->starts, vector);
    memcpy(host + *used + vector, axis->counts, vector);
    memcpy(host + *used + 2 * vector, axis->weights, weights);
    const unsigned char *at = device + *used;
    *used += 2 * vector + weights;
    return (cf_cuda_resize_axis){(const int32_t *)(const void *)at, (const int32_t *)(const void *)(at + vector),
                                 (const int32_t *)(const void *)(at + 2 * vector), axis->taps};
}

void cf_cuda_picture_send(cf_cuda_pictures *pictures, cf_cuda_queue *queue, cf_pool *pool, const cf_resizer *resizer,
                          const uint8_t *rgb, const float *values, const cf_tensor *out) {
    enum { WIDE = 32, HIGH = 8 };
    const cf_cu *cu = queue->device->cu;
    int i = pictures->next;
    pictures->next = (i + 1) % CF_PICTURE_SLOTS;
    unsigned char *host = pictures->slots[i].host, *device = pictures->slots[i].device;
    cf_cuda_keep_failure(queue, cu->event_wait(pictures->slots[i].used), "pictures");
    size_t used = 0;
    cf_cuda_resize_args args = {.src_width = resizer->src_width,
                                .down_first = resizer->first == CF_RESIZE_DOWN,
                                .bits = CF_RESIZE_BITS,
                                .x = put_axis(&resizer->x, host, device, &used),
                                .y = put_axis(&resizer->y, host, device, &used),
                                .values = values,
                                .out = *out};
    used = (used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    args.rgb = device + used;
    copy_job job = {host + used, rgb, 3 * (size_t)resizer->src_width * (size_t)resizer->src_height};
    cf_pool_run(pool, copy_share, &job);
    cf_cuda_upload(queue, device, host, used + job.bytes);
    const void *arguments[] = {&args};
    cf_cuda_launch(queue, "cf_resize_pixels",
                   (cf_cuda_shape){cf_cuda_blocks(out->w, WIDE), cf_cuda_blocks(out->h, HIGH), 1},
                   (cf_cuda_shape){WIDE, HIGH, 1}, 0, arguments);
    cf_cuda_keep_failure(queue, cu->event_record(pictures->slots[i].used, queue->stream), "pictures");
}
