// SPDX-License-Identifier: Apache-2.0
// `cfine bench`: time of a model on this machine, as a table of rows that take turns.
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/bench_lists.h"
#include "bench/bench_peer.h"
#include "eval_run.h"
#include "heap.h"
#include "inputs.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

enum { MOST_ROWS = 512, ROUND_RUNS = 5, MOST_PICTURES = 64, LEAST_RUNS = 10, MOST_RUNS = 100 };

typedef struct {
    cli_model_args model; // precision, batch and queries come from the lists
    const char *precisions, *batches, *queries, *engines, *scopes, *images, *data, *calibration, *python;
    int sweep, runs, warmup, json, markdown, profile;
    double seconds;
} bench_args;

static const char *const sweeps[] = {"none", "batch", "queries", NULL};

static const cli_option options[] = {
    CLI_MODEL_OPTION_MODEL(bench_args, model),
    {"precision", 'p', "P,...", "precisions: fp32, bf16, fp16, int8 (default: fp32)", CLI_TEXT,
     offsetof(bench_args, precisions)},
    {"batch", 'b', "N,...", "images per run (default: 1)", CLI_TEXT, offsetof(bench_args, batches)},
    {"queries", 'q', "N,...", "object queries (default: as trained)", CLI_TEXT, offsetof(bench_args, queries)},
    {"engine", 'e', "E,...", "who runs the model: cfine, onnxruntime, openvino, pytorch (default: cfine)", CLI_TEXT,
     offsetof(bench_args, engines)},
    {"sweep", 0, "WHAT", "batch: 1,2,4,8,16; queries: 300,150,100 (default: none)", CLI_CHOICE,
     offsetof(bench_args, sweep), .choices = sweeps},
    {"scope", 0, "S,...",
     "forward: prepared pixels to raw outputs; image: from the bytes of pictures to detections (default: forward, and "
     "image where --images is given)",
     CLI_TEXT, offsetof(bench_args, scopes)},
    {"images", 'i', "DIR", "folder of pictures for scope image", CLI_TEXT, offsetof(bench_args, images),
     .completion = CLI_COMPLETE_FOLDERS},
    {"data", 'd', "FILE", "annotations of these pictures: measures AP of each precision too", CLI_TEXT,
     offsetof(bench_args, data), .completion = CLI_COMPLETE_FILES},
    {"calibration", 0, "FILE", "calibration for int8", CLI_TEXT, offsetof(bench_args, calibration),
     .completion = CLI_COMPLETE_FILES},
    {"runs", 'n', "N", "timed runs of a row (default: what fits into --seconds, 10 to 100)", CLI_INT,
     offsetof(bench_args, runs), .least = 1, .most = 1000000},
    {"seconds", 0, "S", "time for a row where --runs is not given (default: 3)", CLI_REAL,
     offsetof(bench_args, seconds), .least = 0.01, .most = 86400},
    {"warmup", 'w', "N", "runs of a row before the first timed one (default: 3)", CLI_INT, offsetof(bench_args, warmup),
     .least = 0, .most = 1000000},
    {"size", 's', "WxH", "input of the network in pixels, multiples of 32 (default: as trained)", CLI_SIZE,
     offsetof(bench_args, model.size)},
    {"decoder-layers", 0, "N", "decoder layers to run (default: as trained)", CLI_INT,
     offsetof(bench_args, model.decoder_layers), .least = 1, .most = 100},
    {"threads", 't', "N", "threads (default: one for each core)", CLI_INT, offsetof(bench_args, model.threads),
     .least = 1, .most = 1024},
    {"device", 0, "DEVICE", "cpu, cuda or cuda:N, a GPU by its number (default: cpu)", CLI_TEXT,
     offsetof(bench_args, model.device)},
    {"cpu", 0, "LEVEL",
     "highest instruction set to use: scalar, avx2, avx512, avx512vnni, avx512bf16, amx (default: native)", CLI_CHOICE,
     offsetof(bench_args, model.cpu), .choices = cli_cpu_levels},
    {"python", 0, "FILE", "Python that has the other engines (default: python3)", CLI_TEXT,
     offsetof(bench_args, python), .completion = CLI_COMPLETE_FILES},
    {"profile", 0, NULL, "tell where the time of the forward pass goes", CLI_FLAG, offsetof(bench_args, profile)},
    {"json", 'j', NULL, "print one JSON object a line for each row", CLI_FLAG, offsetof(bench_args, json)},
    {"markdown", 0, NULL, "print a Markdown table", CLI_FLAG, offsetof(bench_args, markdown)},
};

