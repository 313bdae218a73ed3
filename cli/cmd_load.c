// SPDX-License-Identifier: Apache-2.0
// `cfine load`: how a server that detects objects behaves under load.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/bench_lists.h"
#include "draw/encode.h"
#include "heap.h"
#include "inputs.h"
#include "load/load.h"
#include "message.h"
#include "output_file.h"
#include "read_file.h"
#include "save_canvas.h"
#include "verbs.h"

enum { MOST_PICTURES = 64, MOST_CLIENTS = 10000, SPARE_FILES = 64, OWN_WIDTH = 640, OWN_HEIGHT = 480 };

typedef struct {
    const char *clients, *rates, *images, *name, *token_file, *ca_file;
    int protocol, batch, even, json, csv, insecure, most_flying;
    double seconds, warm_up, timeout;
    cli_texts pictures;
} load_args;

static const cli_option options[] = {
    {"clients", 'c', "N,...", "closed loop: each client sends a request when it has its answer (default: 1,2,4,8,16)",
     CLI_TEXT, offsetof(load_args, clients)},
    {"rate", 'r', "N,...", "open loop instead: requests a second, whether answers come or not", CLI_TEXT,
     offsetof(load_args, rates)},
    {"even", 0, NULL, "with --rate: at even distances (default: at random ones, as from many people)", CLI_FLAG,
     offsetof(load_args, even)},
    {"most-in-flight", 0, "N", "with --rate: requests under way at most; more are counted as not sent (default: 1000)",
     CLI_INT, offsetof(load_args, most_flying), .least = 1, .most = MOST_CLIENTS},
    {"protocol", 0, "P", "detect: POST /v1/detect; kserve: KServe's version 2, for Triton too (default: detect)",
     CLI_CHOICE, offsetof(load_args, protocol), .choices = load_protocols},
    {"name", 0, "NAME", "with --protocol kserve: name of the model (default: cfine)", CLI_TEXT,
     offsetof(load_args, name)},
    {"images", 'i', "PATH", "pictures to send in turns, at most 64: a file or a folder (default: one drawn, 640x480)",
     CLI_TEXT, offsetof(load_args, images), .completion = CLI_COMPLETE_FILES},
    {"batch", 'b', "N", "with --protocol kserve: images in a request (default: 1)", CLI_INT, offsetof(load_args, batch),
     .least = 1, .most = 1024},
    {"seconds", 0, "S", "time for each load (default: 5)", CLI_REAL, offsetof(load_args, seconds), .least = 0.1,
     .most = 86400},
    {"warmup", 'w', "S", "seconds of each load before it is measured (default: 1)", CLI_REAL,
     offsetof(load_args, warm_up), .least = 0, .most = 3600},
    {"timeout", 0, "S", "seconds after which a request is lost (default: 30)", CLI_REAL, offsetof(load_args, timeout),
     .least = 0.01, .most = 3600},
    {"token-file", 0, "FILE", "send the bearer token on this file's first line", CLI_TEXT,
     offsetof(load_args, token_file), .completion = CLI_COMPLETE_FILES},
    {"ca-file", 0, "FILE", "certificates to trust, in PEM (default: the system's)", CLI_TEXT,
     offsetof(load_args, ca_file), .completion = CLI_COMPLETE_FILES},
    {"insecure", 'k', NULL, "do not look at the server's certificate", CLI_FLAG, offsetof(load_args, insecure)},
    {"json", 'j', NULL, "print one JSON object a line for each load", CLI_FLAG, offsetof(load_args, json)},
    {"csv", 0, NULL, "print comma-separated values", CLI_FLAG, offsetof(load_args, csv)},
    {"picture", 0, "FILE",
     "draw latency and throughput against load as FILE.svg or FILE.png; may be given several times", CLI_TEXTS,
     offsetof(load_args, pictures), .completion = CLI_COMPLETE_FILES},
};

typedef struct {
    const load_args *args;
    bench_list loads; // clients or rates
    uint8_t *pictures[MOST_PICTURES];
    size_t sizes[MOST_PICTURES];
    int picture_count;
    uint8_t *token;
    load_target target;
    load_point points[BENCH_MOST_VALUES];
    int point_count;
} load;

