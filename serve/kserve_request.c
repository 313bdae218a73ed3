// SPDX-License-Identifier: Apache-2.0
#include "kserve_request.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/failure.h"
#include "base64.h"

enum { MOST_JSON_VALUES = 100000 }; // beside the numbers of a tensor

const kserve_signature kserve_signatures[KSERVE_KINDS] = {
    {{"image", "BYTES"}, 4, {{"labels", "INT64"}, {"scores", "FP32"}, {"boxes", "FP32"}, {"counts", "INT64"}}},
    {{"pixel_values", "FP32"}, 2, {{"logits", "FP32"}, {"pred_boxes", "FP32"}}},
};

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        cfine_status status_ = (call);                                                                                 \
        if (status_ != CFINE_OK) return status_;                                                                       \
    } while (0)

static cfine_status bad(cfine_error *error, const char *text) {
    return common_fail(error, CFINE_ERROR_FORMAT, "%s", text);
}

static cfine_status no_memory(cfine_error *error) {
    return common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
}

// The bytes behind the JSON, taken from the front by one tensor after the other.
typedef struct {
    const uint8_t *at, *end;
} binary_tail;

static size_t pixels_of_row(const kserve_limits *limits) {
    return 3 * (size_t)limits->width * (size_t)limits->height;
}

// ---------------------------------------------------------------------------------------------------------------------
// Shapes

