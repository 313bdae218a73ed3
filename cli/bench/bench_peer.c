// SPDX-License-Identifier: Apache-2.0
#include "bench_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coco_ap.h"
#include "heap.h"
#include "json_pull.h"
#include "report.h"

extern const char bench_peers_script[]; // made from scripts/peers.py by the build

struct bench_peers {
    const char *python;
    const cli_model_args *model;
    pid_t process; // 0: not started
    FILE *to, *from;
    char *line; // the last answer
    size_t line_size;
    cfine_model *opened;
    cfine_model_info info;
};

// An answer's fields; absent ones stay empty.
typedef struct {
    int64_t row;
    double milliseconds;
    char version[64], device[96], note[600];
} peer_answer;

typedef struct {
    bench_peers *peers;
    int64_t number; // of the row in the process
} peer_state;

bench_peers *bench_peers_create(const char *python, const cli_model_args *model) {
    bench_peers *peers = cli_alloc(1, sizeof *peers);
    peers->python = python;
    peers->model = model;
    return peers;
}

void bench_peers_destroy(bench_peers *peers) {
    if (!peers) return;
    if (peers->to) fclose(peers->to); // the end of its input ends the process
    if (peers->from) fclose(peers->from);
    if (peers->process) waitpid(peers->process, NULL, 0);
    cfine_model_close(peers->opened);
    free(peers->line);
    free(peers);
}

// In the child: its ends of the pipes become its input and output, errors go nowhere.
static void become_python(const char *python, int in, int out) {
    dup2(in, 0);
    dup2(out, 1);
    dup2(open("/dev/null", O_WRONLY), 2);
    signal(SIGPIPE, SIG_DFL);
    execlp(python, python, "-c", bench_peers_script, (char *)NULL);
    _exit(127);
}

