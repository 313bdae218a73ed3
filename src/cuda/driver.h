// SPDX-License-Identifier: Apache-2.0
// The CUDA driver, opened at run time: the same binary runs with and without a GPU. What we use of its interface is
// declared here, so that building needs no CUDA header.
#ifndef CF_CUDA_DRIVER_H
#define CF_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef int cf_cu_result; // 0: success
typedef int cf_cu_device;
typedef uint64_t cf_cu_address; // CUdeviceptr
typedef struct CUctx_st *cf_cu_context;
typedef struct CUmod_st *cf_cu_module;
typedef struct CUfunc_st *cf_cu_function;
typedef struct CUstream_st *cf_cu_stream;
typedef struct CUevent_st *cf_cu_event;
typedef struct CUgraph_st *cf_cu_graph;
typedef struct CUgraphExec_st *cf_cu_graph_exec;

// CUlaunchAttribute: an identifier, padding to 8 bytes, a value of 64.
typedef struct cf_cu_launch_attribute {
    int32_t id;
    char pad[4];
    union {
        char bytes[64];
        int32_t number;
    } value;
} cf_cu_launch_attribute;

typedef struct cf_cu_launch_config {
    unsigned grid[3], block[3], shared_bytes;
    cf_cu_stream stream;
    cf_cu_launch_attribute *attributes;
    unsigned attribute_count;
} cf_cu_launch_config;

enum {
    CF_CU_OUT_OF_MEMORY = 2,
    CF_CU_ATTRIBUTE_MULTIPROCESSORS = 16,
    CF_CU_ATTRIBUTE_COMPUTE_MAJOR = 75,
    CF_CU_ATTRIBUTE_COMPUTE_MINOR = 76,
    CF_CU_ATTRIBUTE_SHARED_OPTIN = 97,
    CF_CU_FUNCTION_SHARED_BYTES = 8, // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    CF_CU_STREAM_NON_BLOCKING = 1,
    CF_CU_EVENT_NO_TIMING = 2,
    CF_CU_CAPTURE_RELAXED = 2,
    CF_CU_MAP_U8 = 0,         // CU_TENSOR_MAP_DATA_TYPE_UINT8
    CF_CU_MAP_F16 = 6,        // CU_TENSOR_MAP_DATA_TYPE_FLOAT16
    CF_CU_MAP_BF16 = 9,       //
    CF_CU_MAP_SWIZZLE_32 = 1, // CU_TENSOR_MAP_SWIZZLE_32B
    CF_CU_MAP_SWIZZLE_64 = 2,
    CF_CU_MAP_SWIZZLE_128 = 3,
    CF_CU_MAP_LINES_128 = 2,  // CU_TENSOR_MAP_L2_PROMOTION_L2_128B
    CF_CU_LAUNCH_OVERLAP = 6, // programmatic stream serialisation: a kernel may start while the one before ends
};

