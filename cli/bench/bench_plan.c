// SPDX-License-Identifier: Apache-2.0
#include "bench_plan.h"

// Indices into cli_precisions.
enum { FP32 = 0, BF16 = 1, FP16 = 2, INT8 = 3, FP8 = 4 };

static int add(const bench_row *row, bench_row *rows, int *count) {
    if (*count == BENCH_MOST_ROWS) return 0;
    rows[(*count)++] = *row;
    return 1;
}

// One row, or for int8 and fp8 of cfine one a calibration.
static int add_calibrated(const bench_row *row, const cli_texts *calibrations, bench_row *rows, int *count) {
    if (row->engine != BENCH_CFINE || row->precision < INT8 || !calibrations->count) return add(row, rows, count);
    for (int i = 0; i < calibrations->count; i++) {
        bench_row one = *row;
        one.calibration = calibrations->items[i];
        if (!add(&one, rows, count)) return 0;
    }
    return 1;
}

int bench_plan_lists(const bench_lists *lists, const char *section, const bench_row *like, bench_row *rows,
                     int *count) {
    bench_row row = *like;
    row.section = section;
    for (int s = 0; s < lists->scopes.count; s++)
        for (int b = 0; b < lists->batches.count; b++)
            for (int q = 0; q < lists->queries.count; q++)
                for (int p = 0; p < lists->precisions.count; p++)
                    for (int e = 0; e < lists->engines.count; e++) {
                        row.engine = (bench_engine)lists->engines.items[e];
                        row.scope = (bench_scope)lists->scopes.items[s];
                        row.precision = lists->precisions.items[p];
                        row.batch = lists->batches.items[b];
                        row.queries = lists->queries.items[q];
                        if (!add_calibrated(&row, &lists->calibrations, rows, count)) return 0;
                    }
    return 1;
}

typedef struct {
    bench_engine engine;
    int precision;
} engine_row;

static const engine_row cpu_rows[] = {
    {BENCH_PYTORCH, FP32},  {BENCH_PYTORCH, BF16},  {BENCH_TORCH_COMPILE, FP32}, {BENCH_ONNXRUNTIME, FP32},
    {BENCH_OPENVINO, FP32}, {BENCH_OPENVINO, BF16}, {BENCH_OPENVINO, INT8},      {BENCH_CFINE, FP32},
    {BENCH_CFINE, BF16},    {BENCH_CFINE, INT8},
};
static const engine_row gpu_rows[] = {
    {BENCH_PYTORCH, FP32},
    {BENCH_PYTORCH, FP16},
    {BENCH_TORCH_COMPILE, FP16},
    {BENCH_TORCH_TENSORRT, FP16},
    {BENCH_ONNXRUNTIME_CUDA, FP32},
    {BENCH_ONNXRUNTIME_TENSORRT, FP16},
    {BENCH_CFINE, FP32},
    {BENCH_CFINE, FP16},
    {BENCH_CFINE, INT8},
    {BENCH_CFINE, FP8},
};

// What the engines are compared at: GPUs are for batches.
static const struct {
    int batch;
    const char *section;
} batch_sections[] = {{1, "Engines and precisions, one image at a time"},
                      {8, "Engines and precisions, batches of 8"},
                      {32, "Engines and precisions, batches of 32"}};

// The faster of bf16 and FP16.
static int half_of_processor(void) {
    return cfine_half_precision("cpu") == CFINE_FP16 ? FP16 : BF16;
}

static int plan_engines(const cli_texts *calibrations, int calibrated, int gpu, bench_row row, bench_row *rows,
                        int *count) {
    const engine_row *wanted = gpu ? gpu_rows : cpu_rows;
    size_t wanted_count = gpu ? CLI_COUNT(gpu_rows) : CLI_COUNT(cpu_rows);
    for (size_t i = 0; i < wanted_count; i++) {
        row.engine = wanted[i].engine;
        row.precision = wanted[i].precision;
        if (!gpu && row.engine == BENCH_CFINE && row.precision == BF16) row.precision = half_of_processor();
        if (row.precision >= INT8 && (row.engine == BENCH_CFINE ? !calibrations->count : !calibrated)) continue;
        // What calibrations are compared with: none, where ranges are made up.
        if (row.precision >= INT8 && row.engine == BENCH_CFINE && !add(&row, rows, count)) return 0;
        if (!add_calibrated(&row, calibrations, rows, count)) return 0;
    }
    return 1;
}

int bench_plan_table(const cli_texts *calibrations, int queries, int calibrated, int gpu, const bench_row *like,
                     bench_row *rows, int *count) {
    bench_row row = *like;
    row.scope = BENCH_FORWARD;
    row.queries = 0;
    for (size_t i = 0; i < (gpu ? CLI_COUNT(batch_sections) : 1); i++) {
        row.batch = batch_sections[i].batch;
        row.section = batch_sections[i].section;
        if (!plan_engines(calibrations, calibrated, gpu, row, rows, count)) return 0;
    }
    bench_lists lists = {.engines = {{BENCH_CFINE}, 1},
                         .scopes = {{BENCH_FORWARD}, 1},
                         .precisions = {{gpu ? FP16 : half_of_processor()}, 1},
                         .batches = {{1, 2, 4, 8, 16}, 5},
                         .queries = {{0}, 1}};
    if (calibrations->count) { // the best of the others are compared above
        lists.precisions = (bench_list){{INT8}, 1};
        lists.calibrations.items[lists.calibrations.count++] = calibrations->items[0];
    }
    if (!bench_plan_lists(&lists, "Batches", like, rows, count)) return 0;
    static const int steps[] = {300, 150, 100};
    lists.batches = (bench_list){{1}, 1};
    lists.queries.count = 0;
    for (size_t i = 0; i < CLI_COUNT(steps); i++)
        if (steps[i] <= queries) lists.queries.items[lists.queries.count++] = steps[i];
    return lists.queries.count < 2 || bench_plan_lists(&lists, "Queries", like, rows, count);
}
