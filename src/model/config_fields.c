// SPDX-License-Identifier: Apache-2.0
#include "model/config_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *cf_fields_open(cf_fields *fields, const char *json, size_t size, const char *file, cfine_error *err) {
    *fields = (cf_fields){.file = file, .prefix = "", .err = err};
    json_error_t error;
    json_t *root = json_loadb(size ? json : "", size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fields->status = cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not valid JSON: %s (line %d, column %d)", file,
                                 error.text, error.line, error.column);
    else if (!json_is_object(root))
        fields->status = cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not a JSON object", file);
    fields->object = root;
    if (fields->status != CFINE_OK) {
        json_decref(root);
        return NULL;
    }
    return root;
}

// The value as JSON text for the error message; long ones are shortened.
static void describe(const json_t *value, char *text, size_t size) {
    size_t length = 0;
    if (json_is_string(value))
        snprintf(text, size, json_string_length(value) > 40 ? "\"%.40s...\"" : "\"%.40s\"", json_string_value(value));
    else if (json_is_object(value))
        snprintf(text, size, "an object");
    else if ((length = json_dumpb(value, text, size - 1, JSON_ENCODE_ANY | JSON_COMPACT)) > size - 1)
        snprintf(text, size, "a list of %zu entries", json_array_size(value));
    else
        text[length] = 0;
}

void cf_fields_refuse(cf_fields *fields, const char *field, const char *what) {
    if (fields->status != CFINE_OK) return;
    char value[80] = "absent";
    const json_t *json = json_object_get(fields->object, field);
    if (json) describe(json, value, sizeof value);
    fields->status = cf_fail(fields->err, CFINE_ERROR_FORMAT, "%s: %s%s is %s: %s", fields->file, fields->prefix, field,
                             value, what);
}

const json_t *cf_fields_get(const cf_fields *fields, const char *field) {
    const json_t *value = json_object_get(fields->object, field);
    return json_is_null(value) ? NULL : value;
}

static void refuse_range(cf_fields *fields, const char *field, const char *kind, double least, double most) {
    char what[120];
    snprintf(what, sizeof what, "%s from %.9g to %.9g is expected", kind, least, most);
    cf_fields_refuse(fields, field, what);
}

static int in_range(const json_t *value, int least, int most) {
    return json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most;
}

int cf_fields_int(cf_fields *fields, const char *field, int otherwise, int least, int most) {
    const json_t *value = cf_fields_get(fields, field);
    if (!value || fields->status != CFINE_OK) return otherwise;
    if (in_range(value, least, most)) return (int)json_integer_value(value);
    refuse_range(fields, field, "an integer", least, most);
    return otherwise;
}

double cf_fields_real(cf_fields *fields, const char *field, double otherwise, double least, double most) {
    const json_t *value = cf_fields_get(fields, field);
    if (!value || fields->status != CFINE_OK) return otherwise;
    double number = json_number_value(value);
    if (json_is_number(value) && number >= least && number <= most) return number;
    refuse_range(fields, field, "a number", least, most);
    return otherwise;
}

int cf_fields_bool(cf_fields *fields, const char *field, int otherwise) {
    const json_t *value = cf_fields_get(fields, field);
    if (!value || fields->status != CFINE_OK) return otherwise;
    if (json_is_boolean(value)) return json_is_true(value);
    cf_fields_refuse(fields, field, "true or false is expected");
    return otherwise;
}

const char *cf_fields_text(cf_fields *fields, const char *field, const char *otherwise) {
    const json_t *value = cf_fields_get(fields, field);
    if (!value || fields->status != CFINE_OK) return otherwise;
    if (json_is_string(value)) return json_string_value(value);
    cf_fields_refuse(fields, field, "a text is expected");
    return otherwise;
}

// The list of a field, or NULL where it is absent or wrong.
static const json_t *get_list(cf_fields *fields, const char *field, int most_count) {
    const json_t *list = cf_fields_get(fields, field);
    if (!list || fields->status != CFINE_OK) return NULL;
    size_t count = json_array_size(list);
    if (json_is_array(list) && count >= 1 && count <= (size_t)most_count) return list;
    char what[80];
    snprintf(what, sizeof what, "a list of 1 to %d entries is expected", most_count);
    cf_fields_refuse(fields, field, what);
    return NULL;
}

int cf_fields_ints(cf_fields *fields, const char *field, int *out, int otherwise, int most_count, int least, int most) {
    const json_t *list = get_list(fields, field, most_count);
    if (!list) return otherwise;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        if (!in_range(value, least, most)) {
            refuse_range(fields, field, "a list of integers", least, most);
            return otherwise;
        }
        out[i] = (int)json_integer_value(value);
    }
    return (int)json_array_size(list);
}

int cf_fields_bools(cf_fields *fields, const char *field, int *out, int otherwise, int most_count) {
    const json_t *list = get_list(fields, field, most_count);
    if (!list) return otherwise;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_boolean(value)) {
            cf_fields_refuse(fields, field, "a list of true and false is expected");
            return otherwise;
        }
        out[i] = json_is_true(value);
    }
    return (int)json_array_size(list);
}

void cf_fields_reals3(cf_fields *fields, const char *field, double out[3], double least, double most) {
    const json_t *list = cf_fields_get(fields, field);
    if (!list || fields->status != CFINE_OK) return;
    int right = json_array_size(list) == 3;
    for (size_t i = 0; i < 3 && right; i++) {
        const json_t *value = json_array_get(list, i);
        double number = json_number_value(value);
        right = json_is_number(value) && number >= least && number <= most;
    }
    if (right)
        for (size_t i = 0; i < 3; i++) out[i] = json_number_value(json_array_get(list, i));
    else
        refuse_range(fields, field, "a list of three numbers", least, most);
}
