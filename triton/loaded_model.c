// SPDX-License-Identifier: Apache-2.0
#include "loaded_model.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/failure.h"

enum { DEFAULT_BATCH = 8, PATH_SIZE = 4096 };

const tensor_list tensor_lists[] = {
    [KIND_COMPLETE] =
        {{"image", TRITON_BYTES},
         4,
         {{"labels", TRITON_INT64}, {"scores", TRITON_FP32}, {"boxes", TRITON_FP32}, {"counts", TRITON_INT64}}},
    [KIND_RAW] = {{"pixel_values", TRITON_FP32}, 2, {{"logits", TRITON_FP32}, {"pred_boxes", TRITON_FP32}}},
};

triton_error *triton_fail(triton_code code, const char *format, ...) {
    char text[1100];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return TRITONSERVER_ErrorNew(code, text);
}

triton_error *triton_failure(const cfine_error *error) {
    triton_code code = TRITON_INTERNAL;
    switch (error->status) {
    case CFINE_ERROR_ARGUMENT:
    case CFINE_ERROR_FORMAT:
    case CFINE_ERROR_MISMATCH: code = TRITON_INVALID_ARGUMENT; break;
    case CFINE_ERROR_NOT_FOUND: code = TRITON_NOT_FOUND; break;
    case CFINE_ERROR_UNSUPPORTED: code = TRITON_UNSUPPORTED; break;
    case CFINE_ERROR_MEMORY: code = TRITON_UNAVAILABLE; break;
    default: break;
    }
    return TRITONSERVER_ErrorNew(code, error->message);
}

// ---------------------------------------------------------------------------------------------------------------------
// Configuration

// Value of "parameters": {"key": {"string_value": "..."}}, or NULL.
static const char *parameter(const json_t *config, const char *key) {
    const json_t *entry = json_object_get(json_object_get(config, "parameters"), key);
    const char *value = json_string_value(json_object_get(entry, "string_value"));
    return value && value[0] ? value : NULL;
}

static triton_error *int_parameter(const json_t *config, const char *key, long most, int *out) {
    const char *text = parameter(config, key);
    char *end;
    if (!text) return NULL;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > most)
        return triton_fail(TRITON_INVALID_ARGUMENT, "parameter %s: '%.40s' is not between 1 and %ld", key, text, most);
    *out = (int)value;
    return NULL;
}

static triton_error *choice_parameter(const json_t *config, const char *key, const char *const *choices, int *out) {
    const char *text = parameter(config, key);
    for (int i = 0; text && choices[i]; i++)
        if (strcmp(text, choices[i]) == 0) {
            *out = i;
            return NULL;
        }
    return text ? triton_fail(TRITON_INVALID_ARGUMENT, "parameter %s: '%.40s' is not known", key, text) : NULL;
}

static triton_error *threshold_parameter(const json_t *config, float *out) {
    const char *text = parameter(config, "threshold");
    char *end;
    if (!text) return NULL;
    double value = strtod(text, &end);
    if (*end || !(value >= 0 && value <= 1))
        return triton_fail(TRITON_INVALID_ARGUMENT, "parameter threshold: '%.40s' is not between 0 and 1", text);
    *out = (float)value;
    return NULL;
}

// Instances of all groups: they share the cores.
static int count_instances(const json_t *config) {
    size_t i;
    const json_t *group;
    int count = 0;
    json_array_foreach(json_object_get(config, "instance_group"), i, group) count +=
        (int)json_integer_value(json_object_get(group, "count"));
    return count > 0 ? count : 1;
}

static const char *type_name(triton_type type) {
    return type == TRITON_BYTES ? "TYPE_STRING" : type == TRITON_INT64 ? "TYPE_INT64" : "TYPE_FP32";
}

static json_t *describe(const tensor_name *tensor, json_t *dims) {
    return json_pack("{s:s, s:s, s:o}", "name", tensor->name, "data_type", type_name(tensor->type), "dims", dims);
}