// X(name in the library, name here, arguments)
#define CF_CU_FUNCTIONS(X)                                                                                             \
    X("cuInit", init, (unsigned flags))                                                                                \
    X("cuDriverGetVersion", driver_version, (int *version))                                                            \
    X("cuGetErrorString", error_string, (cf_cu_result error, const char **text))                                       \
    X("cuDeviceGetCount", device_count, (int *count))                                                                  \
    X("cuDeviceGet", device_get, (cf_cu_device * device, int ordinal))                                                 \
    X("cuDeviceGetName", device_name, (char *name, int size, cf_cu_device device))                                     \
    X("cuDeviceGetAttribute", device_attribute, (int *value, int attribute, cf_cu_device device))                      \
    X("cuDeviceTotalMem_v2", device_memory, (size_t * bytes, cf_cu_device device))                                     \
    X("cuDevicePrimaryCtxRetain", context_retain, (cf_cu_context * context, cf_cu_device device))                      \
    X("cuDevicePrimaryCtxRelease_v2", context_release, (cf_cu_device device))                                          \
    X("cuCtxSetCurrent", context_set, (cf_cu_context context))                                                         \
    X("cuModuleLoadData", module_load, (cf_cu_module * module, const void *image))                                     \
    X("cuModuleUnload", module_unload, (cf_cu_module module))                                                          \
    X("cuModuleGetFunction", module_function, (cf_cu_function * function, cf_cu_module module, const char *name))      \
    X("cuFuncSetAttribute", function_set, (cf_cu_function function, int attribute, int value))                         \
    X("cuMemGetInfo_v2", memory_info, (size_t * free, size_t * total))                                                 \
    X("cuMemAlloc_v2", memory_alloc, (cf_cu_address * address, size_t bytes))                                          \
    X("cuMemFree_v2", memory_free, (cf_cu_address address))                                                            \
    X("cuMemHostAlloc", host_alloc, (void **data, size_t bytes, unsigned flags))                                       \
    X("cuMemFreeHost", host_free, (void *data))                                                                        \
    X("cuMemcpyHtoDAsync_v2", copy_to_device, (cf_cu_address to, const void *from, size_t bytes, cf_cu_stream stream)) \
    X("cuMemcpyDtoHAsync_v2", copy_to_host, (void *to, cf_cu_address from, size_t bytes, cf_cu_stream stream))         \
    X("cuMemsetD8Async", memory_set, (cf_cu_address to, unsigned char value, size_t bytes, cf_cu_stream stream))       \
    X("cuStreamCreate", stream_create, (cf_cu_stream * stream, unsigned flags))                                        \
    X("cuStreamDestroy_v2", stream_destroy, (cf_cu_stream stream))                                                     \
    X("cuStreamSynchronize", stream_wait, (cf_cu_stream stream))                                                       \
    X("cuStreamBeginCapture_v2", capture_begin, (cf_cu_stream stream, int mode))                                       \
    X("cuStreamEndCapture", capture_end, (cf_cu_stream stream, cf_cu_graph * graph))                                   \
    X("cuGraphInstantiateWithFlags", graph_instantiate,                                                                \
      (cf_cu_graph_exec * exec, cf_cu_graph graph, unsigned long long flags))                                          \
    X("cuGraphDestroy", graph_destroy, (cf_cu_graph graph))                                                            \
    X("cuGraphExecDestroy", graph_exec_destroy, (cf_cu_graph_exec exec))                                               \
    X("cuGraphLaunch", graph_launch, (cf_cu_graph_exec exec, cf_cu_stream stream))                                     \
    X("cuEventCreate", event_create, (cf_cu_event * event, unsigned flags))                                            \
    X("cuEventDestroy_v2", event_destroy, (cf_cu_event event))                                                         \
    X("cuEventRecord", event_record, (cf_cu_event event, cf_cu_stream stream))                                         \
    X("cuEventSynchronize", event_wait, (cf_cu_event event))                                                           \
    X("cuEventElapsedTime", event_elapsed, (float *milliseconds, cf_cu_event start, cf_cu_event end))                  \
    X("cuTensorMapEncodeTiled", map_boxes,                                                                             \
      (void *map, int type, unsigned rank, void *data, const uint64_t *sizes, const uint64_t *strides,                 \
       const uint32_t *box, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill))              \
    X("cuTensorMapEncodeIm2col", map_windows,                                                                          \
      (void *map, int type, unsigned rank, void *data, const uint64_t *sizes, const uint64_t *strides,                 \
       const int *lower, const int *upper, uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave,  \
       int swizzle, int promotion, int fill))                                                                          \
    X("cuLaunchKernelEx", launch,                                                                                      \
      (const cf_cu_launch_config *config, cf_cu_function function, void **parameters, void **extra))

typedef struct cf_cu {
#define CF_CU_MEMBER(symbol, name, arguments) cf_cu_result(*name) arguments;
    CF_CU_FUNCTIONS(CF_CU_MEMBER)
#undef CF_CU_MEMBER
} cf_cu;

// Opens the driver once per process. NULL where there is none (CFINE_ERROR_DEVICE in err says why).
const cf_cu *cf_cu_open(cfine_error *err);

// CFINE_ERROR_DEVICE: "what: the driver's text".
cfine_status cf_cu_fail(const cf_cu *cu, cf_cu_result result, const char *what, cfine_error *err);

#endif
