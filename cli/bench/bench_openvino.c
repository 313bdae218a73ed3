// SPDX-License-Identifier: Apache-2.0
// Networks that OpenVINO runs on the CPU, through its C interface.
#include <stdlib.h>
#include <string.h>

#include "bench_library.h"
#include "bench_network.h"
#include "coco_ap.h"
#include "heap.h"

typedef struct ov_core ov_core;
typedef struct ov_model ov_model;
typedef struct ov_compiled ov_compiled;
typedef struct ov_request ov_request;
typedef struct ov_tensor ov_tensor;

typedef struct ov_version {
    const char *build, *description;
} ov_version;

typedef struct ov_dimension {
    int64_t least, most;
} ov_dimension;

typedef struct ov_partial_shape {
    ov_dimension rank;
    ov_dimension *dims;
} ov_partial_shape;

typedef struct ov_shape {
    int64_t rank;
    int64_t *dims;
} ov_shape;

// X(name in the library, result, name here, arguments). A status is 0 for success.
#define OV_FUNCTIONS(X)                                                                                                \
    X("ov_get_openvino_version", int, version, (ov_version *))                                                         \
    X("ov_version_free", void, free_version, (ov_version *))                                                           \
    X("ov_get_last_err_msg", const char *, last_error, (void))                                                         \
    X("ov_free", void, free_text, (const char *))                                                                      \
    X("ov_core_create", int, create_core, (ov_core **))                                                                \
    X("ov_core_read_model", int, read_model, (const ov_core *, const char *path, const char *weights, ov_model **))    \
    X("ov_model_free", void, free_model, (ov_model *))                                                                 \
    X("ov_partial_shape_create_static", int, create_shape, (int64_t rank, const int64_t *, ov_partial_shape *))        \
    X("ov_partial_shape_free", void, free_partial_shape, (ov_partial_shape *))                                         \
    X("ov_model_reshape_single_input", int, reshape, (const ov_model *, ov_partial_shape))                             \
    X("ov_core_compile_model", int, compile,                                                                           \
      (const ov_core *, const ov_model *, const char *device, size_t words, ov_compiled **, ...))                      \
    X("ov_compiled_model_free", void, free_compiled, (ov_compiled *))                                                  \
    X("ov_compiled_model_create_infer_request", int, create_request, (const ov_compiled *, ov_request **))             \
    X("ov_infer_request_free", void, free_request, (ov_request *))                                                     \
    X("ov_infer_request_infer", int, infer, (ov_request *))                                                            \
    X("ov_infer_request_get_input_tensor_by_index", int, input, (const ov_request *, size_t, ov_tensor **))            \
    X("ov_infer_request_get_tensor", int, tensor, (const ov_request *, const char *name, ov_tensor **))                \
    X("ov_tensor_data", int, tensor_data, (const ov_tensor *, void **))                                                \
    X("ov_tensor_get_byte_size", int, tensor_bytes, (const ov_tensor *, size_t *))                                     \
    X("ov_tensor_get_shape", int, tensor_shape, (const ov_tensor *, ov_shape *))                                       \
    X("ov_shape_free", int, free_shape, (ov_shape *))                                                                  \
    X("ov_tensor_free", void, free_tensor, (ov_tensor *))

#define OV_FIELD(symbol, result, name, arguments) result(*name) arguments;
static struct {
    OV_FUNCTIONS(OV_FIELD)
    char version_text[64];
    ov_core *core; // one for the process
} ov;

#define OV_FUNCTION(symbol, result, name, arguments) {symbol, &ov.name},
static const bench_function functions[] = {OV_FUNCTIONS(OV_FUNCTION)};

static const bench_library_place place = {.engine = "OpenVINO",
                                          .option = "--openvino",
                                          .variable = "CFINE_OPENVINO",
                                          .names = {"libopenvino_c.so"},
                                          .module = "openvino",
                                          .files = "libs/libopenvino_c.so*",
                                          .package = "openvino"};

typedef struct {
    bench_network network; // its pixels are the input tensor's own
    ov_compiled *compiled;
    ov_request *request;
    ov_tensor *input, *outputs[2];
} ov_network;

static cfine_status check(int status, const char *what, cfine_error *error) {
    if (status == 0) return CFINE_OK;
    const char *said = ov.last_error();
    char text[400];
    snprintf(text, sizeof text, "%s", said ? said : "");
    if (said) ov.free_text(said);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20) *c = ' ';
    return coco_fail(error, CFINE_ERROR_DEVICE, "OpenVINO cannot %s (status %d): %s", what, status, text);
}

static cfine_status open_library(const bench_network_task *task, cfine_error *error) {
    if (ov.core) return CFINE_OK;
    void *handle;
    cfine_status status = bench_library_open(&place, task->library, task->helper, &handle, error);
    if (status == CFINE_OK) status = bench_library_functions(&place, handle, functions, CLI_COUNT(functions), error);
    if (status != CFINE_OK) return status;
    ov_version version;
    status = check(ov.version(&version), "say its version", error);
    if (status != CFINE_OK) return status;
    snprintf(ov.version_text, sizeof ov.version_text, "%.*s", (int)strcspn(version.build, "-"), version.build);
    ov.free_version(&version);
    return check(ov.create_core(&ov.core), "start", error);
}

// ---------------------------------------------------------------------------------------------------------------------
// Opening

