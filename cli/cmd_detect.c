// SPDX-License-Identifier: Apache-2.0
// `cfine detect`: images to boxes. Decoding runs ahead in threads (image_queue.c) while the model is opened; then
// batches go through the network (detect_run.c).
#include <string.h>

#include "cfine/cfine.h"
#include "detect_run.h"
#include "inputs.h"
#include "message.h"
#include "model_args.h"
#include "output_file.h"
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

// Lanes on each GPU: one prepares images while the other's are computed.
enum { LANES_OF_GPU = 2 };

// Opens the model and a session for each lane.
static cfine_status open_lanes(const detect_args *args, const cli_devices *devices, cli_detect_run *run,
                               cfine_error *error) {
    cfine_open_options open;
    cfine_status status = cli_open_options(&args->model, &open, error);
    if (status != CFINE_OK) return status;
    open.session.profile = args->profile;
    int threads = open.session.threads ? open.session.threads : cfine_cpu_count();
    open.session.threads = threads > run->lane_count ? threads / run->lane_count : 1;
    status = cfine_open(args->model.model, &open, &run->lanes[0].session, error);
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    if (status == CFINE_OK) status = cfine_plan_get_info(cfine_session_plan(run->lanes[0].session), &info, error);
    if (status == CFINE_OK) cli_note_calibration(args->model.calibration, cfine_session_plan(run->lanes[0].session));
    if (args->model.batch == CFINE_BATCH_AUTO && info.batch < run->batch) run->batch = info.batch;
    for (int i = 1; i < run->lane_count && status == CFINE_OK; i++) {
        if (devices->count > 1) open.session.device = devices->names[i % devices->count];
        status =
            cfine_session_open(cfine_session_plan(run->lanes[0].session), &open.session, &run->lanes[i].session, error);
    }
    return status;
}

static void run_lanes(const detect_args *args, size_t images, cli_detect_run *run) {
    double start = cli_seconds();
    if (args->raw && !cli_raw_start(run->raw, args->raw, run->lanes[0].session, images, run->batch)) {
        run->failed++;
        return;
    }
    cli_detect_all(run);
    if (args->profile) cli_print_profile(run->lanes[0].session, &run->phases, cli_seconds() - start);
}

// 1 if the raw outputs replace neither an image nor an annotated copy; or 0 after an error message.
static int check_raw(const char *raw, const cli_inputs *inputs, const cli_annotations *copies) {
    for (size_t i = 0; i < inputs->count; i++)
        if (cli_same_file(raw, inputs->paths[i])) {
            cli_error("--raw: %s would be replaced by the raw outputs; give it another name", inputs->paths[i]);
            return 0;
        }
    for (size_t i = 0; i < copies->count; i++)
        if (strcmp(raw, copies->paths[i]) == 0) {
            cli_error("--raw: %s is the name of an annotated copy too; give it another name", raw);
            return 0;
        }
    return 1;
}

static int detect(const detect_args *args, const cli_devices *devices, const cli_inputs *inputs) {
    cli_annotations copies = {0};
    cli_raw_file raw = {0};
    cli_detect_run run = {.json = args->json, .total = inputs->count, .failed = inputs->failed};
    run.options = CFINE_INIT(cfine_detect_options);
    run.options.threshold = args->threshold > 0 ? (float)args->threshold : -1;
    run.options.max_detections = args->max_detections;
    run.copies = args->out ? &copies : NULL;
    run.raw = args->raw ? &raw : NULL;
    cfine_image_options image_options = CFINE_INIT(cfine_image_options);
    image_options.ignore_orientation = args->no_orientation;

    if (args->out) {
        int status = cli_annotations_plan(args->out, inputs, &copies);
        if (status != CLI_OK) {
            cli_annotations_release(&copies);
            return status;
        }
    }
    if (args->raw && !check_raw(args->raw, inputs, &copies)) {
        cli_annotations_release(&copies);
        return CLI_USAGE;
    }
    // Decoding begins while the model is opened.
    double start = cli_seconds();
    run.batch = args->model.batch == CFINE_BATCH_AUTO ? CFINE_BATCH_AUTO_MOST
                : args->model.batch                   ? args->model.batch
                                                      : 1;
    cli_detect_lanes_create(&run, devices->on_gpu && !args->raw ? devices->count * LANES_OF_GPU : 1);
    cli_image_queue_options ahead = {.depth = (size_t)(run.lane_count + 1) * (size_t)run.batch,
                                     .threads = devices->on_gpu ? cfine_cpu_count() : 0,
                                     .image = image_options};
    run.queue = cli_image_queue_start(inputs->paths, inputs->count, &ahead);
    cfine_error error;
    int opened = open_lanes(args, devices, &run, &error) == CFINE_OK;
    run.phases.open = cli_seconds() - start;
    if (opened) {
        run_lanes(args, inputs->count, &run);
    } else {
        cli_error("%s", error.message);
        run.failed++;
    }
    // A thread that waits for standard input may wait for ever: then the end of the program ends it.
    if (opened || !inputs->standard_input) cli_image_queue_stop(run.queue);
    cli_detect_lanes_release(&run);
    cli_annotations_release(&copies);
    cli_raw_release(&raw);
    return run.failed ? CLI_FAILED : CLI_OK;
}

static int run_verb(int argc, char **argv) {
    detect_args args = {.threshold = 0.5};
    int operands, status;
    if (!cli_parse(&cli_verb_detect, argc, argv, &args, &operands, &status)) return status;
    cli_devices devices;
    cli_read_devices(&args.model, &devices);
    cli_inputs inputs;
    cli_inputs_expand(argv + 1, operands, &inputs);
    status = inputs.count ? detect(&args, &devices, &inputs) : CLI_FAILED;
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
             "input: one image, however often it is named. An image that cannot be read is reported and left out;\n"
             "the exit status is then 1.\n",
    .example = "cfine detect photo.jpg\n"
               "cfine detect --model dfine-nano-coco --threshold 0.3 --json photos/ > found.jsonl\n"
               "cfine detect --out drawn 'photos/*.jpg'\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .completion = CLI_COMPLETE_FILES,
    .several_gpus = 1,
    .run = run_verb,
};