static json_t *describe_input(const loaded_model *model) {
    json_t *dims = model->kind == KIND_COMPLETE ? json_pack("[i]", 1)
                                                : json_pack("[i,i,i]", 3, model->info.height, model->info.width);
    return json_pack("[o]", describe(&tensor_lists[model->kind].input, dims));
}

static json_t *describe_outputs(const loaded_model *model) {
    const tensor_list *list = &tensor_lists[model->kind];
    json_t *array = json_array();
    for (int i = 0; i < list->output_count; i++) {
        json_t *dims = model->kind == KIND_RAW
                           ? json_pack("[i,i]", model->info.queries, i == 0 ? model->info.labels : 4)
                       : i == 2 ? json_pack("[i,i]", -1, 4)
                                : json_pack("[i]", i == 3 ? 1 : -1);
        json_array_append_new(array, describe(&list->outputs[i], dims));
    }
    return array;
}

static triton_error *complete_config(triton_model *model, const loaded_model *loaded, json_t *config) {
    json_object_set_new(config, "max_batch_size", json_integer(loaded->info.batch));
    json_object_set_new(config, "input", describe_input(loaded));
    json_object_set_new(config, "output", describe_outputs(loaded));
    if (!json_object_get(config, "dynamic_batching")) json_object_set_new(config, "dynamic_batching", json_object());
    char *text = json_dumps(config, JSON_COMPACT);
    triton_message *message;
    triton_error *error = text ? TRITONSERVER_MessageNewFromSerializedJson(&message, text, strlen(text))
                               : triton_fail(TRITON_UNAVAILABLE, "out of memory");
    free(text);
    if (error) return error;
    error = TRITONBACKEND_ModelSetConfig(model, 1, message);
    TRITONSERVER_MessageDelete(message);
    return error;
}

// Name and type of every tensor of one list; dims of 0 entries are Triton's to check.
static triton_error *check_tensors(const json_t *config, const char *key, const tensor_name *tensors, int count) {
    const json_t *array = json_object_get(config, key);
    for (int i = 0; i < count; i++) {
        size_t k;
        const json_t *entry;
        int found = 0;
        json_array_foreach(array, k, entry) {
            const char *name = json_string_value(json_object_get(entry, "name"));
            const char *type = json_string_value(json_object_get(entry, "data_type"));
            found |=
                name && type && strcmp(name, tensors[i].name) == 0 && strcmp(type, type_name(tensors[i].type)) == 0;
        }
        if (!found || json_array_size(array) != (size_t)count)
            return triton_fail(TRITON_INVALID_ARGUMENT,
                               "config.pbtxt: there must be %d %s, one '%s' of %s; or leave input and output out",
                               count, key, tensors[i].name, type_name(tensors[i].type));
    }
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// The plan

static int exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

// The model in the version's folder: what parameter "model" names, model.plan, model.pth, or the folder itself.
static triton_error *find_model(triton_model *model, const json_t *config, char path[PATH_SIZE]) {
    const char *folder, *named = parameter(config, "model");
    int kind;
    uint64_t version;
    TRITON_TRY(TRITONBACKEND_ModelRepository(model, &kind, &folder));
    TRITON_TRY(TRITONBACKEND_ModelVersion(model, &version));
    int length = snprintf(path, PATH_SIZE, "%s/%llu", folder, (unsigned long long)version);
    if (length < 0 || length > PATH_SIZE - 300)
        return triton_fail(TRITON_UNSUPPORTED, "the repository's path is too long");
    static const char *const files[] = {"model.plan", "model.pth"};
    for (int i = 0; i < 2 && !named; i++) {
        snprintf(path + length, PATH_SIZE - (size_t)length, "/%s", files[i]);
        if (exists(path)) return NULL;
    }
    path[length] = 0;
    if (named) snprintf(path + length, PATH_SIZE - (size_t)length, "/%.250s", named);
    return NULL;
}

static int is_plan(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".plan") == 0;
}

