// SPDX-License-Identifier: Apache-2.0
// config.json and preprocessor_config.json: defaults, every field, and what is refused.
#include "unit/test.h"

#include "model/model_config.h"

static cfine_error error;

static cfine_status parse(const char *json, cf_model_config *out) {
    return cf_model_config_parse(json, strlen(json), "config.json", out, &error);
}

// The classes of transformers, constructed without arguments.
static void absent_fields_take_defaults(void **state) {
    (void)state;
    cf_model_config c;
    assert_ok(parse("{\"model_type\":\"d_fine\"}", &c));
    assert_int_equal(c.family, CF_FAMILY_DFINE);
    const cf_backbone_config *b = &c.backbone;
    assert_int_equal(b->stage_count, 4);
    static const int out[4] = {128, 512, 1024, 2048}, mid[4] = {48, 96, 192, 384}, in[4] = {48, 128, 512, 1024};
    static const int blocks[4] = {1, 1, 3, 1}, kernels[4] = {3, 3, 5, 5};
    for (int i = 0; i < 4; i++) {
        const cf_stage_config *stage = &b->stages[i];
        assert_int_equal(stage->in_channels, in[i]);
        assert_int_equal(stage->mid_channels, mid[i]);
        assert_int_equal(stage->out_channels, out[i]);
        assert_int_equal(stage->blocks, blocks[i]);
        assert_int_equal(stage->layers, 6);
        assert_int_equal(stage->kernel, kernels[i]);
        assert_int_equal(stage->downsample, i > 0);
        assert_int_equal(stage->stride, i > 0 ? 2 : 1);
        assert_int_equal(stage->light, i > 1);
    }
    assert_int_equal(b->stem_channels[1], 32);
    assert_int_equal(b->stem_channels[2], 48);
    assert_int_equal(b->affine, 0);
    assert_int_equal(b->activation, CF_CONFIG_RELU);
    assert_int_equal(b->output_count, 3);
    assert_int_equal(b->outputs[0], 1);
    assert_int_equal(c.levels, 3);
    assert_int_equal(c.strides[0], 8);
    assert_int_equal(c.strides[2], 32);
    assert_int_equal(c.encoder.channels, 256);
    assert_int_equal(c.encoder.layers, 1);
    assert_int_equal(c.encoder.heads, 8);
    assert_int_equal(c.encoder.ffn, 1024);
    assert_int_equal(c.encoder.ffn_activation, CF_CONFIG_GELU);
    assert_int_equal(c.encoder.activation, CF_CONFIG_SILU);
    assert_int_equal(c.encoder.attention_count, 1);
    assert_int_equal(c.encoder.attention_levels[0], 2);
    assert_int_equal(c.encoder.position_embedding, 1);
    assert_int_equal(c.encoder.block_channels, 128);
    assert_int_equal(c.encoder.block_depth, 3);
    assert_int_equal(c.encoder.sum_fusion, 0);
    assert_int_equal(c.decoder.channels, 256);
    assert_int_equal(c.decoder.layers, 6);
    assert_int_equal(c.decoder.queries, 300);
    assert_int_equal(c.decoder.points[2], 4);
    assert_int_equal(c.decoder.activation, CF_CONFIG_RELU);
    assert_int_equal(c.decoder.mlp_activation, CF_CONFIG_RELU);
    assert_int_equal(c.decoder.bins, 32);
    assert_true(c.decoder.reg_scale == 4 && c.decoder.up == 0.5 && c.decoder.offset_scale == 0.5);
    assert_int_equal(c.decoder.lqe_top, 4);
    assert_int_equal(c.decoder.lqe_hidden, 64);
    assert_int_equal(c.decoder.lqe_layers, 2);
    assert_int_equal(c.decoder.gateway, 1);
    assert_int_equal(c.decoder.rms_norm, 0);
    assert_int_equal(c.labels, 0); // the weights will tell
    assert_int_equal(c.preprocess.width, 640);
    assert_int_equal(c.preprocess.normalize, 0);
    assert_string_equal(cf_model_config_size(&c), "L");
    cf_model_config_release(&c);

    // A backbone that is described gives its last stage only, unless told otherwise.
    assert_fails(parse("{\"model_type\":\"d_fine\",\"backbone_config\":{}}", &c), CFINE_ERROR_FORMAT,
                 "num_feature_levels is absent: the backbone's outputs give another number of levels");
    cf_model_config_release(&c);
    assert_ok(parse("{\"model_type\":\"d_fine\",\"backbone_config\":{\"out_indices\":[2,3,4]}}", &c));
    assert_int_equal(c.backbone.outputs[2], 3);
    cf_model_config_release(&c);
}

