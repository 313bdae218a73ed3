// SPDX-License-Identifier: Apache-2.0
// `cfine info`: what a model is, and what running it takes.
#include <stdio.h>
#include <stdlib.h>

#include "cfine/cfine.h"
#include "common/failure.h"
#include "heap.h"
#include "message.h"
#include "model_args.h"
#include "report.h"
#include "verbs.h"

typedef struct {
    cli_model_args model;
    int json, labels, graph, passes, plan;
} info_args;

static const cli_option options[] = {
    {"json", 'j', NULL, "print one JSON object", CLI_FLAG, offsetof(info_args, json)},
    {"labels", 'l', NULL, "list the names of the classes", CLI_FLAG, offsetof(info_args, labels)},
    {"graph", 'g', NULL, "print the network as built, an operator a line, instead", CLI_FLAG,
     offsetof(info_args, graph)},
    {"passes", 0, NULL, "print the network after the graph passes, instead", CLI_FLAG, offsetof(info_args, passes)},
    {"plan", 0, NULL, "print the steps of the plan with their kernels, instead", CLI_FLAG, offsetof(info_args, plan)},
    CLI_RUN_OPTIONS(info_args, model),
};

// What is shown. A plan file has no model.
typedef struct {
    const char *name;
    cfine_model *model;
    cfine_plan *plan;
    cfine_model_info model_info;
    cfine_plan_info plan_info;
    cfine_accuracy measured; // images 0: nothing was
    cfine_error unfit;       // plan is NULL: why there is none of the model as it is
} subject;

static int is_given(const cfine_plan_options *o) {
    return o->width || o->queries || o->decoder_layers || o->batch || o->precision || o->calibration || o->device;
}

// A model that cannot run as it is (a .pth tells neither size nor queries, for which defaults stand) is described
// without a plan.
static cfine_status open_subject(subject *it, const cfine_plan_options *plan_options, cfine_error *error) {
    it->model_info = CFINE_INIT(cfine_model_info);
    it->plan_info = CFINE_INIT(cfine_plan_info);
    cfine_status status;
    if (cli_is_plan_name(it->name)) {
        status = cfine_plan_open(it->name, &it->plan, error);
        cfine_error why;
        if (status == CFINE_OK && (status = cfine_plan_check(it->plan, plan_options, &why)) != CFINE_OK)
            common_fail(error, status, "%s: %s", it->name, why.message);
    } else {
        status = cfine_model_open(it->name, &it->model, error);
        if (status == CFINE_OK) status = cfine_model_get_info(it->model, &it->model_info, error);
        if (status == CFINE_OK) status = cfine_plan_build(it->model, plan_options, &it->plan, error);
        if (status == CFINE_ERROR_ARGUMENT && it->model && !is_given(plan_options)) {
            const cfine_model_info *model = &it->model_info;
            it->unfit = *error;
            it->plan_info.family = model->family, it->plan_info.size = model->size;
            it->plan_info.labels = model->labels, it->plan_info.queries = model->queries;
            it->plan_info.decoder_layers = model->decoder_layers;
            return CFINE_OK;
        }
    }
    it->measured = CFINE_INIT(cfine_accuracy);
    if (status == CFINE_OK) status = cfine_plan_get_info(it->plan, &it->plan_info, error);
    return status == CFINE_OK ? cfine_plan_get_accuracy(it->plan, &it->measured, error) : status;
}

static void print_measured(const subject *it) {
    const cfine_accuracy *measured = &it->measured;
    printf("accuracy     AP %.4f, AP50 %.4f on %d pictures (", measured->ap, measured->ap50, measured->images);
    cli_print_text(stdout, measured->data);
    printf("); FP32 as trained %.4f (%+.2f %%)\n", measured->reference_ap,
           measured->reference_ap > 0 ? 100 * (measured->ap / measured->reference_ap - 1) : 0);
    if (measured->milliseconds <= 0) return;
    printf("speed        %.2f ms a run, %.1f images/s, on ", measured->milliseconds,
           it->plan_info.batch * 1e3 / measured->milliseconds);
    cli_print_text(stdout, measured->machine);
    putchar('\n');
}