static cfine_status compile(const bench_network_task *task, const ov_model *model, ov_network *own,
                            cfine_error *error) {
    static const char *const hints[] = {"f32", "bf16", "f16"}; // as cli_precisions
    int precision = task->row->precision;
    char threads[16];
    snprintf(threads, sizeof threads, "%d", task->row->threads);
    // What is left of an int8 network in floating point runs as OpenVINO thinks best on this processor.
    if (precision >= (int)CLI_COUNT(hints))
        return check(ov.compile(ov.core, model, "CPU", 4, &own->compiled, "INFERENCE_NUM_THREADS", threads,
                                "PERFORMANCE_HINT", "LATENCY"),
                     "compile the network", error);
    return check(ov.compile(ov.core, model, "CPU", 6, &own->compiled, "INFERENCE_NUM_THREADS", threads,
                            "PERFORMANCE_HINT", "LATENCY", "INFERENCE_PRECISION_HINT", hints[precision]),
                 "compile the network", error);
}

static cfine_status read_model(const bench_network_task *task, ov_network *own, cfine_error *error) {
    int64_t dims[] = {task->row->batch, 3, task->height, task->width};
    ov_partial_shape shape;
    ov_model *model = NULL;
    cfine_status status = check(ov.read_model(ov.core, task->file, NULL, &model), "read the exported file", error);
    if (status != CFINE_OK) return status;
    status = check(ov.create_shape(4, dims, &shape), "make a shape", error);
    if (status == CFINE_OK) {
        status = check(ov.reshape(model, shape), "take this batch", error);
        ov.free_partial_shape(&shape);
    }
    if (status == CFINE_OK) status = compile(task, model, own, error);
    ov.free_model(model);
    return status;
}

static cfine_status find_input(const bench_network_task *task, ov_network *own, cfine_error *error) {
    size_t bytes = 0;
    void *pixels = NULL;
    own->network.pixel_count = (size_t)task->row->batch * 3 * (size_t)task->height * (size_t)task->width;
    cfine_status status = check(ov.create_request(own->compiled, &own->request), "make a request", error);
    if (status == CFINE_OK) status = check(ov.input(own->request, 0, &own->input), "give its input", error);
    if (status == CFINE_OK) status = check(ov.tensor_bytes(own->input, &bytes), "give its input", error);
    if (status == CFINE_OK) status = check(ov.tensor_data(own->input, &pixels), "give its input", error);
    if (status == CFINE_OK && bytes != own->network.pixel_count * sizeof(float))
        status = coco_fail(error, CFINE_ERROR_DEVICE, "OpenVINO: the input has %zu bytes, not %zu", bytes,
                           own->network.pixel_count * sizeof(float));
    own->network.pixels = pixels;
    return status;
}

static void release_outputs(ov_network *own) {
    for (int i = 0; i < 2; i++) {
        if (own->outputs[i]) ov.free_tensor(own->outputs[i]);
        own->outputs[i] = NULL;
    }
}

static void close_network(bench_network *network) {
    ov_network *own = (ov_network *)network;
    release_outputs(own);
    if (own->input) ov.free_tensor(own->input);
    if (own->request) ov.free_request(own->request);
    if (own->compiled) ov.free_compiled(own->compiled);
    free(own);
}

static cfine_status open_network(const bench_network_task *task, bench_network **out, cfine_error *error) {
    cfine_status status = open_library(task, error);
    if (status != CFINE_OK) return status;
    ov_network *own = cli_alloc(1, sizeof *own);
    snprintf(own->network.version, sizeof own->network.version, "%s", ov.version_text);
    snprintf(own->network.device, sizeof own->network.device, "cpu");
    status = read_model(task, own, error);
    if (status == CFINE_OK) status = find_input(task, own, error);
    if (status == CFINE_OK)
        *out = &own->network;
    else
        close_network(&own->network);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Running

// An output [batch, queries, columns].
static cfine_status read_output(const ov_network *own, const char *name, ov_tensor **tensor, const float **data,
                                int64_t *queries, int64_t *columns, cfine_error *error) {
    ov_shape shape = {0};
    void *numbers = NULL;
    cfine_status status = check(ov.tensor(own->request, name, tensor), "give an output", error);
    if (status == CFINE_OK) status = check(ov.tensor_data(*tensor, &numbers), "give an output", error);
    if (status == CFINE_OK) status = check(ov.tensor_shape(*tensor, &shape), "give an output's shape", error);
    *data = numbers;
    int expected = shape.dims && shape.rank == 3;
    *queries = expected ? shape.dims[1] : 0;
    *columns = expected ? shape.dims[2] : 0;
    if (shape.dims) ov.free_shape(&shape);
    return status;
}

static cfine_status run_network(bench_network *network, bench_outputs *out, cfine_error *error) {
    ov_network *own = (ov_network *)network;
    cfine_status status = check(ov.infer(own->request), "run the network", error);
    if (status != CFINE_OK || !out) return status;
    int64_t columns;
    release_outputs(own);
    status = read_output(own, "logits", &own->outputs[0], &out->logits, &out->queries, &out->labels, error);
    if (status != CFINE_OK) return status;
    return read_output(own, "pred_boxes", &own->outputs[1], &out->boxes, &out->queries, &columns, error);
}

const bench_network_kind bench_openvino = {open_network, run_network, close_network};
