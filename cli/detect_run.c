// SPDX-License-Identifier: Apache-2.0
#include "detect_run.h"

#include <stdlib.h>

#include "heap.h"
#include "message.h"
#include "report.h"

void cli_detect_lanes_create(cli_detect_run *run, int lane_count) {
    run->lane_count = lane_count;
    run->lanes = cli_alloc((size_t)lane_count, sizeof *run->lanes);
    for (int i = 0; i < lane_count; i++) {
        cli_detect_lane *lane = &run->lanes[i];
        lane->run = run;
        lane->taken = cli_alloc((size_t)run->batch, sizeof(*lane->taken));
        lane->good = cli_alloc((size_t)run->batch, sizeof(*lane->good));
        lane->images = cli_alloc((size_t)run->batch, sizeof *lane->images);
        lane->found = cli_alloc((size_t)run->batch, sizeof *lane->found);
    }
    pthread_mutex_init(&run->taking, NULL);
    pthread_mutex_init(&run->writing, NULL);
    pthread_cond_init(&run->turned, NULL);
}

void cli_detect_lanes_release(cli_detect_run *run) {
    for (int i = 0; i < run->lane_count; i++) {
        cli_detect_lane *lane = &run->lanes[i];
        for (int k = 0; k < run->batch; k++) cfine_detections_release(&lane->found[k]);
        free(lane->found);
        free(lane->images);
        free(lane->good);
        free(lane->taken);
    }
    // The plan belongs to the first one.
    for (int i = run->lane_count - 1; i >= 0; i--) cfine_session_close(run->lanes[i].session);
    free(run->lanes);
    pthread_cond_destroy(&run->turned);
    pthread_mutex_destroy(&run->writing);
    pthread_mutex_destroy(&run->taking);
}

// Takes the next images, as many as a batch has. Returns 0 when there are none.
static int take_batch(cli_detect_lane *lane) {
    cli_detect_run *run = lane->run;
    lane->taken_count = lane->good_count = 0;
    pthread_mutex_lock(&run->taking);
    double start = cli_seconds();
    while (lane->taken_count < run->batch) {
        cli_queued_image *next = cli_image_queue_next(run->queue);
        if (!next) break;
        lane->taken[lane->taken_count++] = next;
        if (next->status != CFINE_OK) continue;
        lane->images[lane->good_count] = next->image;
        lane->good[lane->good_count++] = next;
    }
    lane->waited = cli_seconds() - start;
    if (lane->taken_count) lane->ticket = run->next_ticket++;
    pthread_mutex_unlock(&run->taking);
    return lane->taken_count;
}

// As cfine_detect, but what goes in and comes out stays in the buffers of the raw file.
static cfine_status detect_raw(cli_detect_lane *lane, cfine_error *error) {
    cli_detect_run *run = lane->run;
    int count = lane->good_count;
    cli_raw_file *raw = run->raw;
    size_t pixel_count = 3 * (size_t)raw->width * (size_t)raw->height;
    size_t logit_count = (size_t)raw->queries * (size_t)raw->labels, box_count = (size_t)raw->queries * 4;
    cfine_status status = CFINE_OK;
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = cfine_session_prepare(lane->session, &lane->images[i], raw->pixels + (size_t)i * pixel_count, error);
    if (status == CFINE_OK)
        status = cfine_session_run(lane->session, raw->pixels, count, raw->logits, raw->boxes, error);
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = cfine_session_postprocess(lane->session, raw->logits + (size_t)i * logit_count,
                                           raw->boxes + (size_t)i * box_count, lane->images[i].width,
                                           lane->images[i].height, &run->options, &lane->found[i], error);
    return status;
}

static void print_results(cli_detect_lane *lane) {
    cli_progress_wipe();
    for (int i = 0; i < lane->good_count; i++) {
        if (lane->run->json)
            cli_print_detections_json(lane->good[i]->path, &lane->found[i], lane->session);
        else
            cli_print_detections(lane->good[i]->path, &lane->found[i], lane->session);
    }
}

// Writes the annotated copies; 0 after an error: what holds for one, a full disk, holds for the rest.
static int write_copies(cli_detect_lane *lane) {
    cli_detect_run *run = lane->run;
    double start = cli_seconds();
    int ok = 1;
    for (int i = 0; i < lane->good_count && ok; i++)
        ok = cli_annotate(run->copies->paths[lane->good[i]->index], &lane->good[i]->image, &lane->found[i],
                          lane->session);
    run->phases.draw += cli_seconds() - start;
    run->failed += !ok;
    return ok;
}

// Prints and writes a batch and gives its images back. Returns 0 if it is of no use to go on.
static int write_batch(cli_detect_lane *lane, cfine_status status, const cfine_error *error) {
    cli_detect_run *run = lane->run;
    int go_on = 1;
    for (int i = 0; i < lane->taken_count; i++) {
        run->phases.decode += lane->taken[i]->seconds;
        if (lane->taken[i]->status == CFINE_OK) continue;
        cli_error("%s", lane->taken[i]->error.message);
        run->failed++;
    }
    if (status == CFINE_OK) {
        print_results(lane);
        if (run->raw && lane->good_count) go_on = cli_raw_write(run->raw, (size_t)lane->good_count);
        if (run->copies && go_on) go_on = write_copies(lane);
        run->phases.images += lane->good_count;
    } else {
        cli_error("%s: %s", lane->good[0]->path, error->message);
        run->failed += lane->good_count;
    }
    run->phases.wait += lane->waited;
    run->phases.detect += lane->detected;
    cli_image_queue_give_back(run->queue, (size_t)lane->taken_count);
    run->done += (size_t)lane->taken_count;
    cli_progress_show(&run->progress, (int64_t)run->done);
    return cli_flush_output() && go_on;
}

static void *run_lane(void *argument) {
    cli_detect_lane *lane = argument;
    cli_detect_run *run = lane->run;
    int stopped = 0;
    while (!stopped && take_batch(lane)) {
        cfine_error error;
        cfine_status status = CFINE_OK;
        double start = cli_seconds();
        if (lane->good_count)
            status = run->raw ? detect_raw(lane, &error)
                              : cfine_detect(lane->session, lane->images, lane->good_count, &run->options, lane->found,
                                             &error);
        lane->detected = cli_seconds() - start;
        pthread_mutex_lock(&run->writing);
        while (run->written_batches != lane->ticket) pthread_cond_wait(&run->turned, &run->writing);
        if (!run->stopped && !write_batch(lane, status, &error)) run->stopped = 1;
        stopped = run->stopped;
        run->written_batches++;
        pthread_cond_broadcast(&run->turned);
        pthread_mutex_unlock(&run->writing);
    }
    return NULL;
}

void cli_detect_all(cli_detect_run *run) {
    cli_progress_start(&run->progress, "images", 0, (int64_t)run->total);
    if (run->total < 2) run->progress.active = 0;
    int started = 1; // the first lane runs here
    while (started < run->lane_count &&
           pthread_create(&run->lanes[started].thread, NULL, run_lane, &run->lanes[started]) == 0)
        started++;
    run_lane(&run->lanes[0]);
    for (int i = 1; i < started; i++) pthread_join(run->lanes[i].thread, NULL);
    cli_progress_end(&run->progress);
    if (run->raw && !cli_raw_finish(run->raw)) run->failed++;
}
