// SPDX-License-Identifier: Apache-2.0
// A run of `cfine detect` over all images. Batches go through one or more lanes, each with a session of its own: on a
// GPU one lane prepares images and prints boxes while the other one's batch is computed. Results come out in order.
#ifndef CLI_DETECT_RUN_H
#define CLI_DETECT_RUN_H

#include <pthread.h>

#include "annotate.h"
#include "cfine/cfine.h"
#include "image_queue.h"
#include "profile.h"
#include "progress.h"
#include "raw_file.h"

struct cli_detect_run;

typedef struct cli_detect_lane {
    struct cli_detect_run *run;
    cfine_session *session;
    // Of this batch:
    cli_queued_image **taken; // [taken_count <= batch] from the queue, in order
    cli_queued_image **good;  // [good_count] those of them that could be decoded
    cfine_image *images;      // [good_count] the same, as the library takes them
    cfine_detections *found;  // [good_count]
    int taken_count, good_count;
    size_t ticket;           // its place among the batches
    double waited, detected; // seconds
    pthread_t thread;
} cli_detect_lane;

typedef struct cli_detect_run {
    cfine_detect_options options;
    cli_image_queue *queue;
    cli_annotations *copies; // NULL: none wanted
    cli_raw_file *raw;       // NULL: none wanted; then there is one lane
    int json, batch, lane_count;
    cli_detect_lane *lanes;
    size_t total;

    pthread_mutex_t taking; // held by the lane that takes a batch from the queue
    size_t next_ticket;

    pthread_mutex_t writing; // of all that follows; batches are written in the order of their tickets
    pthread_cond_t turned;
    size_t written_batches, done;
    int failed, stopped; // failed: images
    cli_progress progress;
    cli_phases phases;
} cli_detect_run;

// Readies `lane_count` lanes for sessions, which the caller then sets.
void cli_detect_lanes_create(cli_detect_run *run, int lane_count);
// Closes their sessions too.
void cli_detect_lanes_release(cli_detect_run *run);

// Takes all images of the queue.
void cli_detect_all(cli_detect_run *run);

#endif
