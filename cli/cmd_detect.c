// SPDX-License-Identifier: Apache-2.0
// `cfine detect`: images to boxes. Decoding runs ahead in threads; here batches go through the network, in order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "cfine/cfine.h"
#include "heap.h"
#include "image_queue.h"
#include "inputs.h"
#include "message.h"
#include "model_args.h"
#include "profile.h"
#include "progress.h"
#include "raw_file.h"
#include "report.h"
#include "verbs.h"

typedef struct {
    cli_model_args model;
    double threshold;
    int max_detections;
    int no_orientation, json, profile;
    const char *out, *raw;
} detect_args;

static const cli_option options[] = {
    CLI_MODEL_OPTIONS(detect_args, model),
    {"threshold", 'T', "T", "least score to report, 0 to 1 (default: 0.5)", CLI_REAL, offsetof(detect_args, threshold),
     .least = 0, .most = 1},
    {"max-detections", 0, "N", "most objects to report for an image (default: all above the threshold)", CLI_INT,
     offsetof(detect_args, max_detections), .least = 1, .most = 100000},
    {"no-orientation", 0, NULL, "do not turn photos upright as their EXIF data say", CLI_FLAG,
     offsetof(detect_args, no_orientation)},
    {"json", 'j', NULL, "print one JSON object a line for each image", CLI_FLAG, offsetof(detect_args, json)},
    {"out", 'o', "DIR", "write copies of the images with boxes and labels drawn upon them to this folder", CLI_TEXT,
     offsetof(detect_args, out), .completion = CLI_COMPLETE_FOLDERS},
    {"raw", 0, "FILE", "write pixel_values, logits and pred_boxes of all images to a safetensors file", CLI_TEXT,
     offsetof(detect_args, raw), .completion = CLI_COMPLETE_FILES},
    {"profile", 0, NULL, "tell on standard error where the time went, step by step", CLI_FLAG,
     offsetof(detect_args, profile)},
};

// A run over all images.
typedef struct {
    const detect_args *args;
    cfine_session *session;
    cfine_detect_options options;
    cli_image_queue *queue;
    cli_annotations copies;
    cli_raw_file raw;
    cli_progress progress;
    cli_phases phases;
    int batch;
    cli_queued_image **loaded; // [batch] good images of this batch
    cfine_image *images;       // [batch] the same, as the library takes them
    cfine_detections *found;   // [batch]
    size_t done, total;
    int failed; // images
} detection;

// Takes images until the batch is full or there are no more. Returns how many were taken; *good of them can be used.
static size_t take_batch(detection *run, int *good) {
    size_t taken = 0;
    *good = 0;
    while (*good < run->batch && taken < (size_t)run->batch) {
        cli_queued_image *next = cli_image_queue_next(run->queue);
        if (!next) break;
        taken++;
        run->phases.decode += next->seconds;
        if (next->status == CFINE_OK) {
            run->images[*good] = next->image;
            run->loaded[(*good)++] = next;
        } else {
            cli_error("%s", next->error.message);
            run->failed++;
        }
    }
    return taken;
}

// As cfine_detect, but what goes in and comes out stays in the buffers of run->raw.
static cfine_status detect_raw(detection *run, int count, cfine_error *error) {
    cli_raw_file *raw = &run->raw;
    size_t pixel_count = 3 * (size_t)raw->width * (size_t)raw->height;
    size_t logit_count = (size_t)raw->queries * (size_t)raw->labels, box_count = (size_t)raw->queries * 4;
    cfine_status status = CFINE_OK;
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = cfine_session_prepare(run->session, &run->images[i], raw->pixels + (size_t)i * pixel_count, error);
    if (status == CFINE_OK)
        status = cfine_session_run(run->session, raw->pixels, count, raw->logits, raw->boxes, error);
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = cfine_session_postprocess(run->session, raw->logits + (size_t)i * logit_count,
                                           raw->boxes + (size_t)i * box_count, run->images[i].width,
                                           run->images[i].height, &run->options, &run->found[i], error);
    return status;
}

static void print_results(detection *run, int count) {
    cli_progress_wipe();
    for (int i = 0; i < count; i++) {
        if (run->args->json)
            cli_print_detections_json(run->loaded[i]->path, &run->found[i], run->session);
        else
            cli_print_detections(run->loaded[i]->path, &run->found[i], run->session);
    }
}

// Writes the annotated copies; 0 after an error: what holds for one, a full disk, holds for the rest.
static int write_copies(detection *run, int count) {
    double start = cli_seconds();
    int ok = 1;
    for (int i = 0; i < count && ok; i++)
        ok = cli_annotate(run->copies.paths[run->loaded[i]->index], &run->loaded[i]->image, &run->found[i],
                          run->session);
    run->phases.draw += cli_seconds() - start;
    run->failed += !ok;
    return ok;
}

