// SPDX-License-Identifier: Apache-2.0
// COCO box AP against pycocotools' stored numbers (tests/golden/make_coco_goldens.py), and files that lie.
#include "unit/test.h"

#include <math.h>
#include <unistd.h>

#include "coco_ap.h"
#include "json_pull.h"

static cfine_error error;

static const char *write_text(const char *name, const char *text) {
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[0], "%s/test_coco_%d_%s", CFINE_BINARY_DIR, (int)getpid(), name);
    FILE *file = fopen(path[turn], "wb");
    assert_non_null(file);
    fwrite(text, 1, strlen(text), file);
    fclose(file);
    return path[turn];
}

// Every stored case gives the stored numbers.
static void test_numbers(void **state) {
    (void)state;
    char path[512], name[64];
    snprintf(path, sizeof path, "%s/tests/data/coco/numbers.txt", CFINE_SOURCE_DIR);
    FILE *numbers = fopen(path, "r");
    assert_non_null(numbers);
    int cases = 0;
    while (fscanf(numbers, "%63s", name) == 1) {
        double expected[COCO_NUMBERS];
        for (int i = 0; i < COCO_NUMBERS; i++) assert_int_equal(fscanf(numbers, "%lf", &expected[i]), 1);
        coco_dataset dataset;
        coco_results results;
        coco_summary summary;
        snprintf(path, sizeof path, "%s/tests/data/coco/%s.truth.json", CFINE_SOURCE_DIR, name);
        assert_ok(coco_dataset_read(path, &dataset, &error));
        snprintf(path, sizeof path, "%s/tests/data/coco/%s.found.json", CFINE_SOURCE_DIR, name);
        assert_ok(coco_results_read(path, &dataset, &results, &error));
        assert_ok(coco_evaluate(&dataset, &results, &summary, &error));
        for (int i = 0; i < COCO_NUMBERS; i++)
            if (fabs(summary.numbers[i] - expected[i]) > 1e-9)
                fail_msg("%s: %s is %.9f, not %.9f", name, coco_number_names[i], summary.numbers[i], expected[i]);
        assert_int_equal(summary.class_count, dataset.category_count);
        coco_summary_release(&summary);
        coco_results_release(&results);
        coco_dataset_release(&dataset);
        cases++;
    }
    fclose(numbers);
    assert_int_equal(cases, 9);
}

static const char small_truth[] = "{\"info\": {\"deep\": [[{}], null, true, \"\\u00e9\\\"\"]}, \"images\": [{\"id\": "
                                  "4, \"file_name\": \"a\\u00e4.jpg\","
                                  "\"width\": 100, \"height\": 80}, {\"id\": 2, \"file_name\": \"b.jpg\"}], "
                                  "\"annotations\": [{\"id\": 1, \"image_id\": 4,"
                                  "\"category_id\": 7.0, \"bbox\": [1, 2, 30, 4e1], \"area\": 900, \"iscrowd\": false, "
                                  "\"segmentation\": [[1, 2, 3]]}],"
                                  "\"categories\": [{\"id\": 7, \"name\": \"cat\"}]}";

static void test_dataset(void **state) {
    (void)state;
    coco_dataset dataset;
    const char *path = write_text("truth", small_truth);
    assert_ok(coco_dataset_read(path, &dataset, &error));
    remove(path);
    assert_int_equal(dataset.image_count, 2);
    assert_int_equal(dataset.images[0].id, 2);
    assert_string_equal(dataset.images[1].file, "a\xc3\xa4.jpg");
    assert_int_equal(dataset.images[1].width, 100);
    assert_int_equal(dataset.truth_count, 1);
    assert_true(dataset.truths[0].box[3] == 40 && dataset.truths[0].area == 900);
    assert_string_equal(dataset.categories[0].name, "cat");
    assert_int_equal(coco_find_image(&dataset, 3), -1);
    assert_int_equal(dataset.notes.count, 0);
    coco_dataset_release(&dataset);
}

