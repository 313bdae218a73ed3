// SPDX-License-Identifier: Apache-2.0
// KServe's version 2 protocol over REST. One model of the server appears as two: NAME takes pictures and gives
// detections, NAME_raw takes the network's input and gives its raw output (kserve_request.h has the tensors).
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/failure.h"
#include "request.h"

static const char no_memory[] = "out of memory";

static void answer_object(serve_request *request, json_t *root) {
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (text)
        serve_answer(request, 200, "application/json", text, strlen(text));
    else
        serve_answer_error(request, 500, no_memory);
}

// ---------------------------------------------------------------------------------------------------------------------
// Metadata

// Extents behind the rows, -1: any. Returns how many.
static int tensor_extents(kserve_kind kind, int output, const cfine_plan_info *info, int64_t extents[3]) {
    if (kind == KSERVE_IMAGES) {
        extents[0] = output == 3 || output < 0 ? 1 : -1;
        extents[1] = 4;
        return output == 2 ? 2 : 1;
    }
    if (output < 0) {
        extents[0] = 3;
        extents[1] = info->height;
        extents[2] = info->width;
        return 3;
    }
    extents[0] = info->queries;
    extents[1] = output == 0 ? info->labels : 4;
    return 2;
}

static json_t *extents_array(kserve_kind kind, int output, const cfine_plan_info *info, int with_rows) {
    int64_t extents[3];
    int count = tensor_extents(kind, output, info, extents);
    json_t *array = json_array();
    if (with_rows) json_array_append_new(array, json_integer(-1));
    for (int i = 0; i < count; i++) json_array_append_new(array, json_integer(extents[i]));
    return array;
}

static json_t *tensor_metadata(const kserve_tensor *tensor, kserve_kind kind, int output, const cfine_plan_info *info) {
    return json_pack("{s:s, s:s, s:o}", "name", tensor->name, "datatype", tensor->type, "shape",
                     extents_array(kind, output, info, 1));
}

static json_t *tensor_config(const kserve_tensor *tensor, kserve_kind kind, int output, const cfine_plan_info *info) {
    char type[32];
    snprintf(type, sizeof type, "TYPE_%s", strcmp(tensor->type, "BYTES") == 0 ? "STRING" : tensor->type);
    return json_pack("{s:s, s:s, s:o}", "name", tensor->name, "data_type", type, "dims",
                     extents_array(kind, output, info, 0));
}

typedef json_t *describe_tensor(const kserve_tensor *tensor, kserve_kind kind, int output, const cfine_plan_info *info);

static json_t *describe_outputs(describe_tensor *describe, kserve_kind kind, const cfine_plan_info *info) {
    const kserve_signature *signature = &kserve_signatures[kind];
    json_t *array = json_array();
    for (int i = 0; i < signature->output_count; i++)
        json_array_append_new(array, describe(&signature->outputs[i], kind, i, info));
    return array;
}

static void model_name(const serve_request *request, kserve_kind kind, char name[160]) {
    snprintf(name, 160, "%.128s%s", request->server->options->name, kind == KSERVE_PIXELS ? "_raw" : "");
}

static void answer_metadata(serve_request *request, const cfine_plan_info *info) {
    const kserve_signature *signature = &kserve_signatures[request->kind];
    char name[160];
    model_name(request, request->kind, name);
    answer_object(request, json_pack("{s:s, s:[s], s:s, s:[o], s:o}", "name", name, "versions", "1", "platform",
                                     "cfine", "inputs", tensor_metadata(&signature->input, request->kind, -1, info),
                                     "outputs", describe_outputs(tensor_metadata, request->kind, info)));
}

static void answer_config(serve_request *request, const cfine_plan_info *info) {
    const kserve_signature *signature = &kserve_signatures[request->kind];
    char name[160];
    model_name(request, request->kind, name);
    answer_object(request,
                  json_pack("{s:s, s:s, s:s, s:i, s:[o], s:o, s:{s:I}}", "name", name, "platform", "", "backend",
                            "cfine", "max_batch_size", info->batch, "input",
                            tensor_config(&signature->input, request->kind, -1, info), "output",
                            describe_outputs(tensor_config, request->kind, info), "dynamic_batching",
                            "max_queue_delay_microseconds", (json_int_t)(request->server->options->max_delay * 1e6)));
}

static void answer_server(serve_request *request) {
    answer_object(request, json_pack("{s:s, s:s, s:[s]}", "name", "cfine", "version", cfine_version(), "extensions",
                                     "binary_tensor_data"));
}

// ---------------------------------------------------------------------------------------------------------------------
// Inference: on a hand, before the run

static size_t count_of(const serve_request *request, int output) {
    const cfine_plan_info *info = &request->job.engine->info;
    return (size_t)request->job.count * (size_t)info->queries * (size_t)(output == 0 ? info->labels : 4);
}

static int prepare_images(serve_request *request) {
    serve_job *job = &request->job;
    if (!serve_make_room(request, request->kserve.rows)) return 0;
    for (int i = 0; i < request->kserve.rows; i++)
        if (!serve_decode(request, i, request->kserve.images[i].bytes, request->kserve.images[i].size)) return 0;
    job->kind = SERVE_IMAGES;
    return 1;
}

