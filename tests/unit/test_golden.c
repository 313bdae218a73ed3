// SPDX-License-Identifier: Apache-2.0
// From picture files to boxes through the public calls: tests/data/tiny against the reference implementation's answers
// (tests/golden/make_tiny_golden.py), for the reference plan and the fast plan at every instruction-set level, each
// with batches of 1 and 3 and 1 to 3 threads.
#include "unit/test.h"

#include <math.h>

#include "cfine/cfine.h"

enum { MOST_ROWS = 128, PICTURES = 2, MOST_BATCH = 3 };

typedef struct {
    int label;
    double score, box[4];
} golden_row;

typedef struct {
    char path[1024];
    int width, height, raw_count, found_count;
    golden_row raw[MOST_ROWS], found[MOST_ROWS];
} golden_picture;

static golden_picture pictures[PICTURES];

static void read_row(const char *line, golden_row *rows, int *count) {
    assert_true(*count < MOST_ROWS);
    golden_row *row = &rows[(*count)++];
    int fields = sscanf(line, "%*s %d %lf %lf %lf %lf %lf", &row->label, &row->score, &row->box[0], &row->box[1],
                        &row->box[2], &row->box[3]);
    assert_int_equal(fields, 6);
}

static int read_golden(void **state) {
    (void)state;
    FILE *file = fopen(CFINE_SOURCE_DIR "/tests/data/golden/golden.txt", "r");
    assert_non_null(file);
    int count = 0;
    golden_picture *picture = NULL;
    for (char line[256], name[64]; fgets(line, sizeof line, file);) {
        if (!strncmp(line, "image ", 6)) {
            assert_true(count < PICTURES);
            picture = &pictures[count++];
            assert_int_equal(sscanf(line, "image %63s %d %d", name, &picture->width, &picture->height), 3);
            snprintf(picture->path, sizeof picture->path, "%s/tests/data/golden/%s", CFINE_SOURCE_DIR, name);
        } else if (!strncmp(line, "raw ", 4)) {
            read_row(line, picture->raw, &picture->raw_count);
        } else {
            read_row(line, picture->found, &picture->found_count);
        }
    }
    fclose(file);
    assert_int_equal(count, PICTURES);
    return 0;
}

// What is compared: candidates with a score and a box each.
typedef struct {
    double score, box[4];
} candidate;

typedef struct {
    int rows, matched;
    double errors[2 * MOST_ROWS * MOST_BATCH]; // of the scores of matched rows
} tally;

