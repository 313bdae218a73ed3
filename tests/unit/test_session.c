// SPDX-License-Identifier: Apache-2.0
// What a session keeps from one run to the next: the pixels, for who runs them once more.
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "cfine/cfine.h"

enum { BATCH = 3 };

static cfine_error error;

typedef struct {
    cfine_session *session;
    size_t plane, logits, boxes; // floats of an image
} opened;

static opened open_tiny(int batch) {
    cfine_open_options options = CFINE_INIT(cfine_open_options);
    options.plan = CFINE_INIT(cfine_plan_options);
    options.session = CFINE_INIT(cfine_session_options);
    options.plan.batch = batch;
    options.plan.threads = 2;
    opened one;
    assert_ok(cfine_open(CFINE_SOURCE_DIR "/tests/data/tiny", &options, &one.session, &error));
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    assert_ok(cfine_plan_get_info(cfine_session_plan(one.session), &info, &error));
    one.plane = 3 * (size_t)info.width * (size_t)info.height;
    one.logits = (size_t)info.queries * (size_t)info.labels;
    one.boxes = (size_t)info.queries * 4;
    return one;
}

static float *noise(size_t count) {
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    unsigned state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        out[i] = (float)(state >> 8) / 16777216.0f;
    }
    return out;
}

static void no_pixels_before_a_run(void **state) {
    (void)state;
    opened one = open_tiny(BATCH);
    float *logits = malloc(BATCH * one.logits * sizeof *logits);
    assert_fails(cfine_session_run(one.session, NULL, 1, logits, NULL, &error), CFINE_ERROR_ARGUMENT,
                 "no pixels, and no run of 1 images before");
    free(logits);
    cfine_session_close(one.session);
}

static void the_last_pixels_once_more(void **state) {
    (void)state;
    opened one = open_tiny(BATCH);
    size_t logit_count = BATCH * one.logits, box_count = BATCH * one.boxes;
    float *pixels = noise(BATCH * one.plane);
    float *logits = malloc(logit_count * sizeof *logits), *boxes = malloc(box_count * sizeof *boxes);
    float *again = malloc(logit_count * sizeof *again), *boxes_again = malloc(box_count * sizeof *boxes_again);
    assert_true(logits && boxes && again && boxes_again);

    assert_ok(cfine_session_run(one.session, pixels, 2, logits, boxes, &error));
    for (int times = 0; times < 2; times++) { // what a run leaves behind must be its input still
        memset(again, 0xAA, logit_count * sizeof *again);
        memset(boxes_again, 0xAA, box_count * sizeof *boxes_again);
        assert_ok(cfine_session_run(one.session, NULL, 2, again, boxes_again, &error));
        assert_memory_equal(again, logits, 2 * one.logits * sizeof *again);
        assert_memory_equal(boxes_again, boxes, 2 * one.boxes * sizeof *boxes_again);
    }
    assert_fails(cfine_session_run(one.session, NULL, 3, again, NULL, &error), CFINE_ERROR_ARGUMENT,
                 "no run of 3 images before");
    // Other pixels, other answers: it is the last run that counts.
    assert_ok(cfine_session_run(one.session, pixels + one.plane, 2, again, NULL, &error));
    assert_memory_not_equal(again, logits, one.logits * sizeof *again);
    assert_ok(cfine_session_run(one.session, NULL, 2, logits, NULL, &error));
    assert_memory_equal(again, logits, 2 * one.logits * sizeof *again);

    free(pixels);
    free(logits);
    free(boxes);
    free(again);
    free(boxes_again);
    cfine_session_close(one.session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_pixels_before_a_run),
        cmocka_unit_test(the_last_pixels_once_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
