// SPDX-License-Identifier: Apache-2.0
// Times the kernels that accept a step, on this machine, with the step's shapes and strides and the plan's threads.
//
// Only operators whose time matters and whose inputs may hold anything are timed: convolutions and attention. Others
// take the first kernel of their list, as all do in a plan that is not tuned.
#include "plan/tune.h"

#include <string.h>
#include <time.h>

#include "base/half.h"
#include "base/memory.h"

enum { DATA = 4, EVICT_BYTES = 4 << 20, MOST_RUNS = 8 };

static const double ENOUGH_SECONDS = 0.01;

typedef struct {
    uint8_t *bytes;
    size_t size;
    cf_dtype dtype;
} data;

struct cf_tuner {
    cf_pool *pool;
    cf_target target;
    data data[DATA]; // up to three inputs, and the output
    uint8_t *evict;
};

cfine_status cf_tuner_create(const cf_plan_request *request, cf_tuner **out, cfine_error *err) {
    *out = NULL;
    cf_tuner *tuner = cf_alloc(1, sizeof *tuner);
    if (!tuner) return cf_fail_memory(err, "tuning", sizeof *tuner);
    tuner->target = request->target;
    tuner->evict = cf_alloc_aligned(EVICT_BYTES);
    cfine_status status = tuner->evict ? CFINE_OK : cf_fail_memory(err, "tuning", EVICT_BYTES);
    if (status == CFINE_OK) status = cf_pool_create(request->threads, 0, &tuner->pool, err);
    if (status == CFINE_OK)
        *out = tuner;
    else
        cf_tuner_destroy(tuner);
    return status;
}

void cf_tuner_destroy(cf_tuner *tuner) {
    if (!tuner) return;
    cf_pool_destroy(tuner->pool);
    for (int i = 0; i < DATA; i++) cf_free_aligned(tuner->data[i].bytes, tuner->data[i].size);
    cf_free_aligned(tuner->evict, EVICT_BYTES);
    cf_free(tuner);
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
static int place(cf_tuner *tuner, int which, int images, cf_tensor *tensor) {
    data *d = &tuner->data[which];
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
static double seconds_of(cf_tuner *tuner, const job *j, double best) {
    double least = 1e9, total = 0;
    for (int i = 0; i < MOST_RUNS && total < ENOUGH_SECONDS; i++) {
        memset(tuner->evict, i, EVICT_BYTES);
        double start = now();
        cf_pool_run(tuner->pool, run_job, (void *)j);
        double taken = now() - start;
        total += taken;
        if (taken < least) least = taken;
        if (taken > 4 * best) break;
    }
    return least;
}

static cfine_status time_kernel(cf_tuner *tuner, const cf_problem *problem, const cf_kernel *kernel, double best,
                                double *seconds, cfine_error *err) {
    cf_problem bare = *problem; // at run time there are no constants
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) bare.constant[k].data = NULL;
    cf_call call = {.problem = &bare, .images = problem->images};
    int placed = 1;
    for (int i = 0; i < problem->inputs; i++) {
        call.in[i] = problem->in[i];
        placed &= place(tuner, i, problem->images, &call.in[i]);
    }
    call.out[0] = problem->out[0];
    placed &= place(tuner, DATA - 1, problem->images, &call.out[0]);
    size_t packed_bytes = kernel->packed_size ? kernel->packed_size(problem) : 0;
    size_t scratch_bytes = kernel->scratch_size ? kernel->scratch_size(problem) : 0;
    void *packed = cf_alloc_aligned(packed_bytes);
    call.scratch = cf_alloc_aligned(scratch_bytes);
    call.packed = packed;
    cfine_status status = CFINE_OK;
    if (placed && packed && call.scratch) {
        if (kernel->pack) kernel->pack(problem, packed);
        job j = {kernel, &call};
        *seconds = seconds_of(tuner, &j, best);
    } else {
        status = cf_fail_memory(err, "tuning", packed_bytes + scratch_bytes);
    }
    cf_free_aligned(packed, packed_bytes);
    cf_free_aligned(call.scratch, scratch_bytes);
    return status;
}

// The same shapes, strides and attributes, whatever the weights.
static int same_work(const cf_problem *a, const cf_problem *b) {
    cf_problem x = *a, y = *b;
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) {
        if (!x.constant[k].data != !y.constant[k].data) return 0;
        x.constant[k].data = y.constant[k].data = NULL;
    }
    return memcmp(&x, &y, sizeof x) == 0;
}

cfine_status cf_tune(cf_tuner *tuner, const cf_step *steps, int32_t step_count, cf_step *step, cfine_error *err) {
    const cf_problem *problem = &step->problem;
    if (problem->inputs > DATA - 1) return CFINE_OK;
    if (problem->op != CF_OP_CONV && problem->op != CF_OP_ATTENTION) return CFINE_OK;
    for (int32_t i = 0; i < step_count; i++)
        if (steps[i].tried_count && same_work(&steps[i].problem, problem)) {
            step->kernel = steps[i].kernel;
            step->tried_count = steps[i].tried_count;
            memcpy(step->tried, steps[i].tried, sizeof step->tried);
            return CFINE_OK;
        }
    int count;
    const cf_kernel *const *list = cf_kernels_of(CF_CPU, problem->op, &count);
    double best = 1e9;
    for (int i = 0; i < count - 1 && step->tried_count < CF_TRIED; i++) { // the last is the reference
        if (!cf_kernel_runs_on(list[i], &tuner->target) || list[i]->refuse(problem)) continue;
        double seconds = 0;
        CF_TRY(time_kernel(tuner, problem, list[i], best, &seconds, err));
        step->tried[step->tried_count++] = (cf_tried){list[i], (float)(seconds * 1e3)};
        if (seconds < best) {
            best = seconds;
            step->kernel = list[i];
        }
    }
    return CFINE_OK;
}