static int prepare_pixels(serve_request *request) {
    serve_job *job = &request->job;
    job->kind = SERVE_PIXELS;
    job->count = request->kserve.rows;
    job->pixels = request->kserve.pixels;
    job->logits = malloc(count_of(request, 0) * sizeof *job->logits);
    job->boxes = malloc(count_of(request, 1) * sizeof *job->boxes);
    const cfine_plan_info *info = &job->engine->info;
    job->bytes = (size_t)job->count * 3 * (size_t)info->width * (size_t)info->height * sizeof(float);
    if (job->logits && job->boxes) return 1;
    serve_answer_error(request, 503, no_memory);
    return 0;
}

// The length of the JSON at the front of the body: all of it where the header does not say.
static int read_json_size(serve_request *request, size_t *size) {
    const char *text = serve_header(request, "Inference-Header-Content-Length");
    *size = request->size;
    if (!text) return 1;
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || text[0] == '-' || value > request->size) {
        serve_answer_error(request, 400, "Inference-Header-Content-Length does not fit a body of %zu bytes",
                           request->size);
        return 0;
    }
    *size = (size_t)value;
    return 1;
}

static void prepare(serve_job *job) {
    serve_request *request = (serve_request *)job;
    const cfine_plan_info *info = &job->engine->info;
    kserve_limits limits = {request->kind, info->batch, info->width, info->height};
    size_t json_size;
    cfine_error error;
    job->refused = 1;
    if (!read_json_size(request, &json_size)) return;
    if (kserve_request_parse(request->body, request->size, json_size, &limits, &request->kserve, &error) != CFINE_OK) {
        serve_answer_failure(request, &error);
        return;
    }
    if (request->kserve.timeout > 0 && job->arrived + request->kserve.timeout < job->deadline)
        job->deadline = job->arrived + request->kserve.timeout;
    if (request->kserve.threshold >= 0) job->threshold = (float)request->kserve.threshold;
    job->refused = !(request->kind == KSERVE_IMAGES ? prepare_images(request) : prepare_pixels(request));
}

// ---------------------------------------------------------------------------------------------------------------------
// Inference: on a hand, after the run

// One output: its values, as numbers of its type.
typedef struct {
    int rank;
    size_t shape[3];
    size_t count;
    float *floats; // one of the two
    int64_t *integers;
} tensor;

static void *values_of(const tensor *out) {
    return out->floats ? (void *)out->floats : (void *)out->integers;
}

static size_t size_of(const tensor *out) {
    return out->count * (out->floats ? sizeof *out->floats : sizeof *out->integers);
}

// How many detections of one image are above the request's threshold; they are sorted.
static size_t count_wanted(const serve_job *job, int row) {
    size_t count = 0;
    while (count < job->found[row].count && job->found[row].items[count].score >= job->threshold) count++;
    return count;
}

// Rows are as long as the longest; shorter ones end with label -1, score 0 and empty boxes.
static int make_detection_tensor(const serve_job *job, int output, tensor *out) {
    size_t longest = 0, rows = (size_t)job->count, width = output == 2 ? 4 : 1;
    for (int row = 0; row < job->count; row++) {
        size_t count = count_wanted(job, row);
        if (count > longest) longest = count;
    }
    if (output == 3) longest = 1;
    *out = (tensor){output == 2 ? 3 : 2, {rows, longest, 4}, rows * longest * width, NULL, NULL};
    size_t room = out->count ? out->count : 1;
    if (output == 1 || output == 2)
        out->floats = calloc(room, sizeof *out->floats);
    else
        out->integers = calloc(room, sizeof *out->integers);
    if (!values_of(out)) return 0;
    for (int row = 0; row < job->count; row++) {
        size_t count = count_wanted(job, row), at = (size_t)row * longest;
        const cfine_detection *items = job->found[row].items;
        if (output == 3) {
            out->integers[row] = (int64_t)count;
            continue;
        }
        for (size_t i = 0; i < longest; i++) {
            if (output == 0) out->integers[at + i] = i < count ? items[i].label : -1;
            if (output == 1 && i < count) out->floats[at + i] = items[i].score;
            if (output == 2 && i < count) memcpy(out->floats + (at + i) * 4, items[i].box, sizeof items[i].box);
        }
    }
    return 1;
}

static int make_raw_tensor(serve_request *request, int output, tensor *out) {
    serve_job *job = &request->job;
    const cfine_plan_info *info = &job->engine->info;
    *out = (tensor){3,
                    {(size_t)job->count, (size_t)info->queries, (size_t)(output == 0 ? info->labels : 4)},
                    count_of(request, output),
                    output == 0 ? job->logits : job->boxes,
                    NULL};
    if (output == 0) // the tensor owns the values from here on
        job->logits = NULL;
    else
        job->boxes = NULL;
    return 1;
}

static json_t *values_as_json(const tensor *out) {
    json_t *array = json_array();
    for (size_t i = 0; i < out->count; i++)
        json_array_append_new(array, out->floats ? json_real((double)out->floats[i]) : json_integer(out->integers[i]));
    return array;
}