static cfine_status read_shape(const json_t *input, const kserve_limits *limits, int *rows, cfine_error *error) {
    const json_t *shape = json_object_get(input, "shape");
    const int64_t images[] = {1}, pixels[] = {3, limits->height, limits->width};
    const int64_t *rest = limits->kind == KSERVE_IMAGES ? images : pixels;
    size_t rank = limits->kind == KSERVE_IMAGES ? 2 : 4;
    int right = json_array_size(shape) == rank;
    for (size_t i = 0; i < rank && right; i++) {
        const json_t *extent = json_array_get(shape, i);
        right = json_is_integer(extent) && json_integer_value(extent) >= 1;
        if (right && i) right = json_integer_value(extent) == rest[i - 1];
    }
    if (!right && limits->kind == KSERVE_IMAGES)
        return common_fail(error, CFINE_ERROR_ARGUMENT, "input 'image': its shape must be [rows, 1]");
    if (!right)
        return common_fail(error, CFINE_ERROR_ARGUMENT, "input 'pixel_values': its shape must be [rows, 3, %d, %d]",
                           limits->height, limits->width);
    json_int_t first = json_integer_value(json_array_get(shape, 0));
    if (first > limits->rows)
        return common_fail(error, CFINE_ERROR_ARGUMENT, "%lld rows: a request may have at most %d", (long long)first,
                           limits->rows);
    *rows = (int)first;
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensors as bytes

static cfine_status take_binary(const json_t *size, binary_tail *tail, kserve_bytes *out, cfine_error *error) {
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return bad(error, "parameter 'binary_data_size' must be a whole number");
    if ((uint64_t)json_integer_value(size) > (uint64_t)(tail->end - tail->at))
        return common_fail(error, CFINE_ERROR_FORMAT, "binary_data_size is %lld, but only %lld bytes follow the JSON",
                           (long long)json_integer_value(size), (long long)(tail->end - tail->at));
    *out = (kserve_bytes){tail->at, (size_t)json_integer_value(size)};
    tail->at += out->size;
    return CFINE_OK;
}

// Each element is its length, 32 bits with the lowest byte first, and then its bytes.
static cfine_status split_elements(kserve_bytes data, kserve_request *out, cfine_error *error) {
    size_t at = 0;
    for (int i = 0; i < out->rows; i++) {
        if (data.size - at < 4) return bad(error, "input 'image': its binary data are cut short");
        const uint8_t *head = data.bytes + at;
        uint32_t length = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
        at += 4;
        if (length > data.size - at)
            return common_fail(error, CFINE_ERROR_FORMAT, "input 'image': element %d says %u bytes, %zu are left", i,
                               length, data.size - at);
        out->images[i] = (kserve_bytes){data.bytes + at, length};
        at += length;
    }
    if (at != data.size) return bad(error, "input 'image': its binary data have more bytes than its shape says");
    return CFINE_OK;
}

static cfine_status copy_pixels(kserve_bytes data, size_t count, kserve_request *out, cfine_error *error) {
    if (data.size != count * sizeof *out->pixels)
        return common_fail(error, CFINE_ERROR_FORMAT, "input 'pixel_values': %zu bytes; its shape needs %zu", data.size,
                           count * sizeof *out->pixels);
    memcpy(out->pixels, data.bytes, data.size);
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensors as JSON, nested like their shape or flat

// Calls itself for arrays in arrays, at most four deep.
static int collect_numbers(const json_t *data, int depth, float *out, size_t count, size_t *used) {
    size_t i;
    const json_t *item;
    json_array_foreach(data, i, item) {
        if (json_is_array(item)) {
            if (depth == 4 || !collect_numbers(item, depth + 1, out, count, used)) return 0;
        } else {
            if (!json_is_number(item) || *used == count) return 0;
            out[(*used)++] = (float)json_number_value(item);
        }
    }
    return 1;
}

static cfine_status read_numbers(const json_t *data, size_t count, kserve_request *out, cfine_error *error) {
    size_t used = 0;
    if (!json_is_array(data) || !collect_numbers(data, 1, out->pixels, count, &used) || used != count)
        return common_fail(error, CFINE_ERROR_FORMAT, "input 'pixel_values': its data must be %zu numbers", count);
    return CFINE_OK;
}

static const json_t *text_at(const json_t *data, int row) {
    const json_t *item = json_array_get(data, (size_t)row);
    return json_array_size(item) == 1 ? json_array_get(item, 0) : item; // [["..."], ["..."]]
}

static cfine_status read_texts(const json_t *data, kserve_request *out, cfine_error *error) {
    size_t total = 0;
    if (json_array_size(data) != (size_t)out->rows)
        return common_fail(error, CFINE_ERROR_FORMAT, "input 'image': its data must be an array of %d", out->rows);
    for (int i = 0; i < out->rows; i++) total += json_string_length(text_at(data, i)) / 4 * 3 + 3;
    uint8_t *at = out->decoded = malloc(total);
    if (!at) return no_memory(error);
    for (int i = 0; i < out->rows; i++) {
        const json_t *text = text_at(data, i);
        size_t size;
        if (!json_is_string(text) || !serve_base64_decode(json_string_value(text), json_string_length(text), at, &size))
            return common_fail(error, CFINE_ERROR_FORMAT, "input 'image': element %d is no base64 text", i);
        out->images[i] = (kserve_bytes){at, size};
        at += size;
    }
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------

static cfine_status read_input(const json_t *root, const kserve_limits *limits, binary_tail *tail, kserve_request *out,
                               cfine_error *error) {
    const kserve_tensor *tensor = &kserve_signatures[limits->kind].input;
    const json_t *inputs = json_object_get(root, "inputs"), *input = json_array_get(inputs, 0);
    const char *name = json_string_value(json_object_get(input, "name"));
    const char *type = json_string_value(json_object_get(input, "datatype"));
    if (json_array_size(inputs) != 1 || !name || strcmp(name, tensor->name) != 0)
        return common_fail(error, CFINE_ERROR_ARGUMENT, "there must be one input, '%s'", tensor->name);
    if (!type || strcmp(type, tensor->type) != 0)
        return common_fail(error, CFINE_ERROR_ARGUMENT, "input '%s': its datatype must be %s", name, tensor->type);
    int rows = 0;
    TRY(read_shape(input, limits, &rows, error));
    out->rows = rows;
    size_t count = pixels_of_row(limits) * (size_t)rows;
    if (limits->kind == KSERVE_IMAGES)
        out->images = calloc((size_t)rows, sizeof *out->images);
    else
        out->pixels = malloc(count * sizeof *out->pixels);
    if (!out->images && !out->pixels) return no_memory(error);
    const json_t *size = json_object_get(json_object_get(input, "parameters"), "binary_data_size");
    const json_t *data = json_object_get(input, "data");
    if (size) {
        kserve_bytes binary = {0};
        TRY(take_binary(size, tail, &binary, error));
        return limits->kind == KSERVE_IMAGES ? split_elements(binary, out, error)
                                             : copy_pixels(binary, count, out, error);
    }
    return limits->kind == KSERVE_IMAGES ? read_texts(data, out, error) : read_numbers(data, count, out, error);
}

static cfine_status read_outputs(const json_t *root, kserve_kind kind, kserve_request *out, cfine_error *error) {
    const kserve_signature *signature = &kserve_signatures[kind];
    const json_t *outputs = json_object_get(root, "outputs");
    int binary = json_is_true(json_object_get(json_object_get(root, "parameters"), "binary_data_output"));
    for (int i = 0; i < signature->output_count; i++) {
        out->outputs[i].wanted = json_array_size(outputs) == 0;
        out->outputs[i].binary = binary;
    }
    if (outputs && !json_is_array(outputs)) return bad(error, "'outputs' must be an array");
    size_t k;
    const json_t *output;
    json_array_foreach(outputs, k, output) {
        const char *name = json_string_value(json_object_get(output, "name"));
        int i = 0;
        while (i < signature->output_count && (!name || strcmp(name, signature->outputs[i].name) != 0)) i++;
        if (i == signature->output_count)
            return common_fail(error, CFINE_ERROR_ARGUMENT, "outputs: there is no '%.60s'", name ? name : "");
        const json_t *own = json_object_get(json_object_get(output, "parameters"), "binary_data");
        out->outputs[i].wanted = 1;
        if (own) out->outputs[i].binary = json_is_true(own);
    }
    return CFINE_OK;
}

static cfine_status read_parameters(const json_t *root, kserve_request *out, cfine_error *error) {
    const json_t *parameters = json_object_get(root, "parameters"), *id = json_object_get(root, "id");
    const json_t *timeout = json_object_get(parameters, "timeout");
    const json_t *threshold = json_object_get(parameters, "threshold");
    if (json_is_integer(timeout) && json_integer_value(timeout) > 0)
        out->timeout = (double)json_integer_value(timeout) * 1e-6;
    if (threshold) {
        double value = json_number_value(threshold);
        if (!json_is_number(threshold) || value < 0 || value > 1)
            return bad(error, "parameter 'threshold' must be a number from 0 to 1");
        out->threshold = value;
    }
    if (json_is_string(id) && json_string_length(id) && !(out->id = strdup(json_string_value(id))))
        return no_memory(error);
    return CFINE_OK;
}

// Every value of a JSON text costs many times its bytes once parsed, so it may have no more than a tensor needs.
static cfine_status check_value_count(const uint8_t *json, size_t size, const kserve_limits *limits,
                                      cfine_error *error) {
    size_t most = MOST_JSON_VALUES, count = 0;
    if (limits->kind == KSERVE_PIXELS) most += pixels_of_row(limits) * 2 * (size_t)limits->rows;
    for (size_t i = 0; i < size; i++) count += json[i] == ',' || json[i] == '[' || json[i] == '{';
    if (count > most) return bad(error, "the JSON has more values than the largest request needs");
    return CFINE_OK;
}

cfine_status kserve_request_parse(const uint8_t *body, size_t size, size_t json_size, const kserve_limits *limits,
                                  kserve_request *out, cfine_error *error) {
    *out = (kserve_request){.threshold = -1};
    if (!size) return bad(error, "the body is empty");
    if (json_size > size)
        return common_fail(error, CFINE_ERROR_FORMAT, "Inference-Header-Content-Length is %zu, the body has %zu bytes",
                           json_size, size);
    TRY(check_value_count(body, json_size, limits, error));
    json_error_t problem;
    json_t *root = json_loadb((const char *)body, json_size, JSON_REJECT_DUPLICATES, &problem);
    if (!root || !json_is_object(root)) {
        int is_json = root != NULL;
        json_decref(root);
        for (char *at = problem.text; *at && !is_json; at++) // it quotes what it found
            if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7F) *at = '?';
        return is_json
                   ? bad(error, "the JSON is no object")
                   : common_fail(error, CFINE_ERROR_FORMAT, "not JSON: %s at byte %d", problem.text, problem.position);
    }
    binary_tail tail = {body + json_size, body + size};
    cfine_status status = read_parameters(root, out, error);
    if (status == CFINE_OK) status = read_input(root, limits, &tail, out, error);
    if (status == CFINE_OK) status = read_outputs(root, limits->kind, out, error);
    if (status == CFINE_OK && tail.at != tail.end) status = bad(error, "the body has bytes that no input asks for");
    json_decref(root);
    return status;
}

void kserve_request_release(kserve_request *request) {
    free(request->id);
    free(request->images);
    free(request->decoded);
    free(request->pixels);
    *request = (kserve_request){0};
}
