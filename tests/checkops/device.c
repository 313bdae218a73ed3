// SPDX-License-Identifier: Apache-2.0
#include "checkops/device.h"

#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = 1024, SKIPPED = 77 };
static const size_t arena_bytes = (size_t)2 << 30;

static cf_cuda_queue queue;
static unsigned char *arena; // of the GPU; every run lays its blocks out from the start

static void need(cfine_status status, const cfine_error *error) {
    if (status == CFINE_OK) return;
    fprintf(stderr, "checkops: %s\n", error->message);
    exit(2);
}

const cf_cuda_device *check_device_open(int ordinal) {
    const cf_cuda_device *device;
    cfine_error error;
    if (cf_cuda_open(ordinal, &device, &error) != CFINE_OK) {
        printf("skipped: %s\n", error.message);
        exit(SKIPPED);
    }
    need(cf_cuda_queue_create(device, &queue, &error), &error);
    queue.overlap = device->compute >= 90; // as sessions do, so that a missing wait shows
    void *memory;
    need(cf_cuda_alloc(device, arena_bytes, "checkops", &memory, &error), &error);
    arena = memory;
    return device;
}

// The place on the GPU of a host pointer into one of the blocks.
static void *moved(const check_block *blocks, int count, const void *pointer) {
    const unsigned char *at = pointer;
    for (int i = 0; i < count; i++) {
        const unsigned char *begin = blocks[i].host;
        if (at >= begin && at <= begin + blocks[i].bytes) return (unsigned char *)blocks[i].device + (at - begin);
    }
    return NULL;
}

static double time_launches(const cf_kernel *kernel, const cf_call *call, int repeats) {
    const cf_cu *cu = queue.device->cu;
    cf_cu_event events[2];
    float milliseconds = 0;
    for (int i = 0; i < 2; i++) cu->event_create(&events[i], 0);
    for (int i = 0; i < 3; i++) kernel->launch(call, &queue);
    cu->event_record(events[0], queue.stream);
    for (int i = 0; i < repeats; i++) kernel->launch(call, &queue);
    cu->event_record(events[1], queue.stream);
    cfine_error error;
    need(cf_cuda_queue_wait(&queue, &error), &error);
    cu->event_elapsed(&milliseconds, events[0], events[1]);
    for (int i = 0; i < 2; i++) cu->event_destroy(events[i]);
    return milliseconds / repeats;
}

int check_device_run(const cf_kernel *kernel, const cf_call *call, check_block *blocks, int count, int repeats,
                     double *milliseconds) {
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        blocks[i].device = arena + used;
        used += (blocks[i].bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (used > arena_bytes) {
            printf("%s: the case is larger than the checker's memory on the GPU\n", kernel->name);
            return 0;
        }
        cf_cuda_upload(&queue, blocks[i].device, blocks[i].host, blocks[i].bytes);
    }
    cf_call there = *call;
    for (int i = 0; i < CF_MAX_INPUTS; i++) there.in[i].data = moved(blocks, count, call->in[i].data);
    there.out[0].data = moved(blocks, count, call->out[0].data);
    there.packed = moved(blocks, count, call->packed);
    there.scratch = moved(blocks, count, call->scratch);
    kernel->launch(&there, &queue);
    for (int i = 0; i < count; i++) cf_cuda_download(&queue, blocks[i].host, blocks[i].device, blocks[i].bytes);
    cfine_error error;
    if (cf_cuda_queue_wait(&queue, &error) != CFINE_OK) {
        // After a fault in a kernel the context is lost: nothing that follows would say anything.
        fprintf(stderr, "checkops: %s: %s\n", kernel->name, error.message);
        exit(2);
    }
    if (repeats > 0) *milliseconds = time_launches(kernel, &there, repeats);
    return 1;
}