// A small DEIMv2 with LiteEncoder: three stages, one output, 256 by 192 pixels.
static const char deimv2[] =
    "{\"model_type\":\"deimv2\",\"backbone_config\":{\"model_type\":\"hgnet_v2\",\"stem_channels\":[3,16,24],"
    "\"stage_in_channels\":[24,48,96],\"stage_mid_channels\":[16,24,32],\"stage_out_channels\":[48,96,128],"
    "\"stage_num_blocks\":[1,2,1],\"stage_numb_of_layers\":[2,3,4],\"stage_downsample\":[false,true,true],"
    "\"stage_light_block\":[false,false,true],\"stage_kernel_size\":[3,3,5],\"out_features\":[\"stage3\"],"
    "\"stage_downsample_strides\":[2,2,2,2],\"use_learnable_affine_block\":true,\"hidden_act\":\"relu\"},"
    "\"encoder_type\":\"lite\",\"encoder_hidden_dim\":48,\"d_model\":48,\"decoder_attention_heads\":6,"
    "\"encoder_in_channels\":[128],\"decoder_in_channels\":[48,48],\"num_feature_levels\":2,\"feat_strides\":[16,32],"
    "\"decoder_n_points\":[4,2],\"decoder_layers\":4,\"eval_idx\":-2,\"decoder_ffn_dim\":96,\"num_queries\":60,"
    "\"depth_mult\":0.5,\"hidden_expansion\":0.34,\"eval_size\":[256,192],\"use_gateway\":false,"
    "\"share_bbox_head\":true,\"decoder_activation_function\":\"silu\",\"mlp_activation_function\":\"silu\","
    "\"use_enc_output\":false,\"query_pos_per_layer\":false,\"reg_scale\":8,\"anchor_image_size\":null,"
    "\"learn_initial_query\":true,\"id2label\":{\"1\":\"cup\",\"0\":\"spoon\"}}";

