// SPDX-License-Identifier: Apache-2.0
// Resizing against checksums of Pillow's results (tests/golden/resize.txt), and every kernel against plain C.
#include "unit/test.h"

#include "base/cpu.h"
#include "base/half.h"
#include "base/memory.h"
#include "kernels/kernel.h"
#include "preprocess/network_input.h"
#include "unit/checksum.h"

static cfine_error error;

static const char *const masks[] = {"scalar", "avx2", "avx512", "native"};
enum { MASKS = sizeof masks / sizeof *masks };

static void use_mask(const char *name) {
    uint32_t mask;
    assert_true(cf_cpu_mask_parse(name, &mask));
    cf_cpu_set_mask(mask);
}

// The images of tests/golden/make_resize_goldens.py. The block ends with the last pixel, so that sanitizers see reads
// past it.
static uint8_t *generate(int kind, uint32_t seed, int width, int height) {
    size_t count = (size_t)width * (size_t)height * 3;
    uint8_t *rgb = malloc(count);
    assert_non_null(rgb);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        rgb[i] = kind == 0 ? (uint8_t)(seed >> 24) : (seed >> 31 ? 255 : 0);
    }
    return rgb;
}

static void equals_pillow(void **state) {
    (void)state;
    FILE *file = fopen(CFINE_SOURCE_DIR "/tests/golden/resize.txt", "r");
    assert_non_null(file);
    char line[256];
    int cases = 0;
    cf_resizer resizer = {0};
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#') continue;
        int kind, sw, sh, dw, dh;
        unsigned seed, expected;
        assert_int_equal(sscanf(line, "%d %u %d %d %d %d %x", &kind, &seed, &sw, &sh, &dw, &dh, &expected), 7);
        uint8_t *src = generate(kind, seed, sw, sh), *dst = malloc((size_t)dw * (size_t)dh * 3);
        assert_non_null(dst);
        for (int m = 0; m < MASKS; m++) {
            use_mask(masks[m]);
            assert_ok(cf_resizer_plan(&resizer, sw, sh, dw, dh, &error));
            memset(dst, 0xa5, (size_t)dw * (size_t)dh * 3);
            cf_resize(&resizer, src, dst);
            if (crc32_of(dst, (size_t)dw * (size_t)dh * 3) != expected)
                fail_msg("%dx%d to %dx%d with %s (%s) differs from Pillow", sw, sh, dw, dh, masks[m],
                         resizer.kernels->name);
        }
        free(src);
        free(dst);
        cases++;
    }
    fclose(file);
    cf_resizer_release(&resizer);
    use_mask("native");
    assert_true(cases > 100);
}

static uint32_t random_state = 1;

static int random_int(int least, int most) {
    random_state = random_state * 1664525u + 1013904223u;
    return least + (int)((random_state >> 8) % (uint32_t)(most - least + 1));
}

