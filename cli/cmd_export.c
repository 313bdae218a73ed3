// SPDX-License-Identifier: Apache-2.0
// `cfine export`: a model as an ONNX file, for the engines of others.
#include <stdlib.h>
#include <string.h>

#include "cfine/cfine.h"
#include "message.h"
#include "model_args.h"
#include "output_file.h"
#include "verbs.h"

typedef struct {
    cli_model_args model; // what shapes the network; batch is a text, as it may be "dynamic"
    const char *output, *batch;
    int detections, precision;
} export_args;

static const char *const precisions[] = {"fp32", "fp16", NULL};

static const cli_option options[] = {
    CLI_CHECKPOINT_OPTION(export_args, model),
    {"output", 'o', "FILE", "the ONNX file to write", CLI_TEXT, offsetof(export_args, output),
     .completion = CLI_COMPLETE_FILES},
    {"batch", 'b', "N", "images per run: a number, or \"dynamic\" (default: dynamic)", CLI_TEXT,
     offsetof(export_args, batch)},
    {"size", 's', "WxH",
     "input of the network in pixels, multiples of 32; one number stands for both (default: as trained)", CLI_SIZE,
     offsetof(export_args, model.size)},
    {"queries", 'q', "N", "object queries (default: as trained)", CLI_INT, offsetof(export_args, model.queries),
     .least = 1, .most = 100000},
    {"decoder-layers", 0, "N", "decoder layers to keep (default: all)", CLI_INT,
     offsetof(export_args, model.decoder_layers), .least = 1, .most = 100},
    {"precision", 'p', "P", "of the file: fp32, fp16 (default: fp32)", CLI_CHOICE, offsetof(export_args, precision),
     .choices = precisions},
    {"detections", 0, "N", "with post-processing: the best N of an image, instead of raw outputs", CLI_INT,
     offsetof(export_args, detections), .least = 1, .most = 100000},
};

static int export_model(const export_args *args, int batch) {
    cfine_export_options shape = CFINE_INIT(cfine_export_options);
    shape.precision = args->precision ? CFINE_FP16 : CFINE_FP32;
    shape.detections = args->detections;
    shape.batch = batch;
    shape.width = args->model.size[0];
    shape.height = args->model.size[1];
    shape.queries = args->model.queries;
    shape.decoder_layers = args->model.decoder_layers;
    cfine_model *model;
    cfine_error error;
    cfine_status status = cfine_model_open(args->model.model, &model, &error);
    if (status == CFINE_OK) {
        status = cfine_model_export_onnx(model, &shape, args->output, &error);
        cfine_model_close(model);
    }
    if (status == CFINE_OK) return CLI_OK;
    cli_error("%s", error.message);
    return CLI_FAILED;
}

static int run_verb(int argc, char **argv) {
    export_args args = {0};
    int operands, status;
    if (!cli_parse(&cli_verb_export, argc, argv, &args, &operands, &status)) return status;
    if (!args.output) return cli_usage(&cli_verb_export, "--output is needed: the file to write");
    long batch = 0;
    if (args.batch && strcmp(args.batch, "dynamic") != 0) {
        char *end;
        batch = strtol(args.batch, &end, 10);
        if (end == args.batch || *end || batch < 1 || batch > 1024)
            return cli_usage(&cli_verb_export, "--batch: '%s' is neither \"dynamic\" nor 1 to 1024", args.batch);
    }
    if (!cli_output_check(args.output) || (args.model.model && !cli_output_spares(args.output, args.model.model)))
        return CLI_FAILED;
    return export_model(&args, (int)batch);
}

const cli_verb cli_verb_export = {
    .name = "export",
    .summary = "write a model as an ONNX file for other engines",
    .operands = "",
    .about = "The file has opset 17: input pixel_values [batch, 3, height, width], RGB 0..1; outputs\n"
             "logits [batch, queries, labels] and pred_boxes [batch, queries, 4] (centre and size, 0..1). With\n"
             "--detections a second input, orig_target_sizes [batch, 2] (int64: width, height of the pictures), and\n"
             "outputs labels (int64), boxes (corners in their pixels) and scores, best first. FP16 keeps inputs,\n"
             "outputs and what makes boxes in FP32.\n",
    .example = "cfine export --model dfine-nano-coco -o nano.onnx\n"
               "cfine export --model dfine-small-coco --batch 8 --size 512x512 -o small.onnx\n"
               "cfine export --model dfine-small-coco --precision fp16 --detections 300 -o found.onnx\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
