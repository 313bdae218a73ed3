// SPDX-License-Identifier: Apache-2.0
// Official .pth files: the same model as its Hugging Face directory, views, and pickles and zips made to do harm.
#include "unit/test.h"

#include "base/memory.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "model/names.h"
#include "model/unpickler.h"

#define DATA CFINE_SOURCE_DIR "/tests/data"

static cfine_error error;

// ---------------------------------------------------------------------------------------------------------------------
// A zip written by hand

typedef struct zip_file {
    const char *name;
    const void *data;
    size_t size;
} zip_file;

typedef struct buffer {
    uint8_t *data;
    size_t size;
} buffer;

static void put(buffer *out, const void *data, size_t size) {
    out->data = realloc(out->data, out->size + size + 1);
    if (size) memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void put_number(buffer *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
        put(out, &byte, 1);
    }
}

// Entries are stored; `method` goes into the headers as it is. With `zip64`, sizes and offsets are in extra fields and
// the directory is found by the 64-bit record.
static buffer make_zip(const zip_file *files, size_t count, int method, int zip64) {
    buffer out = {0}, directory = {0};
    for (size_t i = 0; i < count; i++) {
        size_t header = out.size, name = strlen(files[i].name);
        put_number(&out, 0x04034b50, 4);
        put_number(&out, 0, 22);
        put_number(&out, name, 2);
        put_number(&out, 3, 2); // an extra field, as torch pads its data with
        put(&out, files[i].name, name);
        put(&out, "pad", 3);
        put(&out, files[i].data, files[i].size);
        put_number(&directory, 0x02014b50, 4);
        put_number(&directory, 0, 6);
        put_number(&directory, (uint64_t)method, 2);
        put_number(&directory, 0, 8);
        put_number(&directory, zip64 ? 0xffffffff : files[i].size, 4);
        put_number(&directory, zip64 ? 0xffffffff : files[i].size, 4);
        put_number(&directory, name, 2);
        put_number(&directory, zip64 ? 33 : 0, 2);
        put_number(&directory, 0, 10);
        put_number(&directory, zip64 ? 0xffffffff : header, 4);
        put(&directory, files[i].name, name);
        if (!zip64) continue;
        put_number(&directory, 0x7777, 2); // some other extra field first
        put_number(&directory, 1, 2);
        put_number(&directory, 0, 1);
        put_number(&directory, 1, 2);
        put_number(&directory, 24, 2);
        put_number(&directory, files[i].size, 8);
        put_number(&directory, files[i].size, 8);
        put_number(&directory, header, 8);
    }
    size_t start = out.size;
    put(&out, directory.data, directory.size);
    if (zip64) {
        size_t record = out.size;
        put_number(&out, 0x06064b50, 4);
        put_number(&out, 0, 28);
        put_number(&out, count, 8);
        put_number(&out, directory.size, 8);
        put_number(&out, start, 8);
        put_number(&out, 0x07064b50, 4);
        put_number(&out, 0, 4);
        put_number(&out, record, 8);
        put_number(&out, 1, 4);
    }
    put_number(&out, 0x06054b50, 4);
    put_number(&out, 0, 6);
    put_number(&out, zip64 ? 0xffff : count, 2);
    put_number(&out, zip64 ? 0xffffffff : directory.size, 4);
    put_number(&out, zip64 ? 0xffffffff : start, 4);
    put_number(&out, 0, 2);
    free(directory.data);
    return out;
}

// ---------------------------------------------------------------------------------------------------------------------
// Pickles written by hand

#define GLOBAL(module, name) "c" module "\n" name "\n"
#define TEXT(length, text) "X" length "\0\0\0" text
#define STORAGE(count)                                                                                                 \
    "(" TEXT("\7", "storage") GLOBAL("torch", "FloatStorage") TEXT("\1", "0") TEXT("\3", "cpu") "K" count "tQ"
// A tensor of one dimension over storage 0, which is said to have `count` elements.
#define TENSOR(count, offset, size, stride)                                                                            \
    GLOBAL("torch._utils", "_rebuild_tensor_v2")                                                                       \
    "(" STORAGE(count) "K" offset "K" size "\x85"                                                                      \
                       "K" stride "\x85\x89" GLOBAL("collections", "OrderedDict") ")RtR"

#define PARSE(pickle, weights) parse_pickle((const uint8_t *)(pickle), sizeof(pickle) - 1, 0, 0, weights)

