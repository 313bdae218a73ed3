// SPDX-License-Identifier: Apache-2.0
// `cfine calibrate`: the ranges that int8 needs, from pictures like those it will see.
#include <stdio.h>
#include <string.h>

#include "cfine/cfine.h"
#include "inputs.h"
#include "message.h"
#include "model_args.h"
#include "output_file.h"
#include "progress.h"
#include "verbs.h"

typedef struct {
    const char *model, *images, *output, *device;
    int method, random, limit, judged, threads, cpu;
    int size[2];
    double max_error;
} calibrate_args;

static const char *const methods[] = {"percentile", "mse", "entropy", "minmax", NULL};
static const cfine_range_method method_of[] = {CFINE_RANGE_PERCENTILE, CFINE_RANGE_MSE, CFINE_RANGE_ENTROPY,
                                               CFINE_RANGE_MINMAX};

static const cli_option options[] = {
    {"model", 'm', "MODEL",
     "a directory of Hugging Face, an official .pth, or the name of a bundled or pulled model (default: the bundled "
     "one)",
     CLI_TEXT, offsetof(calibrate_args, model), .completion = CLI_COMPLETE_FILES},
    {"images", 'i', "DIR", "folder of pictures like those that the model will see; a hundred are enough", CLI_TEXT,
     offsetof(calibrate_args, images), .completion = CLI_COMPLETE_FOLDERS},
    {"output", 'o', "FILE", "the calibration file to write", CLI_TEXT, offsetof(calibrate_args, output),
     .completion = CLI_COMPLETE_FILES},
    {"method", 0, "METHOD",
     "how ranges follow from what was seen: percentile, mse, entropy, minmax (default: percentile)", CLI_CHOICE,
     offsetof(calibrate_args, method), .choices = methods},
    {"random", 0, NULL, "random pixels instead of pictures: to see what that costs", CLI_FLAG,
     offsetof(calibrate_args, random)},
    {"limit", 0, "N", "look at N pictures, spread over those there are (default: all; random: 100)", CLI_INT,
     offsetof(calibrate_args, limit), .least = 1, .most = 100000},
    {"judged", 0, "N",
     "pictures to measure each operator's sensitivity with; 0: every operator runs in int8 (default: 8; random: 0)",
     CLI_INT, offsetof(calibrate_args, judged), .least = 0, .most = 1000},
    {"max-error", 0, "E", "what int8 may change in what the decoder sees, relative and squared (default: 0.01)",
     CLI_REAL, offsetof(calibrate_args, max_error), .least = 1e-9, .most = 1e9},
    {"size", 's', "WxH",
     "input of the network in pixels, multiples of 32; one number stands for both (default: as trained)", CLI_SIZE,
     offsetof(calibrate_args, size)},
    {"threads", 't', "N", "threads (default: one for each core)", CLI_INT, offsetof(calibrate_args, threads),
     .least = 1, .most = 1024},
    {"device", 0, "DEVICE", "cpu, cuda or cuda:N, a GPU by its number; the file serves both (default: cpu)", CLI_DEVICE,
     offsetof(calibrate_args, device)},
    {"cpu", 0, "LEVEL", CLI_CPU_HELP, CLI_CHOICE, offsetof(calibrate_args, cpu), .choices = cli_cpu_levels},
};

typedef struct {
    const calibrate_args *args;
    cli_progress bar;
    const char *stage; // that the bar shows
} shown;

// What was asked for beyond the pictures that there are.
static void tell_fewer(const calibrate_args *args, int pictures) {
    if (args->limit > pictures) cli_note("--limit %d: %d pictures can be read, all are used.", args->limit, pictures);
    if (args->judged > pictures) cli_note("--judged %d: all %d pictures are used.", args->judged, pictures);
}

static void show_progress(void *arg, const char *stage, int done, int total) {
    shown *state = arg;
    if (!state->stage) tell_fewer(state->args, total); // the first stage goes over all of them
    if (!state->stage || strcmp(state->stage, stage)) {
        if (state->stage) cli_progress_end(&state->bar);
        cli_progress_start(&state->bar, strcmp(stage, "ranges") ? "operators" : "images", 0, total);
        state->stage = stage;
    }
    cli_progress_show(&state->bar, done);
}

static void show_skipped(void *arg, const char *message) {
    (void)arg;
    cli_error("%s", message);
}

static cfine_status calibrate(const calibrate_args *args, const cli_inputs *inputs, cfine_error *error) {
    cfine_model *model;
    shown state = {.args = args};
    cfine_status status = args->cpu ? cfine_cpu_limit(cli_cpu_levels[args->cpu], error) : CFINE_OK;
    if (status != CFINE_OK || (status = cfine_model_open(args->model, &model, error)) != CFINE_OK) return status;
    cfine_calibrate_options wanted = CFINE_INIT(cfine_calibrate_options);
    wanted.method = method_of[args->method];
    wanted.limit = args->limit;
    wanted.random = args->random;
    wanted.judged = args->judged == 0 ? -1 : args->judged < 0 ? 0 : args->judged;
    wanted.max_error = args->max_error;
    wanted.width = args->size[0];
    wanted.height = args->size[1];
    wanted.threads = args->threads;
    wanted.device = args->device;
    wanted.progress = show_progress;
    wanted.skipped = show_skipped;
    wanted.arg = &state;
    status = cfine_calibrate(model, (const char *const *)inputs->paths, inputs->count, &wanted, args->output, error);
    if (state.stage) cli_progress_end(&state.bar);
    cfine_model_close(model);
    return status;
}

static int run_verb(int argc, char **argv) {
    calibrate_args args = {.judged = -1};
    int operands, status;
    if (!cli_parse(&cli_verb_calibrate, argc, argv, &args, &operands, &status)) return status;
    if (!args.output) return cli_usage(&cli_verb_calibrate, "--output is needed: the calibration file to write");
    if (!args.images == !args.random)
        return cli_usage(&cli_verb_calibrate, "either --images, a folder of pictures, or --random");
    if (!cli_output_check(args.output)) return CLI_FAILED;
    cli_inputs inputs = {0};
    char *words[] = {(char *)args.images};
    if (args.images) cli_inputs_expand(words, 1, &inputs);
    cfine_error error;
    int failed = inputs.failed > 0;
    for (size_t i = 0; i < inputs.count && !failed; i++) failed = !cli_output_spares(args.output, inputs.paths[i]);
    if (!failed && calibrate(&args, &inputs, &error) != CFINE_OK) {
        cli_error("%s", error.message);
        failed = 1;
    }
    cli_inputs_release(&inputs);
    return failed ? CLI_FAILED : CLI_OK;
}

const cli_verb cli_verb_calibrate = {
    .name = "calibrate",
    .summary = "find the ranges that int8 needs, from pictures",
    .operands = "",
    .about = "Runs the model in FP32 over pictures, records the range of every value, and measures which operators\n"
             "lose least in int8; the others stay in bf16. The file is JSON and belongs to this model alone. Pictures\n"
             "that cannot be read are reported and left out.\n",
    .example = "cfine calibrate --model dfine-nano-coco --images photos/ -o nano.json\n"
               "cfine detect --model dfine-nano-coco --precision int8 --calibration nano.json photo.jpg\n"
               "cfine build --model dfine-nano-coco --precision int8 --calibration nano.json -o nano.plan\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
