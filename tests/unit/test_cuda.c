// SPDX-License-Identifier: Apache-2.0
// The bundled model on a GPU against the same model on the CPU. Skipped, and counted as skipped, where no GPU is.
#include "unit/test.h"

#include <math.h>
#include <unistd.h>

#include "cfine/cfine.h"
#include "quant/calibration.h"

enum { SKIPPED = 77, BATCH = 3 };

static cfine_error error;
static float *pixels; // [BATCH, 3, 640, 640], smooth shapes
static char model[1024];
static char calibration[] = "cfine-calibration-XXXXXX";
static const char *const scenes[BATCH] = {"000103.jpg", "000105.jpg", "000111.jpg"};

static cfine_session *open_session(const char *path, const char *device, cfine_precision precision, int batch) {
    cfine_open_options options = CFINE_INIT(cfine_open_options);
    options.plan = CFINE_INIT(cfine_plan_options);
    options.session = CFINE_INIT(cfine_session_options);
    options.plan.device = device;
    options.plan.precision = precision;
    options.plan.batch = batch;
    if (precision >= CFINE_INT8) options.plan.calibration = calibration;
    cfine_session *session;
    assert_ok(cfine_open(path, &options, &session, &error));
    return session;
}

static cfine_plan_info info_of(const cfine_session *session) {
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    assert_ok(cfine_plan_get_info(cfine_session_plan(session), &info, &error));
    return info;
}

typedef struct {
    float *logits, *boxes;
    size_t rows, labels;
} raw;

static raw run(cfine_session *session, const float *input, int count) {
    cfine_plan_info info = info_of(session);
    raw out = {.rows = (size_t)info.queries * (size_t)count, .labels = (size_t)info.labels};
    out.logits = malloc(out.rows * out.labels * sizeof(float));
    out.boxes = malloc(out.rows * 4 * sizeof(float));
    assert_ok(cfine_session_run(session, input, count, out.logits, out.boxes, &error));
    return out;
}

static void release(raw *out) {
    free(out->logits);
    free(out->boxes);
}

// The share of rows of `want` (of the same image) with a confident label that `got` has too, box and score alike.
// Near-ties swap queries, so rows are looked for, not compared in place.
static double matched(const raw *want, const raw *got, int count, double score_limit, double box_limit) {
    size_t rows = want->rows / (size_t)count, wanted = 0, found = 0;
    for (size_t i = 0; i < want->rows; i++)
        for (size_t c = 0; c < want->labels; c++) {
            double score = 1 / (1 + exp(-want->logits[i * want->labels + c]));
            if (score < 0.3) continue;
            wanted++;
            size_t first = i / rows * rows;
            int hit = 0;
            for (size_t k = first; k < first + rows && !hit; k++) {
                hit = fabs(1 / (1 + exp(-got->logits[k * got->labels + c])) - score) <= score_limit;
                for (int d = 0; d < 4; d++) hit &= fabs(got->boxes[k * 4 + d] - want->boxes[i * 4 + d]) <= box_limit;
            }
            found += (size_t)hit;
        }
    return wanted ? (double)found / (double)wanted : 0;
}

static void read_scenes(void) {
    cfine_session *session = open_session(model, "cpu", CFINE_FP32, 1);
    cfine_plan_info info = info_of(session);
    size_t each = 3 * (size_t)info.width * (size_t)info.height;
    pixels = malloc(BATCH * each * sizeof *pixels);
    for (int n = 0; n < BATCH; n++) {
        char path[1100];
        snprintf(path, sizeof path, "%s/scenes/%s", model, scenes[n]);
        cfine_image image;
        assert_ok(cfine_image_load(path, NULL, &image, &error));
        assert_ok(cfine_session_prepare(session, &image, pixels + (size_t)n * each, &error));
        cfine_image_release(&image);
    }
    cfine_session_close(session);
}

