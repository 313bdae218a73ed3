// SPDX-License-Identifier: Apache-2.0
// Named tensors, the safetensors reader with hostile headers, shards, and opening Hugging Face checkpoints.
#include "unit/test.h"

#include <math.h>
#include <unistd.h>

#include "base/half.h"
#include "base/hash.h"
#include "base/memory.h"
#include "model/checkpoint.h"
#include "model/names.h"

#define TINY CFINE_SOURCE_DIR "/tests/data/tiny"

static cfine_error error;

// A safetensors file of this header and `data_size` bytes of data; the caller frees it.
static uint8_t *make_file(const char *header, const void *data, size_t data_size, size_t *size) {
    size_t length = strlen(header);
    uint8_t *file = malloc(8 + length + data_size);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    if (data_size) memcpy(file + 8 + length, data, data_size);
    *size = 8 + length + data_size;
    return file;
}

static cf_weights *parse(const char *header, const void *data, size_t data_size, uint8_t **file) {
    size_t size;
    *file = make_file(header, data, data_size, &size);
    cf_weights *weights = cf_weights_new();
    assert_ok(cf_safetensors_parse(*file, size, "test", weights, &error));
    return weights;
}

static void every_type_becomes_fp32(void **state) {
    (void)state;
    struct {
        float f32[2];
        double f64[2];
        uint16_t f16[2], bf16[2];
        int64_t i64;
    } data = {{1.5f, -2.25f}, {0.1, -3e38}, {0x3e00, 0xc080}, {0x3fc0, 0xc010}, 7};
    uint8_t *file;
    cf_weights *weights = parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                                "\"b\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[8,24]},"
                                "\"c\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]},"
                                "\"d\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[28,32]},"
                                "\"e\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[32,40]},"
                                "\"__metadata__\":{\"format\":\"pt\"}}",
                                &data, 40, &file);
    float out[2];
    assert_int_equal(cf_weights_count(weights), 5);
    assert_ok(cf_weights_load(weights, "a", CF_SHAPE(2, 1), out, &error));
    assert_true(out[0] == 1.5f && out[1] == -2.25f);
    assert_ok(cf_weights_load(weights, "b", CF_SHAPE(2), out, &error));
    assert_true(out[0] == 0.1f && out[1] == -3e38f);
    assert_ok(cf_weights_load(weights, "c", CF_SHAPE(2), out, &error));
    assert_true(out[0] == 1.5f && out[1] == -2.25f);
    assert_ok(cf_weights_load(weights, "d", CF_SHAPE(2), out, &error));
    assert_true(out[0] == 1.5f && out[1] == -2.25f);
    assert_int_equal(cf_weights_find(weights, "e")->rank, 0);
    assert_int_equal(cf_weights_find(weights, "e")->count, 1);
    assert_null(cf_weights_find(weights, "f"));

    assert_fails(cf_weights_expect(weights, "x.y", CF_SHAPE(3), NULL, &error), CFINE_ERROR_FORMAT,
                 "x.y [3] is missing");
    assert_fails(cf_weights_expect(weights, "a", CF_SHAPE(2), NULL, &error), CFINE_ERROR_FORMAT,
                 "tensor a has the shape [2, 1], the config asks for [2]");
    assert_fails(cf_weights_expect(weights, "a", CF_SHAPE(2, 2), NULL, &error), CFINE_ERROR_FORMAT, "[2, 2]");
    assert_fails(cf_weights_expect(weights, "e", 0, NULL, NULL, &error), CFINE_ERROR_FORMAT, "type I64");
    assert_fails(cf_weights_read_f32(weights, cf_weights_find(weights, "e"), out, &error), CFINE_ERROR_FORMAT, "I64");
    cf_weights_free(weights);
    free(file);
}