static void deimv2_is_read(void **state) {
    (void)state;
    cf_model_config c;
    assert_ok(parse(deimv2, &c));
    assert_int_equal(c.family, CF_FAMILY_DEIMV2);
    assert_string_equal(cf_model_family_name(c.family), "DEIMv2");
    assert_int_equal(c.backbone.stage_count, 3);
    assert_int_equal(c.backbone.stages[1].blocks, 2);
    assert_int_equal(c.backbone.stages[2].layers, 4);
    assert_int_equal(c.backbone.affine, 1);
    assert_int_equal(c.backbone.output_count, 1);
    assert_int_equal(c.backbone.outputs[0], 2);
    assert_int_equal(c.encoder.lite, 1);
    assert_int_equal(c.encoder.layers, 0);
    assert_int_equal(c.encoder.attention_count, 0);
    assert_int_equal(c.encoder.block_channels, 8); // floor(0.34 * 48 / 2)
    assert_int_equal(c.encoder.block_depth, 2);    // 1.5 rounds to even
    assert_int_equal(c.encoder.sum_fusion, 1);
    assert_int_equal(c.encoder.trailing_conv, 1);
    assert_int_equal(c.levels, 2);
    assert_int_equal(c.strides[0], 16);
    assert_int_equal(c.strides[1], 32);
    assert_int_equal(c.decoder.layers_stored, 4);
    assert_int_equal(c.decoder.layers, 3);
    assert_int_equal(c.decoder.points[0], 4);
    assert_int_equal(c.decoder.points[1], 2);
    assert_int_equal(c.decoder.activation, CF_CONFIG_SILU);
    assert_int_equal(c.decoder.mlp_activation, CF_CONFIG_SILU);
    assert_int_equal(c.decoder.rms_norm, 1);
    assert_true(c.decoder.rms_norm_eps == 1e-6 && c.decoder.reg_scale == 8);
    assert_int_equal(c.decoder.gateway, 0);
    assert_int_equal(c.decoder.shared_box_head, 1);
    assert_int_equal(c.decoder.query_pos_per_layer, 0);
    assert_int_equal(c.decoder.encoder_output, 0);
    assert_int_equal(c.decoder.learned_queries, 1);
    assert_int_equal(c.encoder.position_embedding, 1);
    assert_int_equal(c.preprocess.height, 256); // eval_size is height, width
    assert_int_equal(c.preprocess.width, 192);
    assert_int_equal(c.labels, 2);
    assert_string_equal(c.label_names[0], "spoon");
    assert_string_equal(c.label_names[1], "cup");
    assert_string_equal(cf_model_config_size(&c), "custom");
    cf_model_config_release(&c);

    // What transformers' own class computes where the file does not say otherwise.
    assert_ok(parse("{\"model_type\":\"deimv2\"}", &c));
    assert_int_equal(c.decoder.gateway, 1);
    assert_int_equal(c.decoder.shared_box_head, 0);
    assert_int_equal(c.decoder.query_pos_per_layer, 1);
    assert_int_equal(c.decoder.encoder_output, 1);
    assert_int_equal(c.decoder.mlp_activation, CF_CONFIG_RELU);
    assert_int_equal(c.encoder.lite, 0);
    cf_model_config_release(&c);
}