// One batch. Returns 0 when there is nothing more to do or no use in it.
static int detect_batch(detection *run) {
    int count;
    double start = cli_seconds();
    size_t taken = take_batch(run, &count);
    double decoded = cli_seconds();
    run->phases.wait += decoded - start;
    if (!taken) return 0;
    cfine_error error;
    cfine_status status = CFINE_OK;
    if (count)
        status = run->args->raw ? detect_raw(run, count, &error)
                                : cfine_detect(run->session, run->images, count, &run->options, run->found, &error);
    run->phases.detect += cli_seconds() - decoded;
    int go_on = 1;
    if (status == CFINE_OK) {
        print_results(run, count);
        if (run->args->raw && count) go_on = cli_raw_write(&run->raw, (size_t)count);
        if (run->args->out && go_on) go_on = write_copies(run, count);
        run->phases.images += count;
    } else {
        cli_error("%s: %s", run->loaded[0]->path, error.message);
        run->failed += count;
    }
    cli_image_queue_give_back(run->queue, taken);
    run->done += taken;
    cli_progress_show(&run->progress, (int64_t)run->done);
    return cli_flush_output() && go_on;
}

static void detect_all(detection *run) {
    cli_progress_start(&run->progress, "images", 0, (int64_t)run->total);
    if (run->total < 2) run->progress.active = 0;
    double start = cli_seconds();
    while (detect_batch(run)) continue;
    cli_progress_end(&run->progress);
    if (run->args->raw && !cli_raw_finish(&run->raw)) run->failed++;
    if (run->args->profile) cli_print_profile(run->session, &run->phases, cli_seconds() - start);
}

static int detect(const detect_args *args, const cli_inputs *inputs) {
    detection run = {.args = args, .total = inputs->count, .failed = inputs->failed};
    run.batch = args->model.batch ? args->model.batch : 1;
    run.options = CFINE_INIT(cfine_detect_options);
    run.options.threshold = args->threshold > 0 ? (float)args->threshold : -1;
    run.options.max_detections = args->max_detections;
    cfine_image_options image_options = CFINE_INIT(cfine_image_options);
    image_options.ignore_orientation = args->no_orientation;

    if (args->out) {
        int status = cli_annotations_plan(args->out, inputs, &run.copies);
        if (status != CLI_OK) {
            cli_annotations_release(&run.copies);
            return status;
        }
    }

    // Decoding begins while the model is opened.
    double start = cli_seconds();
    run.queue = cli_image_queue_start(inputs->paths, inputs->count, 2 * (size_t)run.batch, &image_options);
    cfine_error error;
    if (cli_open_session(&args->model, args->profile, &run.session, &error) != CFINE_OK) {
        cli_error("%s", error.message);
        // A thread that waits for standard input may wait for ever: then the end of the program ends it.
        if (!inputs->standard_input) cli_image_queue_stop(run.queue);
        cli_annotations_release(&run.copies);
        return CLI_FAILED;
    }
    run.phases.open = cli_seconds() - start;
    run.loaded = cli_alloc((size_t)run.batch, sizeof *run.loaded);
    run.images = cli_alloc((size_t)run.batch, sizeof *run.images);
    run.found = cli_alloc((size_t)run.batch, sizeof *run.found);

    if (!args->raw || cli_raw_start(&run.raw, args->raw, run.session, inputs->count, run.batch))
        detect_all(&run);
    else
        run.failed++;

    cli_image_queue_stop(run.queue);
    for (int i = 0; i < run.batch; i++) cfine_detections_release(&run.found[i]);
    cli_annotations_release(&run.copies);
    cli_raw_release(&run.raw);
    free(run.found);
    free(run.images);
    free(run.loaded);
    cfine_session_close(run.session);
    return run.failed ? CLI_FAILED : CLI_OK;
}

static int run_verb(int argc, char **argv) {
    detect_args args = {.threshold = 0.5};
    int operands, status;
    if (!cli_parse(&cli_verb_detect, argc, argv, &args, &operands, &status)) return status;
    cli_inputs inputs;
    cli_inputs_expand(argv + 1, operands, &inputs);
    status = inputs.count ? detect(&args, &inputs) : CLI_FAILED;
    cli_inputs_release(&inputs);
    return status;
}

const cli_verb cli_verb_detect = {
    .name = "detect",
    .summary = "find objects in images",
    .operands = "INPUT...",
    .operands_least = 1,
    .operands_most = -1,
    .about = "An INPUT is an image (JPEG, PNG, WebP, BMP, PNM), a folder of images, a pattern, or - for standard\n"
             "input. An image that cannot be read is reported and left out; the exit status is then 1.\n",
    .example = "cfine detect photo.jpg\n"
               "cfine detect --model dfine-nano-coco --threshold 0.3 --json photos/ > found.jsonl\n"
               "cfine detect --out drawn 'photos/*.jpg'\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .completion = CLI_COMPLETE_FILES,
    .run = run_verb,
};
