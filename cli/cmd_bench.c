// SPDX-License-Identifier: Apache-2.0
// `cfine bench`: time of a model on this machine, as a table of rows that take turns.
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/bench_accuracy.h"
#include "bench/bench_peer.h"
#include "bench/bench_plan.h"
#include "bench/bench_stop.h"
#include "coco_ap.h"
#include "environment.h"
#include "heap.h"
#include "inputs.h"
#include "message.h"
#include "output_file.h"
#include "progress.h"
#include "read_file.h"
#include "report.h"
#include "save_canvas.h"
#include "verbs.h"

enum { ROUND_RUNS = 5, MOST_PICTURES = 64, LEAST_RUNS = 10, MOST_RUNS = 100 };

typedef struct {
    cli_model_args model; // precision, batch and queries come from the lists
    const char *precisions, *batches, *queries, *engines, *scopes, *images, *data, *python;
    const char *calibration_images, *onnxruntime, *openvino;
    cli_texts calibrations, pictures;
    int sweep, table, runs, warmup, streams, json, markdown, profile;
    double seconds, patience;
} bench_args;

static const char *const sweeps[] = {"none", "batch", "queries", NULL};

static const cli_option options[] = {
    CLI_MODEL_OPTION_MODEL(bench_args, model),
    {"precision", 'p', "P,...", "precisions: fp32, bf16, fp16, int8, fp8 (default: fp32)", CLI_TEXT,
     offsetof(bench_args, precisions)},
    {"batch", 'b', "N,...", "images per run (default: 1)", CLI_TEXT, offsetof(bench_args, batches)},
    {"queries", 'q', "N,...", "object queries (default: as trained)", CLI_TEXT, offsetof(bench_args, queries)},
    {"engine", 'e', "E,...",
     "who runs the model: cfine, onnxruntime, onnxruntime-cuda, onnxruntime-tensorrt, openvino, pytorch, "
     "torch-compile, "
     "torch-tensorrt (default: cfine)",
     CLI_TEXT, offsetof(bench_args, engines)},
    {"sweep", 0, "WHAT", "batch: 1,2,4,8,16; queries: 300,150,100 (default: none)", CLI_CHOICE,
     offsetof(bench_args, sweep), .choices = sweeps},
    {"table", 0, NULL,
     "the comparison people know: PyTorch, torch.compile, ONNX Runtime, OpenVINO and cfine at each precision, then "
     "batches, then queries; on a GPU at batches of 1, 8 and 32",
     CLI_FLAG, offsetof(bench_args, table)},
    {"scope", 0, "S,...",
     "forward: prepared pixels to raw outputs; image: from the bytes of pictures to detections (default: forward, and "
     "image where --images is given)",
     CLI_TEXT, offsetof(bench_args, scopes)},
    {"images", 'i', "DIR", "folder of pictures for scope image", CLI_TEXT, offsetof(bench_args, images),
     .completion = CLI_COMPLETE_FOLDERS},
    {"data", 'd', "FILE", "annotations of these pictures: measures the accuracy of every row too", CLI_TEXT,
     offsetof(bench_args, data), .completion = CLI_COMPLETE_FILES},
    {"calibration", 0, "FILE", "calibration for int8; may be given several times, a row each", CLI_TEXTS,
     offsetof(bench_args, calibrations), .completion = CLI_COMPLETE_FILES},
    {"calibration-images", 0, "DIR", "pictures for engines that calibrate int8 themselves (OpenVINO by NNCF)", CLI_TEXT,
     offsetof(bench_args, calibration_images), .completion = CLI_COMPLETE_FOLDERS},
    {"picture", 0, "FILE", "draw the rows as FILE.svg or FILE.png; may be given several times", CLI_TEXTS,
     offsetof(bench_args, pictures), .completion = CLI_COMPLETE_FILES},
    {"runs", 'n', "N", "timed runs of a row (default: what fits into --seconds, 10 to 100)", CLI_INT,
     offsetof(bench_args, runs), .least = 1, .most = 1000000},
    {"seconds", 0, "S", "time for a row where --runs is not given (default: 3)", CLI_REAL,
     offsetof(bench_args, seconds), .least = 0.01, .most = 86400},
    {"warmup", 'w', "N", "runs of a row before the first timed one (default: 3)", CLI_INT, offsetof(bench_args, warmup),
     .least = 0, .most = 1000000},
    {"size", 's', "WxH",
     "input of the network in pixels, multiples of 32; one number stands for both (default: as trained)", CLI_SIZE,
     offsetof(bench_args, model.size)},
    {"decoder-layers", 0, "N", "decoder layers to run (default: as trained)", CLI_INT,
     offsetof(bench_args, model.decoder_layers), .least = 1, .most = 100},
    {"threads", 't', "N", "threads (default: one for each core)", CLI_INT, offsetof(bench_args, model.threads),
     .least = 1, .most = 1024},
    {"streams", 0, "N",
     "scope forward: sessions of cfine side by side, which share weights and threads: throughput instead of latency; "
     "images/s counts all (default: 1)",
     CLI_INT, offsetof(bench_args, streams), .least = 1, .most = 64},
    {"device", 0, "DEVICE", "cpu, cuda or cuda:N, a GPU by its number (default: cpu)", CLI_DEVICE,
     offsetof(bench_args, model.device)},
    {"cpu", 0, "LEVEL", CLI_CPU_HELP, CLI_CHOICE, offsetof(bench_args, model.cpu), .choices = cli_cpu_levels},
    {"onnxruntime", 0, "FILE",
     "libonnxruntime.so of ONNX Runtime (default: CFINE_ONNXRUNTIME, what the loader finds, what --python has)",
     CLI_TEXT, offsetof(bench_args, onnxruntime), .completion = CLI_COMPLETE_FILES},
    {"openvino", 0, "FILE",
     "libopenvino_c.so of OpenVINO (default: CFINE_OPENVINO, what the loader finds, what --python has)", CLI_TEXT,
     offsetof(bench_args, openvino), .completion = CLI_COMPLETE_FILES},
    {"python", 0, "FILE", "Python that has PyTorch and NNCF (default: python3)", CLI_TEXT, offsetof(bench_args, python),
     .completion = CLI_COMPLETE_FILES},
    {"patience", 0, "S", "time that a row in Python may take to get ready: torch.compile, NNCF (default: 600)",
     CLI_REAL, offsetof(bench_args, patience), .least = 1, .most = 86400},
    {"profile", 0, NULL, "tell where the time of the forward pass goes", CLI_FLAG, offsetof(bench_args, profile)},
    {"json", 'j', NULL, "print one JSON object a line for each row", CLI_FLAG, offsetof(bench_args, json)},
    {"markdown", 0, NULL, "print a Markdown table", CLI_FLAG, offsetof(bench_args, markdown)},
};