// Every operator in int8 that can be, or what `judged` scenes say.
static void calibrate(const char *device, int judged, char *path) {
    cfine_model *opened;
    char paths[BATCH][1100];
    const char *names[BATCH];
    for (int n = 0; n < BATCH; n++) {
        snprintf(paths[n], sizeof paths[n], "%s/scenes/%s", model, scenes[n]);
        names[n] = paths[n];
    }
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    cfine_calibrate_options options = CFINE_INIT(cfine_calibrate_options);
    options.judged = judged;
    options.device = device;
    assert_ok(cfine_model_open(model, &opened, &error));
    assert_ok(cfine_calibrate(opened, names, BATCH, &options, path, &error));
    cfine_model_close(opened);
}

// The GPU sees what the CPU sees: ranges, and what each operator loses, but for the order of sums.
static void calibrates_like_the_cpu(void **state) {
    (void)state;
    char here[] = "cfine-calibration-XXXXXX", there[] = "cfine-calibration-XXXXXX";
    cf_calibration *want, *got;
    calibrate("cpu", 1, here);
    calibrate("cuda", 1, there);
    assert_ok(cf_calibration_read(here, &want, &error));
    assert_ok(cf_calibration_read(there, &got, &error));
    unlink(here);
    unlink(there);
    assert_int_equal(got->range_count, want->range_count);
    assert_int_equal(got->operator_count, want->operator_count);
    for (int i = 0; i < want->range_count; i++) {
        const cf_value_range *a = &want->ranges[i], *b = &got->ranges[i];
        double most = 0.02 * ((double)a->high - (double)a->low);
        if (strcmp(a->name, b->name) || !(fabs((double)b->low - (double)a->low) <= most) ||
            !(fabs((double)b->high - (double)a->high) <= most))
            fail_msg("%s %g..%g, %s %g..%g on the CPU", b->name, (double)b->low, (double)b->high, a->name,
                     (double)a->low, (double)a->high);
    }
    for (int i = 0; i < want->operator_count; i++) {
        double a = (double)want->operators[i].error, b = (double)got->operators[i].error;
        if (!(fabs(a - b) <= 0.05 * a + 1e-6)) fail_msg("%s: error %g, %g on the CPU", got->operators[i].name, b, a);
    }
    cf_calibration_destroy(want);
    cf_calibration_destroy(got);
}

static void compare_with_cpu(cfine_precision precision, double score_limit, double box_limit, double least) {
    cfine_session *cpu = open_session(model, "cpu", CFINE_FP32, BATCH);
    cfine_session *gpu = open_session(model, "cuda", precision, BATCH);
    for (int count = 1; count <= BATCH; count += 2) {
        raw want = run(cpu, pixels, count), got = run(gpu, pixels, count), again = run(gpu, NULL, count);
        double share = matched(&want, &got, count, score_limit, box_limit);
        if (share < least) fail_msg("batch %d: %.3f matched, %.3f wanted", count, share, least);
        assert_memory_equal(got.logits, again.logits, got.rows * got.labels * sizeof(float));
        assert_memory_equal(got.boxes, again.boxes, got.rows * 4 * sizeof(float));
        release(&want);
        release(&got);
        release(&again);
    }
    cfine_session_close(cpu);
    cfine_session_close(gpu);
}

static void fp32_equals_the_cpu(void **state) {
    (void)state;
    compare_with_cpu(CFINE_FP32, 1e-3, 1e-3, 1.0);
}

static void fp16_finds_the_same(void **state) {
    (void)state;
    compare_with_cpu(CFINE_FP16, 0.02, 0.004, 0.98);
}

static void bf16_finds_the_same(void **state) {
    (void)state;
    compare_with_cpu(CFINE_BF16, 0.1, 0.02, 0.95);
}

static void int8_finds_the_same(void **state) {
    (void)state;
    compare_with_cpu(CFINE_INT8, 0.1, 0.02, 0.85); // one of a dozen objects may be near the threshold
}

