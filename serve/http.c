// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <linux/filter.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/failure.h"

// A refused body is read up to MOST_DISCARDED times the size that is taken.
enum {
    MOST_DISCARDED = 4,
    IO_THREADS = 2,
    FIRST_ROOM = 1 << 14,
    RETRY_SECONDS = 1,
    CLIENT_GONE = 499,
    HANDSHAKE_MS = 100, // a handshake that has begun has so long to end
};
static const double MOST_QUIESCING = 1; // seconds, whoever still comes

typedef enum { RECEIVING_FIRST, RECEIVING, WORKING, SENDING, IDLE } connection_phase;

struct serve_connection {
    serve_connection *previous, *next;
    int socket;
    connection_phase phase;
    double since;
    int ended;
};

// ---------------------------------------------------------------------------------------------------------------------
// Answers

void serve_answer_constant(serve_request *request, int status, const char *content_type, const void *bytes,
                           size_t size) {
    serve_answer(request, status, content_type, NULL, size);
    memcpy(&request->answer, &bytes, sizeof bytes); // only read from, and never freed
    request->answer_is_constant = 1;
}

void serve_answer(serve_request *request, int status, const char *content_type, void *bytes, size_t size) {
    if (!request->answer_is_constant) free(request->answer);
    request->status = status;
    request->content_type = content_type;
    request->answer = bytes;
    request->answer_size = size;
    request->answer_is_constant = 0;
}

void serve_answer_error(serve_request *request, int status, const char *format, ...) {
    static const char fallback[] = "{\"error\":\"out of memory\"}";
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at == 0x7F) *at = ' ';
    json_t *message = json_string(text);
    if (!message) { // not UTF-8, as a client's own words may be
        for (char *at = text; *at; at++)
            if ((unsigned char)*at >= 0x80) *at = '?';
        message = json_string(text);
    }
    json_t *root = json_pack("{s:o}", "error", message);
    char *dumped = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (status == 503) request->retry_after = RETRY_SECONDS;
    if (dumped)
        serve_answer(request, status, "application/json", dumped, strlen(dumped));
    else
        serve_answer_constant(request, status, "application/json", fallback, sizeof fallback - 1);
}

void serve_answer_failure(serve_request *request, const cfine_error *error) {
    int status = 400;
    if (error->status == CFINE_ERROR_MEMORY) status = 503;
    if (error->status == CFINE_ERROR_INTERNAL || error->status == CFINE_ERROR_DEVICE) status = 500;
    serve_answer_error(request, status, "%s", error->message);
}

int serve_make_room(serve_request *request, int count) {
    serve_job *job = &request->job;
    job->images = calloc((size_t)count, sizeof *job->images);
    job->found = calloc((size_t)count, sizeof *job->found);
    if (!job->images || !job->found) {
        serve_answer_error(request, 503, "out of memory");
        return 0;
    }
    job->count = count;
    return 1;
}

int serve_decode(serve_request *request, int index, const void *bytes, size_t size) {
    cfine_image_options options = CFINE_INIT(cfine_image_options);
    options.max_pixels = request->server->options->max_pixels;
    cfine_image *image = &request->job.images[index];
    cfine_error error;
    if (cfine_image_decode(bytes, size, &options, image, &error) == CFINE_OK) {
        request->job.bytes += (size_t)image->width * (size_t)image->height * 3;
        return 1;
    }
    serve_answer_failure(request, &error);
    return 0;
}

const char *serve_header(const serve_request *request, const char *name) {
    return request->server->mhd->MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

typedef struct {
    serve_request *request;
    serve_take_argument *take;
    int ok;
} argument_visit;

static enum MHD_Result visit_argument(void *context, enum MHD_ValueKind kind, const char *key, const char *value) {
    (void)kind;
    argument_visit *visit = context;
    visit->ok = visit->take(visit->request, key ? key : "", value);
    return visit->ok ? MHD_YES : MHD_NO;
}

int serve_each_argument(serve_request *request, serve_take_argument *take) {
    argument_visit visit = {request, take, 1};
    request->server->mhd->MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, visit_argument, &visit);
    return visit.ok;
}