typedef struct {
    const bench_args *args;
    bench_lists lists;
    bench_pictures pictures;
    cli_inputs calibration_pictures;
    bench_row *rows;
    int row_count;
    bench_peers peers; // who run the rows of other engines
    int failed;        // rows that could not run, missing engines aside
} bench;

// ---------------------------------------------------------------------------------------------------------------------
// Pictures

static int read_picture(bench_pictures *pictures, const char *path) {
    uint8_t *bytes;
    size_t size;
    if (!cli_read_file(path, &bytes, &size)) return 0;
    cfine_image image;
    cfine_error error;
    if (cfine_image_decode(bytes, size, NULL, &image, &error) != CFINE_OK) {
        cli_error("%s: %s: left out", path, error.message);
        free(bytes);
        return 0;
    }
    cfine_image_release(&image);
    pictures->paths[pictures->count] = cli_format("%s", path);
    pictures->bytes[pictures->count] = bytes;
    pictures->sizes[pictures->count++] = size;
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

// Queries of the checkpoint (or plan), for the table's sweep.
static cfine_status find_queries(const bench_args *args, int *queries, cfine_error *error) {
    cfine_model *model;
    cfine_status status = cfine_model_open(args->model.model, &model, error);
    if (status != CFINE_OK) return status;
    cfine_model_info info = CFINE_INIT(cfine_model_info);
    status = cfine_model_get_info(model, &info, error);
    *queries = info.queries;
    cfine_model_close(model);
    return status;
}

static int plan_rows(bench *run) {
    const bench_args *args = run->args;
    bench_row like = {.threads = args->model.threads ? args->model.threads : cfine_cpu_count(),
                      .streams = args->streams ? args->streams : 1,
                      .pictures = &run->pictures,
                      .ap = -1,
                      .ap50 = -1};
    run->rows = cli_alloc(BENCH_MOST_ROWS, sizeof *run->rows);
    int fits, queries;
    if (args->table) {
        cfine_error error;
        if (find_queries(args, &queries, &error) != CFINE_OK) {
            cli_error("%s", error.message);
            return 0;
        }
        int gpu = args->model.device && strncmp(args->model.device, "cuda", 4) == 0;
        fits = bench_plan_table(&args->calibrations, queries, run->calibration_pictures.count > 0, gpu, &like,
                                run->rows, &run->row_count);
    } else {
        fits = bench_plan_lists(&run->lists, NULL, &like, run->rows, &run->row_count);
    }
    if (!fits) cli_error("bench: more than %d rows: shorten a list", BENCH_MOST_ROWS);
    return fits;
}

// An earlier row that differs in scope alone.
static const bench_row *find_like(const bench *run, const bench_row *row) {
    for (const bench_row *other = run->rows; other < row; other++)
        if (other->engine == row->engine && other->precision == row->precision && other->batch == row->batch &&
            other->queries == row->queries && other->calibration == row->calibration && other->scope != row->scope &&
            other->runner)
            return other;
    return NULL;
}

// Tells once of each calibration that was made at another size.
static void note_calibration(const bench *run, const bench_row *row) {
    for (const bench_row *other = run->rows; other < row; other++)
        if (other->runner && other->calibration == row->calibration) return;
    cli_note_calibration(row->calibration, cfine_session_plan(bench_cfine_session(row)));
}

static void open_rows(bench *run) {
    int made_up = 0;
    int by_plan = !run->args->precisions && !run->args->table && cli_is_plan_name(run->args->model.model);
    for (int i = 0; i < run->row_count; i++) {
        bench_row *row = &run->rows[i];
        row->unknown = by_plan && row->engine == BENCH_CFINE; // until it is opened
        if (bench_stopped()) {
            snprintf(row->note, sizeof row->note, "stopped before it was opened");
            continue;
        }
        cfine_error error;
        cfine_status status = row->engine == BENCH_CFINE
                                  ? bench_cfine_open(row, &run->args->model, find_like(run, row), &error)
                                  : bench_peer_open(&run->peers, row, &error);
        if (status == CFINE_OK && row->engine == BENCH_CFINE) {
            cfine_plan_info info = CFINE_INIT(cfine_plan_info);
            cfine_plan_get_info(cfine_session_plan(bench_cfine_session(row)), &info, NULL);
            made_up |= info.random_ranges;
            note_calibration(run, row);
        }
        if (status == CFINE_OK) continue;
        snprintf(row->note, sizeof row->note, "%s", error.message);
        run->failed++;
    }
    if (made_up)
        cli_note(
            "int8 without --calibration runs with the ranges of random pixels: its time counts, its accuracy means "
            "nothing. Make one: cfine calibrate.");
}

static int can_run(const bench_row *row) {
    return row->runner && !row->failed && !bench_stopped();
}

// One pass; a row that fails keeps what it has and runs no more.
static double run_once(bench *run, bench_row *row) {
    double milliseconds = 0;
    cfine_error error;
    if (row->runner->run(row, &milliseconds, &error) == CFINE_OK) return milliseconds;
    if (bench_stopped()) return -1;
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
    int wanted[BENCH_MOST_ROWS] = {0};
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

static void report_stop(bench *run) {
    if (!bench_stopped()) return;
    cli_error("bench: stopped; this is what was measured until then");
    run->failed++;
    for (int i = 0; i < run->row_count; i++)
        if (run->rows[i].count == 0 && !run->rows[i].note[0])
            snprintf(run->rows[i].note, sizeof run->rows[i].note, "stopped before its first timed run");
}

// ---------------------------------------------------------------------------------------------------------------------

static int save_pictures(const bench *run) {
    const bench_args *args = run->args;
    char cpu[128], features[256], title[300], subtitle[512];
    cfine_cpu_model(cpu, sizeof cpu);
    cfine_cpu_features(features, sizeof features);
    snprintf(title, sizeof title, "%s: forward pass", cli_model_name(&args->model));
    snprintf(subtitle, sizeof subtitle, "%s, %d threads (%s), cfine %s", cpu, run->rows[0].threads, features,
             cfine_version());
    int saved = 1;
    for (int i = 0; i < args->pictures.count; i++)
        saved &= bench_save_picture(args->pictures.items[i], title, subtitle, run->rows, run->row_count);
    return saved;
}

static void print_machine(const bench_args *args) {
    char model[128], features[256];
    cfine_cpu_model(model, sizeof model);
    cfine_cpu_features(features, sizeof features);
    const char *name = cli_model_name(&args->model);
    if (args->markdown)
        printf("%s on %s, %d cores (%s), cfine %s\n\n", name, model, cfine_cpu_count(), features, cfine_version());
    else
        printf("%s on %s, %d cores (%s), cfine %s\n", name, model, cfine_cpu_count(), features, cfine_version());
}

static void print_rows(const bench *run) {
    const bench_args *args = run->args;
    if (args->json) {
        bench_print_json(run->rows, run->row_count, cli_model_name(&args->model));
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
        if (!row->runner || row->failed || row->engine != BENCH_CFINE || row->scope != BENCH_FORWARD) continue;
        if (bench_stopped())
            return coco_fail(error, CFINE_ERROR_DEVICE, "bench: stopped before the profile, which is missing");
        cfine_status status = bench_print_profile(row, &run->args->model, error);
        if (status != CFINE_OK) return status;
    }
    return CFINE_OK;
}

static int run_bench(bench *run) {
    const bench_args *args = run->args;
    if (args->images && !read_pictures(&run->pictures, args->images)) return CLI_FAILED;
    if (args->calibration_images) {
        char *words[] = {(char *)args->calibration_images};
        cli_inputs_expand(words, 1, &run->calibration_pictures);
        if (run->calibration_pictures.count == 0) return CLI_FAILED;
    }
    if (!plan_rows(run)) return CLI_FAILED;
    run->peers = (bench_peers){.model = &args->model,
                               .calibration = &run->calibration_pictures,
                               .onnxruntime = args->onnxruntime ? args->onnxruntime : cli_env_onnxruntime(),
                               .openvino = args->openvino ? args->openvino : cli_env_openvino(),
                               .patience = args->patience};
    bench_stop_watch();
    bench_peers_start(&run->peers, args->python ? args->python : "python3");
    open_rows(run);
    run_rounds(run);
    cfine_error error;
    cfine_status status =
        args->data && !bench_stopped()
            ? bench_measure_accuracy(run->rows, run->row_count, &args->model, args->data, args->images, &error)
            : CFINE_OK;
    report_stop(run);
    print_rows(run);
    int measured = 0;
    for (int i = 0; i < run->row_count; i++) measured |= run->rows[i].count > 0;
    if (measured && !save_pictures(run)) run->failed++; // else an earlier picture is the better one
    if (status == CFINE_OK && args->profile) status = print_profiles(run, &error);
    if (status != CFINE_OK) cli_error("%s", error.message);
    return status == CFINE_OK && run->failed == 0 && measured ? CLI_OK : CLI_FAILED;
}

static void release_bench(bench *run) {
    for (int i = run->row_count - 1; i >= 0; i--) { // rows that share a session come after its owner
        if (run->rows[i].runner) run->rows[i].runner->close(&run->rows[i]);
        free(run->rows[i].milliseconds);
    }
    free(run->rows);
    bench_peers_end(&run->peers);
    release_pictures(&run->pictures);
    cli_inputs_release(&run->calibration_pictures);
}

static int check_picture_names(const bench_args *args) {
    for (int i = 0; i < args->pictures.count; i++)
        if (!cli_is_picture_name(args->pictures.items[i]))
            return cli_usage(&cli_verb_bench, "--picture: '%s' ends in neither .svg nor .png", args->pictures.items[i]);
    for (int i = 0; i < args->pictures.count; i++)
        if (!cli_output_check(args->pictures.items[i])) return CLI_FAILED;
    return CLI_OK;
}

static int read_lists(bench *run) {
    const bench_args *args = run->args;
    const cli_verb *verb = &cli_verb_bench;
    bench_lists *lists = &run->lists;
    lists->engines = (bench_list){{BENCH_CFINE}, 1};
    lists->scopes = args->images ? (bench_list){{BENCH_FORWARD, BENCH_IMAGE}, 2} : (bench_list){{BENCH_FORWARD}, 1};
    lists->precisions = (bench_list){{0}, 1};
    lists->batches = args->sweep == 1 ? (bench_list){{1, 2, 4, 8, 16}, 5} : (bench_list){{1}, 1};
    lists->queries = args->sweep == 2 ? (bench_list){{300, 150, 100}, 3} : (bench_list){{0}, 1};
    int status = bench_read_names(verb, "engine", args->engines, bench_engine_names, &lists->engines);
    if (status == CLI_OK) status = bench_read_names(verb, "scope", args->scopes, bench_scope_names, &lists->scopes);
    if (status == CLI_OK)
        status = bench_read_names(verb, "precision", args->precisions, cli_precisions, &lists->precisions);
    if (status == CLI_OK) status = bench_read_numbers(verb, "batch", args->batches, 1, 1024, &lists->batches);
    if (status == CLI_OK) status = bench_read_numbers(verb, "queries", args->queries, 1, 100000, &lists->queries);
    for (int i = 0; i < lists->scopes.count && status == CLI_OK; i++)
        if (lists->scopes.items[i] == BENCH_IMAGE && !args->images)
            status = cli_usage(verb, "--scope image needs pictures: --images DIR");
    if (status == CLI_OK && args->data && !args->images)
        status = cli_usage(verb, "--data needs its pictures: --images");
    if (status == CLI_OK && args->table &&
        (args->engines || args->scopes || args->precisions || args->batches || args->queries || args->sweep))
        status = cli_usage(verb, "--table chooses its rows itself: without --engine, --scope, --precision, --batch, "
                                 "--queries and --sweep");
    if (status == CLI_OK) status = check_picture_names(args);
    lists->calibrations = args->calibrations;
    int calibrated = args->table;
    for (int i = 0; i < lists->precisions.count; i++)
        calibrated |= CFINE_FP32 + lists->precisions.items[i] >= CFINE_INT8;
    if (status == CLI_OK && args->calibrations.count && !calibrated)
        status = cli_usage(verb, "--calibration is for precisions int8 and fp8 alone: ask for one, or leave it out");
    if (status == CLI_OK && args->json && (args->markdown || args->profile))
        status = cli_usage(verb, "--json goes with neither --markdown nor --profile");
    return status;
}

static int run_verb(int argc, char **argv) {
    bench_args args = {.warmup = 3, .seconds = 3, .patience = 600};
    int operands, status;
    if (!cli_parse(&cli_verb_bench, argc, argv, &args, &operands, &status)) return status;
    if (args.precisions) args.model.precision = CFINE_FP32; // of rows without another
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
             "speed-ups are over the first row of the same scope. Ctrl-C shows what was measured until then.\n",
    .example = "cfine bench --precision fp32,bf16 --batch 1,8\n"
               "cfine bench --model my.plan --images photos/ --markdown\n"
               "cfine bench --sweep batch --json > times.jsonl\n"
               "cfine bench --precision bf16 --profile\n"
               "cfine bench --engine pytorch,onnxruntime,openvino,cfine --model my-model/ --markdown\n"
               "cfine bench --table --data instances.json --images photos/ --picture table.svg\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
