// SPDX-License-Identifier: Apache-2.0
// Rows that the Python process runs: PyTorch, eager or compiled.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench_peer.h"
#include "coco_ap.h"
#include "heap.h"

typedef struct {
    bench_peers *peers;
    int64_t number; // of the row in the process
} python_state;

static cfine_status ask(bench_peers *peers, bench_answer *answer, cfine_error *error) {
    cfine_status status = bench_helper_answer(peers->helper, answer, error);
    if (status == CFINE_OK && answer->note[0]) status = coco_fail(error, CFINE_ERROR_DEVICE, "%s", answer->note);
    return status;
}

static cfine_status run_row(bench_row *row, double *milliseconds, cfine_error *error) {
    python_state *state = row->state;
    FILE *task = bench_helper_task(state->peers->helper, error);
    if (!task) return error->status;
    bench_answer answer;
    fprintf(task, "{\"op\":\"run\",\"row\":%lld}\n", (long long)state->number);
    cfine_status status = ask(state->peers, &answer, error);
    if (status == CFINE_OK) *milliseconds = answer.milliseconds;
    return status;
}

static void close_row(bench_row *row) {
    free(row->state);
    row->state = NULL;
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

// Pixels and outputs travel as files: names of both, to be freed.
static cfine_status infer_files(const python_state *state, const char *in, const char *out, const bench_batch *batch,
                                cfine_error *error) {
    cfine_status status = write_floats(in, batch->pixels, batch->pixel_count, error);
    if (status != CFINE_OK) return status;
    FILE *task = bench_helper_task(state->peers->helper, error);
    if (!task) return error->status;
    bench_answer answer;
    fprintf(task, "{\"op\":\"infer\",\"row\":%lld", (long long)state->number);
    bench_put_text(task, "in", in);
    bench_put_text(task, "out", out);
    fprintf(task, "}\n");
    status = ask(state->peers, &answer, error);
    if (status == CFINE_OK && (answer.queries != batch->queries || answer.labels != batch->labels))
        status = coco_fail(error, CFINE_ERROR_MISMATCH, "gives %lld queries and %lld labels, not %d and %d",
                           (long long)answer.queries, (long long)answer.labels, batch->queries, batch->labels);
    return status;
}

static cfine_status infer(const bench_row *row, bench_batch *batch, cfine_error *error) {
    python_state *state = row->state;
    size_t rows = (size_t)row->batch * (size_t)batch->queries, count = rows * ((size_t)batch->labels + 4);
    char *in = bench_peer_file(state->peers, "pixels", error), *out = bench_peer_file(state->peers, "outputs", error);
    cfine_status status = in && out ? infer_files(state, in, out, batch, error) : error->status;
    if (status == CFINE_OK) {
        batch->outputs = cli_grow(batch->outputs, count, sizeof *batch->outputs);
        status = read_floats(out, batch->outputs, count, error);
        batch->logits = batch->outputs;
        batch->boxes = batch->outputs + rows * (size_t)batch->labels;
    }
    free(in);
    free(out);
    return status;
}

static const bench_runner runner = {run_row, close_row, infer};

cfine_status bench_python_open(bench_peers *peers, bench_row *row, cfine_error *error) {
    FILE *task = bench_helper_task(peers->helper, error);
    if (!task) return error->status;
    fprintf(task,
            "{\"op\":\"load\",\"batch\":%d,\"threads\":%d,\"queries\":%d,\"width\":%d,\"height\":%d,\"patience\":%g",
            row->batch, row->threads, row->queries, peers->width, peers->height, peers->patience);
    bench_put_text(task, "engine", bench_engine_names[row->engine]);
    bench_put_text(task, "precision", cli_precisions[row->precision]);
    bench_put_text(task, "device", peers->model->device ? peers->model->device : "cpu");
    bench_put_text(task, "scope", bench_scope_names[row->scope]);
    bench_put_text(task, "model", peers->info.source);
    bench_put_paths(task, "images", row->pictures->paths, row->scope == BENCH_IMAGE ? row->pictures->count : 0);
    fprintf(task, "}\n");
    bench_answer answer;
    cfine_status status = ask(peers, &answer, error);
    if (status == CFINE_ERROR_DEVICE) error->status = status = CFINE_ERROR_NOT_FOUND; // and how to get it
    if (status != CFINE_OK) return status;
    python_state *state = cli_alloc(1, sizeof *state);
    *state = (python_state){peers, answer.row};
    row->state = state;
    row->runner = &runner;
    snprintf(row->version, sizeof row->version, "%s", answer.version);
    snprintf(row->device, sizeof row->device, "%s", answer.device);
    return CFINE_OK;
}
