// SPDX-License-Identifier: Apache-2.0
#include "multipart.h"

#include <string.h>
#include <strings.h>

#include "common/failure.h"

enum { MAX_BOUNDARY = 70 };

static const char type[] = "multipart/form-data";

int serve_is_multipart(const char *content_type) {
    return content_type && strncasecmp(content_type, type, sizeof type - 1) == 0;
}

// Copies the value of `key` ("boundary=", "name=") from a list of parameters; quotes are taken off. 0: not there, or
// too long.
static int parameter(const char *text, size_t length, const char *key, char *out, size_t size) {
    size_t key_length = strlen(key);
    for (size_t at = 0; at + key_length <= length; at++) {
        if (strncasecmp(text + at, key, key_length) != 0) continue;
        if (at && text[at - 1] != ' ' && text[at - 1] != ';' && text[at - 1] != '\t') continue; // "filename="
        size_t from = at + key_length, to;
        if (from < length && text[from] == '"') {
            from++;
            const char *quote = memchr(text + from, '"', length - from);
            if (!quote) return 0;
            to = (size_t)(quote - text);
        } else {
            for (to = from; to < length && text[to] != ';' && text[to] != ' ' && text[to] != '\r';) to++;
        }
        if (to - from >= size) return 0;
        memcpy(out, text + from, to - from);
        out[to - from] = 0;
        return 1;
    }
    return 0;
}

static const uint8_t *find(const uint8_t *from, const uint8_t *end, const char *text, size_t length) {
    return from <= end ? memmem(from, (size_t)(end - from), text, length) : NULL;
}

// Reads the head lines of a part; returns where its bytes begin, or NULL.
static const uint8_t *read_head(const uint8_t *at, const uint8_t *end, serve_part *part) {
    static const char disposition[] = "content-disposition:";
    *part = (serve_part){0};
    while (at < end) {
        const uint8_t *line_end = find(at, end, "\r\n", 2);
        if (!line_end) return NULL;
        size_t length = (size_t)(line_end - at);
        if (length == 0) return line_end + 2;
        if (length >= sizeof disposition && strncasecmp((const char *)at, disposition, sizeof disposition - 1) == 0) {
            char ignored[256];
            parameter((const char *)at, length, "name=", part->name, sizeof part->name);
            part->is_file = parameter((const char *)at, length, "filename=", ignored, sizeof ignored);
        }
        at = line_end + 2;
    }
    return NULL;
}

cfine_status serve_multipart_find(const char *content_type, const uint8_t *body, size_t size,
                                  serve_part parts[SERVE_MAX_PARTS], int *count, cfine_error *error) {
    // A delimiter is a line break, two hyphens and the boundary; the first one may stand at the very start.
    char delimiter[4 + MAX_BOUNDARY + 1] = "\r\n--";
    *count = 0;
    if (!parameter(content_type, strlen(content_type), "boundary=", delimiter + 4, sizeof delimiter - 4) ||
        !delimiter[4])
        return common_fail(error, CFINE_ERROR_FORMAT, "multipart/form-data without a boundary of 1 to %d characters",
                           MAX_BOUNDARY);
    if (!size) return common_fail(error, CFINE_ERROR_FORMAT, "the body is empty");
    size_t length = strlen(delimiter);
    const uint8_t *end = body + size, *at;
    if (size >= length - 2 && memcmp(body, delimiter + 2, length - 2) == 0)
        at = body + length - 2;
    else if ((at = find(body, end, delimiter, length)))
        at += length;
    else
        return common_fail(error, CFINE_ERROR_FORMAT, "multipart/form-data: its boundary is not in the body");
    for (;;) {
        if (end - at >= 2 && memcmp(at, "--", 2) == 0) return CFINE_OK;
        const uint8_t *line_end = find(at, end, "\r\n", 2);
        if (*count == SERVE_MAX_PARTS)
            return common_fail(error, CFINE_ERROR_UNSUPPORTED, "multipart/form-data: more than %d parts",
                               SERVE_MAX_PARTS);
        serve_part *part = &parts[*count];
        const uint8_t *bytes = line_end ? read_head(line_end + 2, end, part) : NULL;
        // A part without bytes has its delimiter right behind the empty line that ends the head.
        const uint8_t *next = bytes ? find(bytes - 2, end, delimiter, length) : NULL;
        if (!next)
            return common_fail(error, CFINE_ERROR_FORMAT, "multipart/form-data: part %d is cut short", *count + 1);
        part->bytes = bytes;
        part->size = next > bytes ? (size_t)(next - bytes) : 0;
        ++*count;
        at = next + length;
    }
}
