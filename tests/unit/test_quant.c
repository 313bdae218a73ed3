// SPDX-License-Identifier: Apache-2.0
// int8: ranges from histograms, calibration files (good and bad), and the pass that stores values in bytes.
#include "unit/test.h"

#include <math.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "exec/session.h"
#include "graph/passes/passes.h"
#include "model/model.h"
#include "quant/assign_int8.h"
#include "quant/calibrate.h"
#include "quant/range.h"
#include "quant/sensitivity.h"

static cfine_error error;

// ---------------------------------------------------------------------------------------------------------------------
// Ranges

static cf_histogram *histogram_of(const float *values, int count) {
    cf_histogram *histogram = cf_alloc(1, sizeof *histogram);
    for (int i = 0; i < count; i++) cf_histogram_add(histogram, &values[i], 1);
    return histogram;
}

// A million values from 0 to 10, and one far outside.
static void methods_differ_about_outliers(void **state) {
    (void)state;
    enum { COUNT = 1000000 };
    float *values = cf_alloc(COUNT + 1, sizeof *values), low, high;
    for (int i = 0; i < COUNT; i++) values[i] = 10 * (float)i / COUNT;
    values[COUNT] = 40;
    cf_histogram *histogram = histogram_of(values, COUNT + 1);
    assert_int_equal(histogram->total, COUNT + 1); // also while the reach grew
    cf_histogram_range(histogram, CF_RANGE_MINMAX, &low, &high);
    assert_true(low == 0 && high == 40);
    cf_histogram_range(histogram, CF_RANGE_PERCENTILE, &low, &high);
    assert_true(low == 0 && high > 9.9f && high < 10.1f);
    cf_histogram_range(histogram, CF_RANGE_MSE, &low, &high);
    assert_true(low == 0 && high > 9 && high < 25);
    cf_histogram_range(histogram, CF_RANGE_ENTROPY, &low, &high);
    assert_true(low == 0 && high > 5 && high <= 40);
    cf_free(histogram);
    cf_free(values);
}