static cfine_status start(bench_peers *peers, cfine_error *error) {
    int to[2], from[2];
    if (pipe(to) != 0) return coco_fail(error, CFINE_ERROR_IO, "cannot make a pipe: %s", strerror(errno));
    if (pipe(from) != 0) {
        close(to[0]);
        close(to[1]);
        return coco_fail(error, CFINE_ERROR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    peers->process = fork();
    if (peers->process == 0) {
        close(to[1]);
        close(from[0]);
        become_python(peers->python, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    peers->to = fdopen(to[1], "w");
    peers->from = fdopen(from[0], "r");
    if (peers->process < 0 || !peers->to || !peers->from) {
        if (peers->process < 0) peers->process = 0;
        return coco_fail(error, CFINE_ERROR_IO, "cannot start %s: %s", peers->python, strerror(errno));
    }
    return CFINE_OK;
}

static cfine_status read_answer(bench_peers *peers, peer_answer *out, cfine_error *error) {
    *out = (peer_answer){.row = -1};
    ssize_t length = fflush(peers->to) == 0 ? getline(&peers->line, &peers->line_size, peers->from) : -1;
    if (length <= 0)
        return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                         "the interpreter %s is missing or ended early: install Python 3, or name one with --python",
                         peers->python);
    json_reader json;
    pull_reader_start(&json, peers->python, peers->line, (size_t)length);
    char key[32];
    int first = 1;
    if (pull_enter_object(&json, "an answer"))
        while (pull_next_key(&json, &first, key, sizeof key)) {
            if (strcmp(key, "row") == 0)
                pull_integer(&json, key, &out->row);
            else if (strcmp(key, "ms") == 0)
                pull_number(&json, key, &out->milliseconds);
            else if (strcmp(key, "version") == 0)
                pull_string(&json, key, out->version, sizeof out->version);
            else if (strcmp(key, "device") == 0)
                pull_string(&json, key, out->device, sizeof out->device);
            else if (strcmp(key, "note") == 0)
                pull_string(&json, key, out->note, sizeof out->note);
            else
                pull_skip(&json);
        }
    if (!json.failed) return CFINE_OK;
    *error = json.error;
    return json.error.status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rows

static cfine_status run_peer(bench_row *row, double *milliseconds, cfine_error *error) {
    peer_state *state = row->state;
    peer_answer answer;
    fprintf(state->peers->to, "{\"op\":\"run\",\"row\":%lld}\n", (long long)state->number);
    cfine_status status = read_answer(state->peers, &answer, error);
    if (status != CFINE_OK) return status;
    if (answer.note[0]) return coco_fail(error, CFINE_ERROR_DEVICE, "%s", answer.note);
    *milliseconds = answer.milliseconds;
    return CFINE_OK;
}

static void close_peer(bench_row *row) {
    free(row->state);
    row->state = NULL;
}

static const bench_runner peer_runner = {run_peer, close_peer};

static void put_text(FILE *stream, const char *key, const char *text) {
    fprintf(stream, ",\"%s\":", key);
    cli_print_json_text(stream, text);
}

static cfine_status load(bench_peers *peers, const bench_row *row, const char *onnx, peer_answer *answer,
                         cfine_error *error) {
    int width = peers->model->size[0] ? peers->model->size[0] : peers->info.width;
    int height = peers->model->size[1] ? peers->model->size[1] : peers->info.height;
    fprintf(peers->to, "{\"op\":\"load\",\"batch\":%d,\"threads\":%d,\"queries\":%d,\"width\":%d,\"height\":%d",
            row->batch, row->threads, row->queries, width, height);
    put_text(peers->to, "engine", bench_engine_names[row->engine]);
    put_text(peers->to, "precision", cli_precisions[row->precision]);
    put_text(peers->to, "scope", bench_scope_names[row->scope]);
    put_text(peers->to, "onnx", onnx);
    put_text(peers->to, "model", peers->info.source);
    fprintf(peers->to, ",\"images\":[");
    for (size_t i = 0; row->scope == BENCH_IMAGE && i < row->pictures->count; i++) {
        if (i) fputc(',', peers->to);
        cli_print_json_text(peers->to, row->pictures->paths[i]);
    }
    fprintf(peers->to, "]}\n");
    return read_answer(peers, answer, error);
}

// Exports the model for one row, lets the engine read it, and removes the file again.
static cfine_status load_exported(bench_peers *peers, const bench_row *row, peer_answer *answer, cfine_error *error) {
    char folder[] = "/tmp/cfine-bench-XXXXXX";
    if (!mkdtemp(folder)) return coco_fail(error, CFINE_ERROR_IO, "/tmp: cannot make a folder: %s", strerror(errno));
    char *onnx = cli_format("%s/model.onnx", folder);
    cfine_plan_options shape = CFINE_INIT(cfine_plan_options);
    shape.width = peers->model->size[0];
    shape.height = peers->model->size[1];
    shape.queries = row->queries;
    shape.decoder_layers = peers->model->decoder_layers;
    cfine_status status = cfine_model_export_onnx(peers->opened, &shape, onnx, error);
    if (status == CFINE_OK) status = load(peers, row, onnx, answer, error);
    remove(onnx);
    rmdir(folder);
    free(onnx);
    return status;
}

cfine_status bench_peer_open(bench_peers *peers, bench_row *row, cfine_error *error) {
    cfine_status status = CFINE_OK;
    if (!peers->opened) {
        peers->info = CFINE_INIT(cfine_model_info);
        status = cfine_model_open(peers->model->model, &peers->opened, error);
        if (status == CFINE_OK) status = cfine_model_get_info(peers->opened, &peers->info, error);
    }
    if (status == CFINE_OK && !peers->process) status = start(peers, error);
    if (status != CFINE_OK) return status;
    peer_answer answer;
    status =
        row->engine == BENCH_PYTORCH ? load(peers, row, "", &answer, error) : load_exported(peers, row, &answer, error);
    if (row->queries == 0) row->queries = peers->info.queries;
    if (status == CFINE_ERROR_NOT_FOUND || (status == CFINE_OK && answer.note[0])) {
        snprintf(row->note, sizeof row->note, "%s", status == CFINE_OK ? answer.note : error->message);
        return CFINE_OK;
    }
    if (status != CFINE_OK) return status;
    peer_state *state = cli_alloc(1, sizeof *state);
    *state = (peer_state){peers, answer.row};
    row->state = state;
    row->runner = &peer_runner;
    snprintf(row->version, sizeof row->version, "%s", answer.version);
    snprintf(row->device, sizeof row->device, "%s", answer.device);
    return CFINE_OK;
}
