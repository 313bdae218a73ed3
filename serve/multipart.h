// SPDX-License-Identifier: Apache-2.0
// Bodies of type multipart/form-data, as forms and curl -F send them.
#ifndef SERVE_MULTIPART_H
#define SERVE_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "cfine/cfine.h"

enum { SERVE_MAX_PARTS = 16 };

typedef struct serve_part {
    char name[64];
    int is_file;          // the part has a file name
    const uint8_t *bytes; // into the body
    size_t size;
} serve_part;

// 1 if the value of a Content-Type header says multipart/form-data.
int serve_is_multipart(const char *content_type);

// Finds the parts of a body, at most SERVE_MAX_PARTS.
cfine_status serve_multipart_find(const char *content_type, const uint8_t *body, size_t size,
                                  serve_part parts[SERVE_MAX_PARTS], int *count, cfine_error *error);

#endif
