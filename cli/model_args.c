// SPDX-License-Identifier: Apache-2.0
#include "model_args.h"

#include <stdio.h>
#include <string.h>

#include "common/calibration_size.h"
#include "message.h"

const char *const cli_precision_choices[] = {"default", "fp32", "bf16", "fp16", "int8", "fp8", NULL};
const char *const cli_precisions[] = {"fp32", "bf16", "fp16", "int8", "fp8", NULL};
const char *const cli_cpu_levels[] = {"native",     "scalar",     "avx2",       "avxvnni", "avx512",
                                      "avx512vnni", "avx512bf16", "avx512fp16", "amx",     NULL};
const char *const cli_auto[] = {"auto", NULL};

void cli_read_devices(cli_model_args *args, cli_devices *out) {
    *out = (cli_devices){.count = 1, .on_gpu = args->device && strncmp(args->device, "cuda", 4) == 0};
    if (!args->device || !strchr(args->device, ',')) return;
    const char *at = args->device + strlen("cuda:");
    for (out->count = 0; at[-1]; out->count++) {
        size_t length = strcspn(at, ",");
        snprintf(out->names[out->count], sizeof *out->names, "cuda:%.*s", (int)length, at);
        at += length + 1;
    }
    args->device = out->names[0];
}

const char *cli_model_name(const cli_model_args *args) {
    return args->model ? args->model : "bundled model";
}

int cli_is_plan_name(const char *model) {
    const char *dot = model ? strrchr(model, '.') : NULL;
    return dot && strcmp(dot, ".plan") == 0;
}

cfine_status cli_open_options(const cli_model_args *args, cfine_open_options *out, cfine_error *error) {
    *out = CFINE_INIT(cfine_open_options);
    out->plan = CFINE_INIT(cfine_plan_options);
    out->plan.precision = (cfine_precision)args->precision;
    out->plan.batch = args->batch;
    out->plan.width = args->size[0];
    out->plan.height = args->size[1];
    out->plan.queries = args->queries;
    out->plan.decoder_layers = args->decoder_layers;
    out->plan.threads = args->threads;
    out->plan.device = args->device;
    out->plan.calibration = args->calibration;
    out->session = CFINE_INIT(cfine_session_options);
    out->session.threads = args->threads;
    return args->cpu ? cfine_cpu_limit(cli_cpu_levels[args->cpu], error) : CFINE_OK;
}

cfine_status cli_open_session(const cli_model_args *args, int profile, cfine_session **out, cfine_error *error) {
    cfine_open_options options;
    cfine_status status = cli_open_options(args, &options, error);
    options.session.profile = profile;
    if (status == CFINE_OK) status = cfine_open(args->model, &options, out, error);
    if (status == CFINE_OK) cli_note_calibration(args->calibration, cfine_session_plan(*out));
    return status;
}

void cli_note_calibration(const char *file, const cfine_plan *plan) {
    char text[1024];
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    if (!file || cfine_plan_get_info(plan, &info, NULL) != CFINE_OK) return;
    if (common_calibration_size(file, &info, text, sizeof text)) cli_note("%s", text);
}