typedef struct {
    const bench_args *args;
    bench_list engines, scopes, precisions, batches, queries;
    bench_pictures pictures;
    bench_row *rows;
    int row_count;
    bench_peers *peers; // who run the rows of other engines
    int failed;         // rows that could not run, missing engines aside
} bench;

// ---------------------------------------------------------------------------------------------------------------------
// Pictures

static int read_picture(bench_pictures *pictures, const char *path) {
    FILE *file = fopen(path, "rb");
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *bytes = size > 0 ? malloc((size_t)size) : NULL;
    int good = bytes && fseek(file, 0, SEEK_SET) == 0 && fread(bytes, 1, (size_t)size, file) == (size_t)size;
    if (file) fclose(file);
    cfine_image image = {0};
    cfine_error error;
    snprintf(error.message, sizeof error.message, "cannot be read");
    if (!good || cfine_image_decode(bytes, (size_t)size, NULL, &image, &error) != CFINE_OK) {
        cli_error("%s: %s: left out", path, error.message);
        free(bytes);
        return 0;
    }
    cfine_image_release(&image);
    pictures->paths[pictures->count] = cli_format("%s", path);
    pictures->bytes[pictures->count] = bytes;
    pictures->sizes[pictures->count++] = (size_t)size;
    return 1;
}

static int read_pictures(bench_pictures *pictures, const char *folder) {
    char *words[] = {(char *)folder};
    cli_inputs inputs;
    cli_inputs_expand(words, 1, &inputs);
    pictures->paths = cli_alloc(MOST_PICTURES, sizeof *pictures->paths);
    pictures->bytes = cli_alloc(MOST_PICTURES, sizeof *pictures->bytes);
    pictures->sizes = cli_alloc(MOST_PICTURES, sizeof *pictures->sizes);
    for (size_t i = 0; i < inputs.count && pictures->count < MOST_PICTURES; i++)
        read_picture(pictures, inputs.paths[i]);
    int found = inputs.count > 0;
    cli_inputs_release(&inputs);
    if (found && pictures->count == 0) cli_error("%s: none of the pictures could be read", folder);
    return pictures->count > 0;
}

static void release_pictures(bench_pictures *pictures) {
    for (size_t i = 0; i < pictures->count; i++) {
        free(pictures->paths[i]);
        free(pictures->bytes[i]);
    }
    free(pictures->paths);
    free(pictures->bytes);
    free(pictures->sizes);
}

// ---------------------------------------------------------------------------------------------------------------------
// Rows

static int plan_rows(bench *run) {
    long count =
        (long)run->scopes.count * run->batches.count * run->queries.count * run->precisions.count * run->engines.count;
    if (count > MOST_ROWS) {
        cli_error("bench: %ld rows are more than %d: shorten a list", count, MOST_ROWS);
        return 0;
    }
    run->rows = cli_alloc((size_t)count, sizeof *run->rows);
    int threads = run->args->model.threads ? run->args->model.threads : cfine_cpu_count();
    for (int s = 0; s < run->scopes.count; s++)
        for (int b = 0; b < run->batches.count; b++)
            for (int q = 0; q < run->queries.count; q++)
                for (int p = 0; p < run->precisions.count; p++)
                    for (int e = 0; e < run->engines.count; e++)
                        run->rows[run->row_count++] = (bench_row){.engine = (bench_engine)run->engines.items[e],
                                                                  .scope = (bench_scope)run->scopes.items[s],
                                                                  .precision = run->precisions.items[p],
                                                                  .batch = run->batches.items[b],
                                                                  .queries = run->queries.items[q],
                                                                  .threads = threads,
                                                                  .pictures = &run->pictures,
                                                                  .ap = -1,
                                                                  .ap50 = -1};
    return 1;
}

// An earlier row that differs in scope alone.
static const bench_row *find_like(const bench *run, const bench_row *row) {
    for (const bench_row *other = run->rows; other < row; other++)
        if (other->engine == row->engine && other->precision == row->precision && other->batch == row->batch &&
            other->queries == row->queries && other->scope != row->scope && other->runner)
            return other;
    return NULL;
}

static void open_rows(bench *run) {
    for (int i = 0; i < run->row_count; i++) {
        bench_row *row = &run->rows[i];
        cfine_error error;
        cfine_status status =
            row->engine == BENCH_CFINE
                ? bench_cfine_open(row, &run->args->model, run->args->calibration, find_like(run, row), &error)
                : bench_peer_open(run->peers, row, &error);
        if (status == CFINE_OK) continue;
        snprintf(row->note, sizeof row->note, "%s", error.message);
        run->failed++;
    }
}

static int can_run(const bench_row *row) {
    return row->runner && !row->failed;
}

