// SPDX-License-Identifier: Apache-2.0
// The access log: one JSON object a line for each request.
#ifndef SERVE_ACCESS_LOG_H
#define SERVE_ACCESS_LOG_H

#include <stddef.h>

#include "cfine/cfine.h"

typedef struct serve_access {
    const char *client, *method, *path; // the path without its query
    const char *id;                     // of the request, or NULL
    int status;
    size_t bytes_in, bytes_out;
    double total, prepare, queue, compute; // seconds; negative: not reached
    int batch;                             // images in the run, 0: none
} serve_access;

typedef struct serve_access_log serve_access_log;

// path NULL: no log (then *out is NULL, which the other functions take); "-": standard output. `note` is told when the
// log begins to fail, and when it is written again.
cfine_status serve_access_log_open(const char *path, void (*note)(const char *text), serve_access_log **out,
                                   cfine_error *error);
// Opens the file by its name again, after something has moved it away. What cannot be opened stays as it was.
void serve_access_log_reopen(serve_access_log *log);
void serve_access_log_write(serve_access_log *log, const serve_access *access); // any thread
void serve_access_log_close(serve_access_log *log);

#endif