static cfine_status open_plan(const char *path, const cfine_plan_options *options, loaded_model *out,
                              cfine_error *error) {
    cfine_status status;
    if (is_plan(path)) {
        cfine_plan_options asked = *options;
        asked.batch = 0; // open_from_config looks at it: it may be the default
        status = cfine_plan_open(path, &out->plan, error);
        cfine_error why;
        if (status == CFINE_OK && (status = cfine_plan_check(out->plan, &asked, &why)) != CFINE_OK)
            common_fail(error, status, "%s: %s", path, why.message);
    } else {
        cfine_model *model;
        status = cfine_model_open(path, &model, error);
        if (status != CFINE_OK) return status;
        status = cfine_plan_build(model, options, &out->plan, error);
        cfine_model_close(model);
    }
    out->info = CFINE_INIT(cfine_plan_info);
    return status == CFINE_OK ? cfine_plan_get_info(out->plan, &out->info, error) : status;
}

static triton_error *open_from_config(triton_model *model, json_t *config, bool complete, loaded_model *out) {
    static const char *const kinds[] = {"complete", "raw", NULL};
    static const char *const precisions[] = {"default", "fp32", "bf16", "fp16", "int8", "fp8", NULL};
    int kind = KIND_COMPLETE, precision = 0, max_batch;
    cfine_plan_options options = CFINE_INIT(cfine_plan_options);
    char path[PATH_SIZE];
    int has_tensors = json_array_size(json_object_get(config, "input")) > 0;
    max_batch = (int)json_integer_value(json_object_get(config, "max_batch_size"));
    out->threads = cfine_cpu_count() / count_instances(config);
    if (out->threads < 1) out->threads = 1;
    out->threshold = 0.5f;
    TRITON_TRY(choice_parameter(config, "kind", kinds, &kind));
    TRITON_TRY(choice_parameter(config, "precision", precisions, &precision));
    TRITON_TRY(int_parameter(config, "queries", 100000, &options.queries));
    TRITON_TRY(int_parameter(config, "threads", 1024, &out->threads));
    TRITON_TRY(threshold_parameter(config, &out->threshold));
    out->kind = (tensor_kind)kind;
    if (!max_batch && (has_tensors || !complete))
        return triton_fail(TRITON_INVALID_ARGUMENT, "config.pbtxt: max_batch_size must be at least 1");
    TRITON_TRY(find_model(model, config, path));
    options.precision = (cfine_precision)precision;
    options.batch = max_batch ? max_batch : DEFAULT_BATCH;
    options.threads = out->threads;
    cfine_error error;
    if (open_plan(path, &options, out, &error) != CFINE_OK) return triton_failure(&error);
    if (max_batch > out->info.batch)
        return triton_fail(TRITON_INVALID_ARGUMENT, "max_batch_size is %d, %.200s was built for %d", max_batch, path,
                           out->info.batch);
    if (max_batch) out->info.batch = max_batch;
    const tensor_list *list = &tensor_lists[out->kind];
    if (has_tensors || !complete) {
        TRITON_TRY(check_tensors(config, "input", &list->input, 1));
        return check_tensors(config, "output", list->outputs, list->output_count);
    }
    return complete_config(model, out, config);
}

triton_error *loaded_model_open(triton_model *model, loaded_model **out) {
    bool complete;
    triton_message *message;
    const char *text;
    size_t size;
    TRITON_TRY(TRITONBACKEND_ModelAutoCompleteConfig(model, &complete));
    TRITON_TRY(TRITONBACKEND_ModelConfig(model, 1, &message));
    triton_error *error = TRITONSERVER_MessageSerializeToJson(message, &text, &size);
    json_t *config = error ? NULL : json_loadb(text, size, 0, NULL);
    TRITONSERVER_MessageDelete(message);
    if (error) return error;
    loaded_model *loaded = calloc(1, sizeof *loaded);
    error = config && loaded ? open_from_config(model, config, complete, loaded)
                             : triton_fail(TRITON_INTERNAL, "the configuration cannot be read");
    json_decref(config);
    if (error)
        loaded_model_close(loaded);
    else
        *out = loaded;
    return error;
}

void loaded_model_close(loaded_model *model) {
    if (!model) return;
    cfine_plan_close(model->plan);
    free(model);
}
