// SPDX-License-Identifier: Apache-2.0
// Rows over networks in other engines' libraries: ONNX Runtime and OpenVINO. In scope image cfine decodes, resizes and
// selects around them, so that what differs between rows is the network.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_network.h"
#include "bench_peer.h"
#include "coco_ap.h"
#include "heap.h"
#include "progress.h"

enum { INT8 = 3 }; // index into cli_precisions

typedef struct {
    const bench_network_kind *kind;
    bench_network *network;
    // Scope image.
    cfine_session *session;  // prepares and selects
    cfine_image *images;     // [batch]
    cfine_detections *found; // [batch]
} native_state;

static cfine_status run_forward(bench_row *row, double *milliseconds, cfine_error *error) {
    native_state *state = row->state;
    double start = cli_seconds();
    cfine_status status = state->kind->run(state->network, NULL, error);
    *milliseconds = (cli_seconds() - start) * 1e3;
    return status;
}

static cfine_status detect(bench_row *row, cfine_error *error) {
    native_state *state = row->state;
    bench_outputs out;
    size_t image = state->network->pixel_count / (size_t)row->batch;
    cfine_status status = bench_decode_batch(row, state->images, error);
    for (int i = 0; i < row->batch && status == CFINE_OK; i++)
        status =
            cfine_session_prepare(state->session, &state->images[i], state->network->pixels + (size_t)i * image, error);
    if (status == CFINE_OK) status = state->kind->run(state->network, &out, error);
    for (int i = 0; i < row->batch && status == CFINE_OK; i++) {
        size_t first = (size_t)i * (size_t)out.queries;
        status =
            cfine_session_postprocess(state->session, out.logits + first * (size_t)out.labels, out.boxes + first * 4,
                                      state->images[i].width, state->images[i].height, NULL, &state->found[i], error);
    }
    return status;
}

static cfine_status run_image(bench_row *row, double *milliseconds, cfine_error *error) {
    native_state *state = row->state;
    double start = cli_seconds();
    cfine_status status = detect(row, error);
    *milliseconds = (cli_seconds() - start) * 1e3;
    for (int i = 0; i < row->batch; i++) cfine_image_release(&state->images[i]);
    row->turn += (size_t)row->batch;
    return status;
}

static cfine_status infer(const bench_row *row, bench_batch *batch, cfine_error *error) {
    native_state *state = row->state;
    bench_outputs out;
    if (batch->pixel_count != state->network->pixel_count)
        return coco_fail(error, CFINE_ERROR_MISMATCH, "takes %zu numbers as pixels, not %zu",
                         state->network->pixel_count, batch->pixel_count);
    memcpy(state->network->pixels, batch->pixels, batch->pixel_count * sizeof *batch->pixels);
    cfine_status status = state->kind->run(state->network, &out, error);
    if (status == CFINE_OK && (out.queries != batch->queries || out.labels != batch->labels))
        status = coco_fail(error, CFINE_ERROR_MISMATCH, "gives %lld queries and %lld labels, not %d and %d",
                           (long long)out.queries, (long long)out.labels, batch->queries, batch->labels);
    batch->logits = out.logits;
    batch->boxes = out.boxes;
    return status;
}

static void close_row(bench_row *row) {
    native_state *state = row->state;
    for (int i = 0; state->found && i < row->batch; i++) cfine_detections_release(&state->found[i]);
    free(state->found);
    free(state->images);
    cfine_session_close(state->session);
    if (state->network) state->kind->close(state->network);
    free(state);
    row->state = NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// Opening

// The model in int8 by NNCF, which is Python, as a file that OpenVINO reads: written once a number of queries.
static cfine_status quantise(bench_peers *peers, const bench_row *row, const char *onnx, char **file,
                             cfine_error *error) {
    char name[48];
    snprintf(name, sizeof name, "int8-%d.xml", row->queries);
    char *path = bench_peer_file(peers, name, error);
    if (!path) return error->status;
    FILE *task = access(path, R_OK) == 0 ? NULL : bench_helper_task(peers->helper, error);
    bench_answer answer = {0};
    cfine_status status = CFINE_OK;
    if (task) {
        fprintf(task, "{\"op\":\"quantise\",\"width\":%d,\"height\":%d,\"patience\":%g", peers->width, peers->height,
                peers->patience);
        bench_put_text(task, "onnx", onnx);
        bench_put_text(task, "out", path);
        bench_put_paths(task, "calibration", peers->calibration->paths, peers->calibration->count);
        fprintf(task, "}\n");
        status = bench_helper_answer(peers->helper, &answer, error);
        if (status == CFINE_OK && answer.note[0]) status = coco_fail(error, CFINE_ERROR_NOT_FOUND, "%s", answer.note);
        snprintf(peers->nncf, sizeof peers->nncf, "%s", answer.version);
    } else if (access(path, R_OK) != 0) {
        status = error->status;
    }
    *file = path;
    return status;
}

static cfine_status open_network(bench_peers *peers, bench_row *row, native_state *state, cfine_error *error) {
    char *onnx = bench_peer_export(peers, row, error), *int8 = NULL;
    if (!onnx) return error->status;
    int openvino = row->engine == BENCH_OPENVINO;
    bench_network_task task = {.helper = peers->helper,
                               .library = openvino ? peers->openvino : peers->onnxruntime,
                               .file = onnx,
                               .row = row,
                               .device = peers->model->device,
                               .width = peers->width,
                               .height = peers->height};
    cfine_status status = CFINE_OK;
    if (openvino && row->precision == INT8) {
        status = quantise(peers, row, onnx, &int8, error);
        task.file = int8;
    }
    state->kind = openvino ? &bench_openvino : &bench_onnxruntime;
    if (status == CFINE_OK) status = state->kind->open(&task, &state->network, error);
    free(int8);
    free(onnx);
    return status;
}

static cfine_status prepare_scope(bench_peers *peers, bench_row *row, native_state *state, cfine_error *error) {
    if (row->scope == BENCH_FORWARD) {
        float *pixels = bench_random_pixels(state->network->pixel_count);
        memcpy(state->network->pixels, pixels, state->network->pixel_count * sizeof *pixels);
        free(pixels);
        return CFINE_OK;
    }
    state->images = cli_alloc((size_t)row->batch, sizeof *state->images);
    state->found = cli_alloc((size_t)row->batch, sizeof *state->found);
    return bench_open_around(row, peers->model, &state->session, error);
}

static const bench_runner forward_runner = {run_forward, close_row, infer};
static const bench_runner image_runner = {run_image, close_row, infer};

cfine_status bench_native_open(bench_peers *peers, bench_row *row, cfine_error *error) {
    native_state *state = cli_alloc(1, sizeof *state);
    row->state = state;
    cfine_status status = open_network(peers, row, state, error);
    if (status == CFINE_OK) status = prepare_scope(peers, row, state, error);
    if (status != CFINE_OK) {
        close_row(row);
        return status;
    }
    row->runner = row->scope == BENCH_FORWARD ? &forward_runner : &image_runner;
    int int8 = row->engine == BENCH_OPENVINO && row->precision == INT8;
    snprintf(row->version, sizeof row->version, int8 ? "%.24s nncf %.24s" : "%.24s", state->network->version,
             peers->nncf);
    snprintf(row->device, sizeof row->device, "%s", state->network->device);
    return CFINE_OK;
}
