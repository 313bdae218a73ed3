// SPDX-License-Identifier: Apache-2.0
// Timing a kernel on this machine's CPU with the plan's threads.
#include <string.h>
#include <time.h>

#include "base/half.h"
#include "base/memory.h"
#include "plan/stopwatch.h"

enum { DATA = 4, EVICT_BYTES = 4 << 20, MOST_RUNS = 8 };

static const double ENOUGH_SECONDS = 0.01;

typedef struct {
    uint8_t *bytes;
    size_t size;
    cf_dtype dtype;
} data;

typedef struct cpu_watch {
    cf_pool *pool;
    data data[DATA]; // up to three inputs, and the output
    uint8_t *evict;
} cpu_watch;

static cfine_status create(const cf_plan_request *request, void **state, cfine_error *err) {
    cpu_watch *watch = *state = cf_alloc(1, sizeof *watch);
    if (!watch) return cf_fail_memory(err, "tuning", sizeof *watch);
    watch->evict = cf_alloc_aligned(EVICT_BYTES);
    if (!watch->evict) return cf_fail_memory(err, "tuning", EVICT_BYTES);
    return cf_pool_create(request->threads, 0, &watch->pool, err);
}

static void destroy(void *state) {
    cpu_watch *watch = state;
    if (!watch) return;
    cf_pool_destroy(watch->pool);
    for (int i = 0; i < DATA; i++) cf_free_aligned(watch->data[i].bytes, watch->data[i].size);
    cf_free_aligned(watch->evict, EVICT_BYTES);
    cf_free(watch);
}

// Values between -1 and 1, or bytes.
static void fill(data *d) {
    uint32_t random = 1;
    int size = cf_dtype_size(d->dtype);
    for (size_t i = 0; i + 4 <= d->size; i += (size_t)size) {
        random = random * 1664525 + 1013904223;
        float value = (float)(random >> 8) * 0x1p-23f - 1;
        uint16_t half = cf_f32_to_bf16(value);
        if (d->dtype == CF_F32)
            memcpy(d->bytes + i, &value, 4);
        else if (size == 2)
            memcpy(d->bytes + i, &half, 2);
        else
            d->bytes[i] = (uint8_t)(random >> 24);
    }
}

// Gives a tensor memory of its own, strides kept. 0: no memory.
static int place(cpu_watch *watch, int which, int images, cf_tensor *tensor) {
    data *d = &watch->data[which];
    size_t element = (size_t)cf_dtype_size(tensor->dtype), need = (size_t)images * (size_t)tensor->image * element + 64;
    if (d->size < need || d->dtype != tensor->dtype) {
        if (d->size < need) {
            cf_free_aligned(d->bytes, d->size);
            d->bytes = cf_alloc_aligned(need);
            d->size = d->bytes ? need : 0;
        }
        d->dtype = tensor->dtype;
        if (d->bytes) fill(d);
    }
    tensor->data = d->bytes ? d->bytes + (size_t)(tensor->halo * (tensor->row + tensor->pixel)) * element : NULL;
    return d->bytes != NULL;
}

typedef struct {
    const cf_kernel *kernel;
    const cf_call *call;
} job;

static void run_job(void *arg, const cf_team *team) {
    const job *j = arg;
    j->kernel->run(j->call, team);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// The least of a few runs, each with caches that hold neither weights nor data, as in the middle of a network. A kernel
// whose first run takes more than four times `best` is not run again.
static double seconds_of(cpu_watch *watch, const job *j, double best) {
    double least = 1e9, total = 0;
    for (int i = 0; i < MOST_RUNS && total < ENOUGH_SECONDS; i++) {
        memset(watch->evict, i, EVICT_BYTES);
        double start = now();
        cf_pool_run(watch->pool, run_job, (void *)j);
        double taken = now() - start;
        total += taken;
        if (taken < least) least = taken;
        if (taken > 4 * best) break;
    }
    return least;
}

static cfine_status time_kernel(void *state, const cf_problem *problem, const cf_kernel *kernel, double best,
                                double *seconds, cfine_error *err) {
    cpu_watch *watch = state;
    if (problem->inputs > DATA - 1) return cf_fail(err, CFINE_ERROR_INTERNAL, "tuning: %d inputs", problem->inputs);
    cf_problem bare = *problem; // at run time there are no constants
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) bare.constant[k].data = NULL;
    cf_call call = {.problem = &bare, .images = problem->images};
    int placed = 1;
    for (int i = 0; i < problem->inputs; i++) {
        call.in[i] = problem->in[i];
        placed &= place(watch, i, problem->images, &call.in[i]);
    }
    call.out[0] = problem->out[0];
    placed &= place(watch, DATA - 1, problem->images, &call.out[0]);
    size_t packed_bytes = kernel->packed_size ? kernel->packed_size(problem) : 0;
    size_t scratch_bytes = kernel->scratch_size ? kernel->scratch_size(problem) : 0;
    void *packed = cf_alloc_aligned(packed_bytes);
    call.scratch = cf_alloc_aligned(scratch_bytes);
    call.packed = packed;
    cfine_status status = CFINE_OK;
    if (placed && packed && call.scratch) {
        if (kernel->pack) kernel->pack(problem, packed);
        job j = {kernel, &call};
        *seconds = seconds_of(watch, &j, best);
    } else {
        status = cf_fail_memory(err, "tuning", packed_bytes + scratch_bytes);
    }
    cf_free_aligned(packed, packed_bytes);
    cf_free_aligned(call.scratch, scratch_bytes);
    return status;
}

const cf_stopwatch cf_stopwatch_cpu = {create, destroy, time_kernel};