static void nan_and_infinity_are_refused(void **state) {
    (void)state;
    const struct {
        const char *type;
        uint64_t bits;
        size_t bytes;
        const char *words;
    } cases[] = {{"F32", 0x7fc00000, 4, "element 1 is NaN"},
                 {"F32", 0xff800000, 4, "element 1 is infinite"},
                 {"F16", 0x7c01, 2, "element 1 is NaN"},
                 {"F16", 0xfc00, 2, "infinite"},
                 {"BF16", 0x7f80, 2, "infinite"},
                 {"BF16", 0xffc0, 2, "NaN"},
                 {"F64", 0x7ff8000000000000, 8, "is NaN"},
                 {"F64", 0x48e0000000000000, 8, "infinite"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t data[24] = {0}, *file;
        char header[128];
        memcpy(data + cases[i].bytes, &cases[i].bits, cases[i].bytes);
        snprintf(header, sizeof header, "{\"bad.weight\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                 cases[i].type, 3 * cases[i].bytes);
        cf_weights *weights = parse(header, data, 3 * cases[i].bytes, &file);
        float out[3];
        assert_fails(cf_weights_load(weights, "bad.weight", CF_SHAPE(3), out, &error), CFINE_ERROR_FORMAT,
                     cases[i].words);
        assert_non_null(strstr(error.message, "bad.weight"));
        cf_weights_free(weights);
        free(file);
    }
}

static void lying_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header, *words;
    } cases[] = {
        {"", "not valid JSON"},
        {"[]", "not a JSON object"},
        {"{\"a\":1}", "tensor a lacks dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "lacks"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", "not valid JSON"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", "has the type F33"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", "dimension 0 is not an integer"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "dimension 0 is -1"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,17]}}", "truncated"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", "truncated"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}", "truncated"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "not two integers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", "do not make 8 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", "do not make 4 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", "dimension 1"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", "9 dimensions"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "name has 0 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "duplicate"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        uint8_t data[16] = {0}, *file = make_file(cases[i].header, data, sizeof data, &size);
        cf_weights *weights = cf_weights_new();
        assert_fails(cf_safetensors_parse(file, size, "some.safetensors", weights, &error),
                     strstr(cases[i].words, "F33") ? CFINE_ERROR_UNSUPPORTED : CFINE_ERROR_FORMAT, cases[i].words);
        assert_int_equal(strncmp(error.message, "some.safetensors: ", 18), 0);
        cf_weights_free(weights);
        free(file);
    }
    // Deeply nested JSON ends in an error, not on the end of the stack.
    size_t depth = 1 << 20, size;
    char *nested = malloc(depth + 1);
    memset(nested, '[', depth);
    nested[depth] = 0;
    uint8_t *file = make_file(nested, NULL, 0, &size);
    cf_weights *weights = cf_weights_new();
    assert_fails(cf_safetensors_parse(file, size, "f", weights, &error), CFINE_ERROR_FORMAT, "depth");
    // Header lengths that the file does not have.
    file[0] = 1;
    assert_fails(cf_safetensors_parse(file, 8, "f", weights, &error), CFINE_ERROR_FORMAT, "truncated");
    memset(file, 0xff, 8);
    assert_fails(cf_safetensors_parse(file, size, "f", weights, &error), CFINE_ERROR_FORMAT, "truncated");
    for (size_t i = 0; i < 8; i++)
        assert_fails(cf_safetensors_parse(file, i, "f", weights, &error), CFINE_ERROR_FORMAT, "too few");
    cf_weights_free(weights);
    free(file);
    free(nested);
}