static void print_text(const subject *it) {
    const cfine_model_info *model = &it->model_info;
    const cfine_plan_info *plan = &it->plan_info;
    printf("model        %s %s\n", plan->family, plan->size);
    if (it->model) {
        fputs("source       ", stdout);
        cli_print_text(stdout, model->source);
        printf("\nparameters   %.2f million, %.1f MB as stored\n", (double)model->parameters / 1e6,
               (double)model->weight_bytes / 1e6);
        printf("input        %dx%d, %d feature levels\n", model->width, model->height, model->levels);
    } else {
        fputs("source       ", stdout);
        cli_print_text(stdout, it->name);
        putchar('\n');
    }
    printf("classes      %d\n", plan->labels);
    printf("queries      %d, %d decoder layers\n", plan->queries, plan->decoder_layers);
    if (!it->plan) {
        fputs("plan         none: ", stdout);
        cli_print_text(stdout, it->unfit.message);
        putchar('\n');
        return;
    }
    printf("plan         %s, batch %d, %dx%d, %d steps\n", cli_precisions[plan->precision - CFINE_FP32], plan->batch,
           plan->width, plan->height, plan->steps);
    printf("device       %s\n", plan->device);
    printf("arithmetic   %.2f GFLOP an image\n", plan->flops / 1e9);
    if (it->measured.images) print_measured(it);
    printf("memory       %.1f MB weights, %.1f MB for each session\n", (double)plan->weight_bytes / 1e6,
           (double)plan->workspace_bytes / 1e6);
}

static const char *label_of(const subject *it, int i) {
    return it->plan ? cfine_plan_label(it->plan, i) : cfine_model_label(it->model, i);
}

static void print_labels_text(const subject *it) {
    for (int i = 0; i < it->plan_info.labels; i++) {
        const char *label = label_of(it, i);
        printf("%5d  ", i);
        cli_print_text(stdout, label ? label : "?");
        putchar('\n');
    }
}

static void print_json_plan(const subject *it) {
    const cfine_plan_info *plan = &it->plan_info;
    printf(", \"precision\": \"%s\", \"batch\": %d, \"width\": %d, \"height\": %d, \"steps\": %d, \"device\": ",
           cli_precisions[plan->precision - CFINE_FP32], plan->batch, plan->width, plan->height, plan->steps);
    cli_print_json_text(stdout, plan->device);
    const cfine_accuracy *measured = &it->measured;
    if (measured->images) {
        printf(
            ", \"AP\": %.10g, \"AP50\": %.10g, \"reference_AP\": %.10g, \"measured_images\": %d, \"measured_data\": ",
            measured->ap, measured->ap50, measured->reference_ap, measured->images);
        cli_print_json_text(stdout, measured->data);
        printf(", \"measured_ms\": %.4f, \"measured_on\": ", measured->milliseconds);
        cli_print_json_text(stdout, measured->machine);
    }
    printf(", \"flops\": %.0f, \"weight_bytes\": %lld, \"workspace_bytes\": %lld", plan->flops,
           (long long)plan->weight_bytes, (long long)plan->workspace_bytes);
}

static void print_json(const subject *it) {
    const cfine_model_info *model = &it->model_info;
    const cfine_plan_info *plan = &it->plan_info;
    fputs("{\"family\": ", stdout);
    cli_print_json_text(stdout, plan->family);
    fputs(", \"size\": ", stdout);
    cli_print_json_text(stdout, plan->size);
    fputs(", \"source\": ", stdout);
    cli_print_json_text(stdout, it->model ? model->source : it->name);
    if (it->model)
        printf(", \"parameters\": %lld, \"stored_bytes\": %lld, \"trained_width\": %d, \"trained_height\": %d, "
               "\"levels\": %d",
               (long long)model->parameters, (long long)model->weight_bytes, model->width, model->height,
               model->levels);
    printf(", \"classes\": %d, \"queries\": %d, \"decoder_layers\": %d", plan->labels, plan->queries,
           plan->decoder_layers);
    if (it->plan) {
        print_json_plan(it);
    } else {
        fputs(", \"no_plan\": ", stdout);
        cli_print_json_text(stdout, it->unfit.message);
    }
    fputs(", \"labels\": [", stdout);
    for (int i = 0; i < plan->labels; i++) {
        const char *label = label_of(it, i);
        if (i) fputs(", ", stdout);
        cli_print_json_text(stdout, label ? label : "?");
    }
    puts("]}");
}

