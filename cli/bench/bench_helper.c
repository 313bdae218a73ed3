// SPDX-License-Identifier: Apache-2.0
#include "bench_helper.h"

#include "bench_stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coco_ap.h"
#include "heap.h"
#include "json_pull.h"
#include "report.h"

extern const char bench_peers_script[]; // made from scripts/peers.py by the build

struct bench_helper {
    const char *python;
    double patience;
    int given_up;
    pid_t process; // 0: not started
    FILE *to, *from;
    char *line; // the last answer
    size_t line_size;
};

bench_helper *bench_helper_create(const char *python, double patience) {
    bench_helper *helper = cli_alloc(1, sizeof *helper);
    helper->python = python;
    helper->patience = patience;
    return helper;
}

void bench_helper_destroy(bench_helper *helper) {
    if (!helper) return;
    if (helper->to) fclose(helper->to); // the end of its input ends the process
    if (helper->from) fclose(helper->from);
    if (helper->process) waitpid(helper->process, NULL, 0);
    free(helper->line);
    free(helper);
}

// In the child: its ends of the pipes become its input and output, errors go nowhere.
static void become_python(const char *python, int in, int out) {
    dup2(in, 0);
    dup2(out, 1);
    dup2(open("/dev/null", O_WRONLY), 2);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_IGN); // Ctrl-C and Ctrl-\ are for the parent
    signal(SIGQUIT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // or it would go on, and disturb the next bench, when this one is killed
    execlp(python, python, "-c", bench_peers_script, (char *)NULL);
    _exit(127);
}

static cfine_status start(bench_helper *helper, cfine_error *error) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0) return coco_fail(error, CFINE_ERROR_IO, "cannot make a pipe: %s", strerror(errno));
    if (pipe2(from, O_CLOEXEC) != 0) {
        close(to[0]);
        close(to[1]);
        return coco_fail(error, CFINE_ERROR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    helper->process = fork();
    if (helper->process == 0) become_python(helper->python, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    helper->to = fdopen(to[1], "w");
    helper->from = fdopen(from[0], "r");
    if (helper->process > 0 && helper->to && helper->from) return CFINE_OK;
    if (helper->process < 0) helper->process = 0;
    return coco_fail(error, CFINE_ERROR_IO, "cannot start %s: %s", helper->python, strerror(errno));
}

static cfine_status fail_silent(const bench_helper *helper, cfine_error *error) {
    return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                     "the interpreter %s does not answer: name another with --python, or give it more time with "
                     "--patience",
                     helper->python);
}

// Waits until there is something to read; one that is silent for too long is ended.
static cfine_status wait_for_answer(bench_helper *helper, cfine_error *error) {
    double limit = 2 * helper->patience + 3; // seconds
    struct pollfd waited = {.fd = fileno(helper->from), .events = POLLIN};
    int ready;
    do ready = poll(&waited, 1, limit < 2e6 ? (int)(limit * 1e3) : -1);
    while (ready < 0 && errno == EINTR && !bench_stopped());
    if (ready > 0) return CFINE_OK;
    kill(helper->process, SIGKILL);
    helper->given_up = 1;
    return bench_stopped() ? coco_fail(error, CFINE_ERROR_DEVICE, "stopped") : fail_silent(helper, error);
}

FILE *bench_helper_task(bench_helper *helper, cfine_error *error) {
    if (helper->given_up) {
        fail_silent(helper, error);
        return NULL;
    }
    if (!helper->process && start(helper, error) != CFINE_OK) return NULL;
    return helper->to;
}

static void read_field(json_reader *json, const char *key, bench_answer *out) {
    if (strcmp(key, "row") == 0)
        pull_integer(json, key, &out->row);
    else if (strcmp(key, "queries") == 0)
        pull_integer(json, key, &out->queries);
    else if (strcmp(key, "labels") == 0)
        pull_integer(json, key, &out->labels);
    else if (strcmp(key, "ms") == 0)
        pull_number(json, key, &out->milliseconds);
    else if (strcmp(key, "version") == 0)
        pull_string(json, key, out->version, sizeof out->version);
    else if (strcmp(key, "device") == 0)
        pull_string(json, key, out->device, sizeof out->device);
    else if (strcmp(key, "path") == 0)
        pull_string(json, key, out->path, sizeof out->path);
    else if (strcmp(key, "note") == 0)
        pull_string(json, key, out->note, sizeof out->note);
    else
        pull_skip(json);
}

cfine_status bench_helper_answer(bench_helper *helper, bench_answer *out, cfine_error *error) {
    *out = (bench_answer){.row = -1};
    int sent = fflush(helper->to) == 0;
    if (sent && wait_for_answer(helper, error) != CFINE_OK) return error->status;
    ssize_t length = sent ? getline(&helper->line, &helper->line_size, helper->from) : -1;
    if (length <= 0)
        return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                         "the interpreter %s is missing or ended early: install Python 3, or name one with --python",
                         helper->python);
    json_reader json;
    pull_reader_start(&json, helper->python, helper->line, (size_t)length);
    char key[32];
    int first = 1;
    if (pull_enter_object(&json, "an answer"))
        while (pull_next_key(&json, &first, key, sizeof key)) read_field(&json, key, out);
    if (!json.failed) return CFINE_OK;
    *error = json.error;
    return json.error.status;
}

void bench_put_text(FILE *stream, const char *key, const char *text) {
    fprintf(stream, ",\"%s\":", key);
    cli_print_json_text(stream, text);
}

void bench_put_paths(FILE *stream, const char *key, char *const *paths, size_t count) {
    fprintf(stream, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        if (i) fputc(',', stream);
        cli_print_json_text(stream, paths[i]);
    }
    fputc(']', stream);
}
