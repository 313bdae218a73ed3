// SPDX-License-Identifier: Apache-2.0
// The walking JSON reader of json_pull.h.
#include "json_pull.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_MOST_DEPTH = 256, JSON_MOST_DIGITS = 320 };

void pull_reader_start(json_reader *reader, const char *name, const char *text, size_t size) {
    memset(reader, 0, sizeof *reader);
    reader->name = name;
    reader->begin = reader->at = text;
    reader->end = text + size;
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) reader->at += 3; // a byte order mark
}

int pull_fail(json_reader *reader, const char *format, ...) {
    if (reader->failed) return 0;
    reader->failed = 1;
    reader->error.status = CFINE_ERROR_FORMAT;
    long line = 1, column = 1;
    for (const char *p = reader->begin; p < reader->at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(reader->error.message, sizeof reader->error.message, "%.400s: line %ld, column %ld: %s", reader->name,
             line, column, text);
    return 0;
}

char pull_peek(json_reader *reader) {
    const char *p = reader->at;
    while (p < reader->end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    reader->at = p;
    return reader->failed || p == reader->end ? 0 : *p;
}

// What stands at the reader, in words.
static const char *json_found(json_reader *reader, char *text, size_t size) {
    char c = pull_peek(reader);
    if (c == 0 && reader->at == reader->end) return "the end of the file (is it truncated?)";
    if (c == '{') return "an object";
    if (c == '[') return "an array";
    if (c == '"') return "a string";
    int length = 0;
    while (length < 20 && reader->at + length < reader->end && strchr(" \t\r\n,]}:", reader->at[length]) == NULL)
        length++;
    if (length == 0) length = 1;
    for (int i = 0; i < length; i++)
        if (reader->at[i] < 32 || reader->at[i] > 126) return "bytes that are not JSON";
    snprintf(text, size, "%.*s", length, reader->at);
    return text;
}

static int json_fail_expected(json_reader *reader, const char *what, const char *expected) {
    char text[32];
    const char *found = json_found(reader, text, sizeof text);
    return pull_fail(reader, "%s must be %s, not %s", what, expected, found);
}

int pull_enter_object(json_reader *reader, const char *what) {
    if (pull_peek(reader) != '{') return json_fail_expected(reader, what, "an object");
    reader->at++;
    return 1;
}

int pull_enter_array(json_reader *reader, const char *what) {
    if (pull_peek(reader) != '[') return json_fail_expected(reader, what, "an array");
    reader->at++;
    return 1;
}

// Steps over a comma to the next member, or over the closing bracket.
static int json_next(json_reader *reader, int *first, char closing) {
    char c = pull_peek(reader);
    if (c == closing) {
        reader->at++;
        return 0;
    }
    if (!*first) {
        if (c != ',') {
            char text[32];
            const char *found = json_found(reader, text, sizeof text);
            return pull_fail(reader, "expected , or %c, found %s", closing, found);
        }
        reader->at++;
        if (pull_peek(reader) == closing) return pull_fail(reader, "a comma before %c", closing);
    }
    *first = 0;
    return !reader->failed;
}

int pull_next_item(json_reader *reader, int *first) {
    return json_next(reader, first, ']');
}

int pull_next_key(json_reader *reader, int *first, char *key, size_t size) {
    if (!json_next(reader, first, '}')) return 0;
    if (!pull_string(reader, "a key", key, size)) return 0;
    if (pull_peek(reader) != ':') return pull_fail(reader, "expected : after \"%.40s\"", key);
    reader->at++;
    return 1;
}

static int json_word(json_reader *reader, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0) return 0;
    reader->at += length;
    return 1;
}

// The end of the number that starts at p, by JSON's grammar; p itself where there is none.
static const char *json_number_end(const char *p, const char *end) {
    const char *start = p;
    if (p < end && *p == '-') p++;
    if (p == end || *p < '0' || *p > '9') return start;
    if (*p == '0')
        p++;
    else
        while (p < end && *p >= '0' && *p <= '9') p++;
    if (end - p >= 2 && *p == '.' && p[1] >= '0' && p[1] <= '9')
        for (p++; p < end && *p >= '0' && *p <= '9';) p++;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        if (q < end && (*q == '+' || *q == '-')) q++;
        if (q < end && *q >= '0' && *q <= '9') {
            while (q < end && *q >= '0' && *q <= '9') q++;
            p = q;
        }
    }
    return p;
}

int pull_number(json_reader *reader, const char *what, double *out) {
    char c = pull_peek(reader);
    if (reader->failed) return 0;
    if (c == 't' && json_word(reader, "true")) return *out = 1, 1;
    if (c == 'f' && json_word(reader, "false")) return *out = 0, 1;
    const char *end = json_number_end(reader->at, reader->end);
    size_t length = (size_t)(end - reader->at);
    if (length == 0) return json_fail_expected(reader, what, "a number");
    if (length > JSON_MOST_DIGITS) return pull_fail(reader, "%s is a number of %zu characters", what, length);
    char text[JSON_MOST_DIGITS + 1]; // strtod wants a terminated string
    memcpy(text, reader->at, length);
    text[length] = 0;
    double value = strtod(text, NULL);
    if (!isfinite(value)) return pull_fail(reader, "%s is beyond what a number can hold: %.40s", what, text);
    reader->at = end;
    *out = value;
    return 1;
}

