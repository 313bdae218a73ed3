// SPDX-License-Identifier: Apache-2.0
// `cfine eval`: COCO box AP of a model, or of detections in a file.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cfine/cfine.h"
#include "coco_ap.h"
#include "eval_run.h"
#include "message.h"
#include "model_args.h"
#include "output_file.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

typedef struct {
    cli_model_args model;
    const char *data, *images, *detections, *save_detections;
    int limit, json, per_class;
} eval_args;

static const cli_option options[] = {
    CLI_MODEL_OPTIONS(eval_args, model),
    {"data", 'd', "FILE", "annotations in COCO's \"instances\" format", CLI_TEXT, offsetof(eval_args, data),
     .completion = CLI_COMPLETE_FILES},
    {"images", 'i', "DIR", "folder of the pictures", CLI_TEXT, offsetof(eval_args, images),
     .completion = CLI_COMPLETE_FOLDERS},
    {"limit", 0, "N", "evaluate only the first N images by id (default: all)", CLI_INT, offsetof(eval_args, limit),
     .least = 1, .most = 100000000},
    {"detections", 0, "FILE", "score this COCO results file instead of running a model", CLI_TEXT,
     offsetof(eval_args, detections), .completion = CLI_COMPLETE_FILES},
    {"save-detections", 0, "FILE", "write all detections as a COCO results file", CLI_TEXT,
     offsetof(eval_args, save_detections), .completion = CLI_COMPLETE_FILES},
    {"per-class", 0, NULL, "a line for each category too", CLI_FLAG, offsetof(eval_args, per_class)},
    {"json", 'j', NULL, "print one JSON object", CLI_FLAG, offsetof(eval_args, json)},
};

// What was evaluated, and how it went.
typedef struct {
    const eval_args *args;
    coco_dataset dataset;
    coco_summary summary;
    cli_label_map labels;
    cli_eval_run run; // of a model; only the results where they came from a file
    cfine_plan_info plan;
    char family[32], size[32]; // the plan's texts, which end with its session
    double score_seconds;
} evaluation;

