// SPDX-License-Identifier: Apache-2.0
// Calibration files: JSON, so that people and programs can read and change them.
//
//     {"format": "cfine calibration", "version": 1, "model": "D-FINE N", "fingerprint": "0123456789abcdef",
//      "method": "mse", "images": 100, "source": "images", "width": 640, "height": 640,
//      "ranges": {"backbone...": [-0.18, 4.2], ...},
//      "operators": {"backbone...": {"int8": true, "error": 1.2e-05, "correction": [0.001, ...]}, ...}}
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "quant/calibration.h"

enum { VERSION = 1, MOST_BYTES = 64 << 20 };
static const char format[] = "cfine calibration";
static const char again[] = "calibrate again: cfine calibrate --model MODEL --images DIR -o FILE";

static cfine_status damaged(const char *name, const char *what, const char *where, cfine_error *err) {
    return cf_fail(err, CFINE_ERROR_FORMAT, "%s: %s%s%s; %s", name, what, *where ? " of " : "", where, again);
}

// A finite number as FP32.
static int read_number(const json_t *json, float *out) {
    if (!json_is_number(json)) return 0;
    *out = (float)json_number_value(json);
    return isfinite(*out);
}

static int read_count(const json_t *json, int32_t *out) {
    if (!json_is_integer(json) || json_integer_value(json) < 0 || json_integer_value(json) > INT32_MAX) return 0;
    *out = (int32_t)json_integer_value(json);
    return 1;
}

static int read_fingerprint(const json_t *json, uint64_t *out) {
    const char *text = json_string_value(json);
    if (!text || strlen(text) != 16) return 0;
    *out = 0;
    for (; *text; text++) {
        const char *digit = strchr("0123456789abcdef", *text);
        if (!digit) return 0;
        *out = *out << 4 | (uint64_t)(digit - "0123456789abcdef");
        if (digit - "0123456789abcdef" < 0) return 0;
    }
    return 1;
}

static int read_method(const json_t *json, cf_range_method *out) {
    const char *text = json_string_value(json);
    for (int i = CF_RANGE_MINMAX; text && i <= CF_RANGE_MSE; i++)
        if (!strcmp(text, cf_range_method_name((cf_range_method)i))) {
            *out = (cf_range_method)i;
            return 1;
        }
    return 0;
}

static cfine_status read_ranges(const json_t *json, const char *name, cf_calibration *out, cfine_error *err) {
    const char *key;
    json_t *value;
    cf_value_range *range = out->ranges;
    json_object_foreach((json_t *)json, key, value) {
        if (!json_is_array(value) || json_array_size(value) != 2 ||
            !read_number(json_array_get(value, 0), &range->low) ||
            !read_number(json_array_get(value, 1), &range->high) || range->low > range->high)
            return damaged(name, "no range [low, high] of finite numbers", key, err);
        range->name = cf_strdup(key);
        if (!range->name) return cf_fail_memory(err, name, strlen(key));
        range++;
    }
    return CFINE_OK;
}

static cfine_status read_operator(const json_t *json, const char *key, const char *name, cf_quant_operator *out,
                                  cfine_error *err) {
    const json_t *correction = json_object_get(json, "correction"), *error = json_object_get(json, "error");
    if (!json_is_boolean(json_object_get(json, "int8"))) return damaged(name, "no \"int8\": true or false", key, err);
    out->int8 = json_is_true(json_object_get(json, "int8"));
    if (error && (!read_number(error, &out->error) || out->error < 0)) return damaged(name, "bad \"error\"", key, err);
    if (correction && !json_is_array(correction)) return damaged(name, "bad \"correction\"", key, err);
    out->name = cf_strdup(key);
    if (!out->name) return cf_fail_memory(err, name, strlen(key));
    size_t count = json_array_size(correction);
    if (!count) return CFINE_OK;
    if (count > INT32_MAX) return damaged(name, "bad \"correction\"", key, err);
    out->correction = cf_alloc(count, sizeof *out->correction);
    if (!out->correction) return cf_fail_memory(err, name, count * sizeof *out->correction);
    out->correction_count = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        if (!read_number(json_array_get(correction, i), &out->correction[i]))
            return damaged(name, "bad \"correction\"", key, err);
    return CFINE_OK;
}

// Files of earlier versions have none: both stay 0.
static int read_size(const json_t *root, cf_calibration *out) {
    const json_t *width = json_object_get(root, "width"), *height = json_object_get(root, "height");
    if (!width && !height) return 1;
    return read_count(width, &out->width) && read_count(height, &out->height) && !out->width == !out->height;
}

static cfine_status read_head(const json_t *root, const char *name, cf_calibration *out, cfine_error *err) {
    const char *model = json_string_value(json_object_get(root, "model"));
    const char *source = json_string_value(json_object_get(root, "source"));
    if (!read_fingerprint(json_object_get(root, "fingerprint"), &out->fingerprint))
        return damaged(name, "no \"fingerprint\" of 16 hexadecimal digits", "", err);
    if (!read_method(json_object_get(root, "method"), &out->method)) return damaged(name, "no \"method\"", "", err);
    if (!read_count(json_object_get(root, "images"), &out->images)) return damaged(name, "no \"images\"", "", err);
    if (!read_size(root, out)) return damaged(name, "bad \"width\" and \"height\"", "", err);
    if (!source || (strcmp(source, "images") && strcmp(source, "random")))
        return damaged(name, "\"source\" is neither \"images\" nor \"random\"", "", err);
    out->random = !strcmp(source, "random");
    snprintf(out->model, sizeof out->model, "%s", model ? model : "");
    return CFINE_OK;
}

