// SPDX-License-Identifier: Apache-2.0
// `cfine build`: a model compiled into a plan file, which opens in milliseconds.
#include <stdio.h>

#include "cfine/cfine.h"
#include "message.h"
#include "model_args.h"
#include "output_file.h"
#include "verbs.h"

typedef struct {
    cli_model_args model;
    const char *output;
    int quick;
} build_args;

static const cli_option options[] = {
    CLI_CHECKPOINT_OPTION(build_args, model),
    CLI_RUN_OPTIONS(build_args, model),
    {"output", 'o', "FILE", "the plan file to write", CLI_TEXT, offsetof(build_args, output),
     .completion = CLI_COMPLETE_FILES},
    {"quick", 0, NULL, "take kernels in their usual order instead of timing them", CLI_FLAG,
     offsetof(build_args, quick)},
};

static void describe(const cfine_plan *plan, const char *path) {
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    if (cfine_plan_get_info(plan, &info, NULL) != CFINE_OK) return;
    printf("%s: %s %s, %s, %dx%d, batch %d, %d queries; %d steps, %.1f MB of weights, %.1f MB of workspace\n", path,
           info.family, info.size, cli_precisions[info.precision - CFINE_FP32], info.width, info.height, info.batch,
           info.queries, info.steps, (double)info.weight_bytes / 1e6, (double)info.workspace_bytes / 1e6);
}

static cfine_status build(const build_args *args, cfine_error *error) {
    cfine_open_options options_of_plan;
    cfine_model *model;
    cfine_plan *plan = NULL;
    cfine_status status = cli_open_options(&args->model, &options_of_plan, error);
    if (status != CFINE_OK || (status = cfine_model_open(args->model.model, &model, error)) != CFINE_OK) return status;
    options_of_plan.plan.struct_size = sizeof options_of_plan.plan;
    if (!options_of_plan.plan.threads) options_of_plan.plan.threads = options_of_plan.session.threads;
    options_of_plan.plan.tune = !args->quick;
    status = cfine_plan_build(model, &options_of_plan.plan, &plan, error);
    if (status == CFINE_OK) status = cfine_plan_save(plan, args->output, error);
    if (status == CFINE_OK) cli_note_calibration(args->model.calibration, plan);
    if (status == CFINE_OK) describe(plan, args->output);
    cfine_plan_close(plan);
    cfine_model_close(model);
    return status;
}

static int run_verb(int argc, char **argv) {
    build_args args = {0};
    int operands, status;
    if (!cli_parse(&cli_verb_build, argc, argv, &args, &operands, &status)) return status;
    if (!args.output) return cli_usage(&cli_verb_build, "--output is needed: the plan file to write");
    if (!cli_output_check(args.output)) return CLI_FAILED;
    cfine_error error;
    if (build(&args, &error) == CFINE_OK) return CLI_OK;
    cli_error("%s", error.message);
    return CLI_FAILED;
}

const cli_verb cli_verb_build = {
    .name = "build",
    .summary = "compile a model into a plan file",
    .operands = "",
    .about = "A plan holds the packed weights and every decision for one kind of processor; every verb takes it as\n"
             "--model. The kernels of each step are timed on this machine, best left alone meanwhile, and the\n"
             "fastest is taken; `cfine info --plan FILE.plan` shows the times. A plan is refused, with what to do,\n"
             "where version or processor do not fit.\n",
    .example = "cfine build --model dfine-nano-coco --precision bf16 -o nano.plan\n"
               "cfine detect --model nano.plan photo.jpg\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
