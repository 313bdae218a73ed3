// SPDX-License-Identifier: Apache-2.0
// cfine.h: plans. checkpoint -> graph -> passes -> plan, one line each, in cfine_plan_build.
#include <stdlib.h>

#include "api/handles.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "graph/passes/passes.h"
#include "model/model.h"
#include "plan/planfile.h"
#include "quant/assign_int8.h"

enum { MAX_BATCH = 1024 };

static int is_calibrated(cfine_precision precision) {
    return precision == CFINE_INT8 || precision == CFINE_FP8;
}

// The faster 16-bit type. AMX multiplies bf16 alone, AVX-512 FP16 four times as fast as AVX-512 BF16.
static cf_dtype half_of(const cf_target *target) {
    if (target->backend == CF_CUDA) return CF_F16;
    int fp16 = target->features & CF_CPU_AVX512_FP16 && !(target->features & CF_CPU_AMX_BF16);
    return fp16 ? CF_F16 : CF_BF16;
}

cfine_precision cfine_half_precision(const char *device) {
    cf_target target = {.backend = CF_CPU, .features = cf_cpu_features()};
    int32_t ordinal;
    if (cf_parse_device(device, &target.backend, &ordinal, NULL) != CFINE_OK) return CFINE_BF16;
    return half_of(&target) == CF_F16 ? CFINE_FP16 : CFINE_BF16;
}

static cfine_status check_options(const cfine_plan_options *options, cfine_error *error) {
    if (options->batch < 0 || options->batch > MAX_BATCH)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "batch: %d is not between 1 and %d", options->batch, MAX_BATCH);
    if (options->threads < 0) return cf_fail(error, CFINE_ERROR_ARGUMENT, "threads: %d is negative", options->threads);
    if (options->calibration && !is_calibrated(options->precision))
        return cf_fail(error, CFINE_ERROR_ARGUMENT,
                       "calibration %s: is for the precisions int8 and fp8 alone; ask for one of them too, or leave "
                       "the calibration out",
                       options->calibration);
    int on_gpu = options->device && !strncmp(options->device, "cuda", 4);
    switch (options->precision) {
    case CFINE_PRECISION_DEFAULT:
    case CFINE_FP32:
    case CFINE_BF16:
    case CFINE_INT8: return CFINE_OK;
    case CFINE_FP16:
        if (on_gpu || options->reference || cf_cpu_features() & CF_CPU_AVX512_FP16) return CFINE_OK;
        return cf_fail(error, CFINE_ERROR_UNSUPPORTED,
                       "precision fp16: needs a GPU or a processor with AVX-512 FP16; use bf16");
    case CFINE_FP8:
        if (!on_gpu)
            return cf_fail(error, CFINE_ERROR_UNSUPPORTED,
                           "precision fp8: needs a GPU of compute capability 8.9 or newer; on a CPU use int8");
        return CFINE_OK;
    }
    return cf_fail(error, CFINE_ERROR_ARGUMENT, "precision: %d is none of fp32, bf16, fp16, int8, fp8",
                   (int)options->precision);
}

// After the device is found: whoever has none need not calibrate for it.
static cfine_status check_calibrated(const cfine_plan_options *options, cfine_error *error) {
    if (!is_calibrated(options->precision) || options->calibration || options->random_ranges) return CFINE_OK;
    return cf_fail(error, CFINE_ERROR_ARGUMENT,
                   "precision %s needs a calibration: cfine calibrate --model MODEL --images DIR -o FILE, then "
                   "--calibration FILE",
                   options->precision == CFINE_FP8 ? "fp8" : "int8");
}

cfine_status cf_parse_device(const char *device, cf_backend *backend, int32_t *ordinal, cfine_error *error) {
    *backend = CF_CPU;
    *ordinal = 0;
    if (!device || !strcmp(device, "cpu")) return CFINE_OK;
    *backend = CF_CUDA;
    if (!strcmp(device, "cuda")) return CFINE_OK;
    char *end = NULL;
    long number = strncmp(device, "cuda:", 5) ? -1 : strtol(device + 5, &end, 10);
    if (number < 0 || number >= CF_CUDA_MAX_DEVICES || *end || end == device + 5)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "device '%s': must be cpu, cuda, or cuda:N with N from 0 to %d",
                       device, CF_CUDA_MAX_DEVICES - 1);
    *ordinal = (int32_t)number;
    return CFINE_OK;
}

