// SPDX-License-Identifier: Apache-2.0
// The parts of `cfine optimize`: the search for the fastest plan that is accurate enough.
//
//     opt_data.c     annotations in two halves: one to choose with, one to confirm with
//     opt_log.c      everything measured, a line each, so that a killed search goes on where it was
//     opt_measure.c  a setting becomes a plan; its accuracy, its time, its distance from FP32
//     opt_choose.c   from what was measured to what is worth trying next
//     opt_search.c   the order of it all
//     opt_report.c   the front and the tables, on the terminal and as HTML
#ifndef CLI_OPTIMIZE_H
#define CLI_OPTIMIZE_H

#include <stdint.h>
#include <stdio.h>

#include "cfine/cfine.h"
#include "coco_ap.h"
#include "label_map.h"
#include "model_args.h"

// Precisions of operators, the fastest first.
typedef enum opt_level { OPT_INT8, OPT_HALF /* bf16 or fp16, which is faster */, OPT_FP32, OPT_LEVELS } opt_level;

enum { OPT_MOST_VALUES = 8, OPT_MOST_CALIBRATIONS = 8, OPT_MOST_RESULTS = 256 };

// An operator in the lowest level, and what raising it by one level costs and brings.
typedef struct opt_operator {
    char *name;
    double milliseconds; // that it takes longer, with what changes around it (casts)
    double harm;         // by which the distance from FP32 falls
    double flops;
} opt_operator;

// Everything that is chosen. Values are indices into the search's lists where it has one.
typedef struct opt_setting {
    opt_level level;           // of all operators but those that are raised
    int calibration;           // index; -1: none
    int raised;                // the first so many operators of the search's order run one level higher
    int queries, layers, size; // indices
    int batch;
} opt_setting;

typedef struct opt_score {
    double ap, ap50; // -1: not measured
} opt_score;

// Halves of the pictures, and all of them.
typedef enum opt_part { OPT_CHOOSE, OPT_CONFIRM, OPT_ALL, OPT_PARTS } opt_part;

typedef struct opt_result {
    opt_setting setting;
    opt_score score[OPT_PARTS];
    double milliseconds; // of a run; 0: not timed
    double share;        // of the time that FP32 as trained took beside it
    int uniform;         // 1: one precision and at most one other knob turned
} opt_result;

// One measured value of the log.
typedef struct opt_entry {
    char *key;
    char what[16];
    double values[4];
} opt_entry;

typedef struct opt_log {
    char *path;
    FILE *stream;
    opt_entry *entries;
    size_t count, capacity, resumed; // resumed: how many were there at the start
} opt_log;

typedef struct opt_reference opt_reference; // pictures and what FP32 finds in them, opt_measure.c

typedef struct opt_search {
    // What was asked for.
    cli_model_args model_args;
    const char *data, *images, *output;
    double max_loss;  // share of the AP that may be lost
    int throughput;   // 1: images a second at the best batch; 0: milliseconds of one image
    double budget;    // seconds
    char *folder;     // of the log and the calibrations
    char *last_words; // where a signal ends the search

    cfine_model *model;
    cfine_model_info info;
    int on_gpu;
    char machine[128], features[256]; // features: of a CPU
    coco_dataset parts[OPT_PARTS];    // of the pictures that can be read
    int annotated;                    // pictures, readable or not
    cli_label_map labels;
    opt_reference *reference;
    opt_log log;
    double started;
    int stopped; // 1: the budget ended the search early

    char *calibrations[OPT_MOST_CALIBRATIONS]; // paths
    char *calibration_names[OPT_MOST_CALIBRATIONS];
    int calibration_count;
    // Values of each knob, the most accurate (as trained) first.
    int queries[OPT_MOST_VALUES], query_count, layers[OPT_MOST_VALUES], layer_count;
    int sizes[OPT_MOST_VALUES][2], size_count;

    opt_level lowest;
    opt_operator *operators; // of the lowest level, the most worth raising first
    int operator_count;
    double harm; // distance from FP32 with none raised
    opt_result results[OPT_MOST_RESULTS];
    int result_count;
    int baseline; // result of FP32 as trained
    int chosen;
} opt_search;

// ---------------------------------------------------------------------------------------------------------------------
// opt_data.c

