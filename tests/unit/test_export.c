// SPDX-License-Identifier: Apache-2.0
// ONNX export: the wire format, and what happens without memory or disk. tests/export compares whole files.
#include "unit/test.h"

#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "export/onnx_model.h"

static cfine_error error;
static const char tiny[] = CFINE_SOURCE_DIR "/tests/data/tiny";

static void test_wire(void **state) {
    (void)state;
    cf_protobuf inner = {0}, out = {0};
    cf_protobuf_int(&out, 1, 150);
    cf_protobuf_int(&out, 2, -1);
    cf_protobuf_float(&out, 3, 1.0f);
    cf_protobuf_text(&inner, 16, "ab");
    cf_protobuf_message(&out, 4, &inner);
    const uint8_t expected[] = {0x08, 0x96, 0x01, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                0x01, 0x1d, 0x00, 0x00, 0x80, 0x3f, 0x22, 0x05, 0x82, 0x01, 0x02, 'a',  'b'};
    assert_int_equal(out.size, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    cf_protobuf_release(&inner);
    cf_protobuf_release(&out);
}

static void test_constants(void **state) {
    (void)state;
    cf_onnx model = {.where = "here"};
    cf_onnx_name a = cf_onnx_scalar(&model, 0.5f), b = cf_onnx_scalar(&model, 0.5f), c = cf_onnx_scalar(&model, 2);
    assert_string_equal(a.text, b.text); // stored once
    assert_string_not_equal(a.text, c.text);
    cf_onnx_ints(&model, 2, (int64_t[]){0, -1});
    assert_int_equal(model.constant_count, 3);
    cf_onnx_release(&model);
}

static const char *output_path(void) {
    static char path[512];
    snprintf(path, sizeof path, "%s/test_export_%d.onnx", CFINE_BINARY_DIR, (int)getpid());
    return path;
}

static void test_file(void **state) {
    (void)state;
    cfine_model *model;
    assert_ok(cfine_model_open(tiny, &model, &error));
    assert_ok(cfine_model_export_onnx(model, NULL, output_path(), &error));
    assert_true(cf_file_exists(output_path()));
    remove(output_path());
    cfine_export_options options = CFINE_INIT(cfine_export_options);
    options.batch = -1;
    assert_fails(cfine_model_export_onnx(model, &options, output_path(), &error), CFINE_ERROR_ARGUMENT, "batch");
    options.batch = 0;
    options.detections = -1;
    assert_fails(cfine_model_export_onnx(model, &options, output_path(), &error), CFINE_ERROR_ARGUMENT, "detections");
    options.detections = 20;
    options.precision = CFINE_BF16;
    assert_fails(cfine_model_export_onnx(model, &options, output_path(), &error), CFINE_ERROR_ARGUMENT, "FP16");
    options.precision = CFINE_FP32;
    options.queries = 1000000;
    assert_int_not_equal(cfine_model_export_onnx(model, &options, output_path(), &error), CFINE_OK);
    assert_fails(cfine_model_export_onnx(model, NULL, "/no/where.onnx", &error), CFINE_ERROR_NOT_FOUND,
                 "/no/where.onnx");
    assert_fails(cfine_model_export_onnx(NULL, NULL, "x", &error), CFINE_ERROR_ARGUMENT, "NULL");
    cfine_model_close(model);
}

// Every failing allocation and a full disk are errors, and leave no file.
static void test_failures(void **state) {
    (void)state;
    cfine_model *model;
    assert_ok(cfine_model_open(tiny, &model, &error));
    cfine_export_options options = CFINE_INIT(cfine_export_options);
    options.precision = CFINE_FP16;
    options.detections = 20;
    long refused = 0;
    for (long n = 0;; n += 1 + n / 10) {
        cf_memory_fail_after(n);
        cfine_status status = cfine_model_export_onnx(model, &options, output_path(), &error);
        cf_memory_fail_after(-1);
        if (status == CFINE_OK) break;
        refused++;
        assert_int_equal(status, CFINE_ERROR_MEMORY);
        assert_false(cf_file_exists(output_path()));
    }
    assert_true(refused > 20);
    remove(output_path());
    for (long bytes = 0; bytes < 600000; bytes += 50000) {
        cf_file_fail_after(bytes);
        cfine_status status = cfine_model_export_onnx(model, NULL, output_path(), &error);
        cf_file_fail_after(-1);
        assert_int_equal(status, CFINE_ERROR_IO);
        assert_false(cf_file_exists(output_path()));
    }
    cfine_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
