// SPDX-License-Identifier: Apache-2.0
// The table of URLs, and the handlers of a few lines.
#include <stdlib.h>
#include <string.h>

#include "request.h"

extern const char serve_page[]; // page.html, put into the program by the build

static int handle_page(serve_request *request) {
    serve_answer_constant(request, 200, "text/html; charset=utf-8", serve_page, strlen(serve_page));
    return 0;
}

static const char *precision_name(cfine_precision precision) {
    static const char *const names[] = {"fp32", "fp32", "bf16", "fp16", "int8", "fp8"};
    return names[precision];
}

static int handle_metrics(serve_request *request) {
    serve_server *server = request->server;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    serve_engine *engine = serve_batcher_engine(server->batcher);
    serve_gauges gauges = {.waiting = serve_batcher_waiting(server->batcher),
                           .requests = __atomic_load_n(&server->requests, __ATOMIC_RELAXED),
                           .connections = __atomic_load_n(&server->connection_count, __ATOMIC_RELAXED),
                           .ready = serve_is_ready(server),
                           .body_bytes = __atomic_load_n(&server->body_bytes, __ATOMIC_RELAXED),
                           .model = server->options->name,
                           .precision = precision_name(engine->info.precision),
                           .device = engine->info.device};
    if (stream) {
        serve_metrics_write(server->metrics, &gauges, stream);
        fclose(stream);
    }
    serve_engine_release(engine);
    if (text)
        serve_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, size);
    else
        serve_answer_error(request, 500, "out of memory");
    return 0;
}

static int handle_live(serve_request *request) {
    serve_answer_constant(request, 200, "application/json", "{\"live\":true}", 13);
    return 0;
}

static int handle_ready(serve_request *request) {
    if (serve_is_ready(request->server))
        serve_answer_constant(request, 200, "application/json", "{\"ready\":true}", 14);
    else
        serve_answer_constant(request, 503, "application/json", "{\"ready\":false}", 15);
    return 0;
}

int serve_is_ready(serve_server *server) {
    return !__atomic_load_n(&server->draining, __ATOMIC_RELAXED);
}

static const struct {
    const char *path;
    serve_route route;
} table[] = {
    {"/", {"page", 0, 1, handle_page}},
    {"/v1/detect", {"detect", 1, 0, serve_handle_detect}},
    {"/metrics", {"metrics", 0, 0, handle_metrics}},
    {"/v2", {"server", 0, 0, serve_handle_kserve}},
    {"/v2/health/live", {"live", 0, 1, handle_live}},
    {"/v2/health/ready", {"ready", 0, 1, handle_ready}},
};
static const serve_route model_route = {"model", 0, 0, serve_handle_kserve};
static const serve_route infer_route = {"infer", 1, 0, serve_handle_kserve};

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

const serve_route *serve_find_route(serve_request *request) {
    static const char models[] = "/v2/models/";
    const char *path = request->path;
    const serve_route *route = NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(path, table[i].path) == 0) route = &table[i].route;
    if (strncmp(path, models, sizeof models - 1) == 0 && strlen(path) < sizeof request->model_path) {
        route = ends_with(path, "/infer") ? &infer_route : &model_route;
        snprintf(request->model_path, sizeof request->model_path, "%s", path + sizeof models - 1);
    }
    if (!route) {
        serve_answer_error(request, 404, "there is nothing at this path; see: /v2 and /v1/detect");
        return NULL;
    }
    int get = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    const char *encoding = serve_header(request, "Content-Encoding");
    if (encoding && strcmp(encoding, "identity") != 0) {
        serve_answer_error(request, 415, "Content-Encoding '%.40s' is not taken", encoding);
        return NULL;
    }
    if (route->post ? strcmp(request->method, "POST") == 0 : get) return route;
    request->allow = route->post ? "POST" : "GET, HEAD";
    serve_answer_error(request, 405, "this path takes %s", request->allow);
    return NULL;
}