// Every kernel gives the bits of plain C and touches nothing but its output; canaries stand around it.
static void kernels_equal_plain_c(void **state) {
    (void)state;
    enum { CANARY = 80 };
    size_t count;
    const cf_resize_kernels *list = cf_resize_kernel_list(&count), *plain = &list[count - 1];
    cf_resizer resizer = {0};
    for (int round = 0; round < 300; round++) {
        int most = round < 200 ? 40 : 300;
        int sw = random_int(1, most), sh = random_int(1, most), dw = random_int(1, most), dh = random_int(1, most);
        if (round % 5 == 3) dw = sw; // a single pass
        if (round % 5 == 4) dh = sh;
        uint8_t *src = generate(round % 2, (uint32_t)round, sw, sh);
        assert_ok(cf_resizer_plan(&resizer, sw, sh, dw, dh, &error));
        size_t bytes = (size_t)dw * (size_t)dh * 3, row_bytes = (size_t)dw * 3;
        uint8_t *expected = malloc(bytes);
        float *floats[2] = {malloc((row_bytes + 8) * sizeof(float)), malloc((row_bytes + 8) * sizeof(float))};
        assert_true(expected && floats[0] && floats[1]);
        resizer.kernels = plain;
        cf_resize(&resizer, src, expected);
        for (size_t k = 0; k + 1 < count; k++) {
            if ((cf_cpu_features() & list[k].features) != list[k].features) continue;
            resizer.kernels = &list[k];
            uint8_t *got = malloc(bytes + 2 * CANARY);
            assert_non_null(got);
            memset(got, 0x5a, bytes + 2 * CANARY);
            cf_resize(&resizer, src, got + CANARY);
            assert_memory_equal(got + CANARY, expected, bytes);
            for (size_t i = 0; i < CANARY; i++) assert_true(got[i] == 0x5a && got[CANARY + bytes + i] == 0x5a);
            free(got);
            // In parts, as threads would: uneven ranges of rows, blocks of odd widths.
            int middle = random_int(0, resizer.first_rows), cut = random_int(0, (dw - 1) / 4) * 4;
            memset(resizer.scratch, 0, resizer.first_rows ? resizer.scratch_bytes : 0);
            cf_resize_first(&resizer, src, middle, resizer.first_rows);
            cf_resize_first(&resizer, src, 0, middle);
            for (int y = 0; y < dh; y++)
                for (int part = 0; part < 2; part++) {
                    int begin = part ? cut : 0, end = part ? dw : cut;
                    size_t stride, room = CF_RESIZE_BLOCK_STRIDE(end - begin), part_bytes = (size_t)(end - begin) * 3;
                    uint8_t *row = malloc(room + CANARY);
                    assert_non_null(row);
                    memset(row + room, 0x5a, CANARY);
                    const uint8_t *block = cf_resize_second(&resizer, src, y, 1, begin, end, row, &stride);
                    assert_memory_equal(block, expected + (size_t)y * row_bytes + (size_t)begin * 3, part_bytes);
                    for (size_t i = 0; i < CANARY; i++) assert_int_equal(row[room + i], 0x5a);
                    free(row);
                }
            for (int i = 0; i < 2; i++)
                for (size_t j = 0; j < row_bytes + 8; j++) floats[i][j] = -1;
            list[k].to_float(expected, row_bytes, 1 / 255.0, floats[0]);
            plain->to_float(expected, row_bytes, 1 / 255.0, floats[1]);
            assert_memory_equal(floats[0], floats[1], (row_bytes + 8) * sizeof(float));
            size_t w = (size_t)dw;
            list[k].to_planes(expected, w, 1 / 255.0, floats[0], floats[0] + w, floats[0] + 2 * w);
            plain->to_planes(expected, w, 1 / 255.0, floats[1], floats[1] + w, floats[1] + 2 * w);
            assert_memory_equal(floats[0], floats[1], (row_bytes + 8) * sizeof(float));
        }
        free(src);
        free(expected);
        free(floats[0]);
        free(floats[1]);
    }
    cf_resizer_release(&resizer);
}

// All layouts hold the same values: numpy's (byte * scale in double, rounded to float), normalised in float.
static void layouts_hold_the_reference_values(void **state) {
    (void)state;
    enum { W = 1100, H = 33, STRIDE = 5 }; // wider than one chunk
    static float planes[3 * H * W], pixels[H * W * 3], strided[H * W * STRIDE + 7];
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    static uint8_t resized[H * W * 3];
    cfine_image image = {700, 50, generate(0, 7, 700, 50)};
    cf_resizer resizer = {0};
    cf_pixel_view as_planes = {planes, W, 1, H * W}, as_pixels = {pixels, 3 * W, 3, 1};
    cf_pixel_view as_strided = {strided + 7, STRIDE * W, STRIDE, 1};
    for (int m = 0; m < MASKS; m++)
        for (int normalize = 0; normalize < 2; normalize++) {
            use_mask(masks[m]);
            cf_pixel_scale scale;
            cf_pixel_scale_init(&scale, 0.00392156862745098, normalize ? mean : NULL, normalize ? std : NULL);
            for (size_t i = 0; i < sizeof strided / sizeof *strided; i++) strided[i] = -7;
            assert_ok(cf_preprocess(&resizer, &image, W, H, &scale, &as_planes, &error));
            assert_ok(cf_preprocess(&resizer, &image, W, H, &scale, &as_pixels, &error));
            assert_ok(cf_preprocess(&resizer, &image, W, H, &scale, &as_strided, &error));
            cf_resize(&resizer, image.rgb, resized);
            for (size_t i = 0; i < H * W; i++)
                for (size_t c = 0; c < 3; c++) {
                    float value = (float)((double)resized[3 * i + c] * 0.00392156862745098);
                    if (normalize) value = (value - (float)mean[c]) / (float)std[c];
                    if (planes[c * H * W + i] != value || pixels[3 * i + c] != value ||
                        strided[7 + STRIDE * i + c] != value)
                        fail_msg("pixel %zu channel %zu with %s, normalize %d", i, c, masks[m], normalize);
                }
            for (size_t i = 0; i < H * W; i++)
                for (size_t c = 3; c < STRIDE; c++) assert_true(strided[7 + STRIDE * i + c] == -7);
        }
    free(image.rgb);
    cf_resizer_release(&resizer);
    use_mask("native");
}

