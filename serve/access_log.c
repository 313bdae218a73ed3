// SPDX-License-Identifier: Apache-2.0
#include "access_log.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/failure.h"

struct serve_access_log {
    pthread_mutex_t lock;
    char *path;
    FILE *stream;
    int failing; // the last line could not be written
    void (*note)(const char *text);
};

static void tell(const serve_access_log *log, const char *what, int code) {
    char text[600];
    snprintf(text, sizeof text, "%.400s: the access log %s%s%s", log->path, what, code ? ": " : "",
             code ? strerror(code) : "");
    log->note(text);
}

cfine_status serve_access_log_open(const char *path, void (*note)(const char *text), serve_access_log **out,
                                   cfine_error *error) {
    *out = NULL;
    if (!path) return CFINE_OK;
    serve_access_log *log = calloc(1, sizeof *log);
    if (!log || !(log->path = strdup(path))) {
        free(log);
        return common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
    }
    log->stream = strcmp(path, "-") == 0 ? stdout : fopen(path, "ae");
    if (!log->stream) {
        cfine_status status =
            common_fail(error, CFINE_ERROR_IO, "%s: cannot write the access log: %s", path, strerror(errno));
        free(log->path);
        free(log);
        return status;
    }
    log->note = note;
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return CFINE_OK;
}

void serve_access_log_reopen(serve_access_log *log) {
    if (!log || log->stream == stdout) return;
    FILE *stream = fopen(log->path, "ae");
    if (!stream) {
        tell(log, "cannot be opened anew", errno);
        return;
    }
    pthread_mutex_lock(&log->lock);
    FILE *old = log->stream;
    log->stream = stream;
    pthread_mutex_unlock(&log->lock);
    fclose(old);
}

// Text from a client: what is not UTF-8 cannot stand in JSON and is replaced.
static json_t *client_text(const char *text) {
    json_t *value = json_string(text);
    if (value) return value;
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at >= 0x80) *at = '?';
    return json_string(copy);
}

static void set_milliseconds(json_t *line, const char *key, double seconds) {
    if (seconds >= 0) json_object_set_new(line, key, json_real(round(seconds * 1e6) / 1e3));
}

void serve_access_log_write(serve_access_log *log, const serve_access *access) {
    if (!log) return;
    struct timespec now;
    struct tm parts;
    char stamp[64], text[96];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, sizeof text, "%s.%03ldZ", stamp, now.tv_nsec / 1000000);
    json_t *line = json_object();
    json_object_set_new(line, "time", json_string(text));
    json_object_set_new(line, "client", json_string(access->client));
    json_object_set_new(line, "method", client_text(access->method));
    json_object_set_new(line, "path", client_text(access->path));
    if (access->id) json_object_set_new(line, "id", client_text(access->id));
    json_object_set_new(line, "status", json_integer(access->status));
    json_object_set_new(line, "bytes_in", json_integer((json_int_t)access->bytes_in));
    json_object_set_new(line, "bytes_out", json_integer((json_int_t)access->bytes_out));
    set_milliseconds(line, "ms", access->total);
    set_milliseconds(line, "prepare_ms", access->prepare);
    set_milliseconds(line, "queue_ms", access->queue);
    set_milliseconds(line, "compute_ms", access->compute);
    if (access->batch) json_object_set_new(line, "batch", json_integer(access->batch));
    char *dumped = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(line);
    if (!dumped) return;
    pthread_mutex_lock(&log->lock);
    int failed = fprintf(log->stream, "%s\n", dumped) < 0 || fflush(log->stream) != 0;
    if (failed != log->failing) tell(log, failed ? "cannot be written" : "is written again", failed ? errno : 0);
    log->failing = failed;
    pthread_mutex_unlock(&log->lock);
    free(dumped);
}

void serve_access_log_close(serve_access_log *log) {
    if (!log) return;
    if (log->stream != stdout) fclose(log->stream);
    pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log);
}
