// SPDX-License-Identifier: Apache-2.0
// `cfine serve`: the model behind HTTP. The server itself is in serve/.
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "model_args.h"
#include "server.h"
#include "verbs.h"

typedef struct {
    cli_model_args model;
    const char *name, *host, *token_file, *tls_cert, *tls_key, *access_log;
    int port, workers, decoders, queue, max_connections, max_body_mb, max_megapixels;
    double max_delay_ms, deadline_s, patience_s, drain_s, threshold;
} serve_args;

static const cli_option options[] = {
    CLI_MODEL_OPTIONS(serve_args, model),
    {"host", 0, "HOST", "address to listen on; 0.0.0.0 or :: for all (default: 127.0.0.1)", CLI_TEXT,
     offsetof(serve_args, host)},
    {"port", 'P', "N", "port to listen on; 0: any that is free (default: 8000)", CLI_INT, offsetof(serve_args, port),
     .least = 0, .most = 65535},
    {"name", 0, "NAME", "name of the model in URLs (default: cfine)", CLI_TEXT, offsetof(serve_args, name)},
    {"max-batch", 0, "N", "most images in a run of the network (default: 8, or what the plan has)", CLI_INT,
     offsetof(serve_args, model.batch), .least = 1, .most = 1024},
    {"max-delay-ms", 0, "T", "time that a batch may wait to become full (default: 0)", CLI_REAL,
     offsetof(serve_args, max_delay_ms), .least = 0, .most = 10000},
    {"workers", 0, "N", "runs of the network at the same time; they share the threads (default: 1, on GPUs 2 for each)",
     CLI_INT, offsetof(serve_args, workers), .least = 1, .most = 256},
    {"decoders", 0, "N", "threads that decode pictures (default: one for each core)", CLI_INT,
     offsetof(serve_args, decoders), .least = 1, .most = 256},
    {"queue", 0, "N", "requests that may wait; more are answered with 503 (default: 256)", CLI_INT,
     offsetof(serve_args, queue), .least = 1, .most = 100000},
    {"deadline", 0, "S", "seconds until a request must have begun to run, or 504 (default: 10)", CLI_REAL,
     offsetof(serve_args, deadline_s), .least = 0.001, .most = 3600},
    {"patience", 0, "S", "seconds that a client has to send a request or read its answer (default: 30)", CLI_REAL,
     offsetof(serve_args, patience_s), .least = 0.1, .most = 3600},
    {"drain", 0, "S",
     "seconds that clients may take, after SIGTERM, to end what they began to send; what has arrived is always "
     "answered (default: 30)",
     CLI_REAL, offsetof(serve_args, drain_s), .least = 0, .most = 3600},
    {"max-body-mb", 0, "N", "largest body of a request in MiB (default: 32)", CLI_INT,
     offsetof(serve_args, max_body_mb), .least = 1, .most = 1024},
    {"max-megapixels", 0, "N", "largest picture in million pixels (default: 50)", CLI_INT,
     offsetof(serve_args, max_megapixels), .least = 1, .most = 1000},
    {"max-connections", 0, "N", "open connections (default: 1000)", CLI_INT, offsetof(serve_args, max_connections),
     .least = 2, .most = 100000},
    {"threshold", 'T', "T", "least score to report where a request names none (default: 0.5)", CLI_REAL,
     offsetof(serve_args, threshold), .least = 0, .most = 1},
    {"token-file", 0, "FILE", "ask for the bearer token on this file's first line", CLI_TEXT,
     offsetof(serve_args, token_file), .completion = CLI_COMPLETE_FILES},
    {"tls-cert", 0, "FILE", "certificate chain in PEM: serve https", CLI_TEXT, offsetof(serve_args, tls_cert),
     .completion = CLI_COMPLETE_FILES},
    {"tls-key", 0, "FILE", "key of the certificate in PEM", CLI_TEXT, offsetof(serve_args, tls_key),
     .completion = CLI_COMPLETE_FILES},
    {"access-log", 0, "FILE", "write a line of JSON for each request; - is standard output", CLI_TEXT,
     offsetof(serve_args, access_log), .completion = CLI_COMPLETE_FILES},
};