// On a chip that has it; others refuse it.
static void fp8_finds_the_same(void **state) {
    (void)state;
    char gpu[256];
    assert_ok(cfine_gpu_describe(0, gpu, sizeof gpu, &error));
    if (!strstr(gpu, "compute capability 9.0")) {
        cfine_open_options options = CFINE_INIT(cfine_open_options);
        options.plan = CFINE_INIT(cfine_plan_options);
        options.session = CFINE_INIT(cfine_session_options);
        options.plan.device = "cuda";
        options.plan.precision = CFINE_FP8;
        options.plan.calibration = calibration;
        cfine_session *session;
        assert_int_equal(cfine_open(model, &options, &session, &error), CFINE_ERROR_UNSUPPORTED);
        return;
    }
    compare_with_cpu(CFINE_FP8, 0.1, 0.02, 0.85);
}

static void plan_files_run_as_built(void **state) {
    (void)state;
    char path[] = "cfine-test-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    cfine_session *built = open_session(model, "cuda", CFINE_FP16, 1);
    assert_ok(cfine_plan_save(cfine_session_plan(built), path, &error));
    cfine_session *opened = open_session(path, NULL, CFINE_PRECISION_DEFAULT, 0);
    raw a = run(built, pixels, 1), b = run(opened, pixels, 1);
    assert_memory_equal(a.logits, b.logits, a.rows * a.labels * sizeof(float));
    release(&a);
    release(&b);
    cfine_session_close(built);
    cfine_session_close(opened);
    unlink(path);
}

static void sessions_share_a_plan(void **state) {
    (void)state;
    cfine_session *first = open_session(model, "cuda", CFINE_FP16, 1), *second;
    assert_ok(cfine_session_open(cfine_session_plan(first), NULL, &second, &error));
    raw a = run(first, pixels, 1), b = run(second, pixels, 1);
    assert_memory_equal(a.logits, b.logits, a.rows * a.labels * sizeof(float));
    cfine_session_close(first);
    raw c = run(second, pixels, 1);
    assert_memory_equal(a.logits, c.logits, a.rows * a.labels * sizeof(float));
    release(&a);
    release(&b);
    release(&c);
    cfine_session_close(second);
}

static void too_much_is_said(void **state) {
    (void)state;
    cfine_open_options options = CFINE_INIT(cfine_open_options);
    options.plan = CFINE_INIT(cfine_plan_options);
    options.session = CFINE_INIT(cfine_session_options);
    cfine_session *session;
    options.plan.device = "cuda:15";
    assert_fails(cfine_open(model, &options, &session, &error), CFINE_ERROR_DEVICE, "cuda:15");
    options.plan.device = "cuda";
    options.plan.batch = 1024;
    options.plan.width = options.plan.height = 4096;
    assert_fails(cfine_open(model, &options, &session, &error), CFINE_ERROR_MEMORY, "would fit: --batch ");
}

static void batch_auto_fits(void **state) {
    (void)state;
    cfine_session *session = open_session(model, "cuda", CFINE_FP16, CFINE_BATCH_AUTO);
    assert_int_equal(info_of(session).batch, CFINE_BATCH_AUTO_MOST); // small images, a whole GPU
    cfine_session_close(session);
}

// What a session finds in pictures equals what it finds in their pixels prepared by the CPU, bit for bit.
static void prepares_alike(cfine_session *session, const cfine_image *images, int count, float threshold) {
    cfine_plan_info info = info_of(session);
    cfine_detect_options options = CFINE_INIT(cfine_detect_options);
    options.threshold = threshold;
    size_t each = 3 * (size_t)info.width * (size_t)info.height;
    float *prepared = malloc((size_t)count * each * sizeof *prepared);
    for (int n = 0; n < count; n++)
        assert_ok(cfine_session_prepare(session, &images[n], prepared + (size_t)n * each, &error));
    cfine_detections found[BATCH] = {0}, want = {0};
    assert_ok(cfine_detect(session, images, count, &options, found, &error));
    raw out = run(session, prepared, count);
    for (int n = 0; n < count; n++) {
        size_t first = (size_t)n * (size_t)info.queries;
        assert_ok(cfine_session_postprocess(session, out.logits + first * out.labels, out.boxes + first * 4,
                                            images[n].width, images[n].height, &options, &want, &error));
        assert_true(want.count > 0);
        int same = found[n].count == want.count &&
                   !memcmp(found[n].items, want.items, (size_t)want.count * sizeof *want.items);
        if (!same) fail_msg("%dx%d, image %d of %d: other detections", images[n].width, images[n].height, n, count);
        cfine_detections_release(&found[n]);
    }
    cfine_detections_release(&want);
    release(&out);
    free(prepared);
}