// ---------------------------------------------------------------------------------------------------------------------
// Connections and their clients' patience

static void set_phase(serve_request *request, connection_phase phase) {
    serve_server *server = request->server;
    pthread_mutex_lock(&server->connections_lock);
    if (request->owner) {
        request->owner->phase = phase;
        request->owner->since = common_now();
    }
    pthread_mutex_unlock(&server->connections_lock);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
    serve_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        serve_connection *one = calloc(1, sizeof *one);
        *socket_context = one;
        if (!one) return;
        one->socket = server->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        one->since = common_now();
        pthread_mutex_lock(&server->connections_lock);
        one->next = server->connections;
        if (one->next) one->next->previous = one;
        server->connections = one;
        __atomic_add_fetch(&server->connection_count, 1, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&server->connections_lock);
    } else if (*socket_context) {
        serve_connection *one = *socket_context;
        pthread_mutex_lock(&server->connections_lock);
        if (one->next) one->next->previous = one->previous;
        if (one->previous)
            one->previous->next = one->next;
        else
            server->connections = one->next;
        __atomic_sub_fetch(&server->connection_count, 1, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&server->connections_lock);
        free(one);
    }
}

// libmicrohttpd's own time-out is for silence; a client that sends a byte now and then is ended here. Under the lock
// the socket cannot be closed and its number given to another.
void serve_http_end_slow_clients(serve_server *server) {
    static const char text[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    double now = common_now();
    pthread_mutex_lock(&server->connections_lock);
    for (serve_connection *one = server->connections; one; one = one->next) {
        if (one->ended || one->phase == WORKING || now - one->since < server->options->patience) continue;
        int receiving = one->phase == RECEIVING_FIRST || one->phase == RECEIVING;
        if (receiving && !server->certificate &&
            send(one->socket, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            serve_metrics_count_request(server->metrics, "slow", 408);
        shutdown(one->socket, SHUT_RDWR);
        one->ended = 1;
    }
    pthread_mutex_unlock(&server->connections_lock);
}

// ---------------------------------------------------------------------------------------------------------------------
// Bodies

static void drop_body(serve_request *request) {
    __atomic_sub_fetch(&request->server->body_bytes, request->capacity, __ATOMIC_RELAXED);
    free(request->body);
    request->body = NULL;
    request->size = request->capacity = 0;
}

static void refuse_body(serve_request *request) {
    drop_body(request);
    request->discard = 1;
}

static int grow_body(serve_request *request, size_t needed) {
    const serve_options *options = request->server->options;
    size_t capacity = request->capacity ? request->capacity : FIRST_ROOM;
    while (capacity < needed) capacity *= 2;
    if (capacity > options->max_bytes && needed <= options->max_bytes) capacity = options->max_bytes;
    size_t more = capacity - request->capacity;
    if (__atomic_add_fetch(&request->server->body_bytes, more, __ATOMIC_RELAXED) <= options->all_bytes) {
        uint8_t *body = realloc(request->body, capacity);
        if (body) {
            request->body = body;
            request->capacity = capacity;
            return 1;
        }
    }
    __atomic_sub_fetch(&request->server->body_bytes, more, __ATOMIC_RELAXED);
    serve_answer_error(request, 503, "no room for the body now; try again");
    return 0;
}

static void answer_too_large(serve_request *request) {
    serve_answer_error(request, 413, "the body is larger than %zu bytes", request->server->options->max_bytes);
}

// Returns 0 when the client goes on sending beyond what could still be answered.
static int take_body(serve_request *request, const char *data, size_t size) {
    request->received += size;
    if (request->discard) return request->received / MOST_DISCARDED <= request->server->options->max_bytes;
    if (size > request->server->options->max_bytes - request->size) {
        refuse_body(request);
        answer_too_large(request);
        return 1;
    }
    if (request->size + size > request->capacity && !grow_body(request, request->size + size)) {
        refuse_body(request);
        return 1;
    }
    memcpy(request->body + request->size, data, size);
    request->size += size;
    return 1;
}

// ---------------------------------------------------------------------------------------------------------------------
// Requests

static int has_token(const serve_request *request) {
    static const char scheme[] = "Bearer ";
    const char *expected = request->server->token, *header = serve_header(request, "Authorization");
    if (!expected) return 1;
    if (!header || strncasecmp(header, scheme, sizeof scheme - 1) != 0) return 0;
    // Every character is looked at, so that the time tells nothing about where a wrong token differs.
    const char *given = header + sizeof scheme - 1;
    size_t length = strlen(given), right = strlen(expected);
    unsigned difference = length != right;
    for (size_t i = 0; i < length; i++) difference |= (unsigned char)given[i] ^ (unsigned char)expected[i % right];
    return difference == 0;
}

static void free_answer(void *context) {
    free(context);
}

static void keep_answer(void *context) {
    (void)context;
}

static void add_number(const serve_mhd *mhd, struct MHD_Response *response, const char *name, size_t value) {
    char text[24];
    snprintf(text, sizeof text, "%zu", value);
    mhd->MHD_add_response_header(response, name, text);
}

static enum MHD_Result send_answer(serve_request *request) {
    const serve_mhd *mhd = request->server->mhd;
    struct MHD_Response *response = mhd->MHD_create_response_from_buffer_with_free_callback(
        request->answer_size, request->answer, request->answer_is_constant ? keep_answer : free_answer);
    if (!response) return MHD_NO;
    request->answer = NULL; // the response has it now
    drop_body(request);     // the answer may take as long as its client's patience
    mhd->MHD_add_response_header(response, "Content-Type", request->content_type);
    mhd->MHD_add_response_header(response, "Cache-Control", "no-store");
    mhd->MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (request->allow) mhd->MHD_add_response_header(response, "Allow", request->allow);
    if (request->status == 401) mhd->MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (request->retry_after) add_number(mhd, response, "Retry-After", (size_t)request->retry_after);
    if (request->json_size) add_number(mhd, response, "Inference-Header-Content-Length", request->json_size);
    if (!serve_is_ready(request->server)) mhd->MHD_add_response_header(response, "Connection", "close");
    set_phase(request, SENDING);
    enum MHD_Result result = mhd->MHD_queue_response(request->connection, (unsigned)request->status, response);
    mhd->MHD_destroy_response(response);
    return result;
}

// The batcher's last word: the connection goes on in its own thread and sends the answer.
static void finish_and_resume(serve_job *job) {
    serve_request *request = (serve_request *)job;
    const serve_mhd *mhd = request->server->mhd;
    if (job->gone)
        serve_answer_error(request, CLIENT_GONE, "the client has hung up");
    else if (job->late)
        serve_answer_error(request, 504, "no worker was free before the request's deadline");
    else if (!job->refused && job->status == CFINE_OK)
        request->make_answer(request);
    else if (!job->refused) // otherwise prepare has answered
        serve_answer_failure(request, &job->error);
    mhd->MHD_resume_connection(request->connection); // from here on the request may be gone
}

// The client has closed its side, or the connection was reset. Its socket stays open while the request is suspended.
static int is_gone(serve_job *job) {
    const serve_request *request = (serve_request *)job;
    char byte;
    if (!request->owner) return 0;
    ssize_t got = recv(request->owner->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void begin(serve_request *request) {
    serve_server *server = request->server;
    request->route = serve_find_route(request);
    if (request->route && !request->route->open && !has_token(request))
        serve_answer_error(request, 401, "this needs the header: Authorization: Bearer TOKEN");
    const char *length = serve_header(request, "Content-Length");
    if (!request->status && length && strtoull(length, NULL, 10) > server->options->max_bytes)
        answer_too_large(request);
    if (request->status) request->discard = 1;
}

// Hands the request to the batcher or answers it at once; returns 1 if the connection now waits.
static int dispatch(serve_request *request) {
    serve_server *server = request->server;
    if (request->status || !request->route->handle(request)) return 0;
    if (!serve_batcher_reserve(server->batcher)) {
        serve_answer_error(request, 503,
                           serve_is_ready(server) ? "the queue is full; try again" : "the server is about to end");
        return 0;
    }
    request->job.finish = finish_and_resume;
    request->job.is_gone = is_gone;
    request->job.deadline = common_now() + server->options->deadline;
    request->suspended = 1;
    server->mhd->MHD_suspend_connection(request->connection);
    serve_batcher_submit(server->batcher, &request->job);
    return 1;
}

static serve_request *create_request(serve_server *server, struct MHD_Connection *connection, const char *path,
                                     const char *method) {
    serve_request *request = calloc(1, sizeof *request);
    if (!request) return NULL;
    request->server = server;
    request->connection = connection;
    request->path = path;
    request->method = method;
    request->began = common_now();
    const union MHD_ConnectionInfo *info =
        server->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    request->owner = info ? info->socket_context : NULL;
    __atomic_add_fetch(&server->requests, 1, __ATOMIC_RELAXED);
    set_phase(request, RECEIVING);
    return request;
}

// A refused body is read to its end, since many clients hear the answer only then; unless the client waits to be told
// to send it, or it is very large.
static int is_body_unwanted(const serve_request *request) {
    const char *length = serve_header(request, "Content-Length");
    return serve_header(request, "Expect") ||
           (length && strtoull(length, NULL, 10) / MOST_DISCARDED > request->server->options->max_bytes);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **request_context) {
    (void)version;
    serve_request *request = *request_context;
    if (!request) {
        request = *request_context = create_request(context, connection, path, method);
        if (!request) return MHD_NO;
        begin(request);
        return request->status && is_body_unwanted(request) ? send_answer(request) : MHD_YES;
    }
    if (*size) {
        if (!take_body(request, data, *size)) return MHD_NO;
        *size = 0;
        return MHD_YES;
    }
    if (!request->suspended) {
        request->received_at = common_now();
        set_phase(request, WORKING);
        if (dispatch(request)) return MHD_YES;
    }
    return send_answer(request);
}

// ---------------------------------------------------------------------------------------------------------------------
// After the answer

static void describe_client(const serve_request *request, char text[64]) {
    const union MHD_ConnectionInfo *info =
        request->server->mhd->MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    text[0] = 0;
    if (!info || !info->client_addr) return;
    if (info->client_addr->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)info->client_addr)->sin_addr, text, 64);
    else if (info->client_addr->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)info->client_addr)->sin6_addr, text, 64);
}

static void account(const serve_request *request) {
    serve_server *server = request->server;
    const serve_job *job = &request->job;
    double now = common_now();
    int ran = job->started > 0 && !job->late && !job->gone;
    char client[64];
    describe_client(request, client);
    serve_access access = {.client = client,
                           .method = request->method,
                           .path = request->path,
                           .id = request->kserve.id,
                           .status = request->status ? request->status : 400,
                           .bytes_in = request->received,
                           .bytes_out = request->answer_size,
                           .total = now - request->began,
                           .prepare = job->prepared > 0 ? job->prepared - job->arrived : -1,
                           .queue = ran ? job->started - job->prepared : -1,
                           .compute = ran ? job->ended - job->started : -1,
                           .batch = job->batch};
    serve_metrics_count_request(server->metrics, request->route ? request->route->name : "none", access.status);
    serve_metrics_time(server->metrics, SERVE_TIME_REQUEST, access.total);
    if (access.prepare >= 0) serve_metrics_time(server->metrics, SERVE_TIME_PREPARE, access.prepare);
    if (ran) serve_metrics_time(server->metrics, SERVE_TIME_QUEUE, access.queue);
    if (ran) serve_metrics_time(server->metrics, SERVE_TIME_COMPUTE, access.compute);
    serve_access_log_write(server->log, &access);
}

static void destroy_request(serve_request *request) {
    serve_job *job = &request->job;
    for (int i = 0; i < job->count && job->images; i++) cfine_image_release(&job->images[i]);
    for (int i = 0; i < job->count && job->found; i++) cfine_detections_release(&job->found[i]);
    free(job->images);
    free(job->found);
    free(job->logits);
    free(job->boxes);
    kserve_request_release(&request->kserve);
    if (!request->answer_is_constant) free(request->answer);
    drop_body(request);
    free(request);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code) {
    (void)connection;
    (void)code;
    serve_server *server = context;
    serve_request *request = *request_context;
    if (!request) return;
    *request_context = NULL;
    account(request);
    set_phase(request, IDLE);
    destroy_request(request);
    __atomic_sub_fetch(&server->requests, 1, __ATOMIC_RELAXED);
}

// ---------------------------------------------------------------------------------------------------------------------
// Start and end

static cfine_status listen_on(const serve_options *options, int *out, int *port, cfine_error *error) {
    char service[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    snprintf(service, sizeof service, "%d", options->port);
    int problem = getaddrinfo(options->host, service, &hints, &list), one = 1;
    if (problem) return common_fail(error, CFINE_ERROR_ARGUMENT, "--host %s: %s", options->host, gai_strerror(problem));
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    cfine_status status = CFINE_OK;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) != 0)
        status = common_fail(error, CFINE_ERROR_IO, "cannot listen on %s port %d: %s%s", options->host, options->port,
                             strerror(errno), errno == EADDRINUSE ? "; end that program or give another --port" : "");
    freeaddrinfo(list);
    if (status != CFINE_OK) {
        if (fd >= 0) close(fd);
        return status;
    }
    *out = fd;
    *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return CFINE_OK;
}