static void planning_fails_cleanly(void **state) {
    (void)state;
    cf_resizer resizer = {0};
    assert_fails(cf_resizer_plan(&resizer, 0, 4, 4, 4, &error), CFINE_ERROR_ARGUMENT, "0 x 4");
    assert_fails(cf_resizer_plan(&resizer, 4, 4, 1 << 25, 4, &error), CFINE_ERROR_ARGUMENT, "33554432");
    uint8_t *src = generate(0, 3, 20, 20), dst[30 * 30 * 3];
    for (long n = 0;; n++) { // every allocation fails once; afterwards the resizer still works
        cf_memory_fail_after(n);
        cfine_status status = cf_resizer_plan(&resizer, 20, 20, 30, 30, &error);
        cf_memory_fail_after(-1);
        if (status == CFINE_OK) break;
        assert_int_equal(status, CFINE_ERROR_MEMORY);
        assert_true(n < 100);
        if (n % 2) {
            assert_ok(cf_resizer_plan(&resizer, 20, 20, 10, 10, &error));
            cf_resize(&resizer, src, dst);
        }
        cf_resizer_release(&resizer);
    }
    cf_resize(&resizer, src, dst);
    cf_resizer_release(&resizer);
    free(src);
}

// The network's input of image 1 of 2, in a buffer with a border.
static cf_tensor make_input(int half, int h, int w, void **memory) {
    enum { HALO = 1 };
    int c = half ? 4 : 3;
    cf_tensor input = {.h = h, .w = w, .c = c, .halo = HALO, .pixel = c, .dtype = half ? CF_BF16 : CF_F32};
    input.row = (w + 2 * HALO) * c;
    input.image = (h + 2 * HALO) * input.row;
    input.scale = half ? 1 / 255.0f : 1;
    *memory = cf_alloc((size_t)(2 * input.image), (size_t)cf_dtype_size(input.dtype));
    assert_non_null(*memory);
    input.data = (char *)*memory + (input.row + input.pixel) * cf_dtype_size(input.dtype);
    return input;
}

// Whatever way pixels come and whatever the input's type: the same numbers; bytes are exact in bf16; its fourth channel
// and the border stay zero.
static void inputs_hold_the_pixels(void **state) {
    (void)state;
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    static const int widths[] = {1, 7, 8, 15, 16, 17, 33, 640};
    enum { H = 3, MOST = 640 };
    static float planes[3 * H * MOST];
    cf_resizer resizer = {0};
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
        for (int how = 0; how < MASKS * 8; how++) {
            int half = how & 1, normalize = how >> 1 & 1, from_planes = how >> 2 & 1, w = widths[k];
            use_mask(masks[how >> 3]);
            cf_pixel_scale scale;
            cf_pixel_scale_init(&scale, 1 / 255.0, normalize ? mean : NULL, normalize ? std : NULL);
            cfine_image image = {w, H, generate(0, (uint32_t)k + 5, w, H)};
            cf_pixel_view view = {planes, w, 1, H * w};
            assert_ok(cf_preprocess(&resizer, &image, w, H, &scale, &view, &error));
            void *memory;
            cf_tensor input = make_input(half, H, w, &memory);
            if (from_planes)
                cf_input_from_planes(&input, 1, planes, 0, H);
            else
                cf_input_from_image(&input, 1, &resizer, image.rgb, &scale, 0, H);
            for (int y = -1; y <= H; y++)
                for (int x = -1; x <= w; x++)
                    for (int c = 0; c < input.c; c++) {
                        int inside = y >= 0 && y < H && x >= 0 && x < w && c < 3;
                        float want = inside ? planes[(c * H + y) * w + x] / input.scale : 0;
                        if (half) want = cf_bf16_to_f32(cf_f32_to_bf16(want));
                        if (inside && half && !normalize) want = image.rgb[(y * w + x) * 3 + c];
                        if (cf_tensor_get(&input, 1, y, x, c) != want)
                            fail_msg("width %d, %s, case %d: (%d, %d) channel %d", w, masks[how >> 3], how, y, x, c);
                    }
            for (int64_t i = 0; i < input.image * cf_dtype_size(input.dtype); i++)
                assert_int_equal(((char *)memory)[i], 0); // image 0
            cf_free(memory);
            free(image.rgb);
        }
    cf_resizer_release(&resizer);
    use_mask("native");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),
        cmocka_unit_test(kernels_equal_plain_c),
        cmocka_unit_test(layouts_hold_the_reference_values),
        cmocka_unit_test(inputs_hold_the_pixels),
        cmocka_unit_test(planning_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