static json_t *describe_result(const kserve_tensor *tensor_type, const tensor *out, int binary) {
    json_t *shape = json_array();
    for (int i = 0; i < out->rank; i++) json_array_append_new(shape, json_integer((json_int_t)out->shape[i]));
    json_t *described =
        json_pack("{s:s, s:s, s:o}", "name", tensor_type->name, "datatype", tensor_type->type, "shape", shape);
    if (binary)
        json_object_set_new(described, "parameters", json_pack("{s:I}", "binary_data_size", (json_int_t)size_of(out)));
    else
        json_object_set_new(described, "data", values_as_json(out));
    return described;
}

// JSON and the binary tensors behind it, as one answer.
static void answer_with_tails(serve_request *request, json_t *root, const tensor *outputs, int count) {
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    size_t json_size = text ? strlen(text) : 0, total = json_size;
    for (int i = 0; i < count; i++)
        if (request->kserve.outputs[i].wanted && request->kserve.outputs[i].binary) total += size_of(&outputs[i]);
    char *all = text ? realloc(text, total + 1) : NULL;
    if (!all) {
        free(text);
        serve_answer_error(request, 500, no_memory);
        return;
    }
    char *at = all + json_size;
    for (int i = 0; i < count; i++)
        if (request->kserve.outputs[i].wanted && request->kserve.outputs[i].binary && size_of(&outputs[i])) {
            memcpy(at, values_of(&outputs[i]), size_of(&outputs[i]));
            at += size_of(&outputs[i]);
        }
    int binary = 0;
    for (int i = 0; i < count; i++) binary |= request->kserve.outputs[i].wanted && request->kserve.outputs[i].binary;
    if (binary) request->json_size = json_size;
    serve_answer(request, 200, binary ? "application/octet-stream" : "application/json", all, total);
}

static void make_answer(serve_request *request) {
    const serve_job *job = &request->job;
    const kserve_signature *signature = &kserve_signatures[request->kind];
    tensor outputs[KSERVE_MAX_OUTPUTS] = {{0}};
    char name[160];
    model_name(request, request->kind, name);
    json_t *root = json_pack("{s:s, s:s}", "model_name", name, "model_version", "1"), *list = json_array();
    if (request->kserve.id) json_object_set_new(root, "id", json_string(request->kserve.id));
    int ok = 1;
    for (int i = 0; i < signature->output_count && ok; i++) {
        if (!request->kserve.outputs[i].wanted) continue;
        ok = request->kind == KSERVE_IMAGES ? make_detection_tensor(job, i, &outputs[i])
                                            : make_raw_tensor(request, i, &outputs[i]);
        if (ok)
            json_array_append_new(
                list, describe_result(&signature->outputs[i], &outputs[i], request->kserve.outputs[i].binary));
    }
    json_object_set_new(root, "outputs", list);
    if (ok)
        answer_with_tails(request, root, outputs, signature->output_count);
    else
        serve_answer_error(request, 500, no_memory);
    json_decref(root);
    for (int i = 0; i < signature->output_count; i++) free(values_of(&outputs[i]));
}

// ---------------------------------------------------------------------------------------------------------------------

// Takes "NAME", "NAME/versions/1" and what may follow them apart; the rest ("", "ready", "infer") or NULL.
static const char *split_model_path(serve_request *request) {
    static const char version[] = "versions/1";
    char *path = request->model_path, *rest = strchr(path, '/');
    if (rest) *rest++ = 0;
    for (int kind = 0;; kind++) {
        char name[160];
        if (kind == KSERVE_KINDS) {
            serve_answer_error(request, 404, "there is no model '%.100s'; there is '%s'", path,
                               request->server->options->name);
            return NULL;
        }
        model_name(request, (kserve_kind)kind, name);
        request->kind = (kserve_kind)kind;
        if (strcmp(path, name) == 0) break;
    }
    if (!rest) return "";
    size_t length = sizeof version - 1;
    if (strncmp(rest, version, length) == 0 && (rest[length] == 0 || rest[length] == '/'))
        return rest[length] ? rest + length + 1 : "";
    return rest;
}

static int handle_infer(serve_request *request) {
    request->job.threshold = request->server->options->threshold;
    request->job.prepare = prepare;
    request->make_answer = make_answer;
    return 1;
}

int serve_handle_kserve(serve_request *request) {
    if (!request->model_path[0]) {
        answer_server(request);
        return 0;
    }
    const char *rest = split_model_path(request);
    if (!rest) return 0;
    if (strcmp(rest, "infer") == 0) return handle_infer(request);
    serve_engine *engine = serve_batcher_engine(request->server->batcher);
    if (rest[0] == 0)
        answer_metadata(request, &engine->info);
    else if (strcmp(rest, "config") == 0)
        answer_config(request, &engine->info);
    else if (strcmp(rest, "ready") == 0)
        serve_answer_constant(request, serve_is_ready(request->server) ? 200 : 503, "application/json", "{}", 2);
    else
        serve_answer_error(request, 404, "a model has ready, config and infer, not this");
    serve_engine_release(engine);
    return 0;
}
