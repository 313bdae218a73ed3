// SPDX-License-Identifier: Apache-2.0
// `cfine optimize`: the fastest plan that loses no more accuracy than it may.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "eval_run.h"
#include "heap.h"
#include "inputs.h"
#include "message.h"
#include "on_signal.h"
#include "optimize/optimize.h"
#include "output_file.h"
#include "progress.h"
#include "report.h"
#include "sha256.h"
#include "verbs.h"

enum { LEAST_PICTURES = 4, FEW_PICTURES = 40 };

typedef struct {
    cli_model_args model;
    const char *data, *images, *max_loss, *budget, *output, *report, *calibration_images;
    cli_texts calibrations;
    int throughput, json;
} optimize_args;

static const char *const objectives[] = {"latency", "throughput", NULL};

static const cli_option options[] = {
    CLI_CHECKPOINT_OPTION(optimize_args, model),
    {"data", 'd', "FILE", "annotations in COCO's \"instances\" format", CLI_TEXT, offsetof(optimize_args, data),
     .completion = CLI_COMPLETE_FILES},
    {"images", 'i', "DIR", "folder of the pictures", CLI_TEXT, offsetof(optimize_args, images),
     .completion = CLI_COMPLETE_FOLDERS},
    {"max-loss", 0, "P%", "share of the AP that may be lost, as 1% or 0.01 (default: 1%)", CLI_TEXT,
     offsetof(optimize_args, max_loss)},
    {"objective", 0, "WHAT", "latency of one image, or throughput at the best batch (default: latency)", CLI_CHOICE,
     offsetof(optimize_args, throughput), .choices = objectives},
    {"budget", 0, "TIME", "how long to search, as 90s, 10m or 1h (default: 10m); then the best are timed once more",
     CLI_TEXT, offsetof(optimize_args, budget)},
    {"output", 'o', "FILE", "the plan file to write", CLI_TEXT, offsetof(optimize_args, output),
     .completion = CLI_COMPLETE_FILES},
    {"report", 0, "FILE", "the report to write (default: beside the plan, as .html)", CLI_TEXT,
     offsetof(optimize_args, report), .completion = CLI_COMPLETE_FILES},
    {"calibration", 0, "FILE",
     "a calibration for int8, instead of those that the search makes; may be given several times", CLI_TEXTS,
     offsetof(optimize_args, calibrations), .completion = CLI_COMPLETE_FILES},
    {"calibration-images", 0, "DIR",
     "pictures to calibrate int8 with (default: the half of the pictures to choose with)", CLI_TEXT,
     offsetof(optimize_args, calibration_images), .completion = CLI_COMPLETE_FOLDERS},
    {"threads", 't', "N", "threads (default: one for each core)", CLI_INT, offsetof(optimize_args, model.threads),
     .least = 1, .most = 1024},
    {"device", 0, "DEVICE", "cpu, cuda or cuda:N, a GPU by its number (default: cpu)", CLI_DEVICE,
     offsetof(optimize_args, model.device)},
    {"cpu", 0, "LEVEL", CLI_CPU_HELP, CLI_CHOICE, offsetof(optimize_args, model.cpu), .choices = cli_cpu_levels},
    {"json", 'j', NULL, "print one JSON object a line for each setting that was measured", CLI_FLAG,
     offsetof(optimize_args, json)},
};

// ---------------------------------------------------------------------------------------------------------------------
// Options

static int read_share(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (*end == '%') *out /= 100, end++;
    return end != text && !*end && *out >= 0 && *out < 1;
}

static int read_time(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    double unit = *end == 'h' ? 3600 : *end == 'm' ? 60 : 1;
    if (*end == 'h' || *end == 'm' || *end == 's') end++;
    *out *= unit;
    return *text && !*end && *out >= 1 && *out <= 1e7;
}

