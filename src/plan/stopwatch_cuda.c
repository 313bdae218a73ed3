// SPDX-License-Identifier: Apache-2.0
// Timing a kernel on the GPU that the plan is for: launches one behind the other, as in a graph, between two events.
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "plan/stopwatch.h"

enum { BLOCKS = CF_MAX_INPUTS + 3, MOST_RUNS = 10, HOPPER = 90 };

static const double ENOUGH_MILLISECONDS = 3;

typedef struct {
    unsigned char *bytes; // of the GPU
    size_t size;
} block;

typedef struct cuda_watch {
    const cf_cuda_device *device;
    cf_cuda_queue queue;
    cf_cu_event before, after;
    block blocks[BLOCKS]; // inputs, output, packed constants, scratch
} cuda_watch;

static cfine_status create(const cf_plan_request *request, void **state, cfine_error *err) {
    cuda_watch *watch = *state = cf_alloc(1, sizeof *watch);
    if (!watch) return cf_fail_memory(err, "tuning", sizeof *watch);
    CF_TRY(cf_cuda_open(request->ordinal, &watch->device, err));
    CF_TRY(cf_cuda_queue_create(watch->device, &watch->queue, err));
    watch->queue.overlap = watch->device->compute >= HOPPER;
    cf_cu_result result = watch->device->cu->event_create(&watch->before, 0);
    if (!result) result = watch->device->cu->event_create(&watch->after, 0);
    return result ? cf_cu_fail(watch->device->cu, result, "creating an event", err) : CFINE_OK;
}

static void destroy(void *state) {
    cuda_watch *watch = state;
    if (!watch) return;
    for (int i = 0; i < BLOCKS && watch->device; i++) cf_cuda_free(watch->device, watch->blocks[i].bytes);
    if (watch->before) watch->device->cu->event_destroy(watch->before);
    if (watch->after) watch->device->cu->event_destroy(watch->after);
    cf_cuda_queue_destroy(&watch->queue);
    cf_free(watch);
}

// Values between -1 and 1 in half precision; other types read them as what they are to them.
static cfine_status fill(cuda_watch *watch, block *b, cfine_error *err) {
    enum { PIECE = 1 << 20 };
    uint16_t *values = cf_alloc(PIECE, sizeof *values);
    if (!values) return cf_fail_memory(err, "tuning", PIECE);
    uint32_t random = 1;
    for (int i = 0; i < PIECE; i++) {
        random = random * 1664525 + 1013904223;
        values[i] = cf_f32_to_f16((float)(random >> 8) * 0x1p-23f - 1);
    }
    size_t piece = PIECE * sizeof *values;
    for (size_t at = 0; at < b->size; at += piece)
        cf_cuda_upload(&watch->queue, b->bytes + at, values, b->size - at < piece ? b->size - at : piece);
    cfine_status status = cf_cuda_queue_wait(&watch->queue, err);
    cf_free(values);
    return status;
}

// Block number `which`, of this size at least.
static cfine_status take(cuda_watch *watch, int which, size_t size, unsigned char **out, cfine_error *err) {
    block *b = &watch->blocks[which];
    if (b->size < size) {
        cf_cuda_free(watch->device, b->bytes);
        *b = (block){0};
        void *memory;
        CF_TRY(cf_cuda_alloc(watch->device, size, "tuning", &memory, err));
        *b = (block){memory, size};
        CF_TRY(fill(watch, b, err));
    }
    *out = b->bytes;
    return CFINE_OK;
}

static cfine_status place(cuda_watch *watch, int which, int images, cf_tensor *tensor, cfine_error *err) {
    size_t size = (size_t)images * (size_t)tensor->image * (size_t)cf_dtype_size(tensor->dtype) + 64;
    unsigned char *bytes;
    CF_TRY(take(watch, which, size, &bytes, err));
    tensor->data = bytes;
    return CFINE_OK;
}

static cfine_status run(cuda_watch *watch, const cf_kernel *kernel, const cf_call *call, int runs, float *milliseconds,
                        cfine_error *err) {
    const cf_cu *cu = watch->device->cu;
    cu->event_record(watch->before, watch->queue.stream);
    for (int i = 0; i < runs; i++) kernel->launch(call, &watch->queue);
    cu->event_record(watch->after, watch->queue.stream);
    CF_TRY(cf_cuda_queue_wait(&watch->queue, err));
    cf_cu_result result = cu->event_elapsed(milliseconds, watch->before, watch->after);
    *milliseconds /= (float)runs;
    return result ? cf_cu_fail(cu, result, "timing", err) : CFINE_OK;
}

static cfine_status time_kernel(void *state, const cf_problem *problem, const cf_kernel *kernel, double best,
                                double *seconds, cfine_error *err) {
    cuda_watch *watch = state;
    cf_problem bare = *problem; // at run time there are no constants
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) bare.constant[k].data = NULL;
    cf_call call = {.problem = &bare, .images = problem->images};
    for (int i = 0; i < problem->inputs; i++) {
        call.in[i] = problem->in[i];
        CF_TRY(place(watch, i, problem->images, &call.in[i], err));
    }
    call.out[0] = problem->out[0];
    CF_TRY(place(watch, CF_MAX_INPUTS, problem->images, &call.out[0], err));
    unsigned char *packed, *scratch;
    CF_TRY(take(watch, CF_MAX_INPUTS + 1, kernel->packed_size ? kernel->packed_size(problem) : 0, &packed, err));
    CF_TRY(take(watch, CF_MAX_INPUTS + 2, kernel->scratch_size ? kernel->scratch_size(problem) : 0, &scratch, err));
    call.packed = packed;
    call.scratch = scratch;
    float milliseconds;
    CF_TRY(run(watch, kernel, &call, 1, &milliseconds, err)); // the first one loads code
    CF_TRY(run(watch, kernel, &call, 1, &milliseconds, err));
    if (milliseconds < 4e3 * best) {
        double runs = ENOUGH_MILLISECONDS / (milliseconds > 1e-3f ? milliseconds : 1e-3f);
        CF_TRY(run(watch, kernel, &call, runs < 2 ? 2 : runs > MOST_RUNS ? MOST_RUNS : (int)runs, &milliseconds, err));
    }
    *seconds = (double)milliseconds * 1e-3;
    return CFINE_OK;
}

const cf_stopwatch cf_stopwatch_cuda = {create, destroy, time_kernel};
