// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/calibration_size.h"
#include "common/failure.h"
#include "http.h"

enum { MOST_FILE_BYTES = 1 << 20 };
static const double QUIET_SECONDS = 0.2;

static void note(const serve_server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(const serve_server *server, const char *format, ...) {
    char text[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    server->options->note(text);
}

// A small text file; NULL for a NULL path.
static cfine_status read_text(const char *path, char **out, cfine_error *error) {
    *out = NULL;
    if (!path) return CFINE_OK;
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(MOST_FILE_BYTES + 1) : NULL;
    if (!text) {
        cfine_status status = common_fail(error, file ? CFINE_ERROR_MEMORY : CFINE_ERROR_NOT_FOUND,
                                          "%s: cannot be read: %s", path, strerror(errno));
        if (file) fclose(file);
        return status;
    }
    size_t size = fread(text, 1, MOST_FILE_BYTES, file);
    int failed = ferror(file) || !feof(file);
    fclose(file);
    text[size] = 0;
    *out = text;
    return failed ? common_fail(error, CFINE_ERROR_IO, "%s: cannot be read, or is larger than 1 MiB", path) : CFINE_OK;
}

static cfine_status read_secrets(serve_server *server, cfine_error *error) {
    const serve_options *options = server->options;
    cfine_status status = read_text(options->token_file, &server->token, error);
    if (status == CFINE_OK) status = read_text(options->certificate_file, &server->certificate, error);
    if (status == CFINE_OK) status = read_text(options->key_file, &server->key, error);
    if (status != CFINE_OK || !server->token) return status;
    server->token[strcspn(server->token, "\r\n")] = 0;
    return server->token[0]
               ? CFINE_OK
               : common_fail(error, CFINE_ERROR_FORMAT, "%s: its first line, the token, is empty", options->token_file);
}

// ---------------------------------------------------------------------------------------------------------------------
// Reload: in a thread of its own, so that signals are still heard while a plan is built

typedef struct {
    serve_server *server;
    pthread_t thread;
    int running; // there is a thread to join
    int done;    // atomic: it has nothing more to do
    int again;   // SIGHUP came meanwhile
} reload;

static void *open_anew(void *arg) {
    reload *job = arg;
    serve_server *server = job->server;
    serve_engine *engine;
    cfine_error error;
    double start = common_now();
    cfine_status status = serve_engine_open(&server->options->engine, &engine, &error);
    if (status == CFINE_OK) {
        serve_batcher_swap(server->batcher, engine);
        note(server, "The model was opened anew in %.1f s.", common_now() - start);
    } else {
        note(server, "The model stays as it was: %s", error.message);
    }
    serve_metrics_count_reload(server->metrics, status == CFINE_OK);
    __atomic_store_n(&job->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void end_reload(reload *job) {
    if (job->running) pthread_join(job->thread, NULL);
    job->running = 0;
}

static void start_reload(reload *job) {
    job->again = 0;
    job->done = 0;
    job->running = pthread_create(&job->thread, NULL, open_anew, job) == 0;
    if (!job->running) note(job->server, "The model stays as it was: no thread can be started.");
}

// ---------------------------------------------------------------------------------------------------------------------

static void block_signals(sigset_t *signals) {
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

// Until SIGTERM or SIGINT.
static void watch(serve_server *server, const sigset_t *signals) {
    reload job = {.server = server};
    for (;;) {
        struct timespec second = {1, 0};
        int got = sigtimedwait(signals, NULL, &second);
        if (got == SIGTERM || got == SIGINT) break;
        if (got == SIGHUP) {
            serve_access_log_reopen(server->log);
            job.again = 1;
        }
        if (job.running && __atomic_load_n(&job.done, __ATOMIC_ACQUIRE)) end_reload(&job);
        if (job.again && !job.running) start_reload(&job);
        serve_http_end_slow_clients(server);
    }
    end_reload(&job);
}

// The last requests are answered; who asks whether the server is ready hears no.
static void drain(serve_server *server, const sigset_t *signals) {
    double now = common_now(), end = now + server->options->drain, busy;
    __atomic_store_n(&server->draining, 1, __ATOMIC_RELAXED);
    int begun = __atomic_load_n(&server->requests, __ATOMIC_RELAXED);
    note(server, "Ending: %d request%s begun.", begun, begun == 1 ? " has" : "s have");
    serve_http_quiesce(server);
    busy = now = common_now();
    // Connections that are kept may bring one more request; its answer tells them to close.
    for (; now - busy < QUIET_SECONDS && now < end; now = common_now()) {
        struct timespec moment = {0, 20 * 1000 * 1000};
        int got = sigtimedwait(signals, NULL, &moment);
        if (got == SIGTERM || got == SIGINT) break; // asked twice
        if (__atomic_load_n(&server->requests, __ATOMIC_RELAXED) > 0) busy = common_now();
        serve_http_end_slow_clients(server);
    }
}

static void describe_start(const serve_server *server, int port) {
    const serve_options *options = server->options;
    serve_engine *engine = serve_batcher_engine(server->batcher);
    int v6 = strchr(options->host, ':') != NULL;
    char text[1024];
    if (common_calibration_size(options->engine.open.plan.calibration, &engine->info, text, sizeof text))
        options->note(text);
    note(server, "Serving %s (%s %s, batches to %d, %d worker%s) on %s://%s%s%s:%d", options->name, engine->info.family,
         engine->info.size, engine->info.batch, engine->workers, engine->workers == 1 ? "" : "s",
         server->certificate ? "https" : "http", v6 ? "[" : "", options->host, v6 ? "]" : "", port);
    serve_engine_release(engine);
}

static void observe_run(void *context, int images, double seconds) {
    serve_metrics_count_batch(context, images, seconds);
}

static cfine_status start(serve_server *server, int *port, cfine_error *error) {
    const serve_options *options = server->options;
    server->mhd = serve_mhd_open(error);
    if (!server->mhd) return error->status;
    cfine_status status = read_secrets(server, error);
    if (status == CFINE_OK) status = serve_access_log_open(options->access_log, options->note, &server->log, error);
    server->metrics = serve_metrics_create();
    if (!server->metrics && status == CFINE_OK) status = common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
    if (status != CFINE_OK) return status;
    serve_engine *engine;
    status = serve_engine_open(&options->engine, &engine, error);
    if (status != CFINE_OK) return status;
    serve_batcher_options batching = {.hands = options->hands,
                                      .capacity = options->queue,
                                      .max_delay = options->max_delay,
                                      .ready_bytes = options->all_bytes};
    status = serve_batcher_start(&batching, engine, observe_run, server->metrics, &server->batcher, error);
    return status == CFINE_OK ? serve_http_start(server, port, error) : status;
}

cfine_status serve_run(const serve_options *options, cfine_error *error) {
    sigset_t signals;
    block_signals(&signals); // before any thread starts: they inherit it
    serve_server server = {.options = options, .connections_lock = PTHREAD_MUTEX_INITIALIZER};
    int port;
    cfine_status status = start(&server, &port, error);
    if (status == CFINE_OK) {
        describe_start(&server, port);
        watch(&server, &signals);
        drain(&server, &signals);
    }
    serve_batcher_stop(server.batcher); // all that was submitted is answered, so that no connection is suspended
    serve_http_stop(&server);
    serve_access_log_close(server.log);
    serve_metrics_destroy(server.metrics);
    free(server.token);
    free(server.certificate);
    free(server.key);
    return status;
}