cfine_status cf_find_target(const char *device, uint32_t features, cf_plan_request *request, cfine_error *error) {
    request->target = (cf_target){CF_CPU, features, 0};
    CF_TRY(cf_parse_device(device, &request->target.backend, &request->ordinal, error));
    if (request->target.backend == CF_CPU) return CFINE_OK;
    cf_cuda_device gpu;
    CF_TRY(cf_cuda_describe(request->ordinal, &gpu, error));
    request->target = (cf_target){CF_CUDA, 0, gpu.compute};
    request->threads = gpu.multiprocessors;
    return CFINE_OK;
}

static cf_plan_request request_of(const cfine_plan_options *options) {
    return (cf_plan_request){.precision = options->precision ? options->precision : CFINE_FP32,
                             .batch = options->batch ? options->batch : 1,
                             .threads = options->threads ? options->threads : cf_cpu_count(),
                             .reference = options->reference,
                             .tune = options->tune,
                             .random_ranges = is_calibrated(options->precision) && !options->calibration};
}

// What can run in int8 or FP8: on a GPU all that pays by the kernels' times or estimates, on a CPU by operations.
static cfine_status assign_int8(cf_graph *graph, const cf_calibration *calibration, const cf_plan_request *request,
                                cfine_error *error) {
    if (request->target.backend == CF_CPU) {
        int tiles = request->target.features & CF_CPU_AMX_INT8;
        return cf_assign_int8(graph, calibration, tiles ? &cf_byte_costs_tiles : &cf_byte_costs_vectors, error);
    }
    cf_pricer *pricer;
    CF_TRY(cf_pricer_create(request, &pricer, error));
    cf_dtype stored = request->precision == CFINE_FP8 ? CF_E4M3 : CF_U8;
    cfine_status status = cf_assign_bytes_by_price(graph, calibration, stored, pricer, error);
    cf_pricer_destroy(pricer);
    return status;
}

// The precisions of a graph's values. What int8 leaves alone runs in the faster 16-bit type of the device. size [2]
// gets that of the calibration's input.
static cfine_status assign_precision(cf_graph *graph, const cfine_model *model, const cfine_plan_options *options,
                                     const cf_plan_request *request, int32_t *size, cfine_error *error) {
    if (request->precision == CFINE_FP32 || options->reference) return CFINE_OK;
    cf_dtype half = request->precision == CFINE_FP16   ? CF_F16
                    : request->precision == CFINE_BF16 ? CF_BF16
                                                       : half_of(&request->target);
    CF_TRY(cf_assign_half(graph, half, error));
    if (request->target.features & CF_CPU_AMX_BF16 && request->target.backend == CF_CPU && half == CF_BF16)
        graph->values[graph->input].dtype = CF_BF16; // which a raised reader takes back
    if (!is_calibrated(request->precision)) return CFINE_OK;
    cf_calibration *calibration;
    CF_TRY(options->calibration ? cf_calibration_read(options->calibration, &calibration, error)
                                : cf_calibrate_for_timing(model, options, &calibration, error));
    for (size_t i = 0; i < options->operator_count && options->operators; i++)
        if (options->operators[i].name && !is_calibrated(options->operators[i].precision))
            cf_calibration_leave(calibration, options->operators[i].name);
    size[0] = calibration->width, size[1] = calibration->height;
    cfine_status status = assign_int8(graph, calibration, request, error);
    cf_calibration_destroy(calibration);
    return status == CFINE_OK || !options->calibration ? status
                                                       : cf_fail_within(error, status, "%s", options->calibration);
}