// Each line is one field of an otherwise default D-FINE, and what its error must say.
static void wrong_values_are_named(void **state) {
    (void)state;
    static const struct {
        const char *field, *words;
    } cases[] = {
        {"\"d_model\":0", "config.json: d_model is 0: an integer from 4 to 8192 is expected"},
        {"\"d_model\":1e9", "d_model is 1000000000.0: an integer"},
        {"\"d_model\":999999999999", "d_model is 999999999999: an integer"},
        {"\"d_model\":\"256\"", "d_model is \"256\": an integer"},
        {"\"d_model\":[256]", "d_model is [256]: an integer"},
        {"\"d_model\":{}", "d_model is an object: an integer"},
        {"\"d_model\":260,\"decoder_in_channels\":[256,256,256]",
         "d_model 260 is not a multiple of decoder_attention_heads 8"},
        {"\"decoder_layers\":1000000", "decoder_layers is 1000000: an integer from 1 to 64"},
        {"\"eval_idx\":6", "eval_idx is 6: there is no such layer"},
        {"\"eval_idx\":-7", "eval_idx is -7: there is no such layer"},
        {"\"num_queries\":0", "num_queries is 0"},
        {"\"num_queries\":2000000000", "num_queries is 2000000000"},
        {"\"decoder_n_points\":[3,6]", "decoder_n_points is [3,6]: one number for each of num_feature_levels"},
        {"\"decoder_n_points\":[3,6,\"x\"]", "decoder_n_points is [3,6,\"x\"]: a list of integers"},
        {"\"decoder_n_points\":[]", "decoder_n_points is []: a list of 1 to 6"},
        {"\"decoder_n_points\":0", "decoder_n_points is 0"},
        {"\"decoder_method\":\"other\"", "decoder_method is \"other\": default or discrete"},
        {"\"decoder_activation_function\":\"mish\"", "decoder_activation_function is \"mish\": relu, silu"},
        {"\"max_num_bins\":33", "max_num_bins 33 is odd"},
        {"\"top_prob_values\":34", "top_prob_values 34 is more than the 33 bins"},
        {"\"reg_scale\":0", "reg_scale 0"},
        {"\"reg_scale\":true", "reg_scale is true: a number"},
        {"\"learn_initial_query\":1", "learn_initial_query is 1: true or false"},
        {"\"encoder_hidden_dim\":100", "decoder_in_channels is absent: all must be equal to encoder_hidden_dim"},
        {"\"encoder_attention_heads\":3", "encoder_hidden_dim 256 is not a multiple of encoder_attention_heads 3"},
        {"\"encode_proj_layers\":[3]", "encode_proj_layers names level 3, there are only 3"},
        {"\"encode_proj_layers\":2", "encode_proj_layers is 2: a list"},
        {"\"hidden_expansion\":0.001", "hidden_expansion is 0.001: it leaves no channels"},
        {"\"depth_mult\":0.1", "it leaves no layers"},
        {"\"encoder_in_channels\":[512,1024]", "encoder_in_channels is [512,1024]: one number for each output"},
        {"\"encoder_in_channels\":[512,1024,1024]", "differs from the backbone's stage_out_channels"},
        {"\"num_feature_levels\":4", "num_feature_levels is 4"},
        {"\"layer_norm_eps\":-1", "layer_norm_eps is -1"},
        {"\"eval_size\":[640]", "eval_size is [640]: a height and a width"},
        {"\"eval_size\":650", "input size 650x650: both must be multiples of 32"},
        {"\"id2label\":[]", "id2label is []: an object"},
        {"\"id2label\":{}", "id2label is an object: an object with 1 to 65536"},
        {"\"id2label\":{\"1\":\"a\"}", "id2label: entry \"1\" is not a name"},
        {"\"id2label\":{\"x\":\"a\"}", "id2label: entry \"x\" is not a name"},
        {"\"id2label\":{\"0\":7}", "id2label: entry \"0\" is not a name"},
        {"\"id2label\":{\"-0\":\"a\"}", "id2label: entry \"-0\" is not a name"},
        {"\"num_labels\":0", "num_labels is 0"},
        {"\"backbone_config\":\"hgnet\"", "backbone_config is \"hgnet\": an object"},
        {"\"backbone_config\":{\"model_type\":\"resnet\"}",
         "backbone_config.model_type is \"resnet\": only the backbone hgnet_v2"},
        {"\"backbone_config\":{\"stage_kernel_size\":[3,3,4,5]}", "num_feature_levels"},
        {"\"backbone_config\":{\"out_indices\":[2,3,4],\"stage_kernel_size\":[3,3,4,5]}", "stage_kernel_size[2] is 4"},
        {"\"backbone_config\":{\"stage_mid_channels\":[48,96,192]}",
         "stage_mid_channels is [48,96,192]: its length differs"},
        {"\"backbone_config\":{\"stage_light_block\":[0,0,1,1]}",
         "stage_light_block is [0,0,1,1]: a list of true and false"},
        {"\"backbone_config\":{\"out_indices\":[2,3,4],\"stage_in_channels\":[48,128,512,1000]}",
         "stage_in_channels[3] is 1000"},
        {"\"backbone_config\":{\"out_indices\":[2,3,9]}", "out_indices is [2,3,9]"},
        {"\"backbone_config\":{\"out_indices\":[2,3,5]}", "not stages of the backbone"},
        {"\"backbone_config\":{\"out_indices\":[3,2,4]}", "ascending order"},
        {"\"backbone_config\":{\"out_features\":[\"stage2\",\"stage3\",\"stem\"]}", "not stages of the backbone"},
        {"\"backbone_config\":{\"out_features\":[\"stage2x\",\"stage3\",\"stage4\"]}", "not stages of the backbone"},
        {"\"backbone_config\":{\"out_features\":[1,2,3]}", "not stages of the backbone"},
        {"\"backbone_config\":{\"out_features\":[]}", "a list of stage names"},
        {"\"encoder_in_channels\":[128,1024,2048],\"backbone_config\":{\"out_indices\":[1,3,4]}",
         "strides must double"},
        {"\"backbone_config\":{\"out_indices\":[2,3,4],\"stem_channels\":[1,32,48]}", "stem_channels begins with 1"},
        {"\"backbone_config\":{\"stem_channels\":[3,32]}", "three numbers"},
        {"\"backbone_config\":{\"out_indices\":[2,3,4],\"stem_strides\":[2,2,1,2,1]}", "strides"},
        {"\"backbone_config\":{\"stage_downsample_strides\":[2,2]}", "shorter than stage_in_channels"},
        {"\"backbone_config\":{\"stage_num_blocks\":[1,1,1000,1]}", "stage_num_blocks is [1,1,1000,1]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[512];
        cf_model_config c;
        snprintf(json, sizeof json, "{\"model_type\":\"d_fine\",%s}", cases[i].field);
        cfine_status status = parse(json, &c);
        if (status == CFINE_OK) fail_msg("%s is accepted", cases[i].field);
        if (!strstr(error.message, cases[i].words)) fail_msg("'%s' lacks '%s'", error.message, cases[i].words);
        assert_int_equal(strncmp(error.message, "config.json: ", 13), 0);
        cf_model_config_release(&c);
    }
}

static void wrong_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"", "not valid JSON"},
        {"{", "not valid JSON"},
        {"[]", "not a JSON object"},
        {"\"text\"", "not valid JSON"},
        {"{}", "model_type is absent: cfine runs the models d_fine and deimv2"},
        {"{\"model_type\":\"rt_detr\"}", "model_type is \"rt_detr\": cfine runs"},
        {"{\"model_type\":7}", "model_type is 7"},
        {"{\"model_type\":\"d_fine\",\"model_type\":\"d_fine\"}", "duplicate"},
        {"{\"model_type\":\"deimv2\",\"encoder_type\":\"lite\"}", "lite needs a backbone with one output"},
        {"{\"model_type\":\"deimv2\",\"encoder_fuse_op\":\"cat\"}", "encoder_fuse_op is \"cat\": only sum"},
        {"{\"model_type\":\"deimv2\",\"backbone_config\":{\"model_type\":\"dinov3_vit\"}}",
         "only the backbone hgnet_v2"},
        {"{\"model_type\":\"deimv2\",\"decoder_ffn_dim\":97}", "decoder_ffn_dim 97 is odd"},
    };
    cf_model_config c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(parse(cases[i].json, &c), CFINE_ERROR_FORMAT, cases[i].words);
        cf_model_config_release(&c);
    }
    // Endless nesting, and a value too long for the message.
    size_t depth = 100000;
    char *json = malloc(depth + 100);
    int used = sprintf(json, "{\"model_type\":\"d_fine\",\"d_model\":");
    memset(json + used, '[', depth - (size_t)used);
    json[depth] = 0;
    assert_fails(parse(json, &c), CFINE_ERROR_FORMAT, "depth");
    cf_model_config_release(&c);
    memset(json + used, 'x', depth - (size_t)used);
    json[used] = '"';
    strcpy(json + depth - 2, "\"}");
    assert_fails(parse(json, &c), CFINE_ERROR_FORMAT, "xxx...\": an integer");
    assert_true(strlen(error.message) < 200);
    cf_model_config_release(&c);
    free(json);
}