// Pictures are sent as they are, resized and scaled on the GPU.
static void images_are_prepared_alike(void **state) {
    (void)state;
    cfine_session *session = open_session(model, "cuda", CFINE_FP32, BATCH);
    cfine_image images[BATCH];
    for (int n = 0; n < BATCH; n++) {
        char path[1100];
        snprintf(path, sizeof path, "%s/scenes/%s", model, scenes[n]);
        assert_ok(cfine_image_load(path, NULL, &images[n], &error));
    }
    prepares_alike(session, images, BATCH, 0.3F);
    for (int n = 0; n < BATCH; n++) cfine_image_release(&images[n]);
    cfine_session_close(session);
}

// Pixels without any pattern, of a size.
static cfine_image noise(int width, int height) {
    size_t bytes = 3 * (size_t)width * (size_t)height;
    cfine_image image = {.width = width, .height = height, .rgb = malloc(bytes)};
    uint32_t seed = (uint32_t)(width * 7919 + height);
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        image.rgb[i] = (uint8_t)(seed >> 24);
    }
    return image;
}

// Larger and smaller than the input on either side, equal to it on one or both, rows first and columns first, more of
// them than slots; and those that the CPU makes smaller, alone and beside others.
static void pictures_of_all_sizes_are_prepared_alike(void **state) {
    (void)state;
    static const struct {
        int width, height;
    } sizes[] = {{640, 640},  {1, 1},       {3, 2},      {639, 641},  {640, 427},  {427, 640},  {1280, 1280},
                 {700, 1500}, {1500, 700},  {160, 5120}, {5120, 160}, {10240, 20}, {37, 10240}, {641, 640},
                 {10300, 30}, {1300, 1300}, {500, 375},  {5000, 400}, {2, 640}};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    cfine_session *session = open_session(model, "cuda", CFINE_FP32, BATCH);
    for (int i = 0; i < SIZES; i++) {
        cfine_image images[BATCH];
        for (int n = 0; n < BATCH; n++) images[n] = noise(sizes[(i + n) % SIZES].width, sizes[(i + n) % SIZES].height);
        prepares_alike(session, images, i % BATCH + 1, 1e-6F);
        for (int n = 0; n < BATCH; n++) free(images[n].rgb);
    }
    cfine_session_close(session);
}

// test_cuda [SOURCE]: where the source tree is, if the test was built elsewhere.
int main(int argc, char **argv) {
    char text[256];
    snprintf(model, sizeof model, "%s/models/tabletop", argc > 1 ? argv[1] : CFINE_SOURCE_DIR);
    if (cfine_gpu_describe(0, text, sizeof text, &error) != CFINE_OK) {
        printf("skipped: %s\n", error.message);
        return SKIPPED;
    }
    printf("%s\n", text);
    read_scenes();
    calibrate("cpu", -1, calibration);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_equals_the_cpu),       cmocka_unit_test(fp16_finds_the_same),
        cmocka_unit_test(bf16_finds_the_same),       cmocka_unit_test(int8_finds_the_same),
        cmocka_unit_test(fp8_finds_the_same),        cmocka_unit_test(plan_files_run_as_built),
        cmocka_unit_test(sessions_share_a_plan),     cmocka_unit_test(too_much_is_said),
        cmocka_unit_test(batch_auto_fits),           cmocka_unit_test(calibrates_like_the_cpu),
        cmocka_unit_test(images_are_prepared_alike), cmocka_unit_test(pictures_of_all_sizes_are_prepared_alike),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(pixels);
    unlink(calibration);
    return failed;
}