static void print_notes(const char *path, const coco_notes *notes) {
    for (int i = 0; i < notes->count; i++) cli_note("%s: %s", path, notes->lines[i]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Results as text

static const char *const number_words[COCO_NUMBERS] = {"precision, IoU 0.50 to 0.95",
                                                       "precision, IoU 0.50",
                                                       "precision, IoU 0.75",
                                                       "precision, small (to 32 x 32)",
                                                       "precision, medium",
                                                       "precision, large (from 96 x 96)",
                                                       "recall, 1 detection an image",
                                                       "recall, 10 detections",
                                                       "recall, 100 detections",
                                                       "recall, small",
                                                       "recall, medium",
                                                       "recall, large"};

static void print_number(double value, const char *end) {
    if (value < 0)
        printf("%8s%s", "-", end);
    else
        printf("%8.4f%s", value, end);
}

static void print_classes(const evaluation *eval) {
    int width = 8;
    for (int32_t c = 0; c < eval->dataset.category_count; c++) {
        int columns = cli_text_width(eval->dataset.categories[c].name);
        width = columns > width ? columns : width;
    }
    printf("\n%-*s %8s %8s %8s %8s %8s %8s %10s\n", width, "category", "AP", "AP50", "AP75", "AR100", "boxes", "crowds",
           "detections");
    for (int32_t c = 0; c < eval->summary.class_count; c++) {
        const coco_class_summary *class = &eval->summary.classes[c];
        const char *name = eval->dataset.categories[c].name;
        cli_print_text(stdout, name);
        printf("%*s ", width - cli_text_width(name), "");
        print_number(class->ap, " ");
        print_number(class->ap50, " ");
        print_number(class->ap75, " ");
        print_number(class->ar100, " ");
        printf("%8d %8d %10d\n", class->boxes, class->crowds, class->results);
    }
}

static void print_text(const evaluation *eval) {
    for (int i = 0; i < COCO_NUMBERS; i++) {
        printf("%-6s", coco_number_names[i]);
        print_number(eval->summary.numbers[i], "  ");
        printf("%s\n", number_words[i]);
    }
    if (eval->args->per_class) print_classes(eval);
}

// ---------------------------------------------------------------------------------------------------------------------
// Results as JSON

static void print_json_text_field(const char *key, const char *text) {
    printf(",\"%s\":", key);
    cli_print_json_text(stdout, text);
}

static void print_json_classes(const evaluation *eval) {
    printf(",\"classes\":[");
    for (int32_t c = 0; c < eval->summary.class_count; c++) {
        const coco_class_summary *class = &eval->summary.classes[c];
        printf("%s{\"id\":%lld,\"name\":", c ? "," : "", (long long)eval->dataset.categories[c].id);
        cli_print_json_text(stdout, eval->dataset.categories[c].name);
        printf(
            ",\"AP\":%.10g,\"AP50\":%.10g,\"AP75\":%.10g,\"AR100\":%.10g,\"boxes\":%d,\"crowds\":%d,\"detections\":%d}",
            class->ap, class->ap50, class->ap75, class->ar100, class->boxes, class->crowds, class->results);
    }
    printf("]");
}

static void print_json(const evaluation *eval) {
    printf("{");
    for (int i = 0; i < COCO_NUMBERS; i++)
        printf("%s\"%s\":%.10g", i ? "," : "", coco_number_names[i], eval->summary.numbers[i]);
    printf(",\"images\":%d,\"detections\":%d", eval->dataset.limit, eval->run.results.count);
    print_json_text_field("data", eval->args->data);
    if (eval->args->detections) {
        print_json_text_field("source", eval->args->detections);
    } else {
        print_json_text_field("model", cli_model_name(&eval->args->model));
        print_json_text_field("family", eval->family);
        print_json_text_field("size", eval->size);
        print_json_text_field("precision", cli_precisions[eval->plan.precision - CFINE_FP32]);
        printf(",\"batch\":%d,\"queries\":%d,\"width\":%d,\"height\":%d", eval->plan.batch, eval->plan.queries,
               eval->plan.width, eval->plan.height);
        print_json_text_field("labels", eval->labels.by_name ? "by name" : "by position");
        printf(",\"failed_images\":%d,\"seconds\":%.4f,\"images_per_s\":%.2f", eval->run.failed, eval->run.seconds,
               eval->run.images / eval->run.seconds);
    }
    if (eval->args->per_class) print_json_classes(eval);
    printf("}\n");
}

// ---------------------------------------------------------------------------------------------------------------------

static cfine_status run_model(evaluation *eval, cfine_error *error) {
    const eval_args *args = eval->args;
    cfine_session *session;
    double start = cli_seconds();
    cfine_status status = cli_open_session(&args->model, 0, &session, error);
    if (status != CFINE_OK) return status;
    double opened = cli_seconds() - start;
    const cfine_plan *plan = cfine_session_plan(session);
    eval->plan = CFINE_INIT(cfine_plan_info);
    status = cfine_plan_get_info(plan, &eval->plan, error);
    if (status == CFINE_OK) status = cli_map_labels(plan, &eval->dataset, &eval->labels, error);
    if (status == CFINE_OK) {
        cli_note("Labels to categories: %s.", eval->labels.how);
        status = cli_eval_session(session, &eval->dataset, args->images, &eval->labels, 1, &eval->run, error);
        eval->run.open_seconds = opened;
    }
    snprintf(eval->family, sizeof eval->family, "%s", eval->plan.family ? eval->plan.family : "");
    snprintf(eval->size, sizeof eval->size, "%s", eval->plan.size ? eval->plan.size : "");
    cfine_session_close(session);
    return status;
}

static int save_detections(const evaluation *eval) {
    cli_output_file file;
    if (!cli_output_open(&file, eval->args->save_detections)) return 0;
    coco_results_write(file.stream, &eval->dataset, &eval->run.results);
    return cli_output_close(&file);
}

// Reads or makes the detections.
static cfine_status get_detections(evaluation *eval, cfine_error *error) {
    const eval_args *args = eval->args;
    if (!args->detections) return run_model(eval, error);
    cfine_status status = coco_results_read(args->detections, &eval->dataset, &eval->run.results, error);
    if (status == CFINE_OK) print_notes(args->detections, &eval->run.results.notes);
    return status;
}

static void print_summary_notes(const evaluation *eval) {
    const cli_eval_run *run = &eval->run;
    if (run->other_size)
        cli_note("%d pictures are not of the size that the annotations say: do the two belong together?",
                 run->other_size);
    if (run->failed)
        cli_note("%d of %d pictures could not be read; they count as pictures in which nothing was found.", run->failed,
                 eval->dataset.limit);
    if (!eval->args->detections)
        cli_note("%d images in %.2f s with decoding, %.1f images/s; model opened in %.2f s, %d detections scored in "
                 "%.2f s.",
                 run->images, run->seconds, run->images / run->seconds, run->open_seconds, run->results.count,
                 eval->score_seconds);
}

// Where detections are to be saved: asked before the work, and of every file that is read.
static int can_save(const eval_args *args, const coco_dataset *dataset) {
    struct stat info;
    int special = stat(args->save_detections, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
    int fine = (special || cli_output_check(args->save_detections)) &&
               cli_output_spares(args->save_detections, args->data) &&
               (!args->model.model || cli_output_spares(args->save_detections, args->model.model));
    for (int32_t i = 0; i < dataset->limit && fine; i++) {
        char *path = cli_picture_path(args->images, dataset->images[i].file);
        fine = cli_output_spares(args->save_detections, path);
        free(path);
    }
    return fine;
}

static int evaluate(evaluation *eval) {
    const eval_args *args = eval->args;
    cfine_error error;
    cfine_status status = coco_dataset_read(args->data, &eval->dataset, &error);
    if (status == CFINE_OK && args->save_detections && !can_save(args, &eval->dataset)) return CLI_FAILED;
    if (status == CFINE_OK) {
        print_notes(args->data, &eval->dataset.notes);
        if (args->limit > eval->dataset.limit)
            cli_note("--limit %d: the annotations have %d pictures, all of them are used.", args->limit,
                     eval->dataset.limit);
        if (args->limit) coco_dataset_limit(&eval->dataset, args->limit);
        status = get_detections(eval, &error);
    }
    if (status == CFINE_OK) {
        double start = cli_seconds();
        status = coco_evaluate(&eval->dataset, &eval->run.results, &eval->summary, &error);
        eval->score_seconds = cli_seconds() - start;
    }
    if (status != CFINE_OK) {
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    int saved = !args->save_detections || save_detections(eval);
    if (args->json)
        print_json(eval);
    else
        print_text(eval);
    cli_flush_output();
    print_summary_notes(eval);
    return saved && eval->run.failed == 0 ? CLI_OK : CLI_FAILED;
}

static int run_verb(int argc, char **argv) {
    eval_args args = {0};
    int operands, status;
    if (!cli_parse(&cli_verb_eval, argc, argv, &args, &operands, &status)) return status;
    if (!args.data) return cli_usage(&cli_verb_eval, "--data is needed: the annotations to compare with");
    if (args.detections && (args.images || args.save_detections))
        return cli_usage(&cli_verb_eval, "--detections scores a file alone: without --images and --save-detections");
    if (!args.detections && !args.images)
        return cli_usage(&cli_verb_eval, "--images is needed: the folder of the pictures (or --detections to score a "
                                         "file)");
    evaluation eval = {.args = &args};
    status = evaluate(&eval);
    coco_summary_release(&eval.summary);
    coco_results_release(&eval.run.results);
    coco_dataset_release(&eval.dataset);
    free(eval.labels.category);
    return status;
}

const cli_verb cli_verb_eval = {
    .name = "eval",
    .summary = "measure accuracy: COCO box AP of a model or of a file of detections",
    .operands = "",
    .about =
        "Prints the twelve numbers of COCO's box evaluation, equal to those of pycocotools. All detections count,\n"
        "whatever their score. Label i of the model is the i-th category by id, or the one of the same name where\n"
        "the two lists differ. A picture that cannot be read is reported; the exit status is then 1.\n",
    .example = "cfine eval --data instances_val2017.json --images val2017/\n"
               "cfine eval --model my.plan --data instances.json --images photos/ --batch 8 --json\n"
               "cfine eval --data instances.json --detections found.json --per-class\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