static void print_note(const char *text) {
    cli_note("%s", text);
}

// What can stand in a URL and in a metric.
static int is_name(const char *name) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return length > 0 && length <= 100 && name[length] == 0;
}

static int run_verb(int argc, char **argv) {
    serve_args args = {.host = "127.0.0.1",
                       .name = "cfine",
                       .port = 8000,

                       .queue = 256,
                       .max_connections = 1000,
                       .max_body_mb = 32,
                       .max_megapixels = 50,
                       .deadline_s = 10,
                       .patience_s = 30,
                       .drain_s = 30,
                       .threshold = 0.5};
    int operands, status;
    if (!cli_parse(&cli_verb_serve, argc, argv, &args, &operands, &status)) return status;
    if (!is_name(args.name))
        return cli_usage(&cli_verb_serve, "--name: letters, digits, '_', '.' and '-', at most 100");
    if (!args.tls_cert != !args.tls_key) return cli_usage(&cli_verb_serve, "--tls-cert and --tls-key go together");
    cli_devices devices;
    cli_read_devices(&args.model, &devices);
    const char *gpus[CLI_MAX_GPUS];
    for (int i = 0; i < devices.count; i++) gpus[i] = devices.names[i];
    int usual_workers = devices.on_gpu ? 2 * devices.count : 1;
    serve_options wanted = {.engine = {.model = args.model.model,
                                       .workers = args.workers ? args.workers : usual_workers,
                                       .threads = args.model.threads,
                                       .gpus = gpus,
                                       .gpu_count = devices.count > 1 ? devices.count : 0},
                            .name = args.name,
                            .host = args.host,
                            .port = args.port,
                            .queue = args.queue,
                            .hands = args.decoders ? args.decoders : cfine_cpu_count(),
                            .max_delay = args.max_delay_ms * 1e-3,
                            .deadline = args.deadline_s,
                            .patience = args.patience_s,
                            .drain = args.drain_s,
                            .max_bytes = (size_t)args.max_body_mb << 20,
                            .all_bytes = (size_t)args.max_body_mb << 24,
                            .max_pixels = (int64_t)args.max_megapixels * 1000000,
                            .max_connections = args.max_connections,
                            .threshold = (float)args.threshold,
                            .token_file = args.token_file,
                            .certificate_file = args.tls_cert,
                            .key_file = args.tls_key,
                            .access_log = args.access_log,
                            .note = print_note};
    cfine_error error;
    cfine_status result = cli_open_options(&args.model, &wanted.engine.open, &error);
    if (result == CFINE_OK) result = serve_run(&wanted, &error);
    if (result == CFINE_OK) return CLI_OK;
    cli_error("%s", error.message);
    return CLI_FAILED;
}

const cli_verb cli_verb_serve = {
    .name = "serve",
    .summary = "detect objects over HTTP: KServe's protocol, a simple one, a page for people",
    .operands = "",
    .about = "POST /v1/detect takes a picture and answers with JSON, or with the picture and its boxes\n"
             "(?format=jpeg). /v2 is KServe's version 2 protocol, /metrics is for Prometheus, / is a page for people.\n"
             "Requests that arrive together run as one batch. SIGHUP opens the model anew and loses no request;\n"
             "SIGTERM answers what has begun and ends.\n",
    .example = "cfine serve --model my.plan --port 8000\n"
               "curl --data-binary @photo.jpg 'http://127.0.0.1:8000/v1/detect?threshold=0.4'\n"
               "curl -F image=@photo.jpg 'http://127.0.0.1:8000/v1/detect?format=jpeg' -o boxes.jpg\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .several_gpus = 1,
    .run = run_verb,
};
