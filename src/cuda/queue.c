// SPDX-License-Identifier: Apache-2.0
#include "cuda/queue.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cuda/images.h"

enum { MAX_FUNCTIONS = 512, DEFAULT_SHARED_BYTES = 48 * 1024 };

// Functions are found by name once per device; the table is small and only read while work is captured.
typedef struct function_entry {
    const char *name; // of the caller: a string constant
    cf_cu_function function;
    size_t shared_bytes; // allowed so far
} function_entry;

typedef struct opened_device {
    cf_cuda_device device; // first: cf_cuda_open gives out its address
    cf_cu_module modules[CF_CUDA_MAX_IMAGES];
    int function_count;
    function_entry functions[MAX_FUNCTIONS];
} opened_device;

static opened_device *devices[CF_CUDA_MAX_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of devices and their function tables

int cf_cuda_is_built(void) {
    return cf_cuda_image_count > 0;
}

int cf_cuda_count(void) {
    cfine_error ignored;
    const cf_cu *cu = cf_cu_open(&ignored);
    int count = 0;
    return cu && cu->device_count(&count) == 0 ? count : 0;
}

cfine_status cf_cuda_describe(int ordinal, cf_cuda_device *out, cfine_error *err) {
    memset(out, 0, sizeof *out);
    const cf_cu *cu = cf_cu_open(err);
    if (!cu) return CFINE_ERROR_DEVICE;
    int count = 0;
    cu->device_count(&count);
    if (ordinal < 0 || ordinal >= count || ordinal >= CF_CUDA_MAX_DEVICES)
        return cf_fail(err, CFINE_ERROR_DEVICE, "device cuda:%d: there %s %d GPU%s here; see them with: cfine doctor",
                       ordinal, count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    cf_cu_device device;
    int major = 0, minor = 0;
    const struct {
        int attribute, *value;
    } wanted[] = {{CF_CU_ATTRIBUTE_COMPUTE_MAJOR, &major},
                  {CF_CU_ATTRIBUTE_COMPUTE_MINOR, &minor},
                  {CF_CU_ATTRIBUTE_MULTIPROCESSORS, &out->multiprocessors},
                  {CF_CU_ATTRIBUTE_SHARED_OPTIN, &out->shared_bytes}};
    cf_cu_result result = cu->device_get(&device, ordinal);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !result; i++)
        result = cu->device_attribute(wanted[i].value, wanted[i].attribute, device);
    if (!result) result = cu->device_name(out->name, sizeof out->name, device);
    if (!result) result = cu->device_memory(&out->memory_bytes, device);
    if (result) return cf_cu_fail(cu, result, "asking the device", err);
    out->cu = cu;
    out->ordinal = ordinal;
    out->compute = major * 10 + minor;
    return CFINE_OK;
}

static cfine_status start(opened_device *opened, int ordinal, cfine_error *err) {
    cf_cuda_device *device = &opened->device;
    CF_TRY(cf_cuda_describe(ordinal, device, err));
    if (!cf_cuda_is_built())
        return cf_fail(
            err, CFINE_ERROR_UNSUPPORTED,
            "this build has no GPU kernels: the CUDA compiler (nvcc) was missing; install it and build again");
    cf_cu_device handle;
    cf_cu_result result = device->cu->device_get(&handle, ordinal);
    if (!result) result = device->cu->context_retain(&device->context, handle);
    if (!result) result = device->cu->context_set(device->context);
    if (result) return cf_cu_fail(device->cu, result, "starting the device", err);
    for (int i = 0; i < cf_cuda_image_count; i++) {
        result = device->cu->module_load(&opened->modules[i], cf_cuda_images[i].begin);
        if (result) {
            for (int k = 0; k < i; k++) device->cu->module_unload(opened->modules[k]);
            device->cu->context_release(handle);
            char what[160];
            snprintf(what, sizeof what, "loading kernels (%s) for compute capability %d.%d", cf_cuda_images[i].name,
                     device->compute / 10, device->compute % 10);
            return cf_cu_fail(device->cu, result, what, err);
        }
    }
    return CFINE_OK;
}

cfine_status cf_cuda_open(int ordinal, const cf_cuda_device **out, cfine_error *err) {
    *out = NULL;
    cfine_status status = CFINE_OK;
    pthread_mutex_lock(&lock);
    if (ordinal < 0 || ordinal >= CF_CUDA_MAX_DEVICES || !devices[ordinal]) {
        opened_device *opened = cf_alloc(1, sizeof *opened);
        status = opened ? start(opened, ordinal, err) : cf_fail_memory(err, "device", sizeof *opened);
        if (status == CFINE_OK)
            devices[ordinal] = opened;
        else
            cf_free(opened);
    }
    if (status == CFINE_OK) *out = &devices[ordinal]->device;
    pthread_mutex_unlock(&lock);
    return status;
}

cfine_status cf_cuda_alloc(const cf_cuda_device *device, size_t bytes, const char *what, void **out, cfine_error *err) {
    cf_cu_address address = 0;
    device->cu->context_set(device->context);
    cf_cu_result result = device->cu->memory_alloc(&address, bytes ? bytes : 1);
    *out = (void *)(uintptr_t)address;
    if (result == CF_CU_OUT_OF_MEMORY) {
        size_t free = 0, total = 0;
        device->cu->memory_info(&free, &total);
        return cf_fail(err, CFINE_ERROR_MEMORY,
                       "cuda:%d: %s needs %.1f MB of the GPU's memory, %.1f of %.1f MB are free", device->ordinal, what,
                       (double)bytes * 1e-6, (double)free * 1e-6, (double)total * 1e-6);
    }
    return result ? cf_cu_fail(device->cu, result, what, err) : CFINE_OK;
}

void cf_cuda_free(const cf_cuda_device *device, void *memory) {
    if (!memory) return;
    device->cu->context_set(device->context);
    device->cu->memory_free((cf_cu_address)(uintptr_t)memory);
}

cfine_status cf_cuda_host_alloc(const cf_cuda_device *device, size_t bytes, void **out, cfine_error *err) {
    *out = NULL;
    device->cu->context_set(device->context);
    cf_cu_result result = device->cu->host_alloc(out, bytes ? bytes : 1, 0);
    return result ? cf_cu_fail(device->cu, result, "pinned memory", err) : CFINE_OK;
}

void cf_cuda_host_free(const cf_cuda_device *device, void *memory) {
    if (!memory) return;
    device->cu->context_set(device->context);
    device->cu->host_free(memory);
}

cfine_status cf_cuda_queue_create(const cf_cuda_device *device, cf_cuda_queue *out, cfine_error *err) {
    memset(out, 0, sizeof *out);
    out->device = device;
    device->cu->context_set(device->context);
    cf_cu_result result = device->cu->stream_create(&out->stream, CF_CU_STREAM_NON_BLOCKING);
    return result ? cf_cu_fail(device->cu, result, "creating a stream", err) : CFINE_OK;
}

void cf_cuda_queue_destroy(cf_cuda_queue *queue) {
    if (!queue->stream) return;
    queue->device->cu->context_set(queue->device->context);
    queue->device->cu->stream_destroy(queue->stream);
    queue->stream = NULL;
}

void cf_cuda_keep_failure(cf_cuda_queue *queue, cf_cu_result result, const char *what) {
    if (!result || queue->result) return;
    queue->result = result;
    snprintf(queue->what, sizeof queue->what, "%s", what);
}

// The function of this name, allowed to use `shared_bytes`; the caller holds the lock.
static cf_cu_result find_function(opened_device *opened, const char *name, size_t shared_bytes, cf_cu_function *out) {
    const cf_cu *cu = opened->device.cu;
    function_entry *entry = NULL;
    for (int i = 0; i < opened->function_count && !entry; i++)
        if (!strcmp(opened->functions[i].name, name)) entry = &opened->functions[i];
    cf_cu_result result = 0;
    if (!entry) {
        if (opened->function_count == MAX_FUNCTIONS) return CF_CU_OUT_OF_MEMORY;
        cf_cu_function function = NULL;
        result = 1;
        for (int i = 0; i < cf_cuda_image_count && result; i++)
            result = cu->module_function(&function, opened->modules[i], name);
        if (result) return result;
        entry = &opened->functions[opened->function_count++];
        *entry = (function_entry){name, function, DEFAULT_SHARED_BYTES};
    }
    if (shared_bytes > entry->shared_bytes) {
        result = cu->function_set(entry->function, CF_CU_FUNCTION_SHARED_BYTES, (int)shared_bytes);
        if (!result) entry->shared_bytes = shared_bytes;
    }
    *out = entry->function;
    return result;
}

void cf_cuda_launch(cf_cuda_queue *queue, const char *function, cf_cuda_shape grid, cf_cuda_shape block,
                    size_t shared_bytes, const void *const *arguments) {
    if (queue->result || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    const cf_cu *cu = queue->device->cu;
    cf_cu_function handle = NULL;
    pthread_mutex_lock(&lock);
    cf_cu_result result = find_function(devices[queue->device->ordinal], function, shared_bytes, &handle);
    pthread_mutex_unlock(&lock);
    if (!result) {
        cf_cu_launch_attribute overlap = {.id = CF_CU_LAUNCH_OVERLAP, .value.number = 1};
        cf_cu_launch_config config = {
            {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, (unsigned)shared_bytes, queue->stream, &overlap,
            queue->overlap ? 1 : 0};
        // The driver only reads what the arguments point at.
        result = cu->launch(&config, handle, (void **)(uintptr_t)arguments, NULL);
    }
    cf_cuda_keep_failure(queue, result, function);
}

void cf_cuda_upload(cf_cuda_queue *queue, void *to, const void *from, size_t bytes) {
    if (queue->result || bytes == 0) return;
    const cf_cu *cu = queue->device->cu;
    cf_cuda_keep_failure(queue, cu->copy_to_device((cf_cu_address)(uintptr_t)to, from, bytes, queue->stream), "upload");
}

void cf_cuda_download(cf_cuda_queue *queue, void *to, const void *from, size_t bytes) {
    if (queue->result || bytes == 0) return;
    const cf_cu *cu = queue->device->cu;
    cf_cuda_keep_failure(queue, cu->copy_to_host(to, (cf_cu_address)(uintptr_t)from, bytes, queue->stream), "download");
}

void cf_cuda_fill(cf_cuda_queue *queue, void *to, int byte, size_t bytes) {
    if (queue->result || bytes == 0) return;
    const cf_cu *cu = queue->device->cu;
    cf_cuda_keep_failure(queue, cu->memory_set((cf_cu_address)(uintptr_t)to, (unsigned char)byte, bytes, queue->stream),
                         "fill");
}

cfine_status cf_cuda_queue_wait(cf_cuda_queue *queue, cfine_error *err) {
    queue->device->cu->context_set(queue->device->context);
    cf_cu_result waited = queue->device->cu->stream_wait(queue->stream);
    cf_cuda_keep_failure(queue, waited, "running");
    if (!queue->result) return CFINE_OK;
    cf_cu_result result = queue->result;
    queue->result = 0;
    return cf_cu_fail(queue->device->cu, result, queue->what, err);
}
