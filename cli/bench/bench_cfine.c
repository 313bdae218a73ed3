// SPDX-License-Identifier: Apache-2.0
// Rows that cfine itself runs: a forward pass over prepared pixels, or pictures from their bytes to detections.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "heap.h"
#include "progress.h"

// One of several sessions that share a plan, with its own outputs and thread.
typedef struct {
    cfine_session *session;
    const float *pixels;
    float *logits, *boxes;
    int batch;
    pthread_t thread;
    cfine_status status;
    cfine_error error;
} stream;

typedef struct {
    stream *streams; // beside the row's own session
    int stream_count;
    cfine_session *session;
    int owned; // 0: another row closes it
    // Scope forward.
    float *made_pixels, *logits, *boxes;
    const float *pixels; // what the next run is given: made_pixels, or NULL when they are on the GPU already
    int on_gpu;
    // Scope image, [batch] each.
    cfine_image *images;
    cfine_detections *found;
} cfine_state;

float *bench_random_pixels(size_t count) {
    float *pixels = cli_alloc(count, sizeof *pixels);
    uint32_t state = 12345;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 8) / 16777216.0f;
    }
    return pixels;
}

cfine_session *bench_cfine_session(const bench_row *row) {
    return ((const cfine_state *)row->state)->session;
}

cfine_status bench_open_options(const bench_row *row, const cli_model_args *model, cfine_open_options *out,
                                cfine_error *error) {
    cli_model_args args = *model;
    // FP32 is what a row has where none was asked for: of a plan, what it was built with.
    args.precision = row->precision ? CFINE_FP32 + row->precision : model->precision;
    args.batch = row->batch;
    args.queries = row->queries;
    int streams = row->engine == BENCH_CFINE && row->streams > 1 ? row->streams : 1;
    args.threads = row->threads > streams ? row->threads / streams : 1;
    cfine_status status = cli_open_options(&args, out, error);
    out->plan.calibration = row->calibration;
    out->plan.random_ranges = 1;
    return status;
}

