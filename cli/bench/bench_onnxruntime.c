// SPDX-License-Identifier: Apache-2.0
// Networks that ONNX Runtime runs, on its CPU, CUDA or TensorRT provider.
//
// Its interface is one table of functions, OrtApi, to which versions only ever add at the end. The numbers below are
// places in that table, as versions 1 to 11 of the interface fixed them; the library is asked for the table of VERSION.
#include <stdlib.h>
#include <string.h>

#include "bench_library.h"
#include "bench_network.h"
#include "coco_ap.h"
#include "heap.h"

enum { VERSION = 13 }; // of the interface: ONNX Runtime 1.13 is the first that reads opset 17
enum { LOG_ERRORS = 3, FLOAT = 1, DEVICE_ALLOCATOR = 0, DEFAULT_MEMORY = 0 };

typedef struct ort_status ort_status; // NULL: success
typedef struct ort_env ort_env;
typedef struct ort_options ort_options;
typedef struct ort_session ort_session;
typedef struct ort_value ort_value;
typedef struct ort_memory ort_memory;
typedef struct ort_shape ort_shape;
typedef struct ort_binding ort_binding;
typedef struct ort_cuda ort_cuda;
typedef struct ort_tensorrt ort_tensorrt;

// X(place, result, name, arguments)
#define ORT_FUNCTIONS(X)                                                                                               \
    X(2, const char *, error_message, (const ort_status *))                                                            \
    X(3, ort_status *, create_env, (int severity, const char *name, ort_env **))                                       \
    X(7, ort_status *, create_session, (const ort_env *, const char *path, const ort_options *, ort_session **))       \
    X(9, ort_status *, run,                                                                                            \
      (ort_session *, const void *run_options, const char *const *input_names, const ort_value *const *inputs,         \
       size_t input_count, const char *const *output_names, size_t output_count, ort_value **outputs))                 \
    X(10, ort_status *, create_options, (ort_options **))                                                              \
    X(22, ort_status *, set_log_severity, (ort_options *, int))                                                        \
    X(24, ort_status *, set_threads, (ort_options *, int))                                                             \
    X(49, ort_status *, create_tensor,                                                                                 \
      (const ort_memory *, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, ort_value **))       \
    X(51, ort_status *, tensor_data, (ort_value *, void **))                                                           \
    X(61, ort_status *, rank, (const ort_shape *, size_t *))                                                           \
    X(62, ort_status *, dimensions, (const ort_shape *, int64_t *, size_t))                                            \
    X(65, ort_status *, tensor_shape, (const ort_value *, ort_shape **))                                               \
    X(68, ort_status *, create_memory, (const char *name, int allocator, int id, int type, ort_memory **))             \
    X(93, void, release_status, (ort_status *))                                                                        \
    X(94, void, release_memory, (ort_memory *))                                                                        \
    X(95, void, release_session, (ort_session *))                                                                      \
    X(96, void, release_value, (ort_value *))                                                                          \
    X(99, void, release_shape, (ort_shape *))                                                                          \
    X(100, void, release_options, (ort_options *))                                                                     \
    X(125, ort_status *, providers, (char ***names, int *count))                                                       \
    X(126, ort_status *, release_providers, (char **names, int count))                                                 \
    X(130, ort_status *, set_entry, (ort_options *, const char *key, const char *value))                               \
    X(133, ort_status *, run_bound, (ort_session *, const void *run_options, const ort_binding *))                     \
    X(134, ort_status *, create_binding, (ort_session *, ort_binding **))                                              \
    X(135, void, release_binding, (ort_binding *))                                                                     \
    X(136, ort_status *, bind_input, (ort_binding *, const char *name, const ort_value *))                             \
    X(138, ort_status *, bind_output, (ort_binding *, const char *name, const ort_memory *))                           \
    X(170, ort_status *, add_tensorrt, (ort_options *, const ort_tensorrt *))                                          \
    X(171, ort_status *, create_tensorrt, (ort_tensorrt **))                                                           \
    X(172, ort_status *, set_tensorrt, (ort_tensorrt *, const char *const *keys, const char *const *values, size_t))   \
    X(174, void, release_tensorrt, (ort_tensorrt *))                                                                   \
    X(204, ort_status *, add_cuda, (ort_options *, const ort_cuda *))                                                  \
    X(205, ort_status *, create_cuda, (ort_cuda **))                                                                   \
    X(206, ort_status *, set_cuda, (ort_cuda *, const char *const *keys, const char *const *values, size_t))           \
    X(208, void, release_cuda, (ort_cuda *))

typedef struct ort_base {
    const void *(*api)(uint32_t version); // NULL: the library is older
    const char *(*version)(void);
} ort_base;

#define ORT_FIELD(place, result, name, arguments) result(*name) arguments;
typedef struct ort_api {
    ORT_FUNCTIONS(ORT_FIELD)
    const char *version;
    ort_env *env; // one for the process
} ort_api;
static ort_api ort;