// Adding, renaming and removing at random keeps every name findable (the hash table moves entries up).
static void names_stay_findable(void **state) {
    (void)state;
    enum { TENSORS = 700 };
    cf_weights *weights = cf_weights_new();
    float value = 1;
    int64_t shape = 1;
    char name[32], renamed[32];
    int where[TENSORS]; // 0: removed, 1: as added, 2: renamed
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "tensor.%d", i);
        assert_ok(cf_weights_add(weights, name, CF_WEIGHT_F32, 1, &shape, (uint8_t *)&value, 4, &error));
        where[i] = 1;
    }
    assert_fails(cf_weights_add(weights, "tensor.5", CF_WEIGHT_F32, 1, &shape, (uint8_t *)&value, 4, &error),
                 CFINE_ERROR_FORMAT, "tensor.5 is there twice");
    uint32_t random = 1;
    for (int round = 0; round < 500; round++) {
        random = random * 1664525 + 1013904223;
        int i = (int)(random >> 8) % TENSORS;
        snprintf(name, sizeof name, "tensor.%d", i);
        snprintf(renamed, sizeof renamed, "renamed.%d", i);
        const cf_weight *found = cf_weights_find(weights, where[i] == 2 ? renamed : name);
        if (!where[i]) continue;
        assert_non_null(found);
        size_t index = (size_t)(found - cf_weights_at(weights, 0));
        if (where[i] == 1 && random & 64) {
            assert_ok(cf_weights_rename(weights, index, renamed, &error));
            where[i] = 2;
        } else {
            cf_weights_remove(weights, index);
            where[i] = 0;
        }
    }
    size_t count = 0;
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "tensor.%d", i);
        snprintf(renamed, sizeof renamed, "renamed.%d", i);
        assert_int_equal(cf_weights_find(weights, name) != NULL, where[i] == 1);
        assert_int_equal(cf_weights_find(weights, renamed) != NULL, where[i] == 2);
        count += where[i] != 0;
    }
    assert_int_equal(cf_weights_count(weights), count);
    cf_weights_free(weights);
}

static void leftovers_are_named(void **state) {
    (void)state;
    static const char *const names[] = {"model.decoder.layers.0.fc1.weight",
                                        "model.decoder.layers.2.fc1.weight",
                                        "model.decoder.class_embed.0.weight",
                                        "model.decoder.lqe_layers.1.reg_conf.layers.0.bias",
                                        "model.decoder.bbox_embed.2.layers.0.bias",
                                        "model.denoising_class_embed.weight",
                                        "x.norm.num_batches_tracked",
                                        "model.decoder.anchors",
                                        "model.decoder.layers.x.fc1.weight"};
    cf_weights *weights = cf_weights_new();
    float values[2] = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_ok(cf_weights_add(weights, names[i], CF_WEIGHT_F32, CF_SHAPE(2), (uint8_t *)values, 8, &error));
    assert_fails(cf_weights_check_leftovers(weights, 2, &error), CFINE_ERROR_FORMAT,
                 "2 tensors are no part of the network that the config describes, the first is "
                 "model.decoder.layers.0.fc1.weight [2]");
    assert_ok(cf_weights_load(weights, names[0], CF_SHAPE(2), values, &error));
    cf_weights_mark(weights, cf_weights_find(weights, names[8]));
    assert_ok(cf_weights_check_leftovers(weights, 2, &error));
    assert_fails(cf_weights_check_leftovers(weights, 3, &error), CFINE_ERROR_FORMAT,
                 "model.decoder.bbox_embed.2.layers.0.bias");
    cf_weights_free(weights);
}

static void hash_tells_bytes_apart(void **state) {
    (void)state;
    uint8_t data[200];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 37);
    for (size_t size = 0; size <= sizeof data; size += size < 70 ? 1 : 13) {
        uint64_t whole = cf_hash64(data, size, 0);
        assert_true(whole != cf_hash64(data, size, 1));
        if (size) assert_true(whole != cf_hash64(data, size - 1, 0));
        for (size_t i = 0; i < 8 * size; i++) {
            data[i / 8] ^= (uint8_t)(1 << i % 8);
            assert_true(whole != cf_hash64(data, size, 0));
            data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
    }
    assert_true(cf_hash64("cfine", 5, 0) == 0xa41a4949211ce6c7); // fixed for ever: plan files carry such values
}