// One pass; a row that fails keeps what it has and runs no more.
static double run_once(bench *run, bench_row *row) {
    double milliseconds = 0;
    cfine_error error;
    if (row->runner->run(row, &milliseconds, &error) == CFINE_OK) return milliseconds;
    snprintf(row->note, sizeof row->note, "%s", error.message);
    row->failed = 1;
    row->count = 0;
    run->failed++;
    return -1;
}

// How many timed runs a row gets: as asked, or what fits into its time.
static int wanted_runs(const bench_args *args, double milliseconds) {
    if (args->runs) return args->runs;
    double fit = args->seconds * 1e3 / (milliseconds > 1e-3 ? milliseconds : 1e-3);
    return fit < LEAST_RUNS ? LEAST_RUNS : fit > MOST_RUNS ? MOST_RUNS : (int)fit;
}

// Rows take turns of ROUND_RUNS timed passes, each turn begun with one that is not timed (caches hold another row's
// weights by then), so that a slow moment of the machine falls on all rows alike.
static void run_rounds(bench *run) {
    int wanted[MOST_ROWS] = {0};
    int64_t total = 0, done = 0;
    for (int i = 0; i < run->row_count; i++) {
        double last = 0;
        for (int k = 0; k <= run->args->warmup && can_run(&run->rows[i]); k++) last = run_once(run, &run->rows[i]);
        wanted[i] = can_run(&run->rows[i]) ? wanted_runs(run->args, last) : 0;
        total += wanted[i];
    }
    cli_progress bar;
    cli_progress_start(&bar, "runs", 0, total);
    for (int left = 1; left;) {
        left = 0;
        for (int i = 0; i < run->row_count; i++) {
            bench_row *row = &run->rows[i];
            for (int k = -1; k < ROUND_RUNS && can_run(row) && row->count < wanted[i]; k++) {
                double milliseconds = run_once(run, row);
                if (k < 0 || milliseconds < 0) continue;
                bench_row_add(row, milliseconds);
                cli_progress_show(&bar, ++done);
            }
            left |= can_run(row) && row->count < wanted[i];
        }
    }
    cli_progress_end(&bar);
}

// ---------------------------------------------------------------------------------------------------------------------
// Accuracy

static cfine_status measure_accuracy(const bench_args *args, const coco_dataset *dataset, bench_row *row,
                                     cfine_error *error) {
    cfine_session *session = bench_cfine_session(row);
    cli_label_map labels;
    cfine_status status = cli_map_labels(cfine_session_plan(session), dataset, &labels, error);
    if (status != CFINE_OK) return status;
    cli_eval_run run;
    coco_summary summary;
    status = cli_eval_session(session, dataset, args->images, &labels, 1, &run, error);
    if (status == CFINE_OK) {
        status = coco_evaluate(dataset, &run.results, &summary, error);
        if (status == CFINE_OK) {
            row->ap = summary.numbers[COCO_AP];
            row->ap50 = summary.numbers[COCO_AP50];
            coco_summary_release(&summary);
        }
        coco_results_release(&run.results);
    }
    free(labels.category);
    return status;
}