int pull_integer(json_reader *reader, const char *what, int64_t *out) {
    char c = pull_peek(reader);
    if (reader->failed) return 0;
    const char *end = json_number_end(reader->at, reader->end), *p = reader->at + (c == '-');
    if (end == reader->at) return json_fail_expected(reader, what, "an integer");
    while (p < end && *p >= '0' && *p <= '9') p++;
    if (p == end && end - reader->at < 24) { // digits alone: exact up to 64 bits
        char text[24];
        memcpy(text, reader->at, (size_t)(end - reader->at));
        text[end - reader->at] = 0;
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno) return pull_fail(reader, "%s is beyond 64 bits: %s", what, text);
        reader->at = end;
        *out = value;
        return 1;
    }
    const char *start = reader->at;
    double value;
    if (!pull_number(reader, what, &value)) return 0;
    if (value != floor(value) || fabs(value) > 9007199254740992.0) {
        reader->at = start;
        return json_fail_expected(reader, what, "an integer");
    }
    *out = (int64_t)value;
    return 1;
}

static int json_hex4(const char *p, const char *end, unsigned *out) {
    if (end - p < 4) return 0;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return 0;
        *out = *out * 16 + (unsigned)digit;
    }
    return 1;
}

// The character of a \uXXXX escape (p behind the u) as UTF-8; returns its bytes, or 0 where it is none. A lone half of
// a surrogate pair becomes U+FFFD.
static int json_unicode(const char **at, const char *end, char utf8[4]) {
    const char *p = *at;
    unsigned code, low;
    if (!json_hex4(p, end, &code)) return 0;
    p += 4;
    if (code >= 0xD800 && code < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' && json_hex4(p + 2, end, &low) &&
        low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    } else if (code >= 0xD800 && code < 0xE000) {
        code = 0xFFFD;
    }
    *at = p;
    if (code < 0x80) return utf8[0] = (char)code, 1;
    if (code < 0x800) return utf8[0] = (char)(0xC0 | code >> 6), utf8[1] = (char)(0x80 | (code & 63)), 2;
    if (code < 0x10000) {
        utf8[0] = (char)(0xE0 | code >> 12);
        utf8[1] = (char)(0x80 | (code >> 6 & 63));
        utf8[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    utf8[0] = (char)(0xF0 | code >> 18);
    utf8[1] = (char)(0x80 | (code >> 12 & 63));
    utf8[2] = (char)(0x80 | (code >> 6 & 63));
    utf8[3] = (char)(0x80 | (code & 63));
    return 4;
}

int pull_string(json_reader *reader, const char *what, char *text, size_t size) {
    if (pull_peek(reader) != '"') return json_fail_expected(reader, what, "a string");
    const char *p = reader->at + 1;
    size_t length = 0;
    int cut = 0;
    for (;;) {
        if (p == reader->end) {
            return pull_fail(reader, "a string without an end: is the file truncated?");
        }
        if (*p == '"') break;
        if ((unsigned char)*p < 32) {
            reader->at = p;
            return pull_fail(reader, "a control character in a string");
        }
        char utf8[4] = {*p};
        int bytes = 1;
        if (*p != '\\') {
            p++;
        } else {
            const char *known = p + 1 < reader->end ? strchr("\"\\/bfnrt", p[1]) : NULL;
            if (known && *known) {
                utf8[0] = "\"\\/\b\f\n\r\t"[known - "\"\\/bfnrt"];
                p += 2;
            } else {
                const char *digits = p + 2;
                if (p + 1 < reader->end && p[1] == 'u')
                    bytes = json_unicode(&digits, reader->end, utf8);
                else
                    bytes = 0;
                if (bytes == 0) {
                    reader->at = p;
                    return pull_fail(reader, "a bad escape in a string");
                }
                p = digits;
            }
        }
        // A character that does not fit whole ends the text; the bytes of a raw one arrive one by one and are cut
        // below.
        if (!cut && length + (size_t)bytes < size) {
            memcpy(text + length, utf8, (size_t)bytes);
            length += (size_t)bytes;
        } else {
            cut = 1;
        }
    }
    if (cut) {
        size_t start = length;
        while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
        if (start > 0 && (unsigned char)text[start - 1] >= 0xC0) length = start - 1;
    }
    text[length] = 0;
    reader->at = p + 1;
    return 1;
}

// Steps over a string without looking at its escapes.
static int json_skip_string(json_reader *reader) {
    for (const char *p = reader->at + 1; p < reader->end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"') {
            reader->at = p + 1;
            return 1;
        }
    }
    return pull_fail(reader, "a string without an end: is the file truncated?");
}

static int json_skip_scalar(json_reader *reader) {
    char c = pull_peek(reader);
    if (c == '"') return json_skip_string(reader);
    if (json_word(reader, "null") || json_word(reader, "true") || json_word(reader, "false")) return 1;
    const char *end = json_number_end(reader->at, reader->end);
    if (end == reader->at) return json_fail_expected(reader, "a value", "JSON");
    reader->at = end;
    return 1;
}

int pull_skip(json_reader *reader) {
    char open[JSON_MOST_DEPTH], key[2];
    int first[JSON_MOST_DEPTH], depth = 0;
    do {
        if (depth > 0) { // step to the next member of what is open
            int more = open[depth - 1] == '{' ? pull_next_key(reader, &first[depth - 1], key, sizeof key)
                                              : pull_next_item(reader, &first[depth - 1]);
            if (reader->failed) return 0;
            if (!more) {
                depth--;
                continue;
            }
        }
        char c = pull_peek(reader);
        if (c != '{' && c != '[') {
            if (!json_skip_scalar(reader)) return 0;
            continue;
        }
        if (depth == JSON_MOST_DEPTH) return pull_fail(reader, "nested more than %d deep", JSON_MOST_DEPTH);
        open[depth] = c;
        first[depth++] = 1;
        reader->at++;
    } while (depth > 0);
    return !reader->failed;
}

int pull_finish(json_reader *reader) {
    if (reader->failed) return 0;
    pull_peek(reader);
    if (reader->at != reader->end) return pull_fail(reader, "more after the end of the value");
    return 1;
}
