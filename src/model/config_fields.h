// SPDX-License-Identifier: Apache-2.0
// Typed, range-checked access to the fields of a JSON object, with defaults and errors that name file, field and value.
//
// The first failure sticks: later calls return their default, and the caller looks at `status` once at the end.
#ifndef CF_MODEL_CONFIG_FIELDS_H
#define CF_MODEL_CONFIG_FIELDS_H

#include <jansson.h>

#include "base/status.h"

typedef struct cf_fields {
    const json_t *object;
    const char *file;   // for errors
    const char *prefix; // "" or "backbone_config."
    cfine_status status;
    cfine_error *err;
} cf_fields;

// Parses text that must be one JSON object; decref the result. NULL on failure, with fields->status set.
json_t *cf_fields_open(cf_fields *fields, const char *json, size_t size, const char *file, cfine_error *err);

// Records an error about a field, once: "file: prefix+field is VALUE: what".
void cf_fields_refuse(cf_fields *fields, const char *field, const char *what);

// The value of a field, or NULL where it is absent or null.
const json_t *cf_fields_get(const cf_fields *fields, const char *field);

int cf_fields_int(cf_fields *fields, const char *field, int otherwise, int least, int most);
double cf_fields_real(cf_fields *fields, const char *field, double otherwise, double least, double most);
int cf_fields_bool(cf_fields *fields, const char *field, int otherwise);
const char *cf_fields_text(cf_fields *fields, const char *field, const char *otherwise);

// A list of 1..most_count integers into out; returns how many. When the field is absent, out keeps what it holds and
// `otherwise` is returned.
int cf_fields_ints(cf_fields *fields, const char *field, int *out, int otherwise, int most_count, int least, int most);

// The same for true and false.
int cf_fields_bools(cf_fields *fields, const char *field, int *out, int otherwise, int most_count);

// Three numbers; where the field is absent, out keeps what it holds.
void cf_fields_reals3(cf_fields *fields, const char *field, double out[3], double least, double most);

#endif
