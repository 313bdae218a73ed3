// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a request. The first byte says as what: a form, a form with its Content-Type, or an
// inference request of either kind with JSON of a length that the next two bytes say. What is found must lie inside the
// body.
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "kserve_request.h"
#include "multipart.h"

// What was read goes here, so that the compiler leaves no reading out.
static volatile uint64_t looked_at;

static void check_error(const cfine_error *error) {
    if (!error->message[0] || strchr(error->message, '\n')) abort();
}

static void touch(const uint8_t *bytes, size_t size, const uint8_t *body, const uint8_t *end) {
    if (size && (bytes < body || bytes > end || size > (size_t)(end - bytes))) abort();
}

static void form(const char *type, const uint8_t *body, size_t size) {
    serve_part parts[SERVE_MAX_PARTS];
    cfine_error error = {0};
    int count;
    if (serve_multipart_find(type, body, size, parts, &count, &error) != CFINE_OK)
        check_error(&error);
    else
        for (int i = 0; i < count; i++) touch(parts[i].bytes, parts[i].size, body, body + size);
}

// The first line says the type.
static void form_of_any_type(const uint8_t *data, size_t size) {
    char type[200];
    size_t length = 0;
    while (length < size && length < sizeof type - 1 && data[length] && data[length] != '\n') length++;
    memcpy(type, data, length);
    type[length] = 0;
    if (serve_is_multipart(type)) form(type, data + length, size - length);
}

static void infer(const uint8_t *body, size_t size, size_t json_size, kserve_kind kind) {
    kserve_limits limits = {.kind = kind, .rows = 4, .width = 2, .height = 2};
    kserve_request request;
    cfine_error error = {0};
    if (kserve_request_parse(body, size, json_size, &limits, &request, &error) != CFINE_OK) {
        check_error(&error);
    } else {
        if (request.rows < 1 || request.rows > limits.rows) abort();
        uint64_t sum = 0;
        for (int i = 0; i < request.rows; i++) {
            for (size_t k = 0; kind == KSERVE_IMAGES && k < request.images[i].size; k++)
                sum += request.images[i].bytes[k];
            for (int k = 0; kind == KSERVE_PIXELS && k < 12; k++) sum += request.pixels[i * 12 + k] > 0;
        }
        looked_at = sum;
    }
    kserve_request_release(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    size_t json_size = data[1] | (size_t)data[2] << 8;
    const uint8_t *body = data + 3;
    size -= 3;
    if (data[0] == 0xFF)
        form_of_any_type(body, size);
    else if (data[0] % 3 == 0)
        form("multipart/form-data; boundary=edge", body, size);
    else
        infer(body, size, json_size == 0xFFFF ? size : json_size, data[0] % 3 == 1 ? KSERVE_IMAGES : KSERVE_PIXELS);
    return 0;
}
