// SPDX-License-Identifier: Apache-2.0
// Operators in a precision of their own, and what was measured of a plan: by the public interface, as a search uses it.
#include "unit/test.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cfine/cfine.h"

enum { MOST_STEPS = 2000 };
static cfine_error error;
static const char path[] = CFINE_BINARY_DIR "/test_precision.plan";

static cfine_model *open_tiny(void) {
    cfine_model *model;
    assert_ok(cfine_model_open(CFINE_SOURCE_DIR "/tests/data/tiny", &model, &error));
    return model;
}

static cfine_plan *build(const cfine_model *model, cfine_precision precision, const cfine_operator_precision *operators,
                         size_t count) {
    cfine_plan_options options = CFINE_INIT(cfine_plan_options);
    options.precision = precision;
    options.threads = 1;
    options.operators = operators;
    options.operator_count = count;
    cfine_plan *plan;
    assert_ok(cfine_plan_build(model, &options, &plan, &error));
    return plan;
}

static size_t steps_of(const cfine_plan *plan, cfine_step_time *steps) {
    cfine_session *session;
    assert_ok(cfine_session_open(plan, NULL, &session, &error));
    size_t count = cfine_session_step_times(session, steps, MOST_STEPS);
    assert_in_range(count, 1, MOST_STEPS);
    cfine_session_close(session);
    return count;
}

static float *run(const cfine_plan *plan, size_t *count) {
    cfine_session *session;
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    assert_ok(cfine_plan_get_info(plan, &info, &error));
    size_t pixels = (size_t)(3 * info.width * info.height);
    *count = (size_t)(info.queries * info.labels);
    float *in = malloc(pixels * sizeof *in), *out = malloc(*count * sizeof *out);
    assert_true(in && out);
    for (size_t i = 0; i < pixels; i++) in[i] = (float)(i * 7 % 31) / 31;
    assert_ok(cfine_session_open(plan, NULL, &session, &error));
    assert_ok(cfine_session_run(session, in, 1, out, NULL, &error));
    cfine_session_close(session);
    free(in);
    return out;
}

static int count_of(const cfine_step_time *steps, size_t count, cfine_precision precision) {
    int found = 0;
    for (size_t i = 0; i < count; i++) found += steps[i].precision == precision;
    return found;
}

// Everything raised is FP32 again, to the bit.
static void all_raised_is_fp32(void **state) {
    (void)state;
    cfine_model *model = open_tiny();
    cfine_operator_precision all = {"*", CFINE_FP32};
    cfine_plan *raised = build(model, CFINE_BF16, &all, 1), *exact = build(model, CFINE_FP32, NULL, 0);
    static cfine_step_time steps[MOST_STEPS];
    assert_int_equal(count_of(steps, steps_of(raised, steps), CFINE_BF16), 0);
    size_t count;
    float *a = run(raised, &count), *b = run(exact, &count);
    assert_memory_equal(a, b, count * sizeof *a);
    free(a);
    free(b);
    cfine_plan_close(raised);
    cfine_plan_close(exact);
    cfine_model_close(model);
}

// One raised convolution computes in FP32, few others change with it, and the plan runs.
static void each_convolution_can_be_raised(void **state) {
    (void)state;
    cfine_model *model = open_tiny();
    cfine_plan *half = build(model, CFINE_BF16, NULL, 0);
    static cfine_step_time before[MOST_STEPS], after[MOST_STEPS];
    size_t count = steps_of(half, before);
    int halves = count_of(before, count, CFINE_BF16), tried = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(before[i].op, "conv") != 0 || before[i].precision != CFINE_BF16) continue;
        cfine_operator_precision one = {before[i].name, CFINE_FP32};
        cfine_plan *plan = build(model, CFINE_BF16, &one, 1);
        size_t steps = steps_of(plan, after), at = 0, outputs;
        while (at < steps && strcmp(after[at].name, one.name) != 0) at++;
        assert_true(at < steps);
        assert_int_equal(after[at].precision, CFINE_FP32);
        // An operator that was made of two (split_upsampled.c) falls apart again when its halves differ in type.
        assert_in_range(1 + halves - count_of(after, steps, CFINE_BF16), 1, 15);
        float *out = run(plan, &outputs);
        for (size_t k = 0; k < outputs; k++) assert_true(out[k] > -1e4f && out[k] < 1e4f);
        free(out);
        cfine_plan_close(plan);
        tried++;
    }
    assert_in_range(tried, 30, 1000);
    cfine_plan_close(half);
    cfine_model_close(model);
}