static cfine_status parse_pickle(const uint8_t *pickle, size_t size, int method, int zip64, cf_weights **weights) {
    static const float storage[4] = {1, 2, 3, 4};
    const zip_file files[] = {{"m/data.pkl", pickle, size}, {"m/data/0", storage, sizeof storage}};
    buffer zip = make_zip(files, 2, method, zip64);
    *weights = cf_weights_new();
    uint8_t *data = cf_alloc(zip.size, 1); // kept by the weights
    memcpy(data, zip.data, zip.size);
    assert_int_equal(cf_weights_own(*weights, (cf_bytes){data, zip.size, CF_BYTES_HEAP}, NULL), CFINE_OK);
    free(zip.data);
    return cf_pth_parse(data, zip.size, "file.pth", *weights, &error);
}

#define assert_refused(pickle, status, words)                                                                          \
    do {                                                                                                               \
        cf_weights *weights_;                                                                                          \
        assert_fails(PARSE(pickle, &weights_), status, words);                                                         \
        assert_int_equal(strncmp(error.message, "file.pth: ", 10), 0);                                                 \
        cf_weights_free(weights_);                                                                                     \
    } while (0)

static void handmade_pickles_are_read(void **state) {
    (void)state;
    static const char pickle[] = "\x80\2}" TEXT("\1", "a") TENSOR("\4", "\1", "\3", "\1") "s.";
    for (int zip64 = 0; zip64 < 2; zip64++) {
        cf_weights *weights;
        assert_ok(parse_pickle((const uint8_t *)pickle, sizeof pickle - 1, 0, zip64, &weights));
        float out[3];
        assert_ok(cf_weights_load(weights, "a", CF_SHAPE(3), out, &error));
        assert_true(out[0] == 2 && out[1] == 3 && out[2] == 4);
        cf_weights_free(weights);
    }
    // Nested in "model"; in "ema", which goes first; a memo; a parameter; protocol 4's way to name classes.
    cf_weights *weights;
    assert_ok(PARSE("\x80\4\x95\0\0\0\0\0\0\0\0}(\x8c\5model}\x8c\1x" TENSOR(
                        "\4", "\0", "\2",
                        "\1") "s\x8c\3"
                              "ema}\x8c\6"
                              "module}(\x8c\1y\x94\x8c\14torch._utils\x8c\22_rebuild_parameter\x93" TENSOR(
                                  "\4", "\0", "\2", "\2") "\x88\x8c\13"
                                                          "collections\x8c\13OrderedDict\x93)R\x87R\x94\x8c\1zh\1usu.",
                    &weights));
    float out[2];
    assert_int_equal(cf_weights_count(weights), 2);
    assert_ok(cf_weights_load(weights, "z", CF_SHAPE(2), out, &error));
    assert_true(out[0] == 1 && out[1] == 3);
    cf_weights_free(weights);
}

static void harmful_pickles_are_refused(void **state) {
    (void)state;
    assert_refused("\x80\2" GLOBAL("os", "system") TEXT("\4", "true") "\x85R.", CFINE_ERROR_UNSUPPORTED,
                   "the pickle names os.system");
    assert_refused("\x80\4\x8c\10"
                   "builtins\x8c\4"
                   "eval\x93\x8c\1"
                   "1\x85R.",
                   CFINE_ERROR_UNSUPPORTED, "builtins.eval");
    assert_refused("\x80\2" GLOBAL("torch", "FloatStorage\x1b[31m") ".", CFINE_ERROR_UNSUPPORTED,
                   "torch.FloatStorage?[31m");
    assert_refused("\x80\2" GLOBAL("collections", "OrderedDict") ")\x81.", CFINE_ERROR_UNSUPPORTED, "opcode 0x81");
    assert_refused("(S'true'\nios\nsystem\n.", CFINE_ERROR_UNSUPPORTED, "opcode 0x53");
    assert_refused("\x80\2" GLOBAL("torch", "FloatStorage") ")R.", CFINE_ERROR_FORMAT, "storage class is called");
    assert_refused("\x80\2" TEXT("\4", "true") ")R.", CFINE_ERROR_FORMAT, "no function");
    assert_refused("\x80\2K\1K\2b.", CFINE_ERROR_FORMAT, "state for something");
    assert_refused("\x80\2" TEXT("\4", "true") "Q.", CFINE_ERROR_FORMAT, "not a tensor's storage");
    assert_refused("\x80\2(" TEXT("\7", "storage") "K\1" TEXT("\1", "0") TEXT("\3", "cpu") "K\4tQ.", CFINE_ERROR_FORMAT,
                   "not a tensor's storage");
}