static void tiny_checkpoint_opens(void **state) {
    (void)state;
    cf_checkpoint *directory, *file, *config;
    assert_ok(cf_checkpoint_open(TINY, &directory, &error));
    assert_ok(cf_checkpoint_open(TINY "/model.safetensors", &file, &error));
    assert_ok(cf_checkpoint_open(TINY "/config.json", &config, &error));
    assert_string_equal(directory->size, "custom");
    assert_string_equal(directory->source, TINY);
    assert_int_equal(directory->parameters, 143815); // parameters() of the PyTorch model, without denoising embedding
    assert_int_equal(directory->config.labels, 7);
    assert_string_equal(directory->config.label_names[6], "class_6");
    assert_int_equal(directory->config.preprocess.width, 128);
    assert_true(cf_checkpoint_hash(directory) == cf_checkpoint_hash(file));
    assert_true(cf_checkpoint_hash(directory) == cf_checkpoint_hash(config));
    config->config.decoder.queries++;
    assert_true(cf_checkpoint_hash(directory) != cf_checkpoint_hash(config));
    cf_checkpoint_close(directory);
    cf_checkpoint_close(file);
    cf_checkpoint_close(config);
    cf_checkpoint_close(NULL);
}

static void write_text(const char *directory, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_ok(cf_file_write(path, text, strlen(text), &error));
}