// Accuracy does not depend on batch and scope: measured once, and noted in every row of the same plan.
static cfine_status measure_accuracies(bench *run, cfine_error *error) {
    coco_dataset dataset;
    cfine_status status = coco_dataset_read(run->args->data, &dataset, error);
    if (status != CFINE_OK) return status;
    for (int i = 0; i < run->row_count && status == CFINE_OK; i++) {
        bench_row *row = &run->rows[i];
        if (!can_run(row) || row->engine != BENCH_CFINE) continue;
        for (int k = 0; k < i; k++) {
            const bench_row *other = &run->rows[k];
            if (other->engine == row->engine && other->precision == row->precision && other->queries == row->queries)
                row->ap = other->ap, row->ap50 = other->ap50;
        }
        if (row->ap < 0) status = measure_accuracy(run->args, &dataset, row, error);
    }
    coco_dataset_release(&dataset);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------

static void print_machine(const bench_args *args) {
    char model[128], features[256];
    cfine_cpu_model(model, sizeof model);
    cfine_cpu_features(features, sizeof features);
    const char *name = args->model.model ? args->model.model : "bundled model";
    if (args->markdown)
        printf("%s on %s, %d cores (%s), cfine %s\n\n", name, model, cfine_cpu_count(), features, cfine_version());
    else
        printf("%s on %s, %d cores (%s), cfine %s\n", name, model, cfine_cpu_count(), features, cfine_version());
}

static void print_rows(const bench *run) {
    const bench_args *args = run->args;
    if (args->json) {
        bench_print_json(run->rows, run->row_count, args->model.model ? args->model.model : "default");
        return;
    }
    print_machine(args);
    if (args->markdown)
        bench_print_markdown(run->rows, run->row_count);
    else
        bench_print_table(run->rows, run->row_count);
}

static cfine_status print_profiles(const bench *run, cfine_error *error) {
    for (int i = 0; i < run->row_count; i++) {
        const bench_row *row = &run->rows[i];
        if (!can_run(row) || row->engine != BENCH_CFINE || row->scope != BENCH_FORWARD) continue;
        cfine_status status = bench_print_profile(row, &run->args->model, run->args->calibration, error);
        if (status != CFINE_OK) return status;
    }
    return CFINE_OK;
}

static int run_bench(bench *run) {
    const bench_args *args = run->args;
    if (args->images && !read_pictures(&run->pictures, args->images)) return CLI_FAILED;
    if (!plan_rows(run)) return CLI_FAILED;
    run->peers = bench_peers_create(args->python ? args->python : "python3", &args->model);
    open_rows(run);
    run_rounds(run);
    cfine_error error;
    cfine_status status = args->data ? measure_accuracies(run, &error) : CFINE_OK;
    print_rows(run);
    if (status == CFINE_OK && args->profile) status = print_profiles(run, &error);
    if (status != CFINE_OK) cli_error("%s", error.message);
    return status == CFINE_OK && run->failed == 0 ? CLI_OK : CLI_FAILED;
}

static void release_bench(bench *run) {
    for (int i = run->row_count - 1; i >= 0; i--) { // rows that share a session come after its owner
        if (run->rows[i].runner) run->rows[i].runner->close(&run->rows[i]);
        free(run->rows[i].milliseconds);
    }
    free(run->rows);
    bench_peers_destroy(run->peers);
    release_pictures(&run->pictures);
}

static int read_lists(bench *run) {
    const bench_args *args = run->args;
    const cli_verb *verb = &cli_verb_bench;
    run->engines = (bench_list){{BENCH_CFINE}, 1};
    run->scopes = args->images ? (bench_list){{BENCH_FORWARD, BENCH_IMAGE}, 2} : (bench_list){{BENCH_FORWARD}, 1};
    run->precisions = (bench_list){{0}, 1};
    run->batches = args->sweep == 1 ? (bench_list){{1, 2, 4, 8, 16}, 5} : (bench_list){{1}, 1};
    run->queries = args->sweep == 2 ? (bench_list){{300, 150, 100}, 3} : (bench_list){{0}, 1};
    int status = bench_read_names(verb, "engine", args->engines, bench_engine_names, &run->engines);
    if (status == CLI_OK) status = bench_read_names(verb, "scope", args->scopes, bench_scope_names, &run->scopes);
    if (status == CLI_OK)
        status = bench_read_names(verb, "precision", args->precisions, cli_precisions, &run->precisions);
    if (status == CLI_OK) status = bench_read_numbers(verb, "batch", args->batches, 1, 1024, &run->batches);
    if (status == CLI_OK) status = bench_read_numbers(verb, "queries", args->queries, 1, 100000, &run->queries);
    for (int i = 0; i < run->scopes.count && status == CLI_OK; i++)
        if (run->scopes.items[i] == BENCH_IMAGE && !args->images)
            status = cli_usage(verb, "--scope image needs pictures: --images DIR");
    if (status == CLI_OK && args->data && !args->images)
        status = cli_usage(verb, "--data needs its pictures: --images");
    if (status == CLI_OK && args->json && (args->markdown || args->profile))
        status = cli_usage(verb, "--json goes with neither --markdown nor --profile");
    return status;
}

static int run_verb(int argc, char **argv) {
    bench_args args = {.warmup = 3, .seconds = 3};
    int operands, status;
    if (!cli_parse(&cli_verb_bench, argc, argv, &args, &operands, &status)) return status;
    bench run = {.args = &args};
    status = read_lists(&run);
    if (status != CLI_OK) return status;
    status = run_bench(&run);
    release_bench(&run);
    return status;
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .summary = "measure the speed of a model on this machine",
    .operands = "",
    .about = "Every combination of the lists is a row. Rows take turns of a few runs each, so that a noisy machine is\n"
             "fair to all. Times are milliseconds of a run of `batch` images; images/s follows from their mean;\n"
             "speed-ups are over the first row of the same scope.\n",
    .example = "cfine bench --precision fp32,bf16 --batch 1,8\n"
               "cfine bench --model my.plan --images photos/ --markdown\n"
               "cfine bench --sweep batch --json > times.jsonl\n"
               "cfine bench --precision bf16 --profile\n"
               "cfine bench --engine pytorch,onnxruntime,openvino,cfine --model my-model/ --markdown\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
