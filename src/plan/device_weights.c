// SPDX-License-Identifier: Apache-2.0
// Packed weights on a GPU: sent there once for each GPU, shared by all sessions of the plan.
#include <pthread.h>

#include "plan/plan.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of device_weights of all plans

cfine_status cf_plan_fits_gpu(const cf_plan *plan, const cf_cuda_device *device, cfine_error *err) {
    for (int i = 0; i < plan->step_count; i++) {
        const cf_kernel *kernel = plan->steps[i].kernel;
        cf_target target = {CF_CUDA, 0, device->compute};
        if (!cf_kernel_runs_on(kernel, &target))
            return cf_fail(
                err, CFINE_ERROR_MISMATCH,
                "the plan was built for compute capability %d.%d (%s), %s has %d.%d; rebuild it: cfine build",
                plan->request.target.compute / 10, plan->request.target.compute % 10, kernel->name, device->name,
                device->compute / 10, device->compute % 10);
    }
    return CFINE_OK;
}

cfine_status cf_plan_weights_on(cf_plan *plan, const cf_cuda_device *device, cf_cuda_queue *queue, const void **out,
                                cfine_error *err) {
    cfine_status status = CFINE_OK;
    pthread_mutex_lock(&lock);
    void **weights = &plan->device_weights[device->ordinal];
    if (!*weights) {
        status = cf_cuda_alloc(device, (size_t)plan->weight_bytes, "the weights", weights, err);
        if (status == CFINE_OK) {
            cf_cuda_upload(queue, *weights, plan->weights, (size_t)plan->weight_bytes);
            status = cf_cuda_queue_wait(queue, err);
        }
        if (status != CFINE_OK) {
            cf_cuda_free(device, *weights);
            *weights = NULL;
        }
    }
    *out = *weights;
    pthread_mutex_unlock(&lock);
    return status;
}

void cf_plan_free_device_weights(cf_plan *plan) {
    for (int i = 0; i < CF_CUDA_MAX_DEVICES; i++) {
        const cf_cuda_device *device;
        if (plan->device_weights[i] && cf_cuda_open(i, &device, NULL) == CFINE_OK)
            cf_cuda_free(device, plan->device_weights[i]);
    }
}