static void histograms_bear_anything(void **state) {
    (void)state;
    const float values[] = {0, 0, -0.0f, NAN, INFINITY, -INFINITY, 1e-30f, -3e30f, 2};
    for (int count = 1; count <= 9; count++) {
        cf_histogram *histogram = histogram_of(values, count);
        for (int method = CF_RANGE_MINMAX; method <= CF_RANGE_MSE; method++) {
            float low, high;
            cf_histogram_range(histogram, (cf_range_method)method, &low, &high);
            assert_true(isfinite(low) && isfinite(high) && low <= high);
        }
        cf_free(histogram);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Files

static const char good[] =
    "{\"format\": \"cfine calibration\", \"version\": 1, \"model\": \"D-FINE N\", \"fingerprint\": "
    "\"0123456789abcdef\", \"method\": \"mse\", \"images\": 7, \"source\": \"random\", \"width\": 96, "
    "\"height\": 64, \"ranges\": {\"b\": [-1.5, 2], \"a\": [0, 0.25]}, \"operators\": {\"y\": {\"int8\": true, "
    "\"error\": 0.5, \"correction\": [1, -2]}, \"x\": "
    "{\"int8\": false}}}";

// The good file with `from` replaced.
static char *changed(const char *from, const char *to) {
    const char *at = strstr(good, from);
    assert_non_null(at);
    return cf_format("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void refuse(const char *from, const char *to, cfine_status status, const char *words) {
    char *text = changed(from, to);
    cf_calibration *made;
    assert_fails(cf_calibration_parse(text, strlen(text), "x.json", &made, &error), status, words);
    assert_null(made);
    assert_int_equal(strncmp(error.message, "x.json: ", 8), 0);
    cf_free(text);
}

static void files_come_back_as_written(void **state) {
    (void)state;
    cf_calibration *made, *again;
    char path[64];
    assert_ok(cf_calibration_parse(good, strlen(good), "x.json", &made, &error));
    snprintf(path, sizeof path, "/tmp/cfine-test-%ld.json", (long)getpid());
    assert_ok(cf_calibration_write(made, path, &error));
    assert_ok(cf_calibration_read(path, &again, &error));
    unlink(path);
    assert_true(again->fingerprint == 0x0123456789abcdef);
    assert_int_equal(again->method, CF_RANGE_MSE);
    assert_int_equal(again->images, 7);
    assert_int_equal(again->random, 1);
    assert_true(again->width == 96 && again->height == 64);
    assert_string_equal(again->model, "D-FINE N");
    assert_int_equal(again->range_count, 2);
    assert_true(cf_calibration_range(again, "b")->low == -1.5f && cf_calibration_range(again, "a")->high == 0.25f);
    assert_null(cf_calibration_range(again, "c"));
    const cf_quant_operator *y = cf_calibration_operator(again, "y");
    assert_true(y->int8 == 1 && y->error == 0.5f && y->correction_count == 2 && y->correction[1] == -2);
    assert_int_equal(cf_calibration_operator(again, "x")->int8, 0);
    cf_calibration_destroy(made);
    cf_calibration_destroy(again);
}

static void older_files_have_no_size(void **state) {
    (void)state;
    cf_calibration *made;
    char *text = changed("\"width\": 96, \"height\": 64, ", "");
    assert_ok(cf_calibration_parse(text, strlen(text), "x.json", &made, &error));
    assert_true(made->width == 0 && made->height == 0);
    cf_calibration_destroy(made);
    cf_free(text);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    cf_calibration *made;
    for (size_t size = 0; size < strlen(good); size++)
        assert_fails(cf_calibration_parse(good, size, "x.json", &made, &error), CFINE_ERROR_FORMAT, "truncated?");
    refuse("cfine calibration", "something", CFINE_ERROR_FORMAT, "is not a calibration file");
    refuse("\"version\": 1", "\"version\": 2", CFINE_ERROR_MISMATCH, "calibration of version 2, this is version 1");
    refuse("0123456789abcdef", "0123456789abcde", CFINE_ERROR_FORMAT, "16 hexadecimal digits");
    refuse("0123456789abcdef", "0123456789abcdeX", CFINE_ERROR_FORMAT, "16 hexadecimal digits");
    refuse("mse", "best", CFINE_ERROR_FORMAT, "method");
    refuse(": 7", ": -7", CFINE_ERROR_FORMAT, "images");
    refuse("random", "guess", CFINE_ERROR_FORMAT, "source");
    refuse("96", "-96", CFINE_ERROR_FORMAT, "bad \"width\" and \"height\"");
    refuse("96", "0", CFINE_ERROR_FORMAT, "bad \"width\" and \"height\"");
    refuse("\"height\": 64, ", "", CFINE_ERROR_FORMAT, "bad \"width\" and \"height\"");
    refuse("-1.5", "NaN", CFINE_ERROR_FORMAT, "not valid JSON");
    refuse("-1.5", "\"NaN\"", CFINE_ERROR_FORMAT, "finite numbers of b; calibrate again: cfine calibrate");
    refuse("-1.5", "null", CFINE_ERROR_FORMAT, "finite numbers of b");
    refuse("-1.5", "-1e300", CFINE_ERROR_FORMAT, "finite numbers of b");
    refuse("-1.5", "1e999", CFINE_ERROR_FORMAT, "not valid JSON");
    refuse("-1.5", "3", CFINE_ERROR_FORMAT, "finite numbers of b");
    refuse("[-1.5, 2]", "[2]", CFINE_ERROR_FORMAT, "finite numbers of b");
    refuse("\"a\"", "\"b\"", CFINE_ERROR_FORMAT, "not valid JSON"); // twice
    refuse("\"ranges\"", "\"range\"", CFINE_ERROR_FORMAT, "no \"ranges\"");
    refuse("true", "1", CFINE_ERROR_FORMAT, "true or false of y");
    refuse("0.5", "-1", CFINE_ERROR_FORMAT, "bad \"error\" of y");
    refuse("-2]", "\"x\"]", CFINE_ERROR_FORMAT, "bad \"correction\" of y");
    refuse("[1, -2]", "{}", CFINE_ERROR_FORMAT, "bad \"correction\" of y");
    for (long n = 0;; n++) { // out of memory at every allocation
        cf_memory_fail_after(n);
        cfine_status status = cf_calibration_parse(good, strlen(good), "x.json", &made, &error);
        cf_memory_fail_after(-1);
        if (status == CFINE_OK) break;
        assert_int_equal(status, CFINE_ERROR_MEMORY);
        assert_in_range(n, 0, 100);
    }
    cf_calibration_destroy(made);
}

// ---------------------------------------------------------------------------------------------------------------------
// The pass, on a small network

static cf_checkpoint *checkpoint;

static cf_graph *tiny_graph(void) {
    cf_graph *graph;
    assert_ok(cf_model_build(checkpoint, NULL, &graph, &error));
    assert_ok(cf_passes_run(graph, &error));
    return graph;
}

// Soft blobs, another picture for each number.
static cfine_status fill(void *arg, cf_session *session, int image, cfine_error *err) {
    (void)arg;
    (void)err;
    for (int y = 0; y < session->input.h; y++)
        for (int x = 0; x < session->input.w; x++)
            for (int c = 0; c < 3; c++)
                cf_tensor_set(&session->input, 0, y, x, c,
                              0.5f +
                                  0.5f * sinf((float)(x * (c + 1) + 7 * image) / 29) * cosf((float)(y + image) / 17));
    return CFINE_OK;
}

static cf_calibration *tiny_calibration(int judged, double budget) {
    cf_calibrate_request request = {
        .method = CF_RANGE_MINMAX, .images = 3, .judged = judged, .threads = 2, .budget = budget, .fill = fill};
    cf_calibration *made;
    assert_ok(cf_calibrate(checkpoint, &request, &made, &error));
    return made;
}

static int setup(void **state) {
    (void)state;
    return cf_checkpoint_open(CFINE_SOURCE_DIR "/tests/data/tiny", &checkpoint, &error) != CFINE_OK;
}

static int teardown(void **state) {
    (void)state;
    cf_checkpoint_close(checkpoint);
    return 0;
}

static cf_session *open_session(cf_graph *graph, uint32_t features) {
    cf_plan_request request = {.precision = CFINE_INT8, .batch = 1, .threads = 2, .target = {CF_CPU, features, 0}};
    cf_plan *plan;
    cf_session *session;
    assert_ok(cf_plan_compile(graph, &request, &plan, &error));
    assert_ok(cf_session_create(plan, &(cf_session_options){.threads = 2}, &session, &error));
    cf_plan_release(plan);
    cf_graph_destroy(graph);
    return session;
}

// Runs a graph (and destroys it) over two images under the eyes of the judge.
static double error_of(cf_judge *judge, cf_graph *graph, uint32_t features) {
    cf_session *session = open_session(graph, features);
    assert_ok(cf_judge_watch(judge, session, &error));
    for (int image = 0; image < 2; image++) {
        assert_ok(fill(NULL, session, image, &error));
        assert_ok(cf_session_forward(session, 1, 0, &error));
    }
    cf_session_destroy(session);
    return cf_judge_error(judge);
}

// What reads bytes is an int8 convolution or an operator that can; units are there and make sense.
static void check_bytes(const cf_graph *graph, cf_dtype stored, int *convolutions, int *concats) {
    for (int i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        const cf_value *out = &graph->values[node->output];
        if (node->dead) continue;
        if (out->dtype == stored) {
            assert_true(out->scale > 0 && isfinite(out->scale));
            assert_in_range(out->zero, 0, stored == CF_E4M3 ? 0 : 255);
        }
        for (int k = 0; k < node->input_count; k++) {
            if (graph->values[node->inputs[k]].dtype != stored) continue;
            if (node->op != CF_OP_CONV) {
                assert_true(node->op != CF_OP_ATTENTION && node->op != CF_OP_DEFORM && node->op != CF_OP_TOKENS);
                continue;
            }
            int parts = cf_graph_producer(graph, node->inputs[0])->op == CF_OP_CONCAT;
            *convolutions += k == 0 && node->attr.conv.groups == 1;
            if (k == 0) assert_int_equal(node->constants[2].data != NULL, parts);
            *concats += k == 0 && parts;
        }
    }
}

static void chosen_operators_read_bytes(void **state) {
    (void)state;
    cf_calibration *made = tiny_calibration(0, 0);
    for (int half = 0; half < 2; half++) {
        int convolutions = 0, concats = 0, copies = 0;
        cf_graph *graph = tiny_graph();
        if (half) assert_ok(cf_assign_half(graph, CF_BF16, &error));
        assert_ok(cf_assign_int8(graph, made, NULL, &error));
        check_bytes(graph, CF_U8, &convolutions, &concats);
        assert_int_equal(convolutions, made->operator_count);
        assert_true(concats >= 4);
        cf_graph_destroy(graph);
        // Where copies have to pay; on vectors they cost less, and short rows gain.
        const cf_byte_costs *const costs[] = {&cf_byte_costs_tiles, &cf_byte_costs_vectors};
        int in_bytes[2] = {0};
        for (int i = 0; i < 2; i++) {
            graph = tiny_graph();
            if (half) assert_ok(cf_assign_half(graph, CF_BF16, &error));
            int nodes = graph->node_count;
            assert_ok(cf_assign_int8(graph, made, costs[i], &error));
            copies = graph->node_count - nodes;
            assert_true(copies < made->operator_count / 4);
            check_bytes(graph, CF_U8, &in_bytes[i], &concats);
            cf_graph_destroy(graph);
        }
        assert_true(0 < in_bytes[0] && in_bytes[0] < in_bytes[1] && in_bytes[1] <= made->operator_count);
    }
    cf_calibration_destroy(made);
}

// By the estimates of a GPU's kernels, which needs no GPU: what a chip would not do in int8 or E4M3 stays whole, and
// where it is chosen, a kernel made for it runs.
static void prices_choose_what_kernels_can(void **state) {
    (void)state;
    enum { MULTIPROCESSORS = 132, BATCH = 8 };
    static const struct {
        int compute;
        cf_dtype stored;
    } chips[] = {{75, CF_U8}, {80, CF_U8}, {90, CF_U8}, {90, CF_E4M3}};
    cf_calibration *made = tiny_calibration(0, 0);
    for (int c = 0; c < 4; c++) {
        cf_dtype stored = chips[c].stored;
        cf_plan_request request = {.precision = stored == CF_U8 ? CFINE_INT8 : CFINE_FP8,
                                   .batch = BATCH,
                                   .threads = MULTIPROCESSORS,
                                   .target = {.backend = CF_CUDA, .compute = chips[c].compute}};
        cf_graph *graph = tiny_graph();
        cf_pricer *pricer;
        cf_plan *plan;
        int convolutions = 0, concats = 0, in_bytes = 0;
        assert_ok(cf_assign_half(graph, CF_F16, &error));
        assert_ok(cf_pricer_create(&request, &pricer, &error));
        assert_ok(cf_assign_bytes_by_price(graph, made, stored, pricer, &error));
        cf_pricer_destroy(pricer);
        check_bytes(graph, stored, &convolutions, &concats);
        assert_in_range(convolutions, 1, made->operator_count);
        assert_ok(cf_plan_compile(graph, &request, &plan, &error));
        cf_graph_destroy(graph);
        for (int i = 0; i < plan->step_count; i++) {
            const cf_problem *problem = &plan->steps[i].problem;
            if (problem->op != CF_OP_CONV || problem->attr.conv.groups > 1 || problem->in[0].dtype != stored) continue;
            assert_non_null(strstr(plan->steps[i].kernel->name, stored == CF_U8 ? "_u8_" : "_e4m3_"));
            in_bytes++;
        }
        assert_int_equal(in_bytes, convolutions);
        cf_plan_release(plan);
    }
    cf_calibration_destroy(made);
}

// Weights as int8 kernels see them, so that the reference kernels, which do not round, compute the same.
static void round_weights(cf_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        cf_node *node = &graph->nodes[i];
        if (node->dead || node->op != CF_OP_CONV || node->attr.conv.groups > 1) continue;
        const cf_value *in = &graph->values[node->inputs[0]];
        if (in->dtype != CF_U8) continue;
        cf_constant *weight = &node->constants[0];
        int taps = weight->shape[2] * weight->shape[3], each = weight->shape[1] * taps;
        for (int o = 0; o < weight->shape[0]; o++) {
            float *row = weight->data + o * each, most = 0;
            for (int k = 0; k < each; k++) {
                float unit = node->constants[2].data ? node->constants[2].data[k / taps] : in->scale;
                most = fmaxf(most, fabsf(row[k] * unit));
            }
            for (int k = 0; k < each && most > 0; k++) {
                float unit = node->constants[2].data ? node->constants[2].data[k / taps] : in->scale;
                row[k] = nearbyintf(row[k] * unit / (most / 127)) * (most / 127) / unit;
            }
        }
    }
}

// The values of the first stage of a run, in order.
typedef struct {
    const cf_plan *plan;
    float *values;
    long count, capacity;
} recording;

static cf_look look_at_first_stage(void *arg, int step) {
    const cf_step *it = &((const recording *)arg)->plan->steps[step];
    int first = strstr(it->name, "embedder") || strstr(it->name, "stages.0");
    return first && it->problem.op != CF_OP_HALO ? CF_LOOK_AT_OUTPUT : CF_LOOK_AWAY;
}

static void record(void *arg, int step, const cf_call *call) {
    (void)step;
    recording *r = arg;
    const cf_tensor *out = &call->out[0];
    for (int i = 0; i < out->h * out->w * out->c; i++, r->count++) {
        assert_true(r->count < r->capacity);
        r->values[r->count] = cf_tensor_get(out, 0, i / out->c / out->w, i / out->c % out->w, i % out->c);
    }
}

static recording record_run(cf_graph *graph, uint32_t features) {
    enum { MOST = 1 << 20 };
    cf_session *session = open_session(graph, features);
    recording r = {session->plan, cf_alloc(MOST, sizeof(float)), 0, MOST};
    assert_ok(fill(NULL, session, 0, &error));
    session->observer = (cf_observer){look_at_first_stage, record, &r};
    assert_ok(cf_session_forward(session, 1, 0, &error));
    cf_session_destroy(session);
    return r;
}

// Every level of kernels gives what the reference gives, borders and concats of differently scaled parts included; a
// value that lies between two steps may fall to either side. (Only the first stage: this network, whose weights were
// drawn, makes much of such a difference.)
static void all_kernels_agree(void **state) {
    (void)state;
    static const char *const levels[] = {"avx2", "avxvnni", "avx512", "avx512vnni", "native"};
    cf_calibration *made = tiny_calibration(0, 0);
    cf_graph *graph = tiny_graph();
    assert_ok(cf_assign_int8(graph, made, NULL, &error));
    round_weights(graph);
    recording right = record_run(graph, 0);
    assert_true(right.count > 100000);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        uint32_t mask;
        long wrong = 0;
        assert_true(cf_cpu_mask_parse(levels[i], &mask));
        graph = tiny_graph();
        assert_ok(cf_assign_int8(graph, made, NULL, &error));
        recording fast = record_run(graph, cf_cpu_features() & mask);
        assert_int_equal(fast.count, right.count);
        for (long k = 0; k < fast.count; k++)
            wrong += !(fabsf(fast.values[k] - right.values[k]) <= 1e-4f + 1e-4f * fabsf(right.values[k]));
        if (wrong > fast.count / 2000) fail_msg("%s: %ld of %ld differ", levels[i], wrong, fast.count);
        cf_free(fast.values);
    }
    cf_free(right.values);
    cf_calibration_destroy(made);
}

// A budget takes operators out until what is left stays within it.
static void budgets_are_kept(void **state) {
    (void)state;
    cf_calibration *made = tiny_calibration(2, 1e9);
    double sum = 0;
    for (int i = 0; i < made->operator_count; i++) {
        assert_int_equal(made->operators[i].int8, 1);
        assert_true(made->operators[i].error > 0);
        sum += (double)made->operators[i].error;
    }
    cf_calibration_destroy(made);
    made = tiny_calibration(2, sum / 3);
    double left = 0;
    int on = 0;
    for (int i = 0; i < made->operator_count; i++) {
        left += made->operators[i].int8 ? (double)made->operators[i].error : 0;
        on += made->operators[i].int8;
    }
    assert_true(left <= sum / 3);
    assert_in_range(on, made->operator_count / 4, made->operator_count - 1);
    cf_judge *judge;
    assert_ok(cf_judge_create(2, &judge, &error));
    error_of(judge, tiny_graph(), cf_cpu_features());
    cf_graph *graph = tiny_graph();
    assert_ok(cf_assign_int8(graph, made, NULL, &error));
    double together = error_of(judge, graph, cf_cpu_features()); // about what the single ones sum up to
    assert_true(together > left / 10 && together < left * 10);
    cf_judge_destroy(judge);
    cf_calibration_destroy(made);
}

// Names and fingerprint do not depend on the input's size, queries or decoder layers; weights count.
static void calibrations_belong_to_weights(void **state) {
    (void)state;
    cf_calibration *made = tiny_calibration(0, 0);
    cf_model_options other = {.width = 96, .height = 64, .queries = 5, .decoder_layers = 1};
    cf_graph *graph;
    assert_ok(cf_model_build(checkpoint, &other, &graph, &error));
    assert_ok(cf_passes_run(graph, &error));
    assert_ok(cf_assign_int8(graph, made, &cf_byte_costs_tiles, &error));
    cf_graph_destroy(graph);

    graph = tiny_graph();
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == CF_OP_CONV && cf_calibration_operator(made, graph->nodes[i].name))
            graph->nodes[i].constants[0].data[0] += 1e-6f;
    assert_fails(cf_assign_int8(graph, made, &cf_byte_costs_tiles, &error), CFINE_ERROR_MISMATCH,
                 "calibration is of another model");
    cf_graph_destroy(graph);

    graph = tiny_graph();
    char *name = made->operators[0].name;
    made->operators[0].name = cf_strdup("a.typing.error");
    cf_calibration_sort(made);
    assert_fails(cf_assign_int8(graph, made, &cf_byte_costs_tiles, &error), CFINE_ERROR_FORMAT,
                 "the model lacks: a.typing.error");
    cf_graph_destroy(graph);
    cf_free(name);
    cf_calibration_destroy(made);
}

