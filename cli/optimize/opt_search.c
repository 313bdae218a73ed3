// SPDX-License-Identifier: Apache-2.0
// The order of the search:
//
//     uniform settings  every precision, and every other knob alone: accuracy and time
//     operators         what each costs at the lowest precision, and what raising it would cost in time
//     combinations      the fastest that might do, measured on the half to choose with, until none is left to try
//     confirmation      the best on the other half; where it fails, that counts as a failure and the search goes on
//     the end           the best settings timed once more, side by side
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "message.h"
#include "optimize.h"
#include "progress.h"

enum { MOST_TRIALS = 60, FINAL_COMBINATIONS = 6, FINAL_UNIFORM = 4, FINAL_LATE = 3, FINAL_SECONDS = 20 };

double opt_seconds_left(const opt_search *search) {
    return search->budget - (cli_seconds() - search->started);
}

int opt_out_of_time(opt_search *search, double wanted) {
    if (opt_seconds_left(search) > wanted) return 0;
    search->stopped = 1;
    return 1;
}

static int same_setting(const opt_setting *a, const opt_setting *b) {
    return a->level == b->level && a->calibration == b->calibration && a->raised == b->raised &&
           a->queries == b->queries && a->layers == b->layers && a->size == b->size;
}

static opt_result *find_result(opt_search *search, const opt_setting *setting) {
    for (int i = 0; i < search->result_count; i++)
        if (same_setting(&search->results[i].setting, setting)) return &search->results[i];
    return NULL;
}

static void tell(const opt_search *search, const opt_result *result, opt_part part) {
    char words[256];
    opt_describe(search, &result->setting, words, sizeof words);
    cli_note("  %-52s AP %.4f, %+.2f %%; %.2f of the time of FP32", words, result->score[part].ap,
             0 - 100 * opt_lost(search, result, part), result->share);
}

