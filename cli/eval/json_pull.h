// SPDX-License-Identifier: Apache-2.0
// A JSON reader that walks a text once and keeps nothing: annotation files of hundreds of megabytes need no tree.
//
// The caller asks for what it expects ("an object", "the next key", "a number") and skips the rest. Errors are sticky:
// after the first one every call returns 0 and the reader's error says what was wrong, and in which line and column.
#ifndef CFINE_CLI_JSON_PULL_H
#define CFINE_CLI_JSON_PULL_H

#include <stddef.h>
#include <stdint.h>

#include "cfine/cfine.h"

typedef struct json_reader {
    const char *begin, *at, *end;
    const char *name; // of the file, for errors; not owned
    int failed;
    cfine_error error;
} json_reader;

void pull_reader_start(json_reader *reader, const char *name, const char *text, size_t size);

// The first byte of the next value: one of {["-0123456789tfn, or 0 at the end.
char pull_peek(json_reader *reader);

// Step into an object or array (1), or fail, naming `what` was expected to be one.
int pull_enter_object(json_reader *reader, const char *what);
int pull_enter_array(json_reader *reader, const char *what);

// Step to the next member: 1 if there is one, 0 at the end of the object or array (which is then left) or on error.
// `first` must be 1 before the first call and is maintained. Keys longer than size-1 bytes are cut.
int pull_next_key(json_reader *reader, int *first, char *key, size_t size);
int pull_next_item(json_reader *reader, int *first);

// Read a value, or fail, naming `what`. Numbers are finite; true and false count as 1 and 0; an integer may be written
// as 7.0 but must be exact.
int pull_number(json_reader *reader, const char *what, double *out);
int pull_integer(json_reader *reader, const char *what, int64_t *out);
// Reads a string into UTF-8 text, cut to size-1 bytes at a character's border.
int pull_string(json_reader *reader, const char *what, char *text, size_t size);

// Skips any value.
int pull_skip(json_reader *reader);

// Checks that only white space follows.
int pull_finish(json_reader *reader);

// Records an error at the present position (the first one stays) and returns 0.
int pull_fail(json_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
