// SPDX-License-Identifier: Apache-2.0
// From raw outputs to detections: against a plain sort, ties, thresholds, numbers that are none.
#include "postprocess/detections.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "unit/test.h"

enum { QUERIES = 40, LABELS = 7, PAIRS = QUERIES * LABELS };

static float logits[PAIRS], boxes[QUERIES * 4];

// Few different values, so that there are ties.
static void fill(unsigned seed) {
    srand(seed);
    for (int i = 0; i < PAIRS; i++) logits[i] = (float)(rand() % 60 - 30) / 10;
    for (int i = 0; i < QUERIES * 4; i++) boxes[i] = (float)(rand() % 1000) / 1000;
}

static cfine_status choose(float threshold, int most, cfine_detections *out, cfine_error *error) {
    return cf_detections_select(logits, LABELS, boxes, 4, QUERIES, LABELS, 640, 480, threshold, most, out, error);
}

static int best_first(const void *one, const void *other) {
    int a = *(const int *)one, b = *(const int *)other;
    return logits[a] != logits[b] ? (logits[a] < logits[b] ? 1 : -1) : a - b;
}

static void sorted_as_a_plain_sort_does(void **state) {
    (void)state;
    static const float thresholds[] = {-1, 0, 0.25F, 0.5F, 0.9F, 1};
    static const int mosts[] = {1, 2, 17, 300, PAIRS};
    cfine_detections found = {0};
    cfine_error error;
    for (unsigned seed = 0; seed < 20; seed++) {
        fill(seed);
        int order[PAIRS];
        for (int i = 0; i < PAIRS; i++) order[i] = i;
        qsort(order, PAIRS, sizeof *order, best_first);
        for (size_t t = 0; t < sizeof thresholds / sizeof *thresholds; t++)
            for (size_t m = 0; m < sizeof mosts / sizeof *mosts; m++) {
                assert_ok(choose(thresholds[t], mosts[m], &found, &error));
                size_t expected = 0;
                for (int i = 0; i < PAIRS && i < mosts[m]; i++)
                    expected += 1 / (1 + expf(-logits[order[i]])) >= thresholds[t];
                assert_int_equal(found.count, expected);
                for (size_t i = 0; i < found.count; i++) {
                    const cfine_detection *one = &found.items[i];
                    const float *box = boxes + order[i] / LABELS * 4;
                    assert_int_equal(one->label, order[i] % LABELS);
                    assert_float_equal(one->score, 1 / (1 + expf(-logits[order[i]])), 1e-6);
                    assert_float_equal(one->box[0], (box[0] - box[2] / 2) * 640, 1e-3);
                    assert_float_equal(one->box[1], (box[1] - box[3] / 2) * 480, 1e-3);
                    assert_float_equal(one->box[2], (box[0] + box[2] / 2) * 640, 1e-3);
                    assert_float_equal(one->box[3], (box[1] + box[3] / 2) * 480, 1e-3);
                }
            }
    }
    assert_int_equal(found.width, 640);
    assert_int_equal(found.height, 480);
    cfine_detections_release(&found);
}

// Outputs that overflowed: what is reported are numbers, and the rest is found as before.
static void only_numbers(void **state) {
    (void)state;
    cfine_detections found = {0};
    cfine_error error;
    fill(1);
    logits[3] = NAN;
    logits[9] = -INFINITY;
    logits[2 * LABELS] = INFINITY;
    boxes[5 * 4 + 1] = NAN;
    boxes[6 * 4 + 2] = INFINITY;
    boxes[7 * 4] = -3e38F; // times the width: infinite
    assert_ok(choose(-1, PAIRS, &found, &error));
    assert_int_equal(found.count, PAIRS - 1 - 3 * LABELS);
    assert_float_equal(found.items[0].score, 1, 0);
    for (size_t i = 0; i < found.count; i++) {
        assert_true(found.items[i].score >= 0);
        for (int k = 0; k < 4; k++) assert_true(isfinite(found.items[i].box[k]));
    }
    // They take no place from others either.
    for (int i = 0; i < PAIRS; i++) logits[i] = i / LABELS == 5 ? 9 : 1;
    assert_ok(choose(0.5F, 3, &found, &error));
    assert_int_equal(found.count, 3);
    assert_float_equal(found.items[2].score, 1 / (1 + expf(-1)), 1e-6);
    for (int i = 0; i < PAIRS; i++) logits[i] = NAN;
    assert_ok(choose(-1, PAIRS, &found, &error));
    assert_int_equal(found.count, 0);
    cfine_detections_release(&found);
}

static void no_memory(void **state) {
    (void)state;
    cfine_detections found = {0};
    cfine_error error;
    fill(2);
    cf_memory_fail_after(0);
    cfine_status status = choose(0.5F, 10, &found, &error);
    cf_memory_fail_after(-1);
    assert_int_equal(status, CFINE_ERROR_MEMORY);
    assert_int_equal(found.count, 0);
    cfine_detections_release(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorted_as_a_plain_sort_does), cmocka_unit_test(only_numbers),
                                       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