// Near-ties swap queries between correct implementations, so rows are looked for by box and score, not by position.
static void match(tally *t, const golden_row *row, const candidate *candidates, int count, double box_limit) {
    double best = INFINITY, score_error = 0;
    for (int i = 0; i < count; i++) {
        double score = fabs(candidates[i].score - row->score), box = 0;
        for (int k = 0; k < 4; k++) box = fmax(box, fabs(candidates[i].box[k] - row->box[k]));
        if (score > 0.01 || box > box_limit || score / 0.01 + box / box_limit >= best) continue;
        best = score / 0.01 + box / box_limit;
        score_error = score;
    }
    t->rows++;
    if (best < INFINITY) t->errors[t->matched++] = score_error;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// 98 in 100 matched, as for every FP32 plan, with the typical error far below a visible one.
static void assert_close(tally *t, const char *what) {
    qsort(t->errors, (size_t)t->matched, sizeof *t->errors, ascending);
    double median = t->matched ? t->errors[t->matched / 2] : 1;
    if (t->matched * 100 < t->rows * 98 || median > 1e-4)
        fail_msg("%s: %d of %d matched, median score error %.1e", what, t->matched, t->rows, median);
}

// The forward pass alone: every query's score for the row's class, and its box.
static void check_raw(cfine_session *session, const cfine_image *images, int batch, const char *what) {
    cfine_error error;
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    assert_ok(cfine_plan_get_info(cfine_session_plan(session), &info, &error));
    size_t plane = 3 * (size_t)info.width * (size_t)info.height;
    size_t logit_count = (size_t)info.queries * (size_t)info.labels, box_count = (size_t)info.queries * 4;
    float *pixels = malloc((size_t)batch * plane * sizeof *pixels);
    float *logits = malloc((size_t)batch * logit_count * sizeof *logits);
    float *boxes = malloc((size_t)batch * box_count * sizeof *boxes);
    candidate *candidates = malloc((size_t)info.queries * sizeof *candidates);
    assert_true(pixels && logits && boxes && candidates);
    for (int n = 0; n < batch; n++)
        assert_ok(cfine_session_prepare(session, &images[n], pixels + (size_t)n * plane, &error));
    assert_ok(cfine_session_run(session, pixels, batch, logits, boxes, &error));

    tally t = {0};
    for (int n = 0; n < batch; n++) {
        const golden_picture *picture = &pictures[n % PICTURES];
        for (int r = 0; r < picture->raw_count; r++) {
            for (int q = 0; q < info.queries; q++) {
                float logit =
                    logits[(size_t)n * logit_count + (size_t)(q * info.labels) + (size_t)picture->raw[r].label];
                candidates[q].score = 1 / (1 + exp(-(double)logit));
                for (int k = 0; k < 4; k++)
                    candidates[q].box[k] = (double)boxes[(size_t)n * box_count + (size_t)(q * 4 + k)];
            }
            match(&t, &picture->raw[r], candidates, info.queries, 0.002);
        }
    }
    assert_int_equal(t.rows, 100 * batch);
    assert_close(&t, what);
    free(pixels);
    free(logits);
    free(boxes);
    free(candidates);
}

// The whole way: the same objects, boxes in pixels of the picture.
static void check_found(cfine_session *session, const cfine_image *images, int batch, const char *what) {
    cfine_error error;
    cfine_detections found[MOST_BATCH] = {0};
    cfine_detect_options all = CFINE_INIT(cfine_detect_options);
    all.threshold = -1;
    assert_ok(cfine_detect(session, images, batch, &all, found, &error));
    tally t = {0};
    for (int n = 0; n < batch; n++) {
        const golden_picture *picture = &pictures[n % PICTURES];
        assert_int_equal(found[n].width, picture->width);
        assert_int_equal(found[n].height, picture->height);
        assert_int_equal(found[n].count, picture->found_count);
        for (int r = 0; r < picture->found_count; r++) {
            candidate candidates[MOST_ROWS];
            int count = 0;
            for (size_t i = 0; i < found[n].count; i++) {
                const cfine_detection *d = &found[n].items[i];
                if (d->label != picture->found[r].label) continue;
                candidates[count].score = (double)d->score;
                for (int k = 0; k < 4; k++) candidates[count].box[k] = (double)d->box[k];
                count++;
            }
            match(&t, &picture->found[r], candidates, count, 0.002 * picture->width);
        }
        cfine_detections_release(&found[n]);
    }
    assert_close(&t, what);
}

static void check_plans(const char *level, int reference) {
    cfine_error error;
    assert_ok(cfine_cpu_limit(level, &error));
    cfine_image images[MOST_BATCH];
    for (int n = 0; n < MOST_BATCH; n++)
        assert_ok(cfine_image_load(pictures[n % PICTURES].path, NULL, &images[n], &error));
    for (int batch = 1; batch <= MOST_BATCH; batch += 2)
        for (int threads = 1; threads <= 3; threads++) {
            char what[128];
            snprintf(what, sizeof what, "%s%s, batch %d, %d threads", level, reference ? ", reference" : "", batch,
                     threads);
            cfine_open_options options = CFINE_INIT(cfine_open_options);
            options.plan.batch = batch;
            options.plan.reference = reference;
            options.session.threads = threads;
            cfine_session *session;
            assert_ok(cfine_open(CFINE_SOURCE_DIR "/tests/data/tiny", &options, &session, &error));
            check_raw(session, images, batch, what);
            check_found(session, images, batch, what);
            cfine_session_close(session);
        }
    for (int n = 0; n < MOST_BATCH; n++) cfine_image_release(&images[n]);
    assert_ok(cfine_cpu_limit("native", &error));
}

static void reference_plan(void **state) {
    (void)state;
    check_plans("native", 1);
}

static void fast_plan_at_every_level(void **state) {
    (void)state;
    static const char *const levels[] = {"scalar",     "avx2",       "avxvnni", "avx512", "avx512vnni",
                                         "avx512bf16", "avx512fp16", "amx",     "native"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) check_plans(levels[i], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_plan),
        cmocka_unit_test(fast_plan_at_every_level),
    };
    return cmocka_run_group_tests(tests, read_golden, NULL);
}
