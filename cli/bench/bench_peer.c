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
    const cli_inputs *calibration;
    char folder[40]; // of files for the process, made when first needed
    pid_t process;   // 0: not started
    FILE *to, *from;
    char *line; // the last answer
    size_t line_size;
    cfine_model *opened;
    cfine_model_info info;
};

// An answer's fields; absent ones stay empty.
typedef struct {
    int64_t row, queries, labels;
    double milliseconds;
    char version[64], device[96], note[600];
} peer_answer;

typedef struct {
    bench_peers *peers;
    int64_t number; // of the row in the process
} peer_state;

bench_peers *bench_peers_create(const char *python, const cli_model_args *model, const cli_inputs *calibration) {
    bench_peers *peers = cli_alloc(1, sizeof *peers);
    peers->python = python;
    peers->model = model;
    peers->calibration = calibration;
    return peers;
}

void bench_peers_destroy(bench_peers *peers) {
    if (!peers) return;
    if (peers->to) fclose(peers->to); // the end of its input ends the process
    if (peers->from) fclose(peers->from);
    if (peers->process) waitpid(peers->process, NULL, 0);
    cfine_model_close(peers->opened);
    if (peers->folder[0]) rmdir(peers->folder);
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
            else if (strcmp(key, "queries") == 0)
                pull_integer(&json, key, &out->queries);
            else if (strcmp(key, "labels") == 0)
                pull_integer(&json, key, &out->labels);
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

static void put_paths(FILE *stream, const char *key, char *const *paths, size_t count) {
    fprintf(stream, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        if (i) fputc(',', stream);
        cli_print_json_text(stream, paths[i]);
    }
    fputc(']', stream);
}

static cfine_status load(bench_peers *peers, const bench_row *row, const char *onnx, peer_answer *answer,
                         cfine_error *error) {
    int width = peers->model->size[0] ? peers->model->size[0] : peers->info.width;
    int height = peers->model->size[1] ? peers->model->size[1] : peers->info.height;
    fprintf(peers->to, "{\"op\":\"load\",\"batch\":%d,\"threads\":%d,\"queries\":%d,\"width\":%d,\"height\":%d",
            row->batch, row->threads, row->queries, width, height);
    put_text(peers->to, "engine", bench_engine_names[row->engine]);
    put_text(peers->to, "precision", cli_precisions[row->precision]);
    put_text(peers->to, "device", peers->model->device ? peers->model->device : "cpu");
    put_text(peers->to, "scope", bench_scope_names[row->scope]);
    put_text(peers->to, "onnx", onnx);
    put_text(peers->to, "model", peers->info.source);
    put_paths(peers->to, "images", row->pictures->paths, row->scope == BENCH_IMAGE ? row->pictures->count : 0);
    put_paths(peers->to, "calibration", peers->calibration->paths, peers->calibration->count);
    fprintf(peers->to, "}\n");
    return read_answer(peers, answer, error);
}

static cfine_status make_folder(bench_peers *peers, cfine_error *error) {
    if (peers->folder[0]) return CFINE_OK;
    snprintf(peers->folder, sizeof peers->folder, "/tmp/cfine-bench-XXXXXX");
    if (mkdtemp(peers->folder)) return CFINE_OK;
    peers->folder[0] = 0;
    return coco_fail(error, CFINE_ERROR_IO, "/tmp: cannot make a folder: %s", strerror(errno));
}

// Exports the model for one row, lets the engine read it, and removes the file again.
static cfine_status load_exported(bench_peers *peers, const bench_row *row, peer_answer *answer, cfine_error *error) {
    cfine_status status = make_folder(peers, error);
    if (status != CFINE_OK) return status;
    char *onnx = cli_format("%s/model.onnx", peers->folder);
    cfine_plan_options shape = CFINE_INIT(cfine_plan_options);
    shape.width = peers->model->size[0];
    shape.height = peers->model->size[1];
    shape.queries = row->queries;
    shape.decoder_layers = peers->model->decoder_layers;
    status = cfine_model_export_onnx(peers->opened, &shape, onnx, error);
    if (status == CFINE_OK) status = load(peers, row, onnx, answer, error);
    remove(onnx);
    free(onnx);
    return status;
}

// The reference implementation reads the checkpoint itself.
static int reads_checkpoint(bench_engine engine) {
    return engine == BENCH_PYTORCH || engine == BENCH_TORCH_COMPILE || engine == BENCH_TORCH_TENSORRT;
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
    status = reads_checkpoint(row->engine) ? load(peers, row, "", &answer, error)
                                           : load_exported(peers, row, &answer, error);
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

// ---------------------------------------------------------------------------------------------------------------------
// Outputs

static cfine_status write_floats(const char *path, const float *values, size_t count, cfine_error *error) {
    FILE *file = fopen(path, "wb");
    int written = file && fwrite(values, sizeof *values, count, file) == count;
    if (file && fclose(file) != 0) written = 0;
    return written ? CFINE_OK : coco_fail(error, CFINE_ERROR_IO, "%s: cannot write: %s", path, strerror(errno));
}

static cfine_status read_floats(const char *path, float *values, size_t count, cfine_error *error) {
    FILE *file = fopen(path, "rb");
    int complete = file && fread(values, sizeof *values, count, file) == count;
    if (file) fclose(file);
    return complete ? CFINE_OK : coco_fail(error, CFINE_ERROR_IO, "%s: cannot read %zu numbers", path, count);
}

cfine_status bench_peer_infer(const bench_row *row, const float *pixels, size_t pixel_count, int queries, int labels,
                              float **logits, float **boxes, cfine_error *error) {
    peer_state *state = row->state;
    bench_peers *peers = state->peers;
    size_t rows = (size_t)row->batch * (size_t)queries, count = rows * ((size_t)labels + 4);
    *logits = *boxes = NULL;
    cfine_status status = make_folder(peers, error);
    if (status != CFINE_OK) return status;
    char *in = cli_format("%s/pixels", peers->folder), *out = cli_format("%s/outputs", peers->folder);
    peer_answer answer = {0};
    status = write_floats(in, pixels, pixel_count, error);
    if (status == CFINE_OK) {
        fprintf(peers->to, "{\"op\":\"infer\",\"row\":%lld", (long long)state->number);
        put_text(peers->to, "in", in);
        put_text(peers->to, "out", out);
        fprintf(peers->to, "}\n");
        status = read_answer(peers, &answer, error);
    }
    if (status == CFINE_OK && answer.note[0]) status = coco_fail(error, CFINE_ERROR_DEVICE, "%s", answer.note);
    if (status == CFINE_OK && (answer.queries != queries || answer.labels != labels))
        status = coco_fail(error, CFINE_ERROR_MISMATCH, "gives %lld queries and %lld labels, not %d and %d",
                           (long long)answer.queries, (long long)answer.labels, queries, labels);
    float *values = status == CFINE_OK ? cli_alloc(count, sizeof *values) : NULL;
    if (values) status = read_floats(out, values, count, error);
    remove(in);
    remove(out);
    free(in);
    free(out);
    if (status != CFINE_OK) {
        free(values);
        return status;
    }
    *logits = values;
    *boxes = values + rows * (size_t)labels;
    return CFINE_OK;
}
