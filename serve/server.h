// SPDX-License-Identifier: Apache-2.0
// The HTTP server: KServe's version 2 protocol, POST /v1/detect, /metrics, and a page for people.
//
//     http.c (connections, bodies, answers) -> routes.c -> detect_api.c, kserve_v2.c -> batcher.c -> engine.c
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "cfine/cfine.h"
#include "engine.h"

// What a person should read: how it goes, what failed.
typedef void serve_note(const char *text);

typedef struct serve_options {
    serve_engine_options engine;
    const char *name; // of the model in URLs
    const char *host;
    int port;         // 0: any that is free
    int queue;        // requests that may wait
    int hands;        // threads that parse and decode
    double max_delay; // seconds that a batch may wait to become full
    double deadline;  // seconds until a request must have been taken by a worker
    double patience;  // seconds that a client has to send a request or to read its answer
    double drain;     // seconds for the rest of requests after SIGTERM; those that have arrived are answered
    size_t max_bytes; // of a body
    size_t all_bytes; // of all bodies together
    int64_t max_pixels;
    int max_connections;
    float threshold;                         // where a request gives none
    const char *token_file;                  // NULL: no token is asked for
    const char *certificate_file, *key_file; // NULL: no TLS
    const char *access_log;                  // NULL: none; "-": standard output
    serve_note *note;
} serve_options;

// Serves until SIGTERM or SIGINT; SIGHUP opens the model anew. Returns when the last request was answered.
cfine_status serve_run(const serve_options *options, cfine_error *error);

#endif