// Copies what a plan must know of its model to work without it.
static cfine_status describe(cf_plan *plan, const cf_checkpoint *checkpoint, const cfine_plan_options *options,
                             cfine_error *error) {
    const cf_model_config *config = &checkpoint->config;
    snprintf(plan->family, sizeof plan->family, "%s", cf_model_family_name(config->family));
    snprintf(plan->size, sizeof plan->size, "%s", checkpoint->size);
    plan->decoder_layers = options->decoder_layers ? options->decoder_layers : config->decoder.layers;
    plan->detections = config->family == CF_FAMILY_DEIMV2 ? 300 : plan->queries;
    plan->preprocess = config->preprocess;
    plan->label_names = cf_alloc((size_t)plan->labels, sizeof *plan->label_names);
    if (!plan->label_names) return cf_fail_memory(error, "label names", (size_t)plan->labels);
    for (int i = 0; i < plan->labels; i++) {
        plan->label_names[i] = cf_strdup(config->label_names[i]);
        if (!plan->label_names[i]) return cf_fail_memory(error, "label names", (size_t)plan->labels);
    }
    return CFINE_OK;
}

static cfine_status wrap(cf_plan *plan, cfine_plan **out, cfine_error *error) {
    cfine_plan *handle = cf_alloc(1, sizeof *handle);
    if (!handle) {
        cf_plan_release(plan);
        return cf_fail_memory(error, "plan", sizeof *handle);
    }
    handle->plan = plan;
    const cf_target *target = &plan->request.target;
    if (target->backend == CF_CUDA) {
        snprintf(handle->device, sizeof handle->device, "cuda: compute capability %d.%d", target->compute / 10,
                 target->compute % 10);
    } else {
        snprintf(handle->device, sizeof handle->device, "cpu: ");
        cf_cpu_describe(target->features, handle->device + 5, sizeof handle->device - 5);
    }
    *out = handle;
    return CFINE_OK;
}

static cfine_status refuse_auto_batch(cfine_error *error) {
    return cf_fail(error, CFINE_ERROR_ARGUMENT,
                   "batch auto: is for GPUs; on a CPU name a number, larger ones are hardly faster there");
}

// The batch that CFINE_BATCH_AUTO stands for: a small plan tells what an image takes.
static cfine_status find_batch(const cfine_model *model, cfine_plan_options *options, cfine_error *error) {
    enum { SESSIONS = 2, ROUND = 8 };
    cfine_plan_options small = *options;
    small.batch = ROUND;
    small.tune = 0;
    cf_backend backend;
    int32_t ordinal;
    CF_TRY(cf_parse_device(options->device, &backend, &ordinal, error));
    if (backend != CF_CUDA) return refuse_auto_batch(error);
    cfine_plan *plan;
    CF_TRY(cfine_plan_build(model, &small, &plan, error));
    int fits;
    cfine_status status = cf_session_fitting(plan->plan, ordinal, SESSIONS, &fits, error);
    cfine_plan_close(plan);
    if (fits > CFINE_BATCH_AUTO_MOST) fits = CFINE_BATCH_AUTO_MOST;
    options->batch = fits > ROUND ? fits / ROUND * ROUND : fits > 1 ? fits : 1;
    return status;
}

static cfine_status build(const cfine_model *model, const cfine_plan_options *options, const cf_plan_request *request,
                          cf_plan **out, cfine_error *error) {
    *out = NULL;
    cf_model_options shape = {options->width, options->height, options->queries, options->decoder_layers};
    cf_graph *graph;
    int32_t calibrated[2] = {0};
    CF_TRY(cf_model_build(model->checkpoint, &shape, &graph, error));
    cfine_status status = options->reference ? CFINE_OK : cf_passes_run(graph, error);
    if (status == CFINE_OK) status = assign_precision(graph, model, options, request, calibrated, error);
    if (status == CFINE_OK && !options->reference) status = cf_raise_operators(graph, options, error);
    if (status == CFINE_OK && !options->reference && request->target.backend == CF_CPU &&
        request->precision != CFINE_INT8)
        status = cf_split_upsampled(graph, error);
    if (status == CFINE_OK && graph->values[graph->input].dtype == CF_BF16) status = cf_narrow_input(graph, error);
    if (status == CFINE_OK) status = cf_plan_compile(graph, request, out, error);
    if (status == CFINE_OK) (*out)->calibrated_width = calibrated[0], (*out)->calibrated_height = calibrated[1];
    cf_graph_destroy(graph);
    return status;
}