// A results file reads back to what was added, and --limit passes over the images behind it.
static void test_results(void **state) {
    (void)state;
    coco_dataset dataset;
    const char *path = write_text("truth", small_truth);
    assert_ok(coco_dataset_read(path, &dataset, &error));
    remove(path);
    coco_results results = {0}, again;
    const coco_result rows[] = {{1, 0, 0.1, {1, 2, 30, 40}}, {0, 0, (double)0.7f, {0.1, 1.0 / 3, 1e-7, 123456.789}}};
    for (int i = 0; i < 2; i++) assert_ok(coco_results_add(&results, &rows[i], &error));
    const char *file = write_text("results", "");
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    coco_results_write(stream, &dataset, &results);
    assert_int_equal(fclose(stream), 0);
    assert_ok(coco_results_read(file, &dataset, &again, &error));
    remove(file);
    assert_int_equal(again.count, 2);
    for (int i = 0; i < 2; i++) assert_memory_equal(&again.items[i], &rows[i], sizeof rows[i]);
    coco_summary summary;
    assert_ok(coco_evaluate(&dataset, &again, &summary, &error));
    assert_true(fabs(summary.numbers[COCO_AP] - 0.5) < 0.01 && fabs(summary.classes[0].ap50 - 0.5) < 0.01);
    assert_int_equal(summary.classes[0].results, 2);
    coco_summary_release(&summary);
    coco_dataset_limit(&dataset, 1);
    assert_ok(coco_evaluate(&dataset, &again, &summary, &error));
    assert_true(summary.numbers[COCO_AP] == -1 && summary.classes[0].results == 1);
    coco_summary_release(&summary);
    coco_result bad = rows[0];
    bad.score = NAN;
    assert_fails(coco_results_add(&results, &bad, &error), CFINE_ERROR_FORMAT, "not finite");
    coco_results_release(&again);
    coco_results_release(&results);
    coco_dataset_release(&dataset);
}

static void check_bad(const char *text, const char *words) {
    coco_dataset dataset;
    const char *path = write_text("bad", text);
    assert_fails(coco_dataset_read(path, &dataset, &error), CFINE_ERROR_FORMAT, words);
    remove(path);
}

#define IMAGES "\"images\":[{\"id\":1,\"width\":10,\"height\":10}],\"categories\":[{\"id\":1}],"

static void test_bad_annotations(void **state) {
    (void)state;
    check_bad("", "the end of the file");
    check_bad("[]", "must be an object");
    check_bad("{}", "no \"images\"");
    check_bad("{" IMAGES "\"annotations\":[", "truncated");
    check_bad("{" IMAGES "\"annotations\":[]} x", "more after the end");
    check_bad("{" IMAGES IMAGES "\"annotations\":[]}", "appears twice");
    check_bad("{\"images\":[],\"categories\":[{\"id\":1}],\"annotations\":[]}", "no images");
    check_bad("{\"images\":[{\"id\":\"one\"}]}", "must be an integer, not a string");
    check_bad("{\"images\":[{\"id\":1.5}]}", "must be an integer, not 1.5");
    check_bad("{\"images\":[{\"id\":123456789012345678901}]}", "64 bits");
    check_bad("{\"images\":[{}]}", "without id");
    check_bad("{" IMAGES "\"annotations\":[{\"id\":1,\"image_id\":1,\"category_id\":1}]}", "without bbox");
    check_bad("{" IMAGES "\"annotations\":[{\"bbox\":[1,2,3]}]}", "3 numbers");
    check_bad("{" IMAGES "\"annotations\":[{\"bbox\":[1,2,3,4,5]}]}", "more than the 4");
    check_bad("{" IMAGES "\"annotations\":[{\"bbox\":[1,2,NaN,4]}]}", "not NaN");
    check_bad("{" IMAGES "\"annotations\":[{\"bbox\":[1,2,1e999,4]}]}", "beyond");
    check_bad("{" IMAGES "\"annotations\":[{\"area\":null}]}", "must be a number");
    check_bad("{\n \"images\": [{\"id\" 4}]}", "line 2, column 19: expected :");
    check_bad("{\"images\":[{\"file_name\":\"\x01\"}]}", "control character");
    check_bad("{\"a\":[1,]}", "comma");
    check_bad("{\"a\":tru}", "must be JSON");
    char deep[2000] = "{\"a\":";
    memset(deep + 5, '[', 1000);
    check_bad(deep, "nested");
    coco_dataset dataset;
    assert_fails(coco_dataset_read("/no/such/file.json", &dataset, &error), CFINE_ERROR_NOT_FOUND, "/no/such");
    assert_fails(coco_dataset_read(CFINE_BINARY_DIR, &dataset, &error), CFINE_ERROR_IO, "folder");
}

static int noted(const coco_notes *notes, const char *words) {
    for (int i = 0; i < notes->count; i++)
        if (strstr(notes->lines[i], words)) return 1;
    return 0;
}