static void wrong_operators_are_told(void **state) {
    (void)state;
    cfine_model *model = open_tiny();
    cfine_plan *plan;
    cfine_plan_options options = CFINE_INIT(cfine_plan_options);
    options.precision = CFINE_BF16;
    options.operator_count = 1;
    assert_fails(cfine_plan_build(model, &options, &plan, &error), CFINE_ERROR_ARGUMENT, "not given");
    static const cfine_operator_precision wrong[] = {{"no.such.operator", CFINE_FP32},
                                                     {"no.such.*", CFINE_FP32},
                                                     {NULL, CFINE_FP32},
                                                     {"*", CFINE_PRECISION_DEFAULT}};
    static const char *const words[] = {"no.such.operator", "no.such.*", "number 0", "number 0"};
    for (int i = 0; i < 4; i++) {
        options.operators = &wrong[i];
        assert_fails(cfine_plan_build(model, &options, &plan, &error), CFINE_ERROR_ARGUMENT, words[i]);
    }
    cfine_model_close(model);
}

// What was measured comes back from the file.
static void accuracy_stays_with_the_plan(void **state) {
    (void)state;
    cfine_model *model = open_tiny();
    cfine_plan *plan = build(model, CFINE_BF16, NULL, 0), *again;
    cfine_accuracy given = CFINE_INIT(cfine_accuracy), back = CFINE_INIT(cfine_accuracy);
    assert_ok(cfine_plan_get_accuracy(plan, &back, &error));
    assert_int_equal(back.images, 0);
    given.ap = 0.5;
    given.ap50 = 0.75;
    given.reference_ap = 0.625;
    given.images = 100;
    given.milliseconds = 12.5;
    snprintf(given.machine, sizeof given.machine, "a machine");
    memset(given.data, 'x', sizeof given.data); // no end
    assert_ok(cfine_plan_set_accuracy(plan, &given, &error));
    assert_ok(cfine_plan_save(plan, path, &error));
    assert_ok(cfine_plan_open(path, &again, &error));
    assert_ok(cfine_plan_get_accuracy(again, &back, &error));
    assert_true(back.ap == given.ap && back.ap50 == given.ap50 && back.reference_ap == given.reference_ap);
    assert_int_equal(back.images, 100);
    assert_string_equal(back.machine, "a machine");
    assert_int_equal(strlen(back.data), sizeof back.data - 1);
    cfine_plan_close(again);
    cfine_plan_close(plan);
    cfine_model_close(model);
    unlink(path);
}

static cfine_status detect(const char *model, cfine_precision precision, cfine_detections *found) {
    cfine_image image;
    assert_ok(cfine_image_load(CFINE_SOURCE_DIR "/models/tabletop/scenes/000103.jpg", NULL, &image, &error));
    cfine_open_options options = CFINE_INIT(cfine_open_options);
    options.plan.precision = precision;
    cfine_session *session;
    cfine_status status = cfine_open(model, &options, &session, &error);
    if (status == CFINE_OK) {
        assert_ok(cfine_detect(session, &image, 1, NULL, found, &error));
        cfine_session_close(session);
    }
    cfine_image_release(&image);
    return status;
}

static int is_close(const cfine_detection *a, const cfine_detection *b, double score, double pixels) {
    int close = a->label == b->label && fabs((double)(a->score - b->score)) < score;
    for (int k = 0; k < 4; k++) close = close && fabs((double)(a->box[k] - b->box[k])) < pixels;
    return close;
}

// FP16 on a processor: what FP32 finds where there is the arithmetic for it, else a refusal.
static void fp16_finds_the_same(void **state) {
    (void)state;
    static const char model[] = CFINE_SOURCE_DIR "/models/tabletop";
    char features[256];
    cfine_detections exact = {0}, found = {0};
    assert_ok(cfine_cpu_limit("avx512bf16", &error));
    assert_int_equal(cfine_half_precision("cpu"), CFINE_BF16);
    assert_int_equal(detect(model, CFINE_FP16, &found), CFINE_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "AVX-512 FP16"));
    assert_ok(cfine_cpu_limit("native", &error));
    assert_int_equal(cfine_half_precision("cuda"), CFINE_FP16);
    cfine_cpu_features(features, sizeof features);
    if (!strstr(features, "avx512_fp16")) return;
    int amx = strstr(features, "amx_bf16") != NULL;
    assert_int_equal(cfine_half_precision(NULL), amx ? CFINE_BF16 : CFINE_FP16);
    assert_ok(detect(model, CFINE_FP32, &exact));
    assert_ok(detect(model, CFINE_FP16, &found));
    assert_true(exact.count >= 3);
    assert_int_equal(found.count, exact.count);
    for (size_t i = 0; i < exact.count; i++) { // near ties may change places
        size_t k = 0;
        while (k < found.count && !is_close(&exact.items[i], &found.items[k], 0.005, 0.002 * exact.width)) k++;
        assert_in_range(k, 0, found.count - 1);
    }
    cfine_detections_release(&exact);
    cfine_detections_release(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_raised_is_fp32),       cmocka_unit_test(each_convolution_can_be_raised),
        cmocka_unit_test(wrong_operators_are_told), cmocka_unit_test(accuracy_stays_with_the_plan),
        cmocka_unit_test(fp16_finds_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