// Races *plan against another one and keeps the faster; `other` is released, or has become *plan.
static cfine_status keep_faster(cf_plan **plan, cf_plan *other, cfine_error *error) {
    int winner = 0;
    cfine_status status = cf_plan_race(*plan, other, &winner, error);
    cf_plan *loser = winner ? *plan : other;
    if (winner) *plan = other;
    cf_plan_release(loser);
    return status;
}

// The faster of two plans for a GPU: with kernels that were timed one by one, and with those that estimates choose,
// which may overlap better.
static cfine_status build_fastest(const cfine_model *model, const cfine_plan_options *options,
                                  const cf_plan_request *request, cf_plan **out, cfine_error *error) {
    cf_plan_request quick_request = *request;
    cf_plan *quick;
    quick_request.tune = 0;
    CF_TRY(build(model, options, request, out, error));
    CF_TRY(build(model, options, &quick_request, &quick, error));
    return keep_faster(out, quick, error);
}

// What the clock decides on a GPU: int8 and FP8 make way for FP16 if that is faster.
static cfine_status build_by_race(const cfine_model *model, const cfine_plan_options *options,
                                  const cf_plan_request *request, cf_plan **out, cfine_error *error) {
    *out = NULL;
    CF_TRY(build_fastest(model, options, request, out, error));
    if (!is_calibrated(request->precision)) return CFINE_OK;
    cfine_plan_options whole_options = *options;
    cf_plan_request whole_request = *request;
    whole_options.precision = whole_request.precision = CFINE_FP16;
    whole_request.random_ranges = 0;
    cf_plan *whole = NULL;
    cfine_status status = build_fastest(model, &whole_options, &whole_request, &whole, error);
    if (status == CFINE_OK) return keep_faster(out, whole, error);
    cf_plan_release(whole);
    return status;
}

