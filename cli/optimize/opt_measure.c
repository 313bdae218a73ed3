// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "eval_run.h"
#include "heap.h"
#include "message.h"
#include "optimize.h"
#include "percentile.h"
#include "progress.h"

// ---------------------------------------------------------------------------------------------------------------------
// Settings

cfine_precision opt_precision(const opt_search *search, opt_level level) {
    if (level == OPT_HALF) return cfine_half_precision(search->on_gpu ? "cuda" : "cpu");
    return level == OPT_INT8 ? CFINE_INT8 : CFINE_FP32;
}

const char *opt_level_name(const opt_search *search, opt_level level) {
    return cli_precision_choices[opt_precision(search, level)];
}

void opt_describe(const opt_search *search, const opt_setting *setting, char *text, size_t size) {
    int used = snprintf(text, size, "%s", opt_level_name(search, setting->level));
    if (setting->level == OPT_INT8 && setting->calibration >= 0)
        used += snprintf(text + used, size - (size_t)used, " (%s)", search->calibration_names[setting->calibration]);
    if (setting->raised)
        used += snprintf(text + used, size - (size_t)used, ", %d of %d operators in %s", setting->raised,
                         search->operator_count, opt_level_name(search, setting->level + 1));
    if (setting->queries)
        used += snprintf(text + used, size - (size_t)used, ", %d queries", search->queries[setting->queries]);
    if (setting->layers)
        used += snprintf(text + used, size - (size_t)used, ", %d decoder layer%s", search->layers[setting->layers],
                         search->layers[setting->layers] == 1 ? "" : "s");
    if (setting->size)
        used += snprintf(text + used, size - (size_t)used, ", %dx%d", search->sizes[setting->size][0],
                         search->sizes[setting->size][1]);
    if (setting->batch > 1) snprintf(text + used, size - (size_t)used, ", batch %d", setting->batch);
}

