// SPDX-License-Identifier: Apache-2.0
// One thread sends everything: libcurl's "multi" interface waits for all connections at once, and a timer wakes it when
// the next request of an open loop is due.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "heap.h"
#include "load/load.h"
#include "message.h"
#include "percentile.h"
#include "progress.h"

enum { LONGEST_ANSWER_KEPT = 256, LONGEST_WAIT_MS = 1000 };

// One connection's worth of sending.
typedef struct flight {
    CURL *handle;
    struct curl_slist *headers; // of the present request
    double due;                 // when it was, or should have been, sent
    char answer[LONGEST_ANSWER_KEPT + 1];
    size_t kept;
    struct flight *next_idle;
} flight;

struct load_sender {
    const cli_curl *curl;
    const load_target *target;
    CURLM *multi;
    int timer; // file descriptor
    flight **flights, *idle;
    int count, flying;
    int turn; // next request
    uint64_t random;
    // Of the present run.
    load_plan plan;
    double begin, end; // of the measurement
    double *times;
    int time_count, time_room;
    int finished;    // good answers that came within the measurement
    double late_ms;  // the longest that a good answer took that came after it; 0: none did
    char early[300]; // what was first wrong before it, or empty
    load_point *point;
};

static size_t on_answer(char *data, size_t size, size_t count, void *argument) {
    flight *one = argument;
    size_t got = size * count, room = LONGEST_ANSWER_KEPT - one->kept, keep = got < room ? got : room;
    memcpy(one->answer + one->kept, data, keep);
    one->kept += keep;
    one->answer[one->kept] = 0;
    return got;
}