// What is odd but can be passed over is passed over, and said.
static void test_notes(void **state) {
    (void)state;
    const char *path = write_text(
        "odd", "{\"images\":[{\"id\":1,\"width\":10,\"height\":10},{\"id\":1}],\"categories\":[{\"id\":1},{\"id\":1}],"
               "\"annotations\":[{\"id\":0,\"image_id\":1,\"category_id\":1,\"bbox\":[0,0,100,5]},"
               "{\"id\":7,\"image_id\":1,\"category_id\":1,\"bbox\":[0,0,0,5],\"area\":-1},"
               "{\"id\":7,\"image_id\":5,\"category_id\":1,\"bbox\":[0,0,1,5],\"area\":5},"
               "{\"id\":7,\"image_id\":1,\"category_id\":2,\"bbox\":[0,0,1,5],\"area\":5},"
               "{\"id\":7,\"image_id\":1,\"category_id\":1,\"bbox\":[0,0,1,5],\"area\":5}]}");
    coco_dataset dataset;
    assert_ok(coco_dataset_read(path, &dataset, &error));
    remove(path);
    assert_int_equal(dataset.image_count, 1);
    assert_int_equal(dataset.category_count, 1);
    assert_int_equal(dataset.truth_count, 3);
    assert_true(noted(&dataset.notes, "image id 1 appears again"));
    assert_true(noted(&dataset.notes, "category id 1 appears again"));
    assert_true(noted(&dataset.notes, "1 annotations of images that are not listed (such as id 5)"));
    assert_true(noted(&dataset.notes, "1 annotations of categories that are not listed (such as id 2)"));
    assert_true(noted(&dataset.notes, "1 boxes reach outside"));
    assert_true(noted(&dataset.notes, "1 boxes without width"));
    assert_true(noted(&dataset.notes, "negative area"));
    assert_true(noted(&dataset.notes, "1 annotations without area"));
    assert_true(noted(&dataset.notes, "1 annotations repeat an id (such as 7)"));
    assert_true(noted(&dataset.notes, "1 annotations have id 0"));

    coco_results results;
    path = write_text("found", "[{\"image_id\":1,\"category_id\":9,\"bbox\":[0,0,1,1],\"score\":1}]");
    assert_ok(coco_results_read(path, &dataset, &results, &error));
    assert_true(results.count == 0 && noted(&results.notes, "1 results of categories"));
    coco_results_release(&results);
    remove(path);
    path = write_text("found", "[{\"image_id\":8,\"category_id\":1,\"bbox\":[0,0,1,1],\"score\":1}]");
    assert_fails(coco_results_read(path, &dataset, &results, &error), CFINE_ERROR_FORMAT, "image id 8");
    path = write_text("found", "[{\"image_id\":1,\"category_id\":1,\"segmentation\":{},\"score\":1}]");
    assert_fails(coco_results_read(path, &dataset, &results, &error), CFINE_ERROR_FORMAT, "without bbox");
    remove(path);
    path = write_text("found", "[]");
    assert_ok(coco_results_read(path, &dataset, &results, &error));
    coco_summary summary;
    assert_ok(coco_evaluate(&dataset, &results, &summary, &error));
    assert_true(summary.numbers[COCO_AP] == 0 && summary.numbers[COCO_AP_LARGE] == -1);
    coco_summary_release(&summary);
    coco_results_release(&results);
    remove(path);
    coco_dataset_release(&dataset);
}

// Every cut and every flipped byte of a file is an answer or an error, never a crash (run under sanitizers too).
static void test_mutilated(void **state) {
    (void)state;
    char text[sizeof small_truth];
    const size_t length = sizeof text - 1;
    for (size_t i = 0; i < 2 * length; i++) {
        memcpy(text, small_truth, sizeof text);
        if (i < sizeof text)
            text[i] = 0;
        else
            text[i - length] ^= (char)(1 << i % 7);
        coco_dataset dataset;
        const char *path = write_text("mutilated", text);
        if (coco_dataset_read(path, &dataset, &error) == CFINE_OK)
            coco_dataset_release(&dataset);
        else
            assert_true(error.message[0] != 0);
        remove(path);
    }
}

static void test_strings(void **state) {
    (void)state;
    json_reader reader;
    char text[8];
    const char pair[] = "\"\\ud83d\\ude00\\ud83d\\n\"";
    pull_reader_start(&reader, "pair", pair, sizeof pair - 1);
    assert_true(pull_string(&reader, "it", text, sizeof text)); // cut before the lone half
    assert_int_equal(pull_finish(&reader), 1);
    const char cut[] = "\"abcdef\xc3\xa4\"";
    pull_reader_start(&reader, "cut", cut, sizeof cut - 1);
    assert_true(pull_string(&reader, "it", text, sizeof text));
    assert_string_equal(text, "abcdef");
    const char bad[] = "\"\\x\"";
    pull_reader_start(&reader, "bad", bad, sizeof bad - 1);
    assert_false(pull_string(&reader, "it", text, sizeof text));
    int64_t value;
    assert_false(pull_integer(&reader, "it", &value)); // errors are sticky
    assert_non_null(strstr(reader.error.message, "bad escape"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_dataset), cmocka_unit_test(test_results),
        cmocka_unit_test(test_bad_annotations), cmocka_unit_test(test_notes),   cmocka_unit_test(test_mutilated),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