cfine_status bench_open_around(const bench_row *row, const cli_model_args *model, cfine_session **out,
                               cfine_error *error) {
    bench_row like = {.batch = 1, .threads = row->threads, .queries = row->queries}; // FP32
    cli_model_args args = *model;
    args.precision = CFINE_PRECISION_DEFAULT;
    cfine_open_options options;
    cfine_status status = bench_open_options(&like, &args, &options, error);
    return status == CFINE_OK ? cfine_open(model->model, &options, out, error) : status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Scope forward

static void *run_stream(void *argument) {
    stream *s = argument;
    s->status = cfine_session_run(s->session, s->pixels, s->batch, s->logits, s->boxes, &s->error);
    return NULL;
}

static cfine_status run_forward(bench_row *row, double *milliseconds, cfine_error *error) {
    cfine_state *state = row->state;
    double start = cli_seconds();
    int started = 0;
    for (; started < state->stream_count; started++)
        if (pthread_create(&state->streams[started].thread, NULL, run_stream, &state->streams[started])) break;
    cfine_status status =
        cfine_session_run(state->session, state->pixels, row->batch, state->logits, state->boxes, error);
    for (int i = 0; i < state->stream_count; i++) {
        if (i < started)
            pthread_join(state->streams[i].thread, NULL);
        else
            run_stream(&state->streams[i]);
        if (state->streams[i].status == CFINE_OK || status != CFINE_OK) continue;
        status = state->streams[i].status;
        if (error) *error = state->streams[i].error;
    }
    *milliseconds = (cli_seconds() - start) * 1e3;
    if (state->on_gpu) state->pixels = NULL; // from now on the pixels are on the GPU, as the peers' are
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Scope image

static cfine_status run_image(bench_row *row, double *milliseconds, cfine_error *error) {
    cfine_state *state = row->state;
    double start = cli_seconds();
    cfine_status status = bench_decode_batch(row, state->images, error);
    if (status == CFINE_OK) status = cfine_detect(state->session, state->images, row->batch, NULL, state->found, error);
    *milliseconds = (cli_seconds() - start) * 1e3;
    for (int i = 0; i < row->batch; i++) cfine_image_release(&state->images[i]);
    row->turn += (size_t)row->batch;
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------

static void close_row(bench_row *row) {
    cfine_state *state = row->state;
    for (int i = 0; state->found && i < row->batch; i++) cfine_detections_release(&state->found[i]);
    for (int i = 0; i < state->stream_count; i++) {
        cfine_session_close(state->streams[i].session);
        free(state->streams[i].logits);
        free(state->streams[i].boxes);
    }
    free(state->streams);
    if (state->owned) cfine_session_close(state->session);
    free(state->made_pixels);
    free(state->logits);
    free(state->boxes);
    free(state->images);
    free(state->found);
    free(state);
    row->state = NULL;
}

// Further sessions of the same plan.
static cfine_status open_streams(bench_row *row, const cfine_plan_info *info, const cfine_session_options *options,
                                 cfine_error *error) {
    cfine_state *state = row->state;
    state->streams = cli_alloc((size_t)row->streams, sizeof *state->streams);
    size_t rows = (size_t)info->batch * (size_t)info->queries;
    cfine_session_options wanted = *options;
    wanted.struct_size = sizeof wanted;
    for (int i = 0; i + 1 < row->streams; i++) {
        stream *s = &state->streams[i];
        cfine_status status = cfine_session_open(cfine_session_plan(state->session), &wanted, &s->session, error);
        if (status != CFINE_OK) return status;
        state->stream_count++;
        s->pixels = state->made_pixels;
        s->batch = info->batch;
        s->logits = cli_alloc(rows * (size_t)info->labels, sizeof *s->logits);
        s->boxes = cli_alloc(rows * 4, sizeof *s->boxes);
    }
    return CFINE_OK;
}

static const bench_runner forward_runner = {run_forward, close_row, NULL};
static const bench_runner image_runner = {run_image, close_row, NULL};

cfine_status bench_cfine_open(bench_row *row, const cli_model_args *model, const bench_row *like, cfine_error *error) {
    cfine_open_options options;
    cfine_status status = bench_open_options(row, model, &options, error);
    if (status != CFINE_OK) return status;
    cfine_session *session;
    if (like)
        session = bench_cfine_session(like);
    else if ((status = cfine_open(model->model, &options, &session, error)) != CFINE_OK)
        return status;
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    status = cfine_plan_get_info(cfine_session_plan(session), &info, error);
    if (status != CFINE_OK) {
        if (!like) cfine_session_close(session);
        return status;
    }
    cfine_state *state = cli_alloc(1, sizeof *state);
    *state = (cfine_state){.session = session, .owned = !like, .on_gpu = !strncmp(info.device, "cuda", 4)};
    row->state = state;
    // A plan file says for itself what it is.
    row->precision = (int)info.precision - CFINE_FP32;
    row->unknown = 0;
    row->batch = info.batch;
    row->queries = info.queries;
    snprintf(row->version, sizeof row->version, "%s", cfine_version());
    snprintf(row->device, sizeof row->device, "%s", info.device);
    size_t batch = (size_t)info.batch, queries = (size_t)info.queries;
    if (row->scope == BENCH_FORWARD) {
        state->pixels = state->made_pixels = bench_random_pixels(batch * 3 * (size_t)info.width * (size_t)info.height);
        state->logits = cli_alloc(batch * queries * (size_t)info.labels, sizeof *state->logits);
        state->boxes = cli_alloc(batch * queries * 4, sizeof *state->boxes);
    } else {
        state->images = cli_alloc(batch, sizeof *state->images);
        state->found = cli_alloc(batch, sizeof *state->found);
    }
    if (row->scope == BENCH_FORWARD && row->streams > 1) {
        status = open_streams(row, &info, &options.session, error);
        if (status != CFINE_OK) {
            close_row(row);
            return status;
        }
    } else {
        row->streams = 1;
    }
    row->runner = row->scope == BENCH_FORWARD ? &forward_runner : &image_runner;
    return CFINE_OK;
}
