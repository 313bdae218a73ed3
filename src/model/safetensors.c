// SPDX-License-Identifier: Apache-2.0
// Reader of .safetensors files: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, the data.
//
// Everything the header says is checked against the file before a tensor is added: lengths, types, offsets, the product
// of the shape, doubled names. Tensor bytes are not touched.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "model/weights.h"

// The format's own limit. jansson needs about ten times the header's size, so this also bounds memory.
enum { MAX_HEADER = 100 << 20, MAX_INDEX = 64 << 20, MAX_SHARDS = 1024 };

static int find_type(const char *name, cf_weight_type *out) {
    for (int i = 0; i < CF_WEIGHT_TYPES; i++)
        if (strcmp(name, cf_weight_type_name((cf_weight_type)i)) == 0) {
            *out = (cf_weight_type)i;
            return 1;
        }
    return 0;
}

// One entry of the header, with `data_size` bytes of data behind the header.
static cfine_status add_tensor(cf_weights *weights, const char *name, const json_t *entry, const uint8_t *data,
                               size_t data_size, cfine_error *err) {
    const char *type_name = json_string_value(json_object_get(entry, "dtype"));
    const json_t *dimensions = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    if (!type_name || !json_is_array(dimensions) || !json_is_array(offsets))
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %.200s lacks dtype, shape or data_offsets", name);
    cf_weight_type type;
    if (!find_type(type_name, &type))
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED,
                       "tensor %.200s has the type %.20s; weights must be F32, F16, BF16 or F64", name, type_name);
    size_t rank = json_array_size(dimensions);
    if (rank > CF_WEIGHT_MAX_RANK)
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %.200s has %zu dimensions, at most %d are allowed", name, rank,
                       CF_WEIGHT_MAX_RANK);
    int64_t shape[CF_WEIGHT_MAX_RANK] = {0};
    for (size_t i = 0; i < rank; i++) {
        const json_t *dimension = json_array_get(dimensions, i);
        if (!json_is_integer(dimension))
            return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %.200s: dimension %zu is not an integer", name, i);
        shape[i] = json_integer_value(dimension);
    }
    const json_t *begin_json = json_array_get(offsets, 0), *end_json = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin_json) || !json_is_integer(end_json))
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %.200s: data_offsets are not two integers", name);
    json_int_t begin = json_integer_value(begin_json), end = json_integer_value(end_json);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "tensor %.200s is said to be at bytes %lld to %lld of the data, which has %zu: truncated file?",
                       name, (long long)begin, (long long)end, data_size);
    return cf_weights_add(weights, name, type, (int)rank, shape, data + begin, (size_t)(end - begin), err);
}

static cfine_status parse_header(const uint8_t *data, size_t size, cf_weights *weights, cfine_error *err) {
    static const char lfs[] = "version https://git-lfs.";
    if (size < 8) return cf_fail(err, CFINE_ERROR_FORMAT, "%zu bytes are too few for a safetensors file", size);
    if (size >= sizeof lfs && memcmp(data, lfs, sizeof lfs - 1) == 0)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "is a pointer of Git LFS in the place of the weights; fetch them: git lfs pull");
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) header = header << 8 | data[i];
    if (header > size - 8)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "header says it has %llu bytes, the file has %zu: truncated download, or not a safetensors file",
                       (unsigned long long)header, size);
    if (header > MAX_HEADER)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "the header has %llu bytes, the limit is %d",
                       (unsigned long long)header, MAX_HEADER);
    json_error_t json_error;
    json_t *root = json_loadb((const char *)data + 8, (size_t)header, JSON_REJECT_DUPLICATES, &json_error);
    if (!root)
        return cf_fail(err, CFINE_ERROR_FORMAT, "the header is not valid JSON: %s at byte %d", json_error.text,
                       json_error.position);
    cfine_status status = CFINE_OK;
    if (!json_is_object(root)) status = cf_fail(err, CFINE_ERROR_FORMAT, "the header is not a JSON object");
    const uint8_t *tensors = data + 8 + header;
    size_t tensor_bytes = size - 8 - (size_t)header;
    for (void *i = json_object_iter(root); i && status == CFINE_OK; i = json_object_iter_next(root, i)) {
        const char *name = json_object_iter_key(i);
        if (strcmp(name, "__metadata__") != 0)
            status = add_tensor(weights, name, json_object_iter_value(i), tensors, tensor_bytes, err);
    }
    json_decref(root);
    return status;
}

