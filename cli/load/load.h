// SPDX-License-Identifier: Apache-2.0
// The parts of `cfine load`: what is sent, how it is sent at one load after the other, and how that is shown.
//
//     cmd_load.c --pictures--> load_request.c --requests--> load_run.c --points--> load_print.c, load_chart.c
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "curl_api.h"

typedef enum load_protocol {
    LOAD_DETECT, // POST /v1/detect, a picture as the body
    LOAD_KSERVE, // KServe's version 2, pictures as a binary tensor: what Triton takes
    LOAD_PROTOCOLS
} load_protocol;
extern const char *const load_protocols[]; // ends with NULL

// A request that is sent again and again.
typedef struct load_request {
    uint8_t *body;
    size_t size;
    char json_size[64]; // header of LOAD_KSERVE, or empty
} load_request;

typedef struct load_target {
    char *url; // whole
    load_protocol protocol;
    int images;             // in a request
    load_request *requests; // taken in turns
    int count;
    const char *token;   // NULL: none
    const char *ca_file; // NULL: the system's
    int trust_anybody;   // TLS without looking at the certificate
    double timeout;      // seconds for a request
} load_target;

// Address and requests of a target. `address` may be the server's alone: the protocol's path is added, with the model's
// name. Pictures are files as they are.
void load_target_make(load_target *target, const char *address, const char *model, uint8_t *const *pictures,
                      const size_t *sizes, int count);
void load_target_release(load_target *target);

typedef struct load_plan {
    int clients;     // closed loop: each sends its next request when it has its answer; 0: open loop
    double rate;     // open loop: requests a second, whether answers come or not
    int even;        // open loop: at even distances instead of at random ones
    double warm_up;  // seconds before the measurement
    double seconds;  // of the measurement
    int most_flying; // open loop: requests under way at most; what comes beyond is not sent, and counted
} load_plan;

// What came of one load. Times in milliseconds; of an open loop they begin when the request was due, not when it was
// sent, so that a server that falls behind cannot hide it.
typedef struct load_point {
    load_plan plan;
    double seconds; // measured
    int good;       // answered with 2xx within the measurement
    int busy;       // 503: told to come again
    int refused;    // other answers
    int lost;       // no answer: connection refused or closed, timeout
    int unsent;     // see most_flying
    double requests_per_s, images_per_s;
    double mean, p50, p90, p95, p99, p999, most; // of the good ones
    char problem[300];                           // what was first wrong, or why nothing was counted, or empty
} load_point;

typedef struct load_sender load_sender;

// Sends each request once, to see that all are answered; NULL after an error message.
load_sender *load_sender_open(const cli_curl *curl, const load_target *target);
void load_sender_close(load_sender *sender);
void load_sender_run(load_sender *sender, const load_plan *plan, load_point *out);

// Results: a heading and rows as they come, for people, as CSV or as JSON objects.
typedef enum load_form { LOAD_TABLE, LOAD_CSV, LOAD_JSON } load_form;
void load_print_heading(load_form form, const load_target *target, int open_loop);
void load_print_point(load_form form, const load_target *target, const load_point *point);

// Draws points of one kind of loop as FILE.svg or FILE.png. Returns 1, or 0 after an error message.
int load_save_picture(const char *path, const load_target *target, const load_point *points, int count);

#endif