// Of the images of a dataset that are readable, those of number part, part + parts, ... with their annotations, as a
// dataset of its own.
void opt_take_part(const coco_dataset *all, const uint8_t *readable, int part, int parts, coco_dataset *out);

// ---------------------------------------------------------------------------------------------------------------------
// opt_log.c

// Opens the log in the search's folder: what is there is read, if `about` (a JSON object on one line) is what it was
// made for. A last line without its end, cut by what killed the search, is dropped.
cfine_status opt_log_open(opt_log *log, const char *path, const char *about, cfine_error *error);
// The values of an entry, or NULL.
const double *opt_log_find(const opt_log *log, const char *key, const char *what);
// Writes an entry of up to four values; they are on disk when this returns.
void opt_log_add(opt_log *log, const char *key, const char *what, const double values[4]);
void opt_log_close(opt_log *log); // an empty one is removed

// ---------------------------------------------------------------------------------------------------------------------
// opt_measure.c

// What a level is where the search runs.
const char *opt_level_name(const opt_search *search, opt_level level);
cfine_precision opt_precision(const opt_search *search, opt_level level);

// "int8 entropy, 12 operators in bf16, 100 queries, 2 layers, 512x512": only what is not as trained.
void opt_describe(const opt_search *search, const opt_setting *setting, char *text, size_t size);

// Builds the plan of a setting as it is saved: on a GPU the faster of kernels timed one by one and those by estimate.
cfine_status opt_build_best(const opt_search *search, const opt_setting *setting, cfine_plan **out, cfine_error *error);

// Builds the plan of a setting; `also` is one more operator to raise, or -1.
cfine_status opt_build(const opt_search *search, const opt_setting *setting, int also, cfine_plan **out,
                       cfine_error *error);

// AP on a part (on OPT_ALL: on both halves and all of them), from the log where it is there.
cfine_status opt_measure_accuracy(opt_search *search, opt_result *result, opt_part part, cfine_error *error);

// Times the results against FP32 as trained, all taking turns, and fills in milliseconds and share. `fresh` = 0 takes
// what the log has; 1 times plans as they are saved.
cfine_status opt_measure_times(opt_search *search, opt_result *const *results, int count, double seconds, int fresh,
                               cfine_error *error);

// Decodes a few pictures and keeps what FP32 finds in them.
cfine_status opt_reference_create(opt_search *search, opt_reference **out, cfine_error *error);
void opt_reference_destroy(opt_reference *reference);

// How far a plan's detections are from those of FP32: the share of them, weighted by score, that is not found again.
// With `steps`, also the least time of every step.
cfine_status opt_measure_harm(opt_search *search, cfine_plan *plan, double *harm, cfine_step_time **steps,
                              size_t *step_count, cfine_error *error);

// Fills in the operators that the setting runs in its level, with what each costs and brings, and puts them in order.
cfine_status opt_measure_operators(opt_search *search, const opt_setting *setting, cfine_error *error);

// ---------------------------------------------------------------------------------------------------------------------
// opt_choose.c

// Share of the AP lost on a part, against FP32 as trained; negative: gained.
double opt_lost(const opt_search *search, const opt_result *result, opt_part part);
int opt_good_enough(const opt_search *search, const opt_result *result, opt_part part);

// The next setting to try: the fastest that might be good enough, by what was measured of each knob, and that is
// neither harsher than one that failed nor milder than one that passed. 0 when there is none.
int opt_choose_next(const opt_search *search, opt_setting *out);

// 1 if no other result is as accurate (over all pictures, or the half to choose with) and faster.
int opt_on_front(const opt_search *search, const opt_result *result);

// ---------------------------------------------------------------------------------------------------------------------
// opt_search.c and opt_report.c

// Runs the search and fills in results and chosen.
cfine_status opt_run(opt_search *search, cfine_error *error);
double opt_seconds_left(const opt_search *search);
// 1 if no more than `wanted` seconds are left, which is noted as the early end of the search.
int opt_out_of_time(opt_search *search, double wanted);

void opt_print(const opt_search *search);
void opt_print_json(const opt_search *search);
// Writes the report; 0 after an error message.
int opt_save_report(const opt_search *search, const char *path);

#endif