static void damaged_pickles_are_refused(void **state) {
    (void)state;
    assert_refused("", CFINE_ERROR_FORMAT, "ends without a stop");
    assert_refused("\x80\2", CFINE_ERROR_FORMAT, "ends without a stop");
    assert_refused("\x80\11.", CFINE_ERROR_FORMAT, "unknown protocol");
    assert_refused("\x80\2.", CFINE_ERROR_FORMAT, "no result");
    assert_refused("\x80\2(.", CFINE_ERROR_FORMAT, "no result");
    assert_refused("\x80\2N.", CFINE_ERROR_FORMAT, "no state dict");
    assert_refused("\x80\2}.", CFINE_ERROR_FORMAT, "no state dict");
    assert_refused("\x80\2X\377\377\377\377a.", CFINE_ERROR_FORMAT, "ends too early");
    assert_refused("\x80\2\x8d\377\377\377\377\377\377\377\377a.", CFINE_ERROR_FORMAT, "ends too early");
    assert_refused("\x80\2"
                   "cos",
                   CFINE_ERROR_FORMAT, "ends too early");
    assert_refused("\x80\2h\1.", CFINE_ERROR_FORMAT, "memo entry is missing");
    assert_refused("\x80\2}r\377\377\377\377.", CFINE_ERROR_FORMAT, "memo index is out of range");
    assert_refused("\x80\2q\0.", CFINE_ERROR_FORMAT, "nothing to remember");
    assert_refused("\x80\2}u.", CFINE_ERROR_FORMAT, "a mark is missing");
    assert_refused("\x80\2}(K\1u.", CFINE_ERROR_FORMAT, "key but no value");
    assert_refused("\x80\2](K\1K\2u.", CFINE_ERROR_FORMAT, "items without their container");
    assert_refused("\x80\2K\1\x87.", CFINE_ERROR_FORMAT, "too few values");
    assert_refused("\x80\2(}(K\1s.", CFINE_ERROR_FORMAT, "too few items");
    assert_refused("\x80\2}K\1" TENSOR("\4", "\0", "\4", "\1") "s.", CFINE_ERROR_FORMAT, "has no name");
    assert_refused("\x80\2}" TEXT("\1", "a") "K\1s.", CFINE_ERROR_FORMAT, "entry a of the state dict is not a tensor");
    assert_refused("\x80\2}" TEXT("\2", "a\0") TENSOR("\4", "\0", "\4", "\1") "s.", CFINE_ERROR_FORMAT, "has no name");
    // Tensors that reach out of their storage, and storages that the zip does not hold in full.
    assert_refused("\x80\2}" TEXT("\1", "a") TENSOR("\4", "\1", "\4", "\1") "s.", CFINE_ERROR_FORMAT,
                   "beyond its storage");
    assert_refused("\x80\2}" TEXT("\1", "a") TENSOR("\4", "\0", "\3", "\2") "s.", CFINE_ERROR_FORMAT,
                   "beyond its storage");
    assert_refused("\x80\2}" TEXT("\1", "a") TENSOR("\5", "\0", "\4", "\1") "s.", CFINE_ERROR_FORMAT,
                   "tensor a: its storage has 16 bytes");
    // A dictionary that contains itself does no harm.
    assert_refused("\x80\2}q\0" TEXT("\1", "a") "h\0s.", CFINE_ERROR_FORMAT,
                   "entry a of the state dict is not a tensor");
}

// Sizes that stride 0 inflates, a stack and a list of values without end: bounded in memory and time.
static void bombs_are_defused(void **state) {
    (void)state;
    static const char huge[] = "\x80\2}" TEXT("\1", "a") GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" STORAGE(
        "\4") "K\0\x8a\5\0\0\0\0\1\x8a\5\0\0\0\0\1\x86K\0K\0\x86\x89}tRs.";
    assert_refused(huge, CFINE_ERROR_FORMAT, "overflow");
    static const char large[] = "\x80\2}" TEXT("\1", "a")
        GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" STORAGE("\4") "K\0\x8a\5\0\0\0\0\1\x85K\0\x85\x89}tRs.";
    assert_refused(large, CFINE_ERROR_UNSUPPORTED, "larger than the file");
    size_t size = 8 << 20;
    uint8_t *pickle = malloc(size);
    static const char opcodes[] = "(]N";
    for (size_t i = 0; i + 1 < sizeof opcodes; i++) {
        memset(pickle, opcodes[i], size);
        cf_weights *weights;
        assert_fails(parse_pickle(pickle, size, 0, 0, &weights), CFINE_ERROR_FORMAT, "grows without end");
        cf_weights_free(weights);
    }
    for (size_t i = 0; i + 2 <= size; i += 2) memcpy(pickle + i, i ? "Na" : "]]", 2); // one list of millions
    cf_weights *weights;
    assert_fails(parse_pickle(pickle, size, 0, 0, &weights), CFINE_ERROR_UNSUPPORTED, "more than 2097152 values");
    cf_weights_free(weights);
    free(pickle);
}