static const bench_library_place place = {.engine = "ONNX Runtime",
                                          .option = "--onnxruntime",
                                          .variable = "CFINE_ONNXRUNTIME",
                                          .names = {"libonnxruntime.so", "libonnxruntime.so.1"},
                                          .module = "onnxruntime",
                                          .files = "capi/libonnxruntime.so*",
                                          .package = "onnxruntime"};

typedef struct {
    bench_network network;
    ort_session *session;
    ort_memory *host, *device; // of the input, and of outputs that stay
    ort_value *input, *outputs[2];
    ort_binding *binding;
} ort_network;

static const char *const input_names[] = {"pixel_values"};
static const char *const output_names[] = {"logits", "pred_boxes"};

static cfine_status check(ort_status *status, cfine_error *error) {
    if (!status) return CFINE_OK;
    char text[400];
    snprintf(text, sizeof text, "%s", ort.error_message(status));
    ort.release_status(status);
    text[strcspn(text, "\n")] = 0;
    return coco_fail(error, CFINE_ERROR_DEVICE, "ONNX Runtime: %s", text);
}

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        cfine_status status_ = check(call, error);                                                                     \
        if (status_ != CFINE_OK) return status_;                                                                       \
    } while (0)

static cfine_status open_library(const bench_network_task *task, cfine_error *error) {
    if (ort.env) return CFINE_OK;
    void *handle;
    const ort_base *(*get_base)(void);
    const bench_function wanted[] = {{"OrtGetApiBase", &get_base}};
    cfine_status status = bench_library_open(&place, task->library, task->helper, &handle, error);
    if (status == CFINE_OK) status = bench_library_functions(&place, handle, wanted, 1, error);
    if (status != CFINE_OK) return status;
    const ort_base *base = get_base();
    const char *table = base->api(VERSION);
    ort.version = base->version();
    if (!table)
        return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                         "ONNX Runtime %s is too old, 1.%d is the first that will do: pip install -U onnxruntime",
                         ort.version, VERSION);
#define ORT_TAKE(place, result, name, arguments) memcpy(&ort.name, table + (place) * sizeof(void *), sizeof ort.name);
    ORT_FUNCTIONS(ORT_TAKE)
    TRY(ort.create_env(LOG_ERRORS, "cfine", &ort.env));
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Opening

static cfine_status need_provider(const char *wanted, cfine_error *error) {
    char **names;
    int count, found = 0;
    TRY(ort.providers(&names, &count));
    for (int i = 0; i < count; i++) found |= strcmp(names[i], wanted) == 0;
    TRY(ort.release_providers(names, count));
    if (found) return CFINE_OK;
    return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                     "this ONNX Runtime %s has no %s: pip install onnxruntime-gpu, on a machine with an NVIDIA GPU",
                     ort.version, wanted);
}

static cfine_status add_cuda(ort_options *options, const char *number, cfine_error *error) {
    // FP32 means FP32, as everywhere in this table.
    const char *keys[] = {"device_id", "use_tf32"}, *values[] = {number, "0"};
    ort_cuda *cuda;
    TRY(ort.create_cuda(&cuda));
    cfine_status status = check(ort.set_cuda(cuda, keys, values, 2), error);
    if (status == CFINE_OK) status = check(ort.add_cuda(options, cuda), error);
    ort.release_cuda(cuda);
    return status;
}

static cfine_status add_tensorrt(ort_options *options, const char *number, int half, cfine_error *error) {
    const char *keys[] = {"device_id", "trt_fp16_enable"}, *values[] = {number, half ? "1" : "0"};
    ort_tensorrt *tensorrt;
    TRY(ort.create_tensorrt(&tensorrt));
    cfine_status status = check(ort.set_tensorrt(tensorrt, keys, values, 2), error);
    if (status == CFINE_OK) status = check(ort.add_tensorrt(options, tensorrt), error);
    ort.release_tensorrt(tensorrt);
    return status;
}

// The number of a GPU in "cuda:N".
static const char *gpu_number(const char *device) {
    const char *colon = device ? strchr(device, ':') : NULL;
    return colon ? colon + 1 : "0";
}

static cfine_status set_options(const bench_network_task *task, ort_options *options, cfine_error *error) {
    const char *precision = cli_precisions[task->row->precision], *number = gpu_number(task->device);
    int tensorrt = task->row->engine == BENCH_ONNXRUNTIME_TENSORRT, half = strcmp(precision, "fp16") == 0;
    if (strcmp(precision, "fp32") != 0 && !(tensorrt && half))
        return coco_fail(error, CFINE_ERROR_NOT_FOUND, "the exported file is FP32%s",
                         tensorrt ? ", and TensorRT runs it in FP16 too" : "");
    TRY(ort.set_threads(options, task->row->threads));
    TRY(ort.set_log_severity(options, LOG_ERRORS));
    TRY(ort.set_entry(options, "session.force_spinning_stop", "1")); // idle while others are timed
    if (task->row->engine == BENCH_ONNXRUNTIME) return CFINE_OK;
    cfine_status status = need_provider(tensorrt ? "TensorrtExecutionProvider" : "CUDAExecutionProvider", error);
    if (status != CFINE_OK) return status;
    return tensorrt ? add_tensorrt(options, number, half, error) : add_cuda(options, number, error);
}