static void preprocessor_is_read(void **state) {
    (void)state;
    static const struct {
        const char *json, *words; // words: NULL where it must succeed
    } cases[] = {
        {"{}", NULL},
        {"{\"size\":{\"height\":320,\"width\":416},\"do_normalize\":true,\"image_mean\":[0,0.5,1],\"image_std\":[1,2,3]"
         ","
         "\"rescale_factor\":0.5,\"resample\":2,\"do_pad\":true,\"pad_size\":null}",
         NULL},
        {"{\"size\":[96,64]}", NULL},
        {"{\"size\":{\"shortest_edge\":800,\"longest_edge\":1333}}",
         "size is an object: an object with height and width"},
        {"{\"size\":640}", "size is 640"},
        {"{\"size\":{\"height\":640,\"width\":0}}", "size is an object"},
        {"{\"size\":{\"height\":640,\"width\":100000}}", "size is an object"},
        {"{\"size\":{\"height\":640,\"width\":650}}", "input size 650x640: both must be multiples of 32"},
        {"{\"do_resize\":false}", "do_resize is false"},
        {"{\"resample\":3}", "resample is 3: only 2 (bilinear)"},
        {"{\"resample\":\"bilinear\"}", "resample is \"bilinear\""},
        {"{\"do_pad\":true,\"pad_size\":{\"height\":640,\"width\":640}}", "padding is not supported"},
        {"{\"image_mean\":[0.5,0.5]}", "image_mean is [0.5,0.5]: a list of three numbers"},
        {"{\"image_std\":[1,0,1]}", "image_std is [1,0,1]"},
        {"{\"rescale_factor\":0}", "rescale_factor is 0"},
        {"{\"do_normalize\":\"no\"}", "do_normalize is \"no\""},
        {"[", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cf_model_config c;
        assert_ok(parse("{\"model_type\":\"d_fine\"}", &c));
        const char *json = cases[i].json;
        cfine_status status = cf_preprocess_config_parse(json, strlen(json), "preprocessor_config.json", &c, &error);
        const cf_preprocess_config *p = &c.preprocess;
        if (cases[i].words) {
            if (status == CFINE_OK) fail_msg("%s is accepted", json);
            if (!strstr(error.message, cases[i].words)) fail_msg("'%s' lacks '%s'", error.message, cases[i].words);
            assert_int_equal(strncmp(error.message, "preprocessor_config.json: ", 26), 0);
        } else if (status != CFINE_OK) {
            fail_msg("%s", error.message);
        }
        if (i == 0) {
            assert_int_equal(p->width, 640);
            assert_true(p->rescale && p->rescale_factor == 1.0 / 255 && !p->normalize);
            assert_true(p->mean[0] == 0.485 && p->std[2] == 0.225);
        } else if (i == 1) {
            assert_int_equal(p->height, 320);
            assert_int_equal(p->width, 416);
            assert_true(p->normalize && p->rescale_factor == 0.5 && p->mean[1] == 0.5 && p->std[2] == 3);
        } else if (i == 2) {
            assert_int_equal(p->height, 96);
            assert_int_equal(p->width, 64);
        }
        cf_model_config_release(&c);
    }
}

// As in transformers: an eval_size takes D-FINE's position embedding away.
static void eval_size_is_honoured(void **state) {
    (void)state;
    cf_model_config c;
    assert_ok(parse("{\"model_type\":\"d_fine\",\"eval_size\":320}", &c));
    assert_int_equal(c.encoder.position_embedding, 0);
    assert_int_equal(c.preprocess.width, 320);
    cf_model_config_release(&c);
}

static void classes_have_names(void **state) {
    (void)state;
    cf_model_config c;
    assert_ok(parse("{\"model_type\":\"d_fine\",\"num_labels\":80}", &c));
    assert_int_equal(c.labels, 80);
    assert_string_equal(c.label_names[0], "person");
    assert_string_equal(c.label_names[11], "stop sign");
    assert_string_equal(c.label_names[79], "toothbrush");
    assert_ok(cf_model_config_default_labels(&c, 3, &error));
    assert_string_equal(c.label_names[2], "class 2");
    cf_model_config_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_fields_take_defaults), cmocka_unit_test(deimv2_is_read),
        cmocka_unit_test(wrong_values_are_named),      cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(preprocessor_is_read),        cmocka_unit_test(eval_size_is_honoured),
        cmocka_unit_test(classes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