// Measures a setting and keeps it among the results.
static cfine_status add_result(opt_search *search, const opt_setting *setting, int uniform, opt_part part,
                               cfine_error *error) {
    if (search->result_count == OPT_MOST_RESULTS || find_result(search, setting)) return CFINE_OK;
    opt_result *result = &search->results[search->result_count];
    *result = (opt_result){.setting = *setting, .uniform = uniform};
    for (int k = 0; k < OPT_PARTS; k++) result->score[k] = (opt_score){-1, -1};
    cfine_status status = opt_measure_accuracy(search, result, part, error);
    if (status == CFINE_OK) status = opt_measure_times(search, &result, 1, 0.8, 0, error);
    int refused = status != CFINE_OK && status != CFINE_ERROR_MEMORY && status != CFINE_ERROR_IO &&
                  status != CFINE_ERROR_NOT_FOUND;
    if (refused && search->result_count) { // knobs that do not go together
        char words[256];
        opt_describe(search, setting, words, sizeof words);
        cli_note("  %-52s cannot be: %s", words, error->message);
        result->share = 0;
        for (int k = 0; k < OPT_PARTS; k++) result->score[k] = (opt_score){0, 0};
        search->result_count++;
        return CFINE_OK;
    }
    if (status != CFINE_OK) return status;
    search->result_count++;
    tell(search, result, part);
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------

// The number of images a run that is fastest in 16 bits: other precisions like the same.
static cfine_status choose_batch(opt_search *search, int *batch, cfine_error *error) {
    static const int batches[] = {1, 2, 4, 8, 16, 32};
    int count = search->on_gpu ? CLI_COUNT(batches) : CLI_COUNT(batches) - 1;
    opt_result rows[CLI_COUNT(batches)], *list[CLI_COUNT(batches)];
    *batch = 1;
    if (!search->throughput) return CFINE_OK;
    for (int i = 0; i < count; i++) {
        rows[i] = (opt_result){.setting = {.level = OPT_HALF, .calibration = -1, .batch = batches[i]}};
        list[i] = &rows[i];
    }
    cfine_status status = opt_measure_times(search, list, count, 4, 0, error);
    double best = INFINITY;
    for (int i = 0; i < count && status == CFINE_OK; i++) {
        cli_note("  batch %-2d %8.1f images/s", batches[i], batches[i] * 1e3 / rows[i].milliseconds);
        if (rows[i].share < best * 0.99) best = rows[i].share, *batch = batches[i];
    }
    return status;
}

// Losses are shares of what FP32 has.
static cfine_status check_baseline(const opt_search *search, cfine_error *error) {
    const opt_result *base = &search->results[search->baseline];
    for (int part = 0; part < OPT_PARTS; part++)
        if (base->score[part].ap <= 0)
            return coco_fail(error, CFINE_ERROR_MISMATCH,
                             "FP32 has AP %.4f on %s: there is nothing to lose. Do annotations, pictures and model "
                             "belong together?",
                             base->score[part].ap < 0 ? 0 : base->score[part].ap,
                             part == OPT_ALL ? "these pictures" : "a half of these pictures");
    return CFINE_OK;
}

static cfine_status measure_precisions(opt_search *search, int batch, cfine_error *error) {
    cfine_status status = CFINE_OK;
    for (int level = OPT_FP32; level >= (int)search->lowest && status == CFINE_OK; level--) {
        int first = level == OPT_INT8 ? 0 : -1, end = level == OPT_INT8 ? search->calibration_count : 0;
        for (int c = first; c < end && status == CFINE_OK; c++) {
            opt_setting setting = {.level = (opt_level)level, .calibration = c, .batch = batch};
            status = add_result(search, &setting, 1, OPT_ALL, error);
            if (status == CFINE_OK && level == OPT_FP32) status = check_baseline(search, error);
        }
    }
    return status;
}

// Whoever lost this often what may be lost is not asked for more.
enum { HOPELESS = 5 };

static int hopeless(opt_search *search, const opt_setting *setting) {
    const opt_result *result = find_result(search, setting);
    return result && opt_lost(search, result, OPT_CHOOSE) > HOPELESS * fmax(search->max_loss, 0.005);
}

// Every knob alone, in one precision.
static cfine_status measure_knobs(opt_search *search, opt_level level, int calibration, int batch, cfine_error *error) {
    const int counts[] = {search->query_count, search->layer_count, search->size_count};
    cfine_status status = CFINE_OK;
    for (int knob = 0; knob < 3; knob++)
        for (int value = 1; value < counts[knob] && status == CFINE_OK; value++) {
            if (opt_out_of_time(search, 0.3 * search->budget)) return status;
            opt_setting setting = {.level = level, .calibration = calibration, .batch = batch};
            int *const fields[] = {&setting.queries, &setting.layers, &setting.size};
            *fields[knob] = value;
            status = add_result(search, &setting, 1, OPT_CHOOSE, error);
            if (hopeless(search, &setting)) break;
        }
    return status;
}

// The fastest result that is good enough wherever it was measured.
static opt_result *find_best(opt_search *search) {
    opt_result *best = &search->results[search->baseline];
    for (int i = 0; i < search->result_count; i++) {
        opt_result *result = &search->results[i];
        int good = opt_good_enough(search, result, OPT_CHOOSE) &&
                   (result->score[OPT_CONFIRM].ap < 0 || opt_good_enough(search, result, OPT_CONFIRM));
        if (good && result->share > 0 && result->share < best->share) best = result;
    }
    return best;
}

static cfine_status try_combinations(opt_search *search, cfine_error *error) {
    opt_setting next;
    cfine_status status = CFINE_OK;
    for (int trial = 0; trial < MOST_TRIALS && status == CFINE_OK; trial++) {
        if (opt_out_of_time(search, 0.1 * search->budget)) break;
        if (opt_choose_next(search, &next)) {
            status = add_result(search, &next, 0, OPT_CHOOSE, error);
            continue;
        }
        opt_result *best = find_best(search);
        if (best->score[OPT_CONFIRM].ap >= 0) break;
        status = opt_measure_accuracy(search, best, OPT_CONFIRM, error);
        if (status == CFINE_OK)
            cli_note("  on the other half of the pictures: %+.2f %%%s", 0 - 100 * opt_lost(search, best, OPT_CONFIRM),
                     opt_good_enough(search, best, OPT_CONFIRM) ? ", confirmed" : ": one step back");
    }
    return status;
}

static int by_share(const void *a, const void *b) {
    double x = (*(opt_result *const *)a)->share, y = (*(opt_result *const *)b)->share;
    return (x > y) - (x < y);
}

// Uniform precisions, the fastest of those with a knob turned and of the combinations that are good enough, measured on
// all pictures and timed once more. Where the budget ended the search and leaves no time for that: the three fastest
// that are good enough.
static cfine_status finish(opt_search *search, cfine_error *error) {
    opt_result *list[OPT_MOST_RESULTS] = {0},
               *finalists[FINAL_COMBINATIONS + FINAL_UNIFORM + OPT_LEVELS + OPT_MOST_CALIBRATIONS];
    int count = 0, chosen_count = 0;
    for (int i = 0; i < search->result_count; i++)
        if (search->results[i].share > 0) list[count++] = &search->results[i];
    qsort(list, (size_t)count, sizeof *list, by_share);
    cfine_status status = CFINE_OK;
    int left[] = {FINAL_COMBINATIONS, FINAL_UNIFORM}; // by uniform
    int late = search->stopped && opt_seconds_left(search) < FINAL_SECONDS;
    for (int i = 0; i < count && status == CFINE_OK && !(late && chosen_count == FINAL_LATE); i++) {
        const opt_setting *s = &list[i]->setting;
        int plain = list[i]->uniform && !s->queries && !s->layers && !s->size;
        if (!plain || late) {
            if (!left[list[i]->uniform] || !opt_good_enough(search, list[i], OPT_CHOOSE)) continue;
            status = opt_measure_accuracy(search, list[i], OPT_CONFIRM, error);
            if (status != CFINE_OK || !opt_good_enough(search, list[i], OPT_CONFIRM)) continue;
            left[list[i]->uniform]--;
        }
        status = opt_measure_accuracy(search, list[i], OPT_ALL, error);
        finalists[chosen_count++] = list[i];
    }
    if (status == CFINE_OK) status = opt_measure_times(search, finalists, chosen_count, late ? 3 : 12, 1, error);
    search->chosen = search->baseline;
    for (int i = 0; i < chosen_count && status == CFINE_OK; i++) {
        int good = 1;
        for (int part = 0; part < OPT_PARTS; part++) good &= opt_good_enough(search, finalists[i], (opt_part)part);
        if (good && finalists[i]->share < search->results[search->chosen].share)
            search->chosen = (int)(finalists[i] - search->results);
    }
    return status;
}

static int best_plain_int8(const opt_search *search) {
    int best = -1;
    for (int i = 0; i < search->result_count; i++) {
        const opt_result *r = &search->results[i];
        if (r->setting.level == OPT_INT8 && r->uniform &&
            (best < 0 || r->score[OPT_CHOOSE].ap > search->results[best].score[OPT_CHOOSE].ap))
            best = i;
    }
    return best;
}

cfine_status opt_run(opt_search *search, cfine_error *error) {
    int batch = 1;
    cfine_status status = choose_batch(search, &batch, error);
    if (status == CFINE_OK) cli_note("One precision for the whole network:");
    if (status == CFINE_OK) status = measure_precisions(search, batch, error);
    if (status == CFINE_OK) cli_note("One other knob turned:");
    if (status == CFINE_OK) status = measure_knobs(search, OPT_HALF, -1, batch, error);
    int int8 = status == CFINE_OK ? best_plain_int8(search) : -1;
    opt_setting lowest = {.level = search->lowest, .calibration = -1, .batch = 1};
    if (int8 >= 0) {
        lowest.calibration = search->results[int8].setting.calibration;
        status = measure_knobs(search, OPT_INT8, lowest.calibration, batch, error);
    }
    if (status == CFINE_OK) status = opt_reference_create(search, &search->reference, error);
    if (status == CFINE_OK) {
        cli_note("What each operator costs:");
        status = opt_measure_operators(search, &lowest, error);
    }
    if (status == CFINE_OK) {
        cli_note("Combinations, on the half of the pictures to choose with:");
        status = try_combinations(search, error);
    }
    if (status != CFINE_OK) return status;
    cli_note("The best once more, side by side.");
    return finish(search, error);
}