cfine_status cfine_plan_build(const cfine_model *model, const cfine_plan_options *options, cfine_plan **out,
                              cfine_error *error) {
    if (!model || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_build: NULL argument");
    *out = NULL;
    cfine_plan_options wanted;
    CF_READ_OPTIONS(wanted, options);
    if (wanted.batch == CFINE_BATCH_AUTO) CF_TRY(find_batch(model, &wanted, error));
    CF_TRY(check_options(&wanted, error));
    cf_plan_request request = request_of(&wanted);
    CF_TRY(cf_find_target(wanted.device, wanted.reference ? 0 : cf_cpu_features(), &request, error));
    if (request.precision == CFINE_FP8 && request.target.compute < 89)
        return cf_fail(error, CFINE_ERROR_UNSUPPORTED,
                       "precision fp8: needs compute capability 8.9 or newer, this GPU has %d.%d; use int8",
                       request.target.compute / 10, request.target.compute % 10);
    CF_TRY(check_calibrated(&wanted, error));
    cf_plan *plan = NULL;
    int by_race = request.tune && request.target.backend == CF_CUDA && !request.reference;
    cfine_status status = (by_race ? build_by_race : build)(model, &wanted, &request, &plan, error);
    if (status == CFINE_OK) status = describe(plan, model->checkpoint, &wanted, error);
    if (status != CFINE_OK) {
        cf_plan_release(plan);
        return status;
    }
    return wrap(plan, out, error);
}

void cfine_plan_close(cfine_plan *plan) {
    if (!plan) return;
    cf_plan_release(plan->plan);
    cf_free(plan);
}

cfine_status cfine_plan_get_info(const cfine_plan *handle, cfine_plan_info *out, cfine_error *error) {
    if (!handle || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_get_info: NULL argument");
    const cf_plan *plan = handle->plan;
    cfine_plan_info info = {.family = plan->family,
                            .size = plan->size,
                            .device = handle->device,
                            .precision = plan->request.precision,
                            .labels = plan->labels,
                            .queries = plan->queries,
                            .decoder_layers = plan->decoder_layers,
                            .batch = plan->request.batch,
                            .width = plan->input.tensor.w,
                            .height = plan->input.tensor.h,
                            .detections = plan->detections,
                            .steps = plan->step_count,
                            .weight_bytes = plan->weight_bytes,
                            .workspace_bytes = plan->workspace_bytes,
                            .flops = plan->flops,
                            .random_ranges = plan->request.random_ranges,
                            .calibrated_width = plan->calibrated_width,
                            .calibrated_height = plan->calibrated_height};
    cf_write_info(out, &info, sizeof info);
    return CFINE_OK;
}

size_t cfine_plan_tried(const cfine_plan *handle, size_t step, cfine_tried *out, size_t capacity) {
    if (!handle || step >= (size_t)handle->plan->step_count) return 0;
    const cf_step *it = &handle->plan->steps[step];
    for (size_t i = 0; i < (size_t)it->tried_count && i < capacity && out; i++)
        out[i] = (cfine_tried){it->tried[i].kernel->name, (double)it->tried[i].milliseconds};
    return (size_t)it->tried_count;
}

const char *cfine_plan_label(const cfine_plan *plan, int label) {
    return plan && label >= 0 && label < plan->plan->labels ? plan->plan->label_names[label] : NULL;
}

cfine_status cfine_plan_save(const cfine_plan *plan, const char *path, cfine_error *error) {
    if (!plan || !path) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_save: NULL argument");
    return cf_planfile_save(plan->plan, path, error);
}

cfine_status cfine_plan_open(const char *path, cfine_plan **out, cfine_error *error) {
    if (!path || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_open: NULL argument");
    *out = NULL;
    cf_plan *plan;
    CF_TRY(cf_planfile_open(path, cf_cpu_features(), &plan, error));
    return wrap(plan, out, error);
}

cfine_status cfine_plan_check(const cfine_plan *handle, const cfine_plan_options *options, cfine_error *error) {
    if (!handle) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_check: NULL argument");
    const cf_plan *plan = handle->plan;
    cfine_plan_options wanted;
    CF_READ_OPTIONS(wanted, options);
    static const char *const precisions[] = {"default", "fp32", "bf16", "fp16", "int8", "fp8"};
    if (wanted.precision && wanted.precision <= CFINE_FP8 && wanted.precision != plan->request.precision)
        return cf_fail(error, CFINE_ERROR_MISMATCH, "was built with precision %s, not %s; rebuild it: cfine build",
                       precisions[plan->request.precision], precisions[wanted.precision]);
    if (wanted.calibration)
        return cf_fail(error, CFINE_ERROR_MISMATCH,
                       "takes no calibration (%s), its ranges were decided when it was built; rebuild it: cfine build",
                       wanted.calibration);
    const struct {
        const char *name;
        int wanted, has;
    } fixed[] = {{"width", wanted.width, plan->input.tensor.w},
                 {"height", wanted.height, plan->input.tensor.h},
                 {"queries", wanted.queries, plan->queries},
                 {"decoder layers", wanted.decoder_layers, plan->decoder_layers}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (fixed[i].wanted && fixed[i].wanted != fixed[i].has)
            return cf_fail(error, CFINE_ERROR_MISMATCH, "was built with %s %d, not %d; rebuild it: cfine build",
                           fixed[i].name, fixed[i].has, fixed[i].wanted);
    if (wanted.batch > plan->request.batch)
        return cf_fail(error, CFINE_ERROR_MISMATCH, "was built for a batch of %d, not %d; rebuild it: cfine build",
                       plan->request.batch, wanted.batch);
    cf_backend backend;
    int32_t ordinal;
    CF_TRY(cf_parse_device(wanted.device, &backend, &ordinal, error));
    if (wanted.device && backend != plan->request.target.backend)
        return cf_fail(error, CFINE_ERROR_MISMATCH, "was built for %s, not for %s; rebuild it: cfine build --device %s",
                       backend == CF_CUDA ? "a CPU" : "a GPU", wanted.device, backend == CF_CUDA ? "cuda" : "cpu");
    if (wanted.batch == CFINE_BATCH_AUTO && plan->request.target.backend == CF_CPU) return refuse_auto_batch(error);
    return CFINE_OK;
}