static int check(const optimize_args *args, opt_search *search) {
    const cli_verb *verb = &cli_verb_optimize;
    if (!args->data || !args->images)
        return cli_usage(verb, "--data and --images are needed: the pictures to measure accuracy with");
    if (!args->output) return cli_usage(verb, "--output is needed: the plan file to write");
    if (!read_share(args->max_loss ? args->max_loss : "1%", &search->max_loss))
        return cli_usage(verb, "--max-loss: '%s' is no share such as 1%% or 0.01", args->max_loss);
    if (!read_time(args->budget ? args->budget : "10m", &search->budget))
        return cli_usage(verb, "--budget: '%s' is no time such as 90s, 10m or 1h", args->budget);
    if (args->calibrations.count > OPT_MOST_CALIBRATIONS)
        return cli_usage(verb, "--calibration: more than %d", OPT_MOST_CALIBRATIONS);
    return CLI_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// What there is to choose from

static void list_values(opt_search *search) {
    static const int queries[] = {200, 150, 100, 75, 50};
    const cfine_model_info *info = &search->info;
    search->queries[search->query_count++] = info->queries;
    for (size_t i = 0; i < CLI_COUNT(queries); i++)
        if (queries[i] < info->queries) search->queries[search->query_count++] = queries[i];
    for (int l = info->decoder_layers; l >= 1 && search->layer_count < OPT_MOST_VALUES; l--)
        search->layers[search->layer_count++] = l;
    // Steps of 32 pixels; the first ones shrink one side at a time.
    static const int less[OPT_MOST_VALUES][2] = {{0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}, {3, 3}, {4, 4}, {6, 6}};
    for (int i = 0; i < OPT_MOST_VALUES; i++) {
        int width = info->width - 32 * less[i][0], height = info->height - 32 * less[i][1];
        if (i && (width < info->width / 2 || height < info->height / 2)) break;
        search->sizes[search->size_count][0] = width;
        search->sizes[search->size_count++][1] = height;
    }
}

// What cannot be read is left out of everything, so that all numbers are of the pictures they claim to be of.
static cfine_status take_readable(opt_search *search, const coco_dataset *all, cfine_error *error) {
    int32_t least = (all->limit + 1) / 2; // of fewer, an AP says nothing about these data
    cfine_status status = cli_check_folder(search->images, all, least, error);
    if (status != CFINE_OK) return status;
    uint8_t *readable = cli_alloc((size_t)all->limit + 1, sizeof *readable);
    int32_t found = cli_find_readable(search->images, all, readable);
    search->annotated = all->limit;
    opt_take_part(all, readable, 0, 1, &search->parts[OPT_ALL]);
    opt_take_part(all, readable, 0, 2, &search->parts[OPT_CHOOSE]);
    opt_take_part(all, readable, 1, 2, &search->parts[OPT_CONFIRM]);
    free(readable);
    if (found < least)
        return coco_fail(error, CFINE_ERROR_FORMAT,
                         "--images %s: only %d of the %d pictures of the annotations can be read: mend the others, or "
                         "give annotations without them",
                         search->images, found, all->limit);
    if (found < all->limit) cli_note("%d of the %d pictures can be read: the others count nowhere.", found, all->limit);
    return CFINE_OK;
}

static cfine_status read_data(opt_search *search, cfine_error *error) {
    coco_dataset all;
    cfine_status status = coco_dataset_read(search->data, &all, error);
    if (status != CFINE_OK) return status;
    for (int i = 0; i < all.notes.count; i++) cli_note("%s: %s", search->data, all.notes.lines[i]);
    status = take_readable(search, &all, error);
    coco_dataset_release(&all);
    if (status != CFINE_OK) return status;
    int images = search->parts[OPT_ALL].limit, boxes = search->parts[OPT_ALL].truth_count;
    if (images < LEAST_PICTURES || !boxes)
        return coco_fail(error, CFINE_ERROR_ARGUMENT,
                         "%s: %d pictures with %d boxes are too few to choose and to confirm with: %d pictures are the "
                         "least, a hundred are good",
                         search->data, images, boxes, LEAST_PICTURES);
    if (images < FEW_PICTURES)
        cli_note("%d pictures are few: an AP measured with so few moves by more than a percent by chance.", images);
    return CFINE_OK;
}

static void hash_file(const char *path, char text[65]) {
    cli_sha256 hash;
    cli_sha256_start(&hash);
    FILE *file = fopen(path, "rb");
    char block[1 << 14];
    for (size_t got = 1; file && got;) {
        got = fread(block, 1, sizeof block, file);
        cli_sha256_add(&hash, block, got);
    }
    if (file) fclose(file);
    cli_sha256_end(&hash, text);
}

// A number that changes with the weights: of FP32's answer to pixels that look like nothing.
static cfine_status probe(opt_search *search, double *out, cfine_error *error) {
    opt_setting base = {.level = OPT_FP32, .calibration = -1, .batch = 1};
    cfine_plan *plan;
    cfine_session *session = NULL;
    cfine_status status = opt_build(search, &base, -1, &plan, error);
    if (status != CFINE_OK) return status;
    status = cfine_session_open(plan, NULL, &session, error);
    size_t count = (size_t)search->info.queries * (size_t)search->info.labels;
    float *pixels = bench_random_pixels((size_t)3 * (size_t)search->info.width * (size_t)search->info.height);
    float *logits = cli_alloc(count, sizeof *logits);
    if (status == CFINE_OK) status = cfine_session_run(session, pixels, 1, logits, NULL, error);
    *out = 0;
    for (size_t i = 0; i < count; i++) *out += fabs((double)logits[i]);
    free(logits);
    free(pixels);
    cfine_session_close(session);
    cfine_plan_close(plan);
    return status;
}

// The first line of the log: what its measurements depend on.
static char *describe_search(const optimize_args *args, const opt_search *search, double answer) {
    char *text = NULL, hash[65];
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return cli_format("{}");
    hash_file(search->data, hash);
    fprintf(stream, "{\"search\":1,\"version\":\"%s\",\"model\":", cfine_version());
    cli_print_json_text(stream, search->info.source);
    fprintf(stream, ",\"answer\":\"%.5g\",\"data\":\"%s\",\"images\":", answer, hash);
    cli_print_json_text(stream, search->images);
    fprintf(stream, ",\"pictures\":%d,\"machine\":", search->parts[OPT_ALL].limit);
    cli_print_json_text(stream, search->machine);
    fprintf(stream, ",\"features\":\"%s\",\"threads\":%d,\"objective\":\"%s\",\"calibrations\":[", search->features,
            search->model_args.threads, objectives[search->throughput]);
    for (int i = 0; i < args->calibrations.count; i++) {
        hash_file(args->calibrations.items[i], hash);
        fprintf(stream, "%s\"%s\"", i ? "," : "", hash);
    }
    fprintf(stream, "],\"calibration_images\":");
    cli_print_json_text(stream, args->calibration_images ? args->calibration_images : "");
    fputc('}', stream);
    fclose(stream);
    return text;
}

// ---------------------------------------------------------------------------------------------------------------------
// Calibrations

// A calibration that is being made: told once it is known how many pictures there are.
typedef struct {
    const char *name;
    size_t given;
    int first, told; // first: 1 if no other was made of these pictures
} calibrating;

static void tell_pictures(void *arg, const char *stage, int done, int total) {
    calibrating *state = arg;
    (void)stage, (void)done;
    if (state->told++) return;
    if ((size_t)total < state->given)
        cli_note("Calibrating int8 (%s) with %d of %zu pictures: the others cannot be read.", state->name, total,
                 state->given);
    else
        cli_note("Calibrating int8 (%s) with %d pictures.", state->name, total);
}

static void tell_skipped(void *arg, const char *message) {
    if (((const calibrating *)arg)->first) cli_error("%s", message);
}

// Makes a calibration, or takes the one that an earlier search made. Where most of the budget would go into
// calibrations the first has to do.
static cfine_status make_calibration(opt_search *search, cfine_range_method method, const char *name,
                                     const cli_inputs *pictures, cfine_error *error) {
    char *path = cli_format("%s/%s.json", search->folder, name);
    struct stat info;
    cfine_status status = CFINE_OK;
    if (stat(path, &info) != 0) {
        if (search->calibration_count && opt_out_of_time(search, 0.7 * search->budget)) {
            free(path);
            return CFINE_OK;
        }
        calibrating state = {.name = name, .given = pictures->count, .first = search->calibration_count == 0};
        cfine_calibrate_options wanted = CFINE_INIT(cfine_calibrate_options);
        wanted.method = method;
        wanted.judged = -1; // the search judges for itself
        wanted.threads = search->model_args.threads;
        wanted.device = search->model_args.device;
        wanted.progress = tell_pictures;
        wanted.skipped = tell_skipped;
        wanted.arg = &state;
        status =
            cfine_calibrate(search->model, (const char *const *)pictures->paths, pictures->count, &wanted, path, error);
    }
    search->calibrations[search->calibration_count] = path;
    search->calibration_names[search->calibration_count++] = cli_format("%s", name);
    return status;
}

// Those that were given; a plan of each tells now, not after minutes, whether it is one of this model.
static cfine_status take_calibrations(opt_search *search, const optimize_args *args, cfine_error *error) {
    cfine_status status = CFINE_OK;
    for (int i = 0; i < args->calibrations.count && status == CFINE_OK; i++) {
        const char *slash = strrchr(args->calibrations.items[i], '/');
        search->calibrations[i] = cli_format("%s", args->calibrations.items[i]);
        search->calibration_names[search->calibration_count++] =
            cli_format("%.40s", slash ? slash + 1 : args->calibrations.items[i]);
        opt_setting setting = {.level = OPT_INT8, .calibration = i, .batch = 1};
        cfine_plan *plan = NULL;
        status = opt_build(search, &setting, -1, &plan, error);
        cfine_plan_close(plan);
    }
    return status;
}

static cfine_status make_calibrations(opt_search *search, const optimize_args *args, cfine_error *error) {
    if (search->calibration_count) return CFINE_OK;
    static const struct {
        cfine_range_method method;
        const char *name;
    } methods[] = {{CFINE_RANGE_PERCENTILE, "percentile"}, {CFINE_RANGE_MSE, "mse"}, {CFINE_RANGE_ENTROPY, "entropy"}};
    cli_inputs pictures = {0};
    if (args->calibration_images) {
        char *words[] = {(char *)args->calibration_images};
        cli_inputs_expand(words, 1, &pictures);
        if (!pictures.count)
            return coco_fail(error, CFINE_ERROR_NOT_FOUND, "%s: has no pictures to calibrate with",
                             args->calibration_images);
    } else {
        const coco_dataset *part = &search->parts[OPT_CHOOSE];
        pictures.paths = cli_alloc((size_t)part->limit + 1, sizeof *pictures.paths);
        for (int32_t i = 0; i < part->limit; i++)
            pictures.paths[pictures.count++] = cli_picture_path(search->images, part->images[i].file);
    }
    cfine_status status = CFINE_OK;
    for (size_t i = 0; i < CLI_COUNT(methods) && status == CFINE_OK; i++)
        status = make_calibration(search, methods[i].method, methods[i].name, &pictures, error);
    cli_inputs_release(&pictures);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------

// What the measurements are of: a CPU, or a GPU that must be there.
static cfine_status find_machine(opt_search *search, cfine_error *error) {
    const char *device = search->model_args.device;
    search->on_gpu = device && strncmp(device, "cuda", 4) == 0;
    if (search->on_gpu)
        return cfine_gpu_describe(device[4] ? atoi(device + 5) : 0, search->machine, sizeof search->machine, error);
    cfine_cpu_model(search->machine, sizeof search->machine);
    cfine_cpu_features(search->features, sizeof search->features);
    return CFINE_OK;
}

static cfine_status open_search(opt_search *search, const optimize_args *args, cfine_error *error) {
    cfine_open_options unused;
    cfine_status status = cli_open_options(&search->model_args, &unused, error); // --cpu
    if (status == CFINE_OK) status = find_machine(search, error);
    if (status == CFINE_OK) status = cfine_model_open(search->model_args.model, &search->model, error);
    search->info = CFINE_INIT(cfine_model_info);
    if (status == CFINE_OK) status = cfine_model_get_info(search->model, &search->info, error);
    if (status == CFINE_OK) status = take_calibrations(search, args, error);
    if (status == CFINE_OK) status = read_data(search, error);
    if (status != CFINE_OK) return status;
    list_values(search);
    search->folder = cli_format("%s.search", search->output);
    if (mkdir(search->folder, 0777) != 0 && errno != EEXIST)
        return coco_fail(error, CFINE_ERROR_IO, "%s: cannot create: %s", search->folder, strerror(errno));
    double answer;
    status = probe(search, &answer, error);
    if (status != CFINE_OK) return status;
    char *path = cli_format("%s/log.jsonl", search->folder), *about = describe_search(args, search, answer);
    status = opt_log_open(&search->log, path, about, error);
    free(about);
    free(path);
    if (status != CFINE_OK) return status;
    search->last_words = cli_format("%scfine: optimize: stopped; the same command goes on from %s\n",
                                    isatty(STDERR_FILENO) ? "\n" : "", search->log.path); // "^C" has no line's end
    cli_on_signal_say(search->last_words);
    if (search->log.resumed)
        cli_note("%s: going on with %zu measurements of an earlier search.", search->log.path, search->log.resumed);
    status = make_calibrations(search, args, error);
    search->lowest = search->calibration_count ? OPT_INT8 : OPT_HALF;
    opt_setting base = {.level = OPT_FP32, .calibration = -1, .batch = 1};
    cfine_plan *plan = NULL;
    if (status == CFINE_OK) status = opt_build(search, &base, -1, &plan, error);
    if (status == CFINE_OK) status = cli_map_labels(plan, &search->parts[OPT_ALL], &search->labels, error);
    cfine_plan_close(plan);
    return status;
}

// The chosen plan, with what was measured of it inside.
static cfine_status save_plan(const opt_search *search, cfine_error *error) {
    const opt_result *best = &search->results[search->chosen];
    cfine_accuracy measured = CFINE_INIT(cfine_accuracy);
    measured.ap = best->score[OPT_ALL].ap;
    measured.ap50 = best->score[OPT_ALL].ap50;
    measured.reference_ap = search->results[search->baseline].score[OPT_ALL].ap;
    measured.images = search->parts[OPT_ALL].limit;
    measured.milliseconds = best->milliseconds;
    const char *slash = strrchr(search->data, '/');
    snprintf(measured.data, sizeof measured.data, "%s", slash ? slash + 1 : search->data);
    snprintf(measured.machine, sizeof measured.machine, "%s", search->machine);
    cfine_plan *plan;
    cfine_status status = opt_build_best(search, &best->setting, &plan, error);
    if (status != CFINE_OK) return status;
    status = cfine_plan_set_accuracy(plan, &measured, error);
    if (status == CFINE_OK) status = cfine_plan_save(plan, search->output, error);
    cfine_plan_close(plan);
    return status;
}

static char *report_path(const optimize_args *args) {
    if (args->report) return cli_format("%s", args->report);
    const char *dot = strrchr(args->output, '.'), *slash = strrchr(args->output, '/');
    int stem = dot && (!slash || dot > slash) ? (int)(dot - args->output) : (int)strlen(args->output);
    return cli_format("%.*s.html", stem, args->output);
}

static int search_and_save(opt_search *search, const optimize_args *args, const char *report) {
    cfine_error error;
    cfine_status status = open_search(search, args, &error);
    if (status == CFINE_OK) status = opt_run(search, &error);
    if (status == CFINE_OK) status = save_plan(search, &error);
    if (status != CFINE_OK) {
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    if (args->json)
        opt_print_json(search);
    else
        opt_print(search);
    cli_flush_output();
    int saved = opt_save_report(search, report);
    if (saved) cli_note("Report: %s", report);
    return saved ? CLI_OK : CLI_FAILED;
}

// Files that cannot be written are refused before the search, not minutes later.
static int optimize(opt_search *search, const optimize_args *args) {
    char *report = report_path(args);
    int fine = cli_output_check(args->output) && cli_output_check(report) &&
               cli_output_spares(args->output, args->data) && cli_output_spares(report, args->data);
    if (fine && strcmp(report, args->output) == 0) {
        cli_error("%s: plan and report would be one file: name another with --report", report);
        fine = 0;
    }
    int status = fine ? search_and_save(search, args, report) : CLI_FAILED;
    free(report);
    return status;
}

static void release(opt_search *search) {
    opt_reference_destroy(search->reference);
    for (int i = 0; i < search->operator_count; i++) free(search->operators[i].name);
    free(search->operators);
    for (int i = 0; i < search->calibration_count; i++) {
        free(search->calibrations[i]);
        free(search->calibration_names[i]);
    }
    for (int part = 0; part < OPT_PARTS; part++) coco_dataset_release(&search->parts[part]);
    free(search->labels.category);
    cli_on_signal_say(NULL);
    free(search->last_words);
    opt_log_close(&search->log);
    if (search->folder) rmdir(search->folder); // empty where nothing was measured
    free(search->folder);
    cfine_model_close(search->model);
}

static int run_verb(int argc, char **argv) {
    optimize_args args = {0};
    int operands, status;
    if (!cli_parse(&cli_verb_optimize, argc, argv, &args, &operands, &status)) return status;
    opt_search *search = cli_alloc(1, sizeof *search);
    search->model_args = args.model;
    search->data = args.data;
    search->images = args.images;
    search->output = args.output;
    search->throughput = args.throughput;
    search->started = cli_seconds();
    status = check(&args, search);
    if (status == CLI_OK) {
        status = optimize(search, &args);
        release(search);
    }
    free(search);
    return status;
}

const cli_verb cli_verb_optimize = {
    .name = "optimize",
    .summary = "search for the fastest plan that is accurate enough",
    .operands = "",
    .about =
        "Chooses the precision of every operator, the calibration of int8, queries, decoder layers, input size and\n"
        "batch: measures what each costs and saves, tries the combinations that promise most on one half of the\n"
        "pictures, and confirms the best on the other half. Writes the plan with its measured accuracy inside (cfine\n"
        "info shows it) and a report as one HTML page. What was measured is kept in FILE.search/log.jsonl: a search\n"
        "that was stopped goes on there when the same command is given again.\n",
    .example = "cfine optimize --data instances.json --images photos/ --max-loss 1% -o best.plan\n"
               "cfine optimize --model my-model/ --data instances.json --images photos/ --objective throughput \\\n"
               "    --budget 30m -o best.plan\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