static flight *create_flight(load_sender *sender) {
    const cli_curl *curl = sender->curl;
    const load_target *target = sender->target;
    flight *one = cli_alloc(1, sizeof *one);
    one->handle = curl->curl_easy_init();
    if (!one->handle) {
        cli_error("libcurl cannot be initialised: out of memory?");
        exit(1);
    }
    curl->curl_easy_setopt(one->handle, CURLOPT_URL, target->url);
    curl->curl_easy_setopt(one->handle, CURLOPT_POST, 1L);
    curl->curl_easy_setopt(one->handle, CURLOPT_NOSIGNAL, 1L);
    curl->curl_easy_setopt(one->handle, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl->curl_easy_setopt(one->handle, CURLOPT_TIMEOUT_MS, lround(target->timeout * 1e3));
    curl->curl_easy_setopt(one->handle, CURLOPT_WRITEFUNCTION, on_answer);
    curl->curl_easy_setopt(one->handle, CURLOPT_WRITEDATA, one);
    curl->curl_easy_setopt(one->handle, CURLOPT_PRIVATE, one);
    if (target->ca_file) curl->curl_easy_setopt(one->handle, CURLOPT_CAINFO, target->ca_file);
    if (target->trust_anybody) {
        curl->curl_easy_setopt(one->handle, CURLOPT_SSL_VERIFYPEER, 0L);
        curl->curl_easy_setopt(one->handle, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    sender->flights = cli_grow(sender->flights, (size_t)sender->count + 1, sizeof *sender->flights);
    sender->flights[sender->count++] = one;
    return one;
}

static void set_headers(load_sender *sender, flight *one, const load_request *request) {
    const cli_curl *curl = sender->curl;
    struct curl_slist *list = curl->curl_slist_append(NULL, "Content-Type: application/octet-stream");
    list = curl->curl_slist_append(list, "Expect:"); // large bodies are sent at once
    if (request->json_size[0]) list = curl->curl_slist_append(list, request->json_size);
    if (sender->target->token) {
        char *text = cli_format("Authorization: Bearer %s", sender->target->token);
        list = curl->curl_slist_append(list, text);
        free(text);
    }
    curl->curl_easy_setopt(one->handle, CURLOPT_HTTPHEADER, list);
    curl->curl_slist_free_all(one->headers);
    one->headers = list;
}

static void prepare(load_sender *sender, flight *one, const load_request *request, double due) {
    const cli_curl *curl = sender->curl;
    one->due = due;
    one->kept = 0;
    one->answer[0] = 0;
    set_headers(sender, one, request);
    curl->curl_easy_setopt(one->handle, CURLOPT_POSTFIELDS, request->body);
    curl->curl_easy_setopt(one->handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->size);
}

static void send_next(load_sender *sender, double due) {
    flight *one = sender->idle;
    if (one)
        sender->idle = one->next_idle;
    else
        one = create_flight(sender);
    prepare(sender, one, &sender->target->requests[sender->turn++ % sender->target->count], due);
    sender->curl->curl_multi_add_handle(sender->multi, one->handle);
    sender->flying++;
}

// ---------------------------------------------------------------------------------------------------------------------
// Answers

static void describe_problem(const load_sender *sender, const flight *one, CURLcode code, long status, char *text,
                             size_t size) {
    if (code != CURLE_OK)
        snprintf(text, size, "%s", sender->curl->curl_easy_strerror(code));
    else
        snprintf(text, size, "answered with %ld: %s", status, one->answer);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20) *at = ' ';
}

static void count_answer(load_sender *sender, const flight *one, CURLcode code, double now) {
    load_point *point = sender->point;
    long status = 0;
    sender->curl->curl_easy_getinfo(one->handle, CURLINFO_RESPONSE_CODE, &status);
    // A closed loop counts what ends within the measurement, an open loop what was due in it, however late it ends.
    double when = sender->plan.clients ? now : one->due;
    int good = code == CURLE_OK && status >= 200 && status < 300;
    sender->finished += good && now >= sender->begin && now < sender->end;
    if (good && now >= sender->end) sender->late_ms = fmax(sender->late_ms, (now - one->due) * 1e3);
    if (!good && when < sender->begin && !sender->early[0])
        describe_problem(sender, one, code, status, sender->early, sizeof sender->early);
    if (when < sender->begin || when >= sender->end) return;
    if (!good && !point->problem[0]) describe_problem(sender, one, code, status, point->problem, sizeof point->problem);
    if (code != CURLE_OK) {
        point->lost++;
    } else if (good) {
        if (sender->time_count == sender->time_room) {
            sender->time_room = sender->time_room ? 2 * sender->time_room : 1024;
            sender->times = cli_grow(sender->times, (size_t)sender->time_room, sizeof *sender->times);
        }
        sender->times[sender->time_count++] = (now - one->due) * 1e3;
        point->good++;
    } else if (status == 503) {
        point->busy++;
    } else {
        point->refused++;
    }
}

// Takes the answers that have come; in a closed loop each is followed by the next request while there is time.
static void take_answers(load_sender *sender, int go_on) {
    CURLMsg *message;
    int left;
    while ((message = sender->curl->curl_multi_info_read(sender->multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        double now = cli_seconds();
        CURL *handle = message->easy_handle;
        CURLcode code = message->data.result;
        flight *one;
        sender->curl->curl_easy_getinfo(handle, CURLINFO_PRIVATE, &one);
        count_answer(sender, one, code, now);
        sender->curl->curl_multi_remove_handle(sender->multi, handle);
        sender->flying--;
        one->next_idle = sender->idle;
        sender->idle = one;
        // A client that nobody answers the door to gives up: it would only spin.
        if (sender->plan.clients && go_on && code != CURLE_COULDNT_CONNECT) send_next(sender, now);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Runs

// Until something arrives or `until` is there.
static void wait_until(load_sender *sender, double until) {
    double ns = until * 1e9;
    struct itimerspec at = {.it_value = {(time_t)(ns / 1e9), (long)(ns - floor(ns / 1e9) * 1e9)}};
    struct curl_waitfd timer = {.fd = sender->timer, .events = CURL_WAIT_POLLIN};
    timerfd_settime(sender->timer, TFD_TIMER_ABSTIME, &at, NULL);
    sender->curl->curl_multi_poll(sender->multi, &timer, 1, LONGEST_WAIT_MS, NULL);
}

// Seconds to the next request of an open loop.
static double next_gap(load_sender *sender) {
    if (sender->plan.even) return 1 / sender->plan.rate;
    sender->random ^= sender->random << 13;
    sender->random ^= sender->random >> 7;
    sender->random ^= sender->random << 17;
    double share = ((double)(sender->random >> 11) + 1) / 9007199254740993.0; // above 0, at most 1
    return -log(share) / sender->plan.rate;
}

static void send_what_is_due(load_sender *sender, double *due, double now) {
    for (; *due <= now && *due < sender->end; *due += next_gap(sender)) {
        if (sender->flying < sender->plan.most_flying)
            send_next(sender, *due);
        else
            sender->point->unsent += *due >= sender->begin;
    }
}

// Why nothing was counted, neither good nor bad: clients gave up before, or the measurement was too short. Where some
// answers take longer than that, a closed loop counts the quick ones alone.
static void describe_window(const load_sender *sender, load_point *point) {
    const load_plan *plan = &sender->plan;
    if (point->busy + point->refused + point->lost + point->unsent) return;
    if (plan->clients && point->good && sender->late_ms > plan->seconds * 1e3)
        snprintf(point->problem, sizeof point->problem,
                 "measured for %g s, and some answers take longer (%.0f ms), so that only quick ones count: lengthen "
                 "it with --seconds",
                 plan->seconds, sender->late_ms);
    if (point->good) return;
    if (sender->early[0])
        snprintf(point->problem, sizeof point->problem, "%s", sender->early);
    else if (!plan->clients)
        snprintf(point->problem, sizeof point->problem,
                 "measured for %g s, in which no request was due: lengthen it with --seconds", plan->seconds);
    else if (sender->late_ms > 0)
        snprintf(point->problem, sizeof point->problem,
                 "measured for %g s, which is shorter than an answer (%.0f ms): lengthen it with --seconds",
                 plan->seconds, sender->late_ms);
}

static void sum_up(load_sender *sender, load_point *point) {
    int count = sender->time_count;
    point->seconds = sender->plan.seconds;
    point->requests_per_s = sender->finished / point->seconds;
    point->images_per_s = point->requests_per_s * sender->target->images;
    describe_window(sender, point);
    if (!count) return;
    cli_sort(sender->times, count);
    double sum = 0;
    for (int i = 0; i < count; i++) sum += sender->times[i];
    point->mean = sum / count;
    point->p50 = cli_percentile(sender->times, count, 0.5);
    point->p90 = cli_percentile(sender->times, count, 0.9);
    point->p95 = cli_percentile(sender->times, count, 0.95);
    point->p99 = cli_percentile(sender->times, count, 0.99);
    point->p999 = cli_percentile(sender->times, count, 0.999);
    point->most = sender->times[count - 1];
}

void load_sender_run(load_sender *sender, const load_plan *plan, load_point *out) {
    *out = (load_point){.plan = *plan};
    sender->plan = *plan;
    sender->point = out;
    sender->time_count = sender->finished = 0;
    sender->late_ms = 0;
    sender->early[0] = 0;
    double start = cli_seconds(), due = start;
    sender->begin = start + plan->warm_up;
    sender->end = sender->begin + plan->seconds;
    for (int i = 0; i < plan->clients; i++) send_next(sender, start);
    for (double now = start;; now = cli_seconds()) {
        int running;
        if (!plan->clients) send_what_is_due(sender, &due, now);
        sender->curl->curl_multi_perform(sender->multi, &running);
        take_answers(sender, cli_seconds() < sender->end);
        if (cli_seconds() >= sender->end && sender->flying == 0) break;
        wait_until(sender, !plan->clients && due < sender->end ? due : sender->end > now ? sender->end : now + 1);
    }
    sum_up(sender, out);
}

// ---------------------------------------------------------------------------------------------------------------------

// Every request once: says what is wrong before anything is measured.
static int try_requests(load_sender *sender) {
    const cli_curl *curl = sender->curl;
    const load_target *target = sender->target;
    flight *one = create_flight(sender);
    one->next_idle = sender->idle;
    sender->idle = one;
    for (int k = 0; k < target->count; k++) {
        long status = 0;
        char text[400];
        prepare(sender, one, &target->requests[k], 0);
        CURLcode code = curl->curl_easy_perform(one->handle);
        curl->curl_easy_getinfo(one->handle, CURLINFO_RESPONSE_CODE, &status);
        if (code == CURLE_OK && ((status >= 200 && status < 300) || status == 503)) continue;
        describe_problem(sender, one, code, status, text, sizeof text);
        cli_error("%s: %s%s", target->url, text, code == CURLE_COULDNT_CONNECT ? ": does the server run?" : "");
        return 0;
    }
    return 1;
}

load_sender *load_sender_open(const cli_curl *curl, const load_target *target) {
    load_sender *sender = cli_alloc(1, sizeof *sender);
    sender->curl = curl;
    sender->target = target;
    sender->random = 0x9E3779B97F4A7C15;
    sender->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    sender->multi = curl->curl_multi_init();
    if (sender->timer < 0 || !sender->multi) {
        cli_error("libcurl cannot be initialised: out of memory?");
        load_sender_close(sender);
        return NULL;
    }
    curl->curl_multi_setopt(sender->multi, CURLMOPT_MAXCONNECTS, 100000L); // all stay open for the next request
    if (try_requests(sender)) return sender;
    load_sender_close(sender);
    return NULL;
}

void load_sender_close(load_sender *sender) {
    if (!sender) return;
    for (int i = 0; i < sender->count; i++) {
        sender->curl->curl_easy_cleanup(sender->flights[i]->handle);
        sender->curl->curl_slist_free_all(sender->flights[i]->headers);
        free(sender->flights[i]);
    }
    if (sender->multi) sender->curl->curl_multi_cleanup(sender->multi);
    if (sender->timer >= 0) close(sender->timer);
    free(sender->flights);
    free(sender->times);
    free(sender);
}