// ---------------------------------------------------------------------------------------------------------------------
// Pictures

static int read_pictures(load *run, const char *path) {
    char *words[] = {(char *)path};
    cli_inputs inputs;
    cli_inputs_expand(words, 1, &inputs);
    int good = !inputs.failed && inputs.count > 0;
    if (!inputs.failed && !inputs.count) cli_error("%s: there are no pictures in it", path);
    for (size_t i = 0; i < inputs.count && i < MOST_PICTURES && good; i++) {
        good = cli_read_file(inputs.paths[i], &run->pictures[i], &run->sizes[i]);
        run->picture_count += good;
    }
    cli_inputs_release(&inputs);
    return good;
}

// A JPEG of about the size of a photo: soft ground, grain, and some boxes.
static int draw_own_picture(load *run) {
    cfine_image image = {OWN_WIDTH, OWN_HEIGHT, cli_alloc((size_t)OWN_WIDTH * OWN_HEIGHT, 3)};
    uint32_t noise = 1;
    for (int y = 0; y < OWN_HEIGHT; y++)
        for (int x = 0; x < OWN_WIDTH; x++) {
            uint8_t *pixel = image.rgb + 3 * ((size_t)y * OWN_WIDTH + (size_t)x);
            int box = (x / 80 + y / 60) % 3 == 0 && x % 80 > 20 && y % 60 > 15;
            noise = noise * 1664525 + 1013904223;
            for (int c = 0; c < 3; c++)
                pixel[c] = (uint8_t)((box ? 60 * c + x / 8 : 120 + y / 8 - 20 * c) + (int)(noise >> (24 + c)) % 16);
        }
    cfine_error error;
    int good = draw_encode(&image, DRAW_JPEG, &run->pictures[0], &run->sizes[0], &error) == CFINE_OK;
    if (!good) cli_error("%s", error.message);
    run->picture_count = good;
    free(image.rgb);
    return good;
}

// ---------------------------------------------------------------------------------------------------------------------

static int read_token(load *run) {
    size_t size;
    if (!run->args->token_file) return 1;
    if (!cli_read_file(run->args->token_file, &run->token, &size)) return 0;
    run->token[strcspn((char *)run->token, "\r\n")] = 0;
    if (run->token[0]) return 1;
    cli_error("%s: its first line, the token, is empty", run->args->token_file);
    return 0;
}

// A connection is a file descriptor.
static int allow_connections(int count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
    rlim_t needed = (rlim_t)count + SPARE_FILES;
    if (limit.rlim_cur >= needed) return 1;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    if (limit.rlim_cur >= needed && setrlimit(RLIMIT_NOFILE, &limit) == 0) return 1;
    cli_error("%d connections: this machine allows %llu open files; see: ulimit -n", count,
              (unsigned long long)limit.rlim_max);
    return 0;
}

static int most_connections(const load *run) {
    int most = run->args->rates ? run->args->most_flying : 0;
    for (int i = 0; i < run->loads.count && !run->args->rates; i++)
        if (run->loads.items[i] > most) most = run->loads.items[i];
    return most;
}

static int run_loads(load *run, const cli_curl *curl) {
    const load_args *args = run->args;
    load_form form = args->json ? LOAD_JSON : args->csv ? LOAD_CSV : LOAD_TABLE;
    int failed = 0; // loads without a good answer or with lost ones, pictures that could not be written
    load_sender *sender = load_sender_open(curl, &run->target);
    if (!sender) return CLI_FAILED;
    load_print_heading(form, &run->target, args->rates != NULL);
    for (int i = 0; i < run->loads.count && cli_flush_output(); i++) {
        load_plan plan = {.clients = args->rates ? 0 : run->loads.items[i],
                          .rate = run->loads.items[i],
                          .even = args->even,
                          .warm_up = args->warm_up,
                          .seconds = args->seconds,
                          .most_flying = args->most_flying};
        load_point *point = &run->points[run->point_count++];
        load_sender_run(sender, &plan, point);
        load_print_point(form, &run->target, point);
        failed += point->good == 0 || point->lost > 0;
    }
    load_sender_close(sender);
    for (int i = 0; i < args->pictures.count && run->point_count; i++)
        failed += !load_save_picture(args->pictures.items[i], &run->target, run->points, run->point_count);
    return cli_finish_output(failed ? CLI_FAILED : CLI_OK);
}