static void remove_file(const char *directory, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static void shards_are_joined(void **state) {
    (void)state;
    char directory[] = "/tmp/cfine-test-XXXXXX", path[256];
    assert_non_null(mkdtemp(directory));
    static const char *const shards[2] = {"one.safetensors", "two.safetensors"};
    for (int i = 0; i < 2; i++) {
        char header[128];
        float value = (float)i + 1;
        size_t size;
        snprintf(header, sizeof header, "{\"%c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "ab"[i]);
        uint8_t *file = make_file(header, &value, 4, &size);
        snprintf(path, sizeof path, "%s/%s", directory, shards[i]);
        assert_ok(cf_file_write(path, file, size, &error));
        free(file);
    }
    static const char index[] = "model.safetensors.index.json";
    snprintf(path, sizeof path, "%s/%s", directory, index);
    write_text(directory, index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    cf_weights *weights = cf_weights_new();
    assert_ok(cf_safetensors_open_index(path, weights, &error));
    float value;
    assert_ok(cf_weights_load(weights, "b", CF_SHAPE(1), &value, &error));
    assert_true(value == 2);
    cf_weights_free(weights);

    static const struct {
        const char *text, *words;
        cfine_status status;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"one.safetensors\"}}", "tensor c is not in one", 40},
        {"{\"weight_map\":{\"a\":\"three.safetensors\"}}", "three.safetensors", 20},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "not the name of a file beside it", 40},
        {"{\"weight_map\":{\"a\":\"..\"}}", "not the name of a file beside it", 40},
        {"{\"weight_map\":{\"a\":5}}", "not the name of a file beside it", 40},
        {"{\"weight_map\":{\"a\":\".\"}}", "is a folder; name a file", 10},
        {"{\"weight_map\":[]}", "no object weight_map", 40},
        {"{", "not valid JSON", 40},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(directory, index, cases[i].text);
        weights = cf_weights_new();
        assert_fails(cf_safetensors_open_index(path, weights, &error), cases[i].status, cases[i].words);
        cf_weights_free(weights);
    }
    remove_file(directory, index);
    remove_file(directory, shards[0]);
    remove_file(directory, shards[1]);
    assert_int_equal(rmdir(directory), 0);
}

static void wrong_paths_are_explained(void **state) {
    (void)state;
    char directory[] = "/tmp/cfine-test-XXXXXX", path[256];
    assert_non_null(mkdtemp(directory));
    cf_checkpoint *checkpoint;
    assert_fails(cf_checkpoint_open(directory, &checkpoint, &error), CFINE_ERROR_NOT_FOUND, "config.json");
    assert_null(checkpoint);
    snprintf(path, sizeof path, "%s/none.pth", directory);
    assert_fails(cf_checkpoint_open(path, &checkpoint, &error), CFINE_ERROR_NOT_FOUND, "none.pth");
    write_text(directory, "notes", "hello");
    snprintf(path, sizeof path, "%s/notes", directory);
    assert_fails(cf_checkpoint_open(path, &checkpoint, &error), CFINE_ERROR_FORMAT, "is neither a checkpoint");
    remove_file(directory, "notes");
    write_text(directory, "config.json", "{\"model_type\":\"d_fine\"}");
    assert_fails(cf_checkpoint_open(directory, &checkpoint, &error), CFINE_ERROR_NOT_FOUND, "model.safetensors");
    write_text(directory, "model.safetensors", "");
    assert_fails(cf_checkpoint_open(directory, &checkpoint, &error), CFINE_ERROR_FORMAT, "too few");
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    uint8_t *file;
    size_t size;
    file = make_file("{}", NULL, 0, &size);
    assert_ok(cf_file_write(path, file, size, &error));
    free(file);
    assert_fails(cf_checkpoint_open(directory, &checkpoint, &error), CFINE_ERROR_FORMAT, "id2label");
    write_text(directory, "config.json", "");
    assert_fails(cf_checkpoint_open(directory, &checkpoint, &error), CFINE_ERROR_FORMAT, "not valid JSON");
    remove_file(directory, "config.json");
    remove_file(directory, "model.safetensors");
    assert_int_equal(rmdir(directory), 0);
}

// Names that a newer transformers writes mean the same tensors.
static void newer_names_are_unified(void **state) {
    (void)state;
    static const struct {
        const char *found, *wanted;
    } cases[] = {
        {"model.encoder.aifi.0.layers.0.self_attn.o_proj.bias",
         "model.encoder.encoder.0.layers.0.self_attn.out_proj.bias"},
        {"model.encoder.aifi.0.layers.0.mlp.layers.1.bias", "model.encoder.encoder.0.layers.0.fc2.bias"},
        {"model.encoder.aifi.0.layers.0.self_attn.q_proj.bias",
         "model.encoder.encoder.0.layers.0.self_attn.q_proj.bias"},
        {"model.decoder.layers.12.mlp.layers.0.weight", "model.decoder.layers.12.fc1.weight"},
        {"class_embed.0.bias", "model.decoder.class_embed.0.bias"},
        {"bbox_embed.1.layers.2.bias", NULL}, // there under its other name, too
        {"model.decoder.bbox_embed.1.layers.2.bias", "model.decoder.bbox_embed.1.layers.2.bias"},
        {"model.decoder.layers.x.mlp.layers.0.weight", "model.decoder.layers.x.mlp.layers.0.weight"},
    };
    cf_weights *weights = cf_weights_new();
    float value = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_ok(cf_weights_add(weights, cases[i].found, CF_WEIGHT_F32, CF_SHAPE(1), (uint8_t *)&value, 4, &error));
    cf_model_config config = {.family = CF_FAMILY_DFINE};
    assert_ok(cf_names_unify(weights, &config, &error));
    size_t count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i].wanted) continue;
        count++;
        if (!cf_weights_find(weights, cases[i].wanted)) fail_msg("%s is missing", cases[i].wanted);
    }
    assert_int_equal(cf_weights_count(weights), count);
    cf_weights_free(weights);
}

// Whatever allocation fails, opening says so and leaks nothing (the sanitizers watch).
static void out_of_memory_is_reported(void **state) {
    (void)state;
    for (long n = 0;; n += n < 40 ? 1 : 37) {
        cf_checkpoint *checkpoint;
        cf_memory_fail_after(n);
        cfine_status status = cf_checkpoint_open(TINY, &checkpoint, &error);
        cf_memory_fail_after(-1);
        if (status == CFINE_OK) {
            cf_checkpoint_close(checkpoint);
            assert_true(n > 100);
            return;
        }
        assert_int_equal(status, CFINE_ERROR_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_becomes_fp32),   cmocka_unit_test(nan_and_infinity_are_refused),
        cmocka_unit_test(lying_headers_are_refused), cmocka_unit_test(names_stay_findable),
        cmocka_unit_test(leftovers_are_named),       cmocka_unit_test(hash_tells_bytes_apart),
        cmocka_unit_test(tiny_checkpoint_opens),     cmocka_unit_test(shards_are_joined),
        cmocka_unit_test(wrong_paths_are_explained), cmocka_unit_test(newer_names_are_unified),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