cfine_status cf_safetensors_parse(const uint8_t *data, size_t size, const char *file, cf_weights *weights,
                                  cfine_error *err) {
    cfine_status status = parse_header(data, size, weights, err);
    return status == CFINE_OK ? CFINE_OK : cf_fail_within(err, status, "%s", file);
}

cfine_status cf_safetensors_open(const char *path, cf_weights *weights, cfine_error *err) {
    cf_bytes bytes;
    CF_TRY(cf_file_map(path, &bytes, err));
    const uint8_t *data = bytes.data;
    size_t size = bytes.size;
    CF_TRY(cf_weights_own(weights, bytes, err));
    return cf_safetensors_parse(data, size, path, weights, err);
}

// 1 if the index has already named this shard for an earlier tensor.
static int is_known(const char **shards, size_t count, const char *shard) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(shards[i], shard) == 0) return 1;
    return 0;
}

// Opens every shard that the map names, once, and checks that each tensor it promises has been found.
static cfine_status open_shards(const json_t *map, const char *path, cf_weights *weights, cfine_error *err) {
    if (!json_is_object(map)) return cf_fail(err, CFINE_ERROR_FORMAT, "%s: has no object weight_map", path);
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path + 1) : 0;
    const char *shards[MAX_SHARDS];
    size_t count = 0;
    for (void *i = json_object_iter((json_t *)map); i; i = json_object_iter_next((json_t *)map, i)) {
        const char *shard = json_string_value(json_object_iter_value(i));
        // A name with a slash could reach any file of the machine.
        if (!shard || !*shard || strchr(shard, '/') || strcmp(shard, "..") == 0)
            return cf_fail(err, CFINE_ERROR_FORMAT, "%s: weight_map of %.200s is not the name of a file beside it",
                           path, json_object_iter_key(i));
        if (is_known(shards, count, shard)) continue;
        if (count == MAX_SHARDS)
            return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: more than %d shards", path, MAX_SHARDS);
        shards[count++] = shard;
        char *name = cf_format("%.*s%s", folder, path, shard);
        if (!name) return cf_fail_memory(err, shard, strlen(shard));
        cfine_status status = cf_safetensors_open(name, weights, err);
        cf_free(name);
        if (status == CFINE_ERROR_NOT_FOUND)
            return cf_fail_within(err, status, "%s names a file that is not there, download it too", path);
        CF_TRY(status);
    }
    for (void *i = json_object_iter((json_t *)map); i; i = json_object_iter_next((json_t *)map, i))
        if (!cf_weights_find(weights, json_object_iter_key(i)))
            return cf_fail(err, CFINE_ERROR_FORMAT, "%s: tensor %.200s is not in %.200s as promised", path,
                           json_object_iter_key(i), json_string_value(json_object_iter_value(i)));
    return CFINE_OK;
}

cfine_status cf_safetensors_open_index(const char *path, cf_weights *weights, cfine_error *err) {
    cf_bytes bytes;
    CF_TRY(cf_file_read(path, MAX_INDEX, &bytes, err));
    json_error_t json_error;
    json_t *root = json_loadb((const char *)bytes.data, bytes.size, JSON_REJECT_DUPLICATES, &json_error);
    cf_bytes_release(&bytes);
    if (!root)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not valid JSON: %s (line %d)", path, json_error.text,
                       json_error.line);
    cfine_status status = open_shards(json_object_get(root, "weight_map"), path, weights, err);
    json_decref(root);
    return status;
}