static cfine_status make_session(const bench_network_task *task, ort_network *own, cfine_error *error) {
    ort_options *options;
    TRY(ort.create_options(&options));
    cfine_status status = set_options(task, options, error);
    if (status == CFINE_OK) status = check(ort.create_session(ort.env, task->file, options, &own->session), error);
    ort.release_options(options);
    return status;
}

static cfine_status make_tensors(const bench_network_task *task, ort_network *own, cfine_error *error) {
    int on_gpu = task->row->engine != BENCH_ONNXRUNTIME;
    int64_t shape[] = {task->row->batch, 3, task->height, task->width};
    own->network.pixel_count = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
    own->network.pixels = cli_alloc(own->network.pixel_count, sizeof *own->network.pixels);
    TRY(ort.create_memory("Cpu", DEVICE_ALLOCATOR, 0, DEFAULT_MEMORY, &own->host));
    TRY(ort.create_memory(on_gpu ? "Cuda" : "Cpu", DEVICE_ALLOCATOR, on_gpu ? atoi(gpu_number(task->device)) : 0,
                          DEFAULT_MEMORY, &own->device));
    TRY(ort.create_tensor(own->host, own->network.pixels, own->network.pixel_count * sizeof(float), shape, 4, FLOAT,
                          &own->input));
    return CFINE_OK;
}

static void release_outputs(ort_network *own) {
    for (int i = 0; i < 2; i++) {
        if (own->outputs[i]) ort.release_value(own->outputs[i]);
        own->outputs[i] = NULL;
    }
}

static void close_network(bench_network *network) {
    ort_network *own = (ort_network *)network;
    release_outputs(own);
    if (own->binding) ort.release_binding(own->binding);
    if (own->input) ort.release_value(own->input);
    if (own->session) ort.release_session(own->session);
    if (own->host) ort.release_memory(own->host);
    if (own->device) ort.release_memory(own->device);
    free(network->pixels);
    free(own);
}

static cfine_status open_network(const bench_network_task *task, bench_network **out, cfine_error *error) {
    cfine_status status = open_library(task, error);
    if (status != CFINE_OK) return status;
    ort_network *own = cli_alloc(1, sizeof *own);
    snprintf(own->network.version, sizeof own->network.version, "%s", ort.version);
    if (task->row->engine == BENCH_ONNXRUNTIME)
        snprintf(own->network.device, sizeof own->network.device, "cpu");
    else
        snprintf(own->network.device, sizeof own->network.device, "cuda:%s", gpu_number(task->device));
    status = make_session(task, own, error);
    if (status == CFINE_OK) status = make_tensors(task, own, error);
    if (status == CFINE_OK)
        *out = &own->network;
    else
        close_network(&own->network);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Running

// The input is bound once, with the pixels that are there by then: on a GPU that sends them, as everybody measures it.
static cfine_status bind(ort_network *own, cfine_error *error) {
    if (own->binding) return CFINE_OK;
    TRY(ort.create_binding(own->session, &own->binding));
    TRY(ort.bind_input(own->binding, input_names[0], own->input));
    for (int i = 0; i < 2; i++) TRY(ort.bind_output(own->binding, output_names[i], own->device));
    return CFINE_OK;
}

// An output [batch, queries, columns].
static cfine_status read_output(ort_value *value, const float **data, int64_t *queries, int64_t *columns,
                                cfine_error *error) {
    ort_shape *shape;
    size_t rank = 0;
    int64_t dims[3] = {0};
    void *numbers = NULL;
    TRY(ort.tensor_shape(value, &shape));
    cfine_status status = check(ort.rank(shape, &rank), error);
    if (status == CFINE_OK && rank == 3) status = check(ort.dimensions(shape, dims, 3), error);
    ort.release_shape(shape);
    if (status == CFINE_OK) status = check(ort.tensor_data(value, &numbers), error);
    *data = numbers;
    *queries = dims[1];
    *columns = dims[2];
    return status;
}

static cfine_status run_network(bench_network *network, bench_outputs *out, cfine_error *error) {
    ort_network *own = (ort_network *)network;
    if (!out) {
        cfine_status status = bind(own, error);
        return status == CFINE_OK ? check(ort.run_bound(own->session, NULL, own->binding), error) : status;
    }
    const ort_value *input = own->input;
    int64_t columns;
    release_outputs(own);
    TRY(ort.run(own->session, NULL, input_names, &input, 1, output_names, 2, own->outputs));
    cfine_status status = read_output(own->outputs[0], &out->logits, &out->queries, &out->labels, error);
    return status == CFINE_OK ? read_output(own->outputs[1], &out->boxes, &out->queries, &columns, error) : status;
}

const bench_network_kind bench_onnxruntime = {open_network, run_network, close_network};