// The same, and which operators are raised: what the log knows a setting by.
static void make_key(const opt_search *search, const opt_setting *setting, int also, char *key, size_t size) {
    char words[256];
    uint64_t hash = 1469598103934665603u;
    for (int i = 0; i < search->operator_count; i++) {
        if (i >= setting->raised && i != also) continue;
        for (const char *c = search->operators[i].name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    }
    opt_describe(search, setting, words, sizeof words);
    snprintf(key, size, "%s #%016llx", words, (unsigned long long)(setting->raised || also >= 0 ? hash : 0));
}

static cfine_status build(const opt_search *search, const opt_setting *setting, int also, int tune, cfine_plan **out,
                          cfine_error *error) {
    cfine_open_options options;
    cfine_status status = cli_open_options(&search->model_args, &options, error);
    if (status != CFINE_OK) return status;
    cfine_plan_options *plan = &options.plan;
    plan->precision = opt_precision(search, setting->level);
    plan->batch = setting->batch;
    plan->tune = tune;
    plan->queries = setting->queries ? search->queries[setting->queries] : 0;
    plan->decoder_layers = setting->layers ? search->layers[setting->layers] : 0;
    plan->width = setting->size ? search->sizes[setting->size][0] : 0;
    plan->height = setting->size ? search->sizes[setting->size][1] : 0;
    if (setting->level == OPT_INT8) plan->calibration = search->calibrations[setting->calibration];
    cfine_operator_precision *raised = cli_alloc((size_t)setting->raised + 1, sizeof *raised);
    for (int i = 0; i < search->operator_count && setting->level < OPT_FP32; i++)
        if (i < setting->raised || i == also)
            raised[plan->operator_count++] =
                (cfine_operator_precision){search->operators[i].name, opt_precision(search, setting->level + 1)};
    plan->operators = raised;
    status = cfine_plan_build(search->model, plan, out, error);
    free(raised);
    return status;
}

cfine_status opt_build(const opt_search *search, const opt_setting *setting, int also, cfine_plan **out,
                       cfine_error *error) {
    return build(search, setting, also, 0, out, error);
}

cfine_status opt_build_best(const opt_search *search, const opt_setting *setting, cfine_plan **out,
                            cfine_error *error) {
    cfine_status status = build(search, setting, -1, search->on_gpu, out, error);
    if (status != CFINE_OK || !search->on_gpu) return status;
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    status = cfine_plan_get_info(*out, &info, error);
    if (status == CFINE_OK && info.precision == opt_precision(search, setting->level)) return CFINE_OK;
    cfine_plan_close(*out);
    return status == CFINE_OK ? build(search, setting, -1, 0, out, error) : status;
}

static cfine_status open_session(const opt_search *search, const cfine_plan *plan, int profile, cfine_session **out,
                                 cfine_error *error) {
    cfine_session_options options = CFINE_INIT(cfine_session_options);
    options.threads = search->model_args.threads;
    options.profile = profile;
    return cfine_session_open(plan, &options, out, error);
}

// ---------------------------------------------------------------------------------------------------------------------
// Accuracy

static cfine_status score(const coco_dataset *dataset, const coco_results *results, opt_score *out,
                          cfine_error *error) {
    coco_summary summary;
    cfine_status status = coco_evaluate(dataset, results, &summary, error);
    if (status != CFINE_OK) return status;
    *out = (opt_score){summary.numbers[COCO_AP], summary.numbers[COCO_AP50]};
    coco_summary_release(&summary);
    return CFINE_OK;
}

// Scores the results of all pictures on one half of them.
static cfine_status score_half(const opt_search *search, const coco_results *results, opt_part part, opt_score *out,
                               cfine_error *error) {
    coco_results half = {0};
    cfine_status status = CFINE_OK;
    for (int32_t i = 0; i < results->count && status == CFINE_OK; i++) {
        coco_result result = results->items[i];
        if (result.image % 2 != (int)part) continue;
        result.image /= 2;
        status = coco_results_add(&half, &result, error);
    }
    if (status == CFINE_OK) status = score(&search->parts[part], &half, out, error);
    coco_results_release(&half);
    return status;
}

static cfine_status run_pictures(opt_search *search, opt_result *result, opt_part part, cfine_error *error) {
    cfine_plan *plan;
    cfine_session *session = NULL;
    cli_eval_run run = {0};
    opt_setting one = result->setting;
    one.batch = 1;
    cfine_status status = opt_build(search, &one, -1, &plan, error);
    if (status != CFINE_OK) return status;
    status = open_session(search, plan, 0, &session, error);
    if (status == CFINE_OK)
        status = cli_eval_session(session, &search->parts[part], search->images, &search->labels, 1, &run, error);
    if (status == CFINE_OK) {
        status = score(&search->parts[part], &run.results, &result->score[part], error);
        for (int half = 0; half < OPT_ALL && part == OPT_ALL && status == CFINE_OK; half++)
            status = score_half(search, &run.results, (opt_part)half, &result->score[half], error);
        coco_results_release(&run.results);
    }
    cfine_session_close(session);
    cfine_plan_close(plan);
    return status;
}

cfine_status opt_measure_accuracy(opt_search *search, opt_result *result, opt_part part, cfine_error *error) {
    static const char *const whats[OPT_PARTS] = {"ap choose", "ap confirm", "ap all"};
    char key[320];
    opt_setting one = result->setting;
    one.batch = 1;
    make_key(search, &one, -1, key, sizeof key);
    int known = 1;
    for (int k = 0; k < OPT_PARTS; k++) {
        const double *values = opt_log_find(&search->log, key, whats[k]);
        if (values) result->score[k] = (opt_score){values[0], values[1]};
        if (!values && (k == (int)part || part == OPT_ALL)) known = 0;
    }
    if (known) return CFINE_OK;
    cfine_status status = run_pictures(search, result, part, error);
    for (int k = 0; k < OPT_PARTS && status == CFINE_OK; k++)
        if (k == (int)part || part == OPT_ALL)
            opt_log_add(&search->log, key, whats[k], (double[4]){result->score[k].ap, result->score[k].ap50});
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Times

typedef struct {
    cfine_plan *plan;
    cfine_session *session;
    double *milliseconds;
    int count;
} timed;

enum { MOST_RUNS = 400, LEAST_RUNS = 9, RUNS_A_TURN = 3 };

static cfine_status open_timed(const opt_search *search, const opt_setting *setting, int best, timed *out,
                               cfine_error *error) {
    cfine_status status =
        best ? opt_build_best(search, setting, &out->plan, error) : opt_build(search, setting, -1, &out->plan, error);
    if (status == CFINE_OK) status = open_session(search, out->plan, 0, &out->session, error);
    out->milliseconds = cli_alloc(MOST_RUNS, sizeof *out->milliseconds);
    return status;
}

static cfine_status take_turn(const opt_search *search, timed *row, const float *pixels, int batch,
                              cfine_error *error) {
    for (int k = -1; k < RUNS_A_TURN && row->count < MOST_RUNS; k++) { // the first of a turn warms the caches
        double start = cli_seconds();
        const float *given = search->on_gpu && k >= 0 ? NULL : pixels; // those of the first run are on the GPU then
        cfine_status status = cfine_session_run(row->session, given, batch, NULL, NULL, error);
        if (status != CFINE_OK) return status;
        if (k >= 0) row->milliseconds[row->count++] = (cli_seconds() - start) * 1e3;
    }
    return CFINE_OK;
}

static cfine_status take_turns(const opt_search *search, timed *rows, opt_result *const *results, int count,
                               double seconds, cfine_error *error) {
    int most = 1;
    for (int i = 0; i < count; i++) most = results[i]->setting.batch > most ? results[i]->setting.batch : most;
    float *pixels = bench_random_pixels((size_t)most * 3 * (size_t)search->info.width * (size_t)search->info.height);
    cfine_status status = CFINE_OK;
    double end = cli_seconds() + seconds;
    while (status == CFINE_OK && rows[0].count < MOST_RUNS && (cli_seconds() < end || rows[0].count < LEAST_RUNS))
        for (int i = 0; i < count && status == CFINE_OK; i++)
            status = take_turn(search, &rows[i], pixels, results[i]->setting.batch, error);
    free(pixels);
    return status;
}

// All rows side by side. The middle of a row's times is what it takes; the lower quarter, which other work on the
// machine moves less, is what rows are compared by.
static cfine_status time_rows(opt_search *search, opt_result *const *results, int count, double seconds, int best,
                              cfine_error *error) {
    timed *rows = cli_alloc((size_t)count + 1, sizeof *rows);
    cfine_status status = CFINE_OK;
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = open_timed(search, &results[i]->setting, best, &rows[i], error);
    if (status == CFINE_OK) status = take_turns(search, rows, results, count, seconds, error);
    for (int i = 0; i < count; i++) {
        if (status == CFINE_OK) {
            cli_sort(rows[i].milliseconds, rows[i].count);
            results[i]->milliseconds = cli_percentile(rows[i].milliseconds, rows[i].count, 0.5);
            results[i]->share = cli_percentile(rows[i].milliseconds, rows[i].count, 0.25); // see its caller
        }
        cfine_session_close(rows[i].session);
        cfine_plan_close(rows[i].plan);
        free(rows[i].milliseconds);
    }
    free(rows);
    return status;
}

cfine_status opt_measure_times(opt_search *search, opt_result *const *results, int count, double seconds, int fresh,
                               cfine_error *error) {
    opt_result base = {.setting = {.level = OPT_FP32, .calibration = -1, .batch = 1}};
    opt_result **wanted = cli_alloc((size_t)count + 1, sizeof *wanted);
    char key[320];
    int missing = 0;
    wanted[missing++] = &base;
    for (int i = 0; i < count; i++) {
        make_key(search, &results[i]->setting, -1, key, sizeof key);
        const double *values = fresh ? NULL : opt_log_find(&search->log, key, "ms");
        if (values)
            results[i]->milliseconds = values[0], results[i]->share = values[1];
        else
            wanted[missing++] = results[i];
    }
    cfine_status status = missing > 1 ? time_rows(search, wanted, missing, seconds, fresh, error) : CFINE_OK;
    for (int i = 1; i < missing && status == CFINE_OK; i++) {
        const opt_setting *it = &wanted[i]->setting;
        int same = it->level == OPT_FP32 && it->batch == 1 && !it->queries && !it->layers && !it->size;
        wanted[i]->share = same ? 1 : wanted[i]->share / it->batch / base.share;
        make_key(search, &wanted[i]->setting, -1, key, sizeof key);
        opt_log_add(&search->log, key, fresh ? "ms at the end" : "ms",
                    (double[4]){wanted[i]->milliseconds, wanted[i]->share});
    }
    free(wanted);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Distance from FP32

enum { REFERENCE_IMAGES = 8 };
static const float worth_finding = 0.2f;

struct opt_reference {
    cfine_image images[REFERENCE_IMAGES];
    cfine_detections found[REFERENCE_IMAGES];
    int count;
};

void opt_reference_destroy(opt_reference *reference) {
    if (!reference) return;
    for (int i = 0; i < REFERENCE_IMAGES; i++) {
        cfine_image_release(&reference->images[i]);
        cfine_detections_release(&reference->found[i]);
    }
    free(reference);
}

static cfine_status detect_all(cfine_session *session, const opt_reference *reference, cfine_detections *found,
                               cfine_step_time *steps, cfine_step_time *least, size_t step_count, cfine_error *error) {
    cfine_detect_options options = CFINE_INIT(cfine_detect_options);
    options.threshold = worth_finding / 4;
    cfine_status status = CFINE_OK;
    for (int i = 0; i < reference->count && status == CFINE_OK; i++) {
        status = cfine_detect(session, &reference->images[i], 1, &options, &found[i], error);
        if (!steps) continue;
        cfine_session_step_times(session, steps, step_count);
        for (size_t k = 0; k < step_count; k++)
            if (i == 0 || steps[k].milliseconds < least[k].milliseconds) least[k] = steps[k];
    }
    return status;
}

cfine_status opt_reference_create(opt_search *search, opt_reference **out, cfine_error *error) {
    opt_reference *reference = cli_alloc(1, sizeof *reference);
    cfine_image_options options = CFINE_INIT(cfine_image_options);
    options.ignore_orientation = 1;
    const coco_dataset *part = &search->parts[OPT_CHOOSE];
    for (int32_t i = 0; i < part->limit && reference->count < REFERENCE_IMAGES; i++) {
        char *path = cli_picture_path(search->images, part->images[i].file);
        reference->count += cfine_image_load(path, &options, &reference->images[reference->count], NULL) == CFINE_OK;
        free(path);
    }
    opt_setting base = {.level = OPT_FP32, .calibration = -1, .batch = 1};
    cfine_plan *plan = NULL;
    cfine_session *session = NULL;
    cfine_status status = opt_build(search, &base, -1, &plan, error);
    if (status == CFINE_OK) status = open_session(search, plan, 0, &session, error);
    if (status == CFINE_OK) status = detect_all(session, reference, reference->found, NULL, NULL, 0, error);
    cfine_session_close(session);
    cfine_plan_close(plan);
    *out = reference;
    return status;
}

static double overlap(const float *a, const float *b) {
    double width = fmin(a[2], b[2]) - fmax(a[0], b[0]), height = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    if (width <= 0 || height <= 0) return 0;
    double both = width * height;
    return both /
           ((double)(a[2] - a[0]) * (double)(a[3] - a[1]) + (double)(b[2] - b[0]) * (double)(b[3] - b[1]) - both);
}

// How much of what is in a is missing in b, weighted by score; *weight grows by the sum of weights.
static double missing(const cfine_detections *a, const cfine_detections *b, double *weight) {
    double sum = 0;
    for (size_t i = 0; i < a->count; i++) {
        const cfine_detection *it = &a->items[i];
        if (it->score < worth_finding) continue;
        double best = 0;
        for (size_t k = 0; k < b->count; k++) {
            const cfine_detection *other = &b->items[k];
            if (other->label != it->label) continue;
            double close = overlap(it->box, other->box) * (1 - fabs((double)it->score - (double)other->score));
            if (close > best) best = close;
        }
        sum += (double)it->score * (1 - best);
        *weight += (double)it->score;
    }
    return sum;
}

cfine_status opt_measure_harm(opt_search *search, cfine_plan *plan, double *harm, cfine_step_time **steps,
                              size_t *step_count, cfine_error *error) {
    const opt_reference *reference = search->reference;
    cfine_session *session;
    cfine_status status = open_session(search, plan, steps != NULL, &session, error);
    if (status != CFINE_OK) return status;
    cfine_detections found[REFERENCE_IMAGES] = {0};
    size_t count = steps ? cfine_session_step_times(session, NULL, 0) : 0;
    cfine_step_time *now = steps ? cli_alloc(count + 1, sizeof *now) : NULL;
    if (steps) {
        *steps = cli_alloc(count + 1, sizeof **steps);
        *step_count = count;
    }
    status = detect_all(session, reference, found, now, steps ? *steps : NULL, count, error);
    double sum = 0, weight = 1e-9;
    for (int i = 0; i < reference->count && status == CFINE_OK; i++) {
        sum += missing(&reference->found[i], &found[i], &weight);
        sum += missing(&found[i], &reference->found[i], &weight);
    }
    *harm = sum / weight;
    for (int i = 0; i < REFERENCE_IMAGES; i++) cfine_detections_release(&found[i]);
    free(now);
    cfine_session_close(session);
    return status;
}