static void missing_ranges_are_named(void **state) {
    (void)state;
    cf_calibration *made = tiny_calibration(0, 0);
    cf_graph *graph = tiny_graph();
    int missing = -1;
    for (int i = 0; i < made->range_count && missing < 0; i++)
        if (strstr(made->ranges[i].name, "stem3")) missing = i;
    assert_true(missing >= 0);
    char *name = cf_strdup(made->ranges[missing].name);
    made->ranges[missing].name[0] = '~';
    cf_calibration_sort(made);
    assert_fails(cf_assign_int8(graph, made, NULL, &error), CFINE_ERROR_FORMAT, name);
    cf_free(name);
    cf_graph_destroy(graph);
    cf_calibration_destroy(made);
}

static void memory_runs_out_cleanly(void **state) {
    (void)state;
    cf_calibration *made = tiny_calibration(0, 0);
    for (long n = 0;; n++) {
        cf_graph *graph = tiny_graph();
        cf_memory_fail_after(n);
        cfine_status status = cf_assign_int8(graph, made, NULL, &error);
        cf_memory_fail_after(-1);
        cf_graph_destroy(graph);
        if (status == CFINE_OK) break;
        assert_int_equal(status, CFINE_ERROR_MEMORY);
        assert_in_range(n, 0, 1000);
    }
    cf_calibration_destroy(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_differ_about_outliers),
        cmocka_unit_test(histograms_bear_anything),
        cmocka_unit_test(files_come_back_as_written),
        cmocka_unit_test(older_files_have_no_size),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(chosen_operators_read_bytes),
        cmocka_unit_test(prices_choose_what_kernels_can),
        cmocka_unit_test(all_kernels_agree),
        cmocka_unit_test(budgets_are_kept),
        cmocka_unit_test(calibrations_belong_to_weights),
        cmocka_unit_test(missing_ranges_are_named),
        cmocka_unit_test(memory_runs_out_cleanly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