// Which kernel runs each step: a session knows.
static cfine_status print_plan(const subject *it, cfine_error *error) {
    cfine_session *session;
    cfine_session_options session_options = CFINE_INIT(cfine_session_options);
    session_options.threads = 1; // nothing is run
    session_options.profile = 1;
    cfine_status status = cfine_session_open(it->plan, &session_options, &session, error);
    if (status != CFINE_OK) return status;
    size_t count = cfine_session_step_times(session, NULL, 0);
    cfine_step_time *steps = cli_alloc(count, sizeof *steps);
    cfine_session_step_times(session, steps, count);
    printf("%-14s %-28s %9s  %s\n", "operator", "kernel", "MFLOP", "step");
    for (size_t i = 0; i < count; i++) {
        cfine_tried tried[16];
        size_t timed = cfine_plan_tried(it->plan, i, tried, sizeof tried / sizeof *tried);
        printf("%-14s %-28s %9.2f  %s", steps[i].op, steps[i].kernel, steps[i].flops / 1e6, steps[i].name);
        for (size_t k = 0; k < timed && k < sizeof tried / sizeof *tried; k++)
            printf("%s%s %.3f", k ? ", " : "  [ms: ", tried[k].kernel, tried[k].milliseconds);
        puts(timed ? "]" : "");
    }
    free(steps);
    cfine_session_close(session);
    return CFINE_OK;
}

static cfine_status show(const info_args *args, subject *it, cfine_error *error) {
    cfine_open_options open_options;
    cfine_status status = cli_open_options(&args->model, &open_options, error);
    if (status != CFINE_OK) return status;
    if (args->graph || args->passes) {
        status = cfine_model_open(it->name, &it->model, error);
        if (status != CFINE_OK) return status;
        return cfine_model_dump_graph(it->model, &open_options.plan, args->passes, stdout, error);
    }
    status = open_subject(it, &open_options.plan, error);
    if (status != CFINE_OK) return status;
    cli_note_calibration(args->model.calibration, it->plan);
    if (args->plan && !it->plan) return common_fail(error, it->unfit.status, "%s", it->unfit.message);
    if (args->plan) return print_plan(it, error);
    if (args->json)
        print_json(it);
    else
        print_text(it);
    if (args->labels && !args->json) print_labels_text(it);
    return CFINE_OK;
}

static int run(int argc, char **argv) {
    info_args args = {0};
    int operands, status;
    if (!cli_parse(&cli_verb_info, argc, argv, &args, &operands, &status)) return status;
    if (args.graph + args.passes + args.plan + (args.json || args.labels) > 1)
        return cli_usage(&cli_verb_info,
                         "--graph, --passes, --plan and --json or --labels print different things: one of them");
    subject it = {.name = operands ? argv[1] : NULL};
    cfine_error error;
    if (show(&args, &it, &error) != CFINE_OK) {
        cli_error("%s", error.message);
        status = CLI_FAILED;
    }
    cfine_plan_close(it.plan);
    cfine_model_close(it.model);
    return status;
}

const cli_verb cli_verb_info = {
    .name = "info",
    .summary = "describe a model",
    .operands = "[MODEL]",
    .operands_most = 1,
    .about = "A MODEL is a directory of Hugging Face, an official .pth, a .plan, or the name of a bundled or pulled\n"
             "model; the bundled one if none is given.\n",
    .example = "cfine info\n"
               "cfine info dfine-nano-coco --labels\n"
               "cfine info checkpoint.pth --passes --size 320x320\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .completion = CLI_COMPLETE_FILES,
    .run = run,
};