static void wrong_zips_are_refused(void **state) {
    (void)state;
    static const char pickle[] = "\x80\2}" TEXT("\1", "a") TENSOR("\4", "\0", "\4", "\1") "s.";
    cf_weights *weights;
    assert_fails(parse_pickle((const uint8_t *)pickle, sizeof pickle - 1, 8, 0, &weights), CFINE_ERROR_UNSUPPORTED,
                 "m/data.pkl in the zip is compressed (method 8)");
    cf_weights_free(weights);
    const zip_file lacking[] = {{"m/data.pkl", pickle, sizeof pickle - 1}};
    const zip_file other[] = {{"m/readme", "", 0}, {"a/b/data.pkl", pickle, 1}, {"xdata.pkl", pickle, 1}};
    const zip_file big[] = {{"m/data.pkl", pickle, sizeof pickle - 1}, {"m/byteorder", "big", 3}};
    const struct {
        const zip_file *files;
        size_t count;
        const char *words;
    } cases[] = {{lacking, 1, "tensor a: its data (data/0) are missing"},
                 {other, 3, "no data.pkl"},
                 {big, 2, "big-endian"},
                 {other, 0, "no data.pkl"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer zip = make_zip(cases[i].files, cases[i].count, 0, 0);
        weights = cf_weights_new();
        // Without entries the zip begins with its last record, whose first letters are the same.
        assert_fails(cf_pth_parse(zip.data, zip.size, "f", weights, &error), i == 2 ? 50 : 40, cases[i].words);
        cf_weights_free(weights);
        free(zip.data);
    }
    weights = cf_weights_new();
    assert_fails(cf_pth_parse((const uint8_t *)"\x80\2\x8a\nl\xfc\x9c", 7, "f", weights, &error), 50,
                 "torch before 1.6");
    assert_fails(cf_pth_parse((const uint8_t *)"hello", 5, "f", weights, &error), 40, "not a .pth");
    assert_fails(cf_pth_parse((const uint8_t *)"PK\3\4", 4, "f", weights, &error), 40, "truncated download");
    assert_fails(cf_pth_parse(NULL, 0, "f", weights, &error), 40, "not a .pth");
    cf_weights_free(weights);
}

// A file that ends anywhere, or has any one byte changed, is an error or the tensors that it still describes.
static void no_prefix_or_flip_crashes(void **state) {
    (void)state;
    static const char pickle[] = "\x80\2}" TEXT("\1", "a") TENSOR("\4", "\0", "\2", "\2") "s.";
    static const float storage[4] = {1, 2, 3, 4};
    const zip_file files[] = {{"m/data.pkl", pickle, sizeof pickle - 1}, {"m/data/0", storage, sizeof storage}};
    for (int zip64 = 0; zip64 < 2; zip64++) {
        buffer zip = make_zip(files, 2, 0, zip64);
        for (size_t size = 0; size < zip.size; size++) {
            uint8_t *part = malloc(size + 1);
            memcpy(part, zip.data, size);
            cf_weights *weights = cf_weights_new();
            assert_int_not_equal(cf_pth_parse(part, size, "f", weights, &error), CFINE_OK);
            cf_weights_free(weights);
            free(part);
        }
        for (size_t i = 0; i < zip.size * 8; i++) {
            zip.data[i / 8] ^= (uint8_t)(1 << i % 8);
            cf_weights *weights = cf_weights_new();
            cf_pth_parse(zip.data, zip.size, "f", weights, &error);
            cf_weights_free(weights);
            zip.data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        free(zip.data);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Files that torch wrote

static void views_are_read_in_their_order(void **state) {
    (void)state;
    cf_weights *weights = cf_weights_new();
    assert_ok(cf_pth_open(DATA "/strided.pth", weights, &error));
    float out[24];
    assert_ok(cf_weights_load(weights, "transposed", CF_SHAPE(6, 4), out, &error));
    for (int i = 0; i < 24; i++) assert_true(out[i] == (float)(i % 4 * 6 + i / 4));
    assert_ok(cf_weights_load(weights, "slice", CF_SHAPE(2, 3), out, &error));
    for (int i = 0; i < 6; i++) assert_true(out[i] == (float)((1 + i / 3) * 6 + 2 + i % 3));
    assert_ok(cf_weights_load(weights, "scalar", 0, NULL, out, &error));
    assert_true(out[0] == 15);
    static const char *const names[] = {"half", "bfloat"};
    for (int k = 0; k < 2; k++) {
        assert_ok(cf_weights_load(weights, names[k], CF_SHAPE(4, 6), out, &error));
        for (int i = 0; i < 24; i++) assert_true(out[i] == (float)i);
    }
    assert_ok(cf_weights_load(weights, "parameter", CF_SHAPE(6), out, &error));
    assert_true(out[5] == 5);
    assert_int_equal(cf_weights_find(weights, "long")->type, CF_WEIGHT_I64);
    cf_weights_free(weights);
}

// The fields that tensors tell are as config.json has them.
static void compare_configs(const cf_model_config *a, const cf_model_config *b) {
    assert_memory_equal(&a->backbone, &b->backbone, sizeof a->backbone);
    assert_int_equal(a->levels, b->levels);
    assert_memory_equal(a->strides, b->strides, sizeof a->strides);
    const cf_encoder_config *ae = &a->encoder, *be = &b->encoder;
    assert_int_equal(ae->channels, be->channels);
    assert_int_equal(ae->attention_count, be->attention_count);
    assert_int_equal(ae->attention_levels[0], be->attention_levels[0]);
    assert_int_equal(ae->layers, be->layers);
    assert_int_equal(ae->heads, be->heads);
    assert_int_equal(ae->ffn, be->ffn);
    assert_int_equal(ae->ffn_activation, be->ffn_activation);
    assert_int_equal(ae->activation, be->activation);
    assert_int_equal(ae->normalize_before, be->normalize_before);
    assert_int_equal(ae->position_embedding, be->position_embedding);
    assert_true(ae->position_temperature == be->position_temperature);
    assert_int_equal(ae->block_channels, be->block_channels);
    assert_int_equal(ae->block_depth, be->block_depth);
    assert_int_equal(ae->sum_fusion, be->sum_fusion);
    assert_int_equal(ae->lite, be->lite);
    const cf_decoder_config *ad = &a->decoder, *bd = &b->decoder;
    assert_int_equal(ad->channels, bd->channels);
    assert_int_equal(ad->heads, bd->heads);
    assert_int_equal(ad->ffn, bd->ffn);
    assert_int_equal(ad->layers, bd->layers);
    assert_int_equal(ad->layers_stored, bd->layers_stored);
    assert_memory_equal(ad->points, bd->points, sizeof ad->points);
    assert_true(ad->offset_scale == bd->offset_scale && ad->reg_scale == bd->reg_scale && ad->up == bd->up);
    assert_int_equal(ad->activation, bd->activation);
    assert_int_equal(ad->mlp_activation, bd->mlp_activation);
    assert_int_equal(ad->bins, bd->bins);
    assert_int_equal(ad->lqe_top, bd->lqe_top);
    assert_int_equal(ad->lqe_hidden, bd->lqe_hidden);
    assert_int_equal(ad->lqe_layers, bd->lqe_layers);
    assert_int_equal(ad->gateway, bd->gateway);
    assert_int_equal(ad->query_pos_per_layer, bd->query_pos_per_layer);
    assert_int_equal(ad->encoder_output, bd->encoder_output);
    assert_int_equal(ad->rms_norm, bd->rms_norm);
    assert_int_equal(a->labels, b->labels);
    assert_int_equal(a->preprocess.width, b->preprocess.width);
    assert_int_equal(a->preprocess.height, b->preprocess.height);
    assert_int_equal(a->preprocess.rescale, b->preprocess.rescale);
    assert_true(a->preprocess.rescale_factor == b->preprocess.rescale_factor);
    assert_int_equal(a->preprocess.normalize, b->preprocess.normalize);
    assert_true(a->layer_norm_eps == b->layer_norm_eps && a->batch_norm_eps == b->batch_norm_eps);
}

// The official file holds the same tensors as the Hugging Face directory, under the same names once mapped.
static void official_equals_hugging_face(void **state) {
    (void)state;
    cf_checkpoint *hugging_face, *official;
    assert_ok(cf_checkpoint_open(DATA "/tiny", &hugging_face, &error));
    assert_ok(cf_checkpoint_open(DATA "/tiny_official.pth", &official, &error));
    compare_configs(&hugging_face->config, &official->config);
    assert_int_equal(official->config.decoder.queries, 300); // no tensor tells
    assert_string_equal(official->config.label_names[6], "class 6");
    assert_int_equal(official->parameters, hugging_face->parameters);
    for (size_t i = 0; i < cf_weights_count(hugging_face->weights); i++) {
        const cf_weight *expected = cf_weights_at(hugging_face->weights, i);
        const cf_weight *found = cf_weights_find(official->weights, expected->name);
        if (!found) fail_msg("%s is missing", expected->name);
        assert_int_equal(found->type, expected->type);
        assert_int_equal(found->rank, expected->rank);
        assert_memory_equal(found->shape, expected->shape, (size_t)expected->rank * sizeof *expected->shape);
        assert_memory_equal(found->data, expected->data, expected->count * cf_weight_type_size(expected->type));
    }
    for (size_t i = 0; i < cf_weights_count(official->weights); i++) {
        const char *name = cf_weights_at(official->weights, i)->name;
        if (!cf_weights_find(hugging_face->weights, name) && !cf_weight_is_harmless(name, 3))
            fail_msg("%s is left over", name);
    }
    // The builders use every tensor of either.
    cf_model_options options = {.queries = 50};
    cf_graph *graph;
    assert_ok(cf_model_build(hugging_face, &options, &graph, &error));
    cf_graph_destroy(graph);
    assert_ok(cf_model_build(official, &options, &graph, &error));
    cf_graph_destroy(graph);
    cf_checkpoint_close(hugging_face);
    cf_checkpoint_close(official);
}

// Any official tensor that lacks is named, whether the config or the builders need it first.
static void incomplete_weights_are_no_model(void **state) {
    (void)state;
    static const char *const needed[] = {"model.backbone.model.embedder.stem4.convolution.weight",
                                         "model.encoder_input_proj.0.0.weight",
                                         "model.decoder.layers.0.fc1.weight",
                                         "model.decoder.layers.0.encoder_attn.num_points_scale",
                                         "model.decoder.bbox_embed.0.layers.2.bias",
                                         "model.decoder.lqe_layers.0.reg_conf.layers.0.weight",
                                         "model.enc_score_head.bias",
                                         "model.encoder.fpn_blocks.0.conv2.conv.weight"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        cf_weights *weights = cf_weights_new();
        assert_ok(cf_pth_open(DATA "/tiny_official.pth", weights, &error));
        assert_ok(cf_names_from_official(weights, &error));
        const cf_weight *found = cf_weights_find(weights, needed[i]);
        assert_non_null(found);
        cf_weights_remove(weights, (size_t)(found - cf_weights_at(weights, 0)));
        cf_model_config config;
        cfine_status status = cf_model_config_deduce(weights, "f", &config, &error);
        if (status == CFINE_OK) fail_msg("%s is not missed", needed[i]);
        cf_model_config_release(&config);
        cf_weights_free(weights);
    }
}

static void out_of_memory_is_reported(void **state) {
    (void)state;
    for (long n = 0;; n += n < 40 ? 1 : 211) {
        cf_checkpoint *checkpoint;
        cf_memory_fail_after(n);
        cfine_status status = cf_checkpoint_open(DATA "/tiny_official.pth", &checkpoint, &error);
        cf_memory_fail_after(-1);
        if (status == CFINE_OK) {
            cf_checkpoint_close(checkpoint);
            assert_true(n > 1000);
            return;
        }
        assert_int_equal(status, CFINE_ERROR_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handmade_pickles_are_read),       cmocka_unit_test(harmful_pickles_are_refused),
        cmocka_unit_test(damaged_pickles_are_refused),     cmocka_unit_test(bombs_are_defused),
        cmocka_unit_test(wrong_zips_are_refused),          cmocka_unit_test(no_prefix_or_flip_crashes),
        cmocka_unit_test(views_are_read_in_their_order),   cmocka_unit_test(official_equals_hugging_face),
        cmocka_unit_test(incomplete_weights_are_no_model), cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