static int run_load(load *run, const char *address) {
    const load_args *args = run->args;
    if (!(args->images ? read_pictures(run, args->images) : draw_own_picture(run))) return CLI_FAILED;
    if (!read_token(run) || !allow_connections(most_connections(run))) return CLI_FAILED;
    const cli_curl *curl = cli_curl_open();
    if (!curl) return CLI_FAILED;
    run->target = (load_target){.protocol = (load_protocol)args->protocol,
                                .images = args->batch,
                                .token = (const char *)run->token,
                                .ca_file = args->ca_file,
                                .trust_anybody = args->insecure,
                                .timeout = args->timeout};
    load_target_make(&run->target, address, args->name, run->pictures, run->sizes, run->picture_count);
    int status = run_loads(run, curl);
    load_target_release(&run->target);
    return status;
}

static int check(const load_args *args, const char *address, bench_list *loads) {
    const cli_verb *verb = &cli_verb_load;
    if (strncmp(address, "http://", 7) != 0 && strncmp(address, "https://", 8) != 0)
        return cli_usage(verb, "'%s' is no address: http://HOST:PORT", address);
    if (args->clients && args->rates) return cli_usage(verb, "--clients and --rate: one or the other");
    if (args->json && args->csv) return cli_usage(verb, "--json and --csv: one or the other");
    if (args->batch > 1 && args->protocol == LOAD_DETECT)
        return cli_usage(verb, "--batch: /v1/detect takes one picture a request; see --protocol kserve");
    for (int i = 0; i < args->pictures.count; i++)
        if (!cli_is_picture_name(args->pictures.items[i]))
            return cli_usage(verb, "--picture: '%s' ends in neither .svg nor .png", args->pictures.items[i]);
    for (int i = 0; i < args->pictures.count; i++)
        if (!cli_output_check(args->pictures.items[i])) return CLI_FAILED;
    *loads = (bench_list){{1, 2, 4, 8, 16}, 5};
    return args->rates ? bench_read_numbers(verb, "rate", args->rates, 1, 1000000, loads)
                       : bench_read_numbers(verb, "clients", args->clients, 1, MOST_CLIENTS, loads);
}

static int run_verb(int argc, char **argv) {
    load_args args = {.name = "cfine", .batch = 1, .seconds = 5, .warm_up = 1, .timeout = 30, .most_flying = 1000};
    int operands, status;
    if (!cli_parse(&cli_verb_load, argc, argv, &args, &operands, &status)) return status;
    load run = {.args = &args};
    status = check(&args, argv[1], &run.loads);
    if (status != CLI_OK) return status;
    status = run_load(&run, argv[1]);
    for (int i = 0; i < run.picture_count; i++) free(run.pictures[i]);
    free(run.token);
    return status;
}

const cli_verb cli_verb_load = {
    .name = "load",
    .summary = "measure a server under load: latency and throughput, cfine's or Triton's",
    .operands = "URL",
    .operands_least = 1,
    .operands_most = 1,
    .about =
        "Sends pictures at one load after the other and tells how long the answers took. With --clients a client\n"
        "waits for its answer before it sends the next request; with --rate requests come as they come, and times\n"
        "count from when a request was due. Connections are kept. Put it on another machine than the server.\n",
    .example = "cfine load http://127.0.0.1:8000\n"
               "cfine load http://127.0.0.1:8000 --rate 10,20,40 --images photos/ --csv > load.csv\n"
               "cfine load http://127.0.0.1:8000 --picture load.svg\n"
               "cfine load http://127.0.0.1:8000 --protocol kserve --clients 1,4,16   # Triton, with our backend\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
