// SPDX-License-Identifier: Apache-2.0
// A request between the parts of the server, and the server that they share.
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "access_log.h"
#include "batcher.h"
#include "kserve_request.h"
#include "metrics.h"
#include "mhd_api.h"
#include "server.h"

typedef struct serve_connection serve_connection;
typedef struct serve_request serve_request;
typedef struct serve_server serve_server;

struct serve_server {
    const serve_options *options;
    const serve_mhd *mhd;
    struct MHD_Daemon *daemon;
    serve_batcher *batcher;
    serve_metrics *metrics;
    serve_access_log *log;
    char *token, *certificate, *key;
    int draining;      // atomic
    int requests;      // atomic: begun and not yet completed
    size_t body_bytes; // atomic: held by all requests
    pthread_mutex_t connections_lock;
    serve_connection *connections;
    int connection_count; // atomic
};

typedef struct serve_route {
    const char *name; // in the metrics
    int post;         // 1: POST; 0: GET and HEAD
    int open;         // 1: needs no token
    // Answers at once, or returns 1 with job.prepare and make_answer set: then the request goes through the batcher.
    int (*handle)(serve_request *request);
} serve_route;

// The answer's text and what else a request made, freed with the request.
struct serve_request {
    serve_job job; // first: what the batcher hands on
    serve_server *server;
    struct MHD_Connection *connection;
    serve_connection *owner;
    const serve_route *route;
    const char *method, *path;
    char model_path[256]; // of a route under /v2/models/: NAME/...
    int suspended;        // it went through the batcher
    int discard;          // the body is not kept: there is an answer already
    uint8_t *body;
    size_t size, capacity, received;
    double began, received_at;

    // The answer.
    void (*make_answer)(serve_request *request); // on a hand, after a run that went well
    int status;                                  // 0: none yet
    void *answer;                                // malloc'ed; or constant
    size_t answer_size;
    int answer_is_constant;
    const char *content_type;
    size_t json_size;  // Inference-Header-Content-Length, 0: none
    const char *allow; // Allow header
    int retry_after;   // seconds, 0: none

    // Of detect_api.c and kserve_v2.c.
    kserve_request kserve;
    kserve_kind kind;
    int jpeg;
    int max_detections;
};

// Sets the answer. The text is freed by the request.
void serve_answer(serve_request *request, int status, const char *content_type, void *bytes, size_t size);
void serve_answer_constant(serve_request *request, int status, const char *content_type, const void *bytes,
                           size_t size);
// {"error": "..."}
void serve_answer_error(serve_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The same with the HTTP status that fits the failure of reading what a client sent.
void serve_answer_failure(serve_request *request, const cfine_error *error);

// The first value of a header, or NULL.
const char *serve_header(const serve_request *request, const char *name);
// Calls `take` with each argument of the query, in their order, until it returns 0; `value` is NULL without a "=".
// Returns what the last call did, 1 without arguments.
typedef int serve_take_argument(serve_request *request, const char *key, const char *value);
int serve_each_argument(serve_request *request, serve_take_argument *take);

// Finds the route of a path; NULL with the answer set if there is none, or not for this method.
const serve_route *serve_find_route(serve_request *request);

// The handlers.
int serve_handle_detect(serve_request *request);
int serve_handle_kserve(serve_request *request); // all of /v2

// Room for the detections and images of a job; 0 after an answer.
int serve_make_room(serve_request *request, int count);
// Decodes one image of a job; 0 after an answer.
int serve_decode(serve_request *request, int index, const void *bytes, size_t size);

int serve_is_ready(serve_server *server);

#endif
