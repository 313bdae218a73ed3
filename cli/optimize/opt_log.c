// SPDX-License-Identifier: Apache-2.0
// The log: one JSON object a line. The first says what the search is about; the others are measurements:
// {"key":"...","what":"ap","values":[...]}. A last line without its end was cut by whatever killed the search.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "json_pull.h"
#include "optimize.h"
#include "report.h"

enum { MOST_BYTES = 64 << 20 };

static void keep(opt_log *log, const char *key, const char *what, const double values[4]) {
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 256;
        log->entries = cli_grow(log->entries, log->capacity, sizeof *log->entries);
    }
    opt_entry *entry = &log->entries[log->count++];
    *entry = (opt_entry){.key = cli_format("%s", key)};
    snprintf(entry->what, sizeof entry->what, "%s", what);
    memcpy(entry->values, values, sizeof entry->values);
}

static int read_entry(opt_log *log, const char *line, size_t length) {
    json_reader json;
    char key[512] = "", what[16] = "", field[16];
    double values[4] = {0};
    int first = 1, count = 0;
    pull_reader_start(&json, log->path, line, length);
    if (pull_enter_object(&json, "a measurement"))
        while (pull_next_key(&json, &first, field, sizeof field)) {
            int first_value = 1;
            if (strcmp(field, "key") == 0)
                pull_string(&json, field, key, sizeof key);
            else if (strcmp(field, "what") == 0)
                pull_string(&json, field, what, sizeof what);
            else if (strcmp(field, "values") == 0 && pull_enter_array(&json, field))
                while (pull_next_item(&json, &first_value)) {
                    double value = 0;
                    if (pull_number(&json, field, &value) && count < 4) values[count++] = value;
                }
            else
                pull_skip(&json);
        }
    if (json.failed || !key[0] || !what[0]) return 0;
    keep(log, key, what, values);
    return 1;
}

// Takes the whole lines of the text: *whole bytes.
static cfine_status read_lines(opt_log *log, const char *text, size_t size, const char *about, size_t *whole,
                               cfine_error *error) {
    size_t at = 0;
    for (int number = 1; at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        if (!end) break;
        size_t length = (size_t)(end - text) - at;
        if (number == 1 && (length != strlen(about) || memcmp(text, about, length) != 0))
            return coco_fail(
                error, CFINE_ERROR_MISMATCH,
                "%s: is the log of another search (model, data, processor or options differ): remove it, or "
                "name another --output",
                log->path);
        if (number > 1 && !read_entry(log, text + at, length))
            return coco_fail(error, CFINE_ERROR_FORMAT, "%s: line %d is damaged: remove the file to start anew",
                             log->path, number);
        at += length + 1;
    }
    *whole = at;
    return CFINE_OK;
}

// The bytes of a file; NULL where there is none.
static cfine_status read_file(const char *path, char **text, size_t *size, cfine_error *error) {
    FILE *file = fopen(path, "rb");
    *text = NULL;
    *size = 0;
    if (!file && errno != ENOENT) return coco_fail(error, CFINE_ERROR_IO, "%s: cannot read: %s", path, strerror(errno));
    if (!file) return CFINE_OK;
    size_t capacity = 1 << 16;
    *text = cli_alloc(capacity, 1);
    for (size_t got = 1; got && *size < MOST_BYTES;) {
        if (*size == capacity) *text = cli_grow(*text, capacity *= 2, 1);
        got = fread(*text + *size, 1, capacity - *size, file);
        *size += got;
    }
    fclose(file);
    return CFINE_OK;
}

cfine_status opt_log_open(opt_log *log, const char *path, const char *about, cfine_error *error) {
    *log = (opt_log){.path = cli_format("%s", path)};
    size_t size, whole = 0;
    char *text;
    cfine_status status = read_file(path, &text, &size, error);
    if (status == CFINE_OK && text) status = read_lines(log, text, size, about, &whole, error);
    free(text);
    if (status != CFINE_OK) return status;
    log->resumed = log->count;
    if (whole < size && truncate(path, (off_t)whole) != 0)
        return coco_fail(error, CFINE_ERROR_IO, "%s: cannot cut its unfinished last line: %s", path, strerror(errno));
    log->stream = fopen(path, "ae");
    if (!log->stream) return coco_fail(error, CFINE_ERROR_IO, "%s: cannot create: %s", path, strerror(errno));
    if (whole == 0) fprintf(log->stream, "%s\n", about);
    fflush(log->stream);
    return CFINE_OK;
}

const double *opt_log_find(const opt_log *log, const char *key, const char *what) {
    for (size_t i = 0; i < log->count; i++)
        if (strcmp(log->entries[i].what, what) == 0 && strcmp(log->entries[i].key, key) == 0)
            return log->entries[i].values;
    return NULL;
}

void opt_log_add(opt_log *log, const char *key, const char *what, const double values[4]) {
    keep(log, key, what, values);
    fprintf(log->stream, "{\"key\":");
    cli_print_json_text(log->stream, key);
    fprintf(log->stream, ",\"what\":\"%s\",\"values\":[%.17g,%.17g,%.17g,%.17g]}\n", what, values[0], values[1],
            values[2], values[3]);
    fflush(log->stream);
}

void opt_log_close(opt_log *log) {
    for (size_t i = 0; i < log->count; i++) free(log->entries[i].key);
    free(log->entries);
    if (log->stream) {
        fclose(log->stream);
        if (!log->count) unlink(log->path); // nothing to go on with
    }
    free(log->path);
    *log = (opt_log){0};
}