cfine_status serve_http_start(serve_server *server, int *port, cfine_error *error) {
    const serve_options *options = server->options;
    const serve_mhd *mhd = server->mhd;
    int fd = -1;
    if (server->certificate && mhd->MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return common_fail(error, CFINE_ERROR_UNSUPPORTED, "this libmicrohttpd was built without TLS");
    cfine_status status = listen_on(options, &fd, port, error);
    if (status != CFINE_OK) return status;
    static char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"; // never written to
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, server->certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, server->key},
                                   {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
                                   {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    // Not epoll: there the library (0.9.75) forgets who sends a part of a request and hangs up in one breath, until
    // patience ends, and lets others wait meanwhile.
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_SUSPEND_RESUME | MHD_USE_ITC;
    if (server->certificate) flags |= MHD_USE_TLS;
    server->daemon = mhd->MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)IO_THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(options->patience + 1), MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_ARRAY, server->certificate ? tls : none,
        MHD_OPTION_END);
    if (server->daemon) return CFINE_OK;
    close(fd);
    return common_fail(error, CFINE_ERROR_ARGUMENT, "the HTTP server does not start%s",
                       server->certificate ? ": are --tls-cert and --tls-key PEM files that belong together?" : "");
}

// Who connects from now on is not answered, and refused once the socket is closed: the kernel would take a connection
// until the last moment and reset it with the socket. 0: there are no such filters here (a sandbox), and that moment
// remains.
static int ignore_newcomers(int fd) {
    // The filter reads from the TCP header on; 0 drops a segment. Flags are byte 13 (RFC 9293, 3.1), SYN is bit 1.
    struct sock_filter drop_syn[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
                                     BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
                                     BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
    struct sock_fprog program = {sizeof drop_syn / sizeof *drop_syn, drop_syn};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

void serve_http_quiesce(serve_server *server) {
    int fd = server->mhd->MHD_quiesce_daemon(server->daemon), client;
    if (fd == MHD_INVALID_SOCKET) return;
    // Who has connected already, though nobody took notice yet, is served as well; who is about to, too.
    int patience = ignore_newcomers(fd) ? HANDSHAKE_MS : 0;
    double end = common_now() + MOST_QUIESCING;
    struct sockaddr_storage address;
    struct pollfd newcomer = {.fd = fd, .events = POLLIN};
    while (common_now() < end && poll(&newcomer, 1, patience) > 0) {
        socklen_t size = sizeof address;
        client = accept4(fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) break;
        if (client >= 0) server->mhd->MHD_add_connection(server->daemon, client, (struct sockaddr *)&address, size);
    }
    close(fd);
}

void serve_http_stop(serve_server *server) {
    if (server->daemon) server->mhd->MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}