static cfine_status read_root(const json_t *root, const char *name, cf_calibration **out, cfine_error *err) {
    const char *kind = json_string_value(json_object_get(root, "format"));
    if (!kind || strcmp(kind, format))
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not a calibration file; make one: cfine calibrate", name);
    const json_t *version = json_object_get(root, "version");
    if (!json_is_integer(version) || json_integer_value(version) != VERSION)
        return cf_fail(err, CFINE_ERROR_MISMATCH, "%s: calibration of version %lld, this is version %d; %s", name,
                       (long long)json_integer_value(version), (int)VERSION, again);
    const json_t *ranges = json_object_get(root, "ranges"), *operators = json_object_get(root, "operators");
    if (!json_is_object(ranges)) return damaged(name, "no \"ranges\"", "", err);
    if (!json_is_object(operators)) return damaged(name, "no \"operators\"", "", err);
    CF_TRY(cf_calibration_create((int32_t)json_object_size(ranges), (int32_t)json_object_size(operators), out, err));
    CF_TRY(read_head(root, name, *out, err));
    CF_TRY(read_ranges(ranges, name, *out, err));
    const char *key;
    json_t *value;
    cf_quant_operator *entry = (*out)->operators;
    json_object_foreach((json_t *)operators, key, value) CF_TRY(read_operator(value, key, name, entry++, err));
    cf_calibration_sort(*out);
    return CFINE_OK;
}

cfine_status cf_calibration_parse(const char *json, size_t size, const char *name, cf_calibration **out,
                                  cfine_error *err) {
    *out = NULL;
    json_error_t error;
    json_t *root = json_loadb(size ? json : "", size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not valid JSON: %s (line %d, column %d): truncated? %s", name,
                       error.text, error.line, error.column, again);
    cfine_status status = read_root(root, name, out, err);
    json_decref(root);
    if (status != CFINE_OK) {
        cf_calibration_destroy(*out);
        *out = NULL;
    }
    return status;
}

cfine_status cf_calibration_read(const char *path, cf_calibration **out, cfine_error *err) {
    cf_bytes bytes;
    *out = NULL;
    cfine_status status = cf_file_read(path, MOST_BYTES, &bytes, err);
    if (status == CFINE_ERROR_NOT_FOUND)
        return cf_fail(err, status, "%s: there is no such calibration; make one with cfine calibrate", path);
    if (status != CFINE_OK) return status;
    status = cf_calibration_parse((const char *)bytes.data, bytes.size, path, out, err);
    cf_bytes_release(&bytes);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing

static json_t *number(float value) {
    return json_real((double)value);
}

static json_t *operator_json(const cf_quant_operator *entry) {
    json_t *json = json_pack("{s:b, s:o}", "int8", entry->int8, "error", number(entry->error));
    if (!json || !entry->correction_count) return json;
    json_t *correction = json_array();
    for (int32_t i = 0; i < entry->correction_count; i++)
        json_array_append_new(correction, number(entry->correction[i]));
    json_object_set_new(json, "correction", correction);
    return json;
}

cfine_status cf_calibration_write(const cf_calibration *calibration, const char *path, cfine_error *err) {
    char fingerprint[20];
    snprintf(fingerprint, sizeof fingerprint, "%016llx", (unsigned long long)calibration->fingerprint);
    json_t *ranges = json_object(), *operators = json_object();
    for (int32_t i = 0; i < calibration->range_count; i++) {
        const cf_value_range *range = &calibration->ranges[i];
        json_object_set_new(ranges, range->name, json_pack("[o,o]", number(range->low), number(range->high)));
    }
    for (int32_t i = 0; i < calibration->operator_count; i++)
        json_object_set_new(operators, calibration->operators[i].name, operator_json(&calibration->operators[i]));
    json_t *root = json_pack("{s:s, s:i, s:s, s:s, s:s, s:i, s:s, s:i, s:i, s:o, s:o}", "format", format, "version",
                             VERSION, "model", calibration->model, "fingerprint", fingerprint, "method",
                             cf_range_method_name(calibration->method), "images", (int)calibration->images, "source",
                             calibration->random ? "random" : "images", "width", (int)calibration->width, "height",
                             (int)calibration->height, "ranges", ranges, "operators", operators);
    int complete = root && json_object_size(ranges) == (size_t)calibration->range_count &&
                   json_object_size(operators) == (size_t)calibration->operator_count;
    size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(9); // FP32 numbers in nine digits come back as they were
    size_t size = complete ? json_dumpb(root, NULL, 0, flags) : 0;
    char *text = size ? cf_alloc(size + 1, 1) : NULL;
    complete = text && json_dumpb(root, text, size, flags) == size;
    json_decref(root);
    if (complete) text[size] = '\n';
    cfine_status status = complete ? cf_file_write(path, text, size + 1, err) : cf_fail_memory(err, path, size);
    cf_free(text);
    return status;
}
