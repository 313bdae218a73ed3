// SPDX-License-Identifier: Apache-2.0
// Pictures of results: pixels are read back.
#include "unit/test.h"

#include <math.h>

#include "draw/chart.h"
#include "draw/draw.h"
#include "draw/encode.h"
#include "draw/text.h"

static cfine_error error;

static cfine_image grey_image(int width, int height) {
    cfine_image image = {width, height, malloc((size_t)width * (size_t)height * 3)};
    assert_non_null(image.rgb);
    memset(image.rgb, 128, (size_t)width * (size_t)height * 3);
    return image;
}

static const uint8_t *pixel(const cfine_image *image, int x, int y) {
    return image->rgb + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
}

static const char *name_of(const void *context, int label) {
    const char *const *names = context;
    return label < 100 ? names[label] : NULL;
}

static void draw(cfine_image *image, cfine_detection *items, size_t count, const char *const *names) {
    cfine_detections found = {.items = items, .count = count, .width = image->width, .height = image->height};
    assert_ok(draw_detections(image, &found, name_of, names, &error));
}

static void test_frame_is_where_the_box_is(void **state) {
    (void)state;
    static const char *const names[] = {"cat", "dog"};
    cfine_image image = grey_image(200, 150);
    cfine_detection items[] = {{.label = 1, .score = 0.9f, .box = {50, 60, 150, 120}}};
    draw(&image, items, 1, names);
    uint8_t colour[3];
    draw_class_colour(1, colour);
    assert_memory_equal(pixel(&image, 50, 100), colour, 3); // all four sides
    assert_memory_equal(pixel(&image, 149, 100), colour, 3);
    assert_memory_equal(pixel(&image, 140, 60), colour, 3);
    assert_memory_equal(pixel(&image, 100, 119), colour, 3);
    static const uint8_t grey[3] = {128, 128, 128};
    assert_memory_equal(pixel(&image, 100, 90), grey, 3); // the inside, and far outside
    assert_memory_equal(pixel(&image, 10, 140), grey, 3);
    assert_memory_equal(pixel(&image, 190, 20), grey, 3);
    assert_true(pixel(&image, 49, 100)[0] < 128); // the dark edge around
    free(image.rgb);
}

// Rows that hold black letters on the class colour, within columns x0..x1.
static int letter_rows(const cfine_image *image, int y0, int y1) {
    int rows = 0;
    for (int y = y0; y < y1; y++) {
        int black = 0;
        for (int x = 0; x < image->width; x++) black += pixel(image, x, y)[0] + pixel(image, x, y)[1] < 40;
        rows += black > 0;
    }
    return rows;
}

static void test_label_lies_above_or_inside(void **state) {
    (void)state;
    static const char *const names[] = {"bottle"};
    cfine_image image = grey_image(200, 150);
    cfine_detection low = {.label = 0, .score = 0.9f, .box = {50, 60, 150, 120}};
    draw(&image, &low, 1, names);
    assert_true(letter_rows(&image, 40, 59) >= 6);
    assert_int_equal(letter_rows(&image, 0, 40), 0);
    free(image.rgb);
    image = grey_image(200, 150); // no room above: inside
    cfine_detection high = {.label = 0, .score = 0.9f, .box = {0, 0, 200, 150}};
    draw(&image, &high, 1, names);
    assert_true(letter_rows(&image, 0, 20) >= 6);
    free(image.rgb);
}

static void test_sizes_grow_with_the_image(void **state) {
    (void)state;
    static const char *const names[] = {"bottle"};
    cfine_image image = grey_image(2000, 1500);
    cfine_detection item = {.label = 0, .score = 0.9f, .box = {500, 600, 1500, 1200}};
    draw(&image, &item, 1, names);
    uint8_t colour[3];
    draw_class_colour(0, colour);
    assert_memory_equal(pixel(&image, 503, 1000), colour, 3); // a line of several pixels
    assert_true(letter_rows(&image, 540, 600) >= 15);
    free(image.rgb);
}

static void test_odd_boxes_and_images(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    static const int sizes[][2] = {{1, 1}, {2, 3}, {1, 500}, {500, 1}, {40, 30}};
    const float huge = 3e38f;
    cfine_detection items[] = {
        {0, 1, {NAN, NAN, NAN, NAN}},
        {0, 1, {-INFINITY, -INFINITY, INFINITY, INFINITY}},
        {0, 1, {-huge, -huge, huge, huge}},
        {0, 1, {10, 10, 10, 10}},
        {0, 1, {20, 20, 5, 5}},
        {0, NAN, {-50, -50, -10, -10}},
        {2000, -5, {1000, 1000, 2000, 2000}},
        {0, 1, {0, 0, 1, 1}},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cfine_image image = grey_image(sizes[i][0], sizes[i][1]);
        draw(&image, items, sizeof items / sizeof *items, names);
        free(image.rgb);
    }
}

static void test_names_of_any_bytes(void **state) {
    (void)state;
    char long_name[3000];
    memset(long_name, 'W', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    const char *const names[] = {
        long_name, "", "bad \xff\xc3 bytes\n\t", "\xE7\x8C\xAB \xF0\x9F\x90\x88", "\xED\xA0\x80\xF4\x90\x80\x80",
        "\xE2\x80"};
    cfine_image image = grey_image(300, 200);
    cfine_detection items[6];
    for (int i = 0; i < 6; i++)
        items[i] = (cfine_detection){i, 0.5f, {10, (float)(30 * i + 10), 100, (float)(30 * i + 30)}};
    draw(&image, items, 6, names);
    free(image.rgb);
}

static void test_long_text_is_cut(void **state) {
    (void)state;
    draw_text text;
    assert_ok(draw_text_render("a rather long name of a class", 12, 60, &text, &error));
    assert_true(text.width <= 60 && text.width > 30);
    draw_text_release(&text);
    assert_ok(draw_text_render("a rather long name of a class", 12, 1, &text, &error));
    assert_int_equal(text.width, 1);
    draw_text_release(&text);
}

static void test_many_labels_do_not_cover_each_other(void **state) {
    (void)state;
    static const char *const names[] = {"thing"};
    enum { MANY = 300 };
    cfine_detection items[MANY];
    for (int i = 0; i < MANY; i++) // a crowd around the middle
        items[i] = (cfine_detection){0, 0.9f, {150 + i % 17, 100 + i % 13, 180 + i % 17, 130 + i % 13}};
    cfine_image image = grey_image(320, 240);
    draw(&image, items, MANY, names);
    assert_true(letter_rows(&image, 0, 240) < 200); // most labels are left out
    free(image.rgb);
}

static void test_files_can_be_read(void **state) {
    (void)state;
    cfine_image image = grey_image(33, 21), back;
    for (int i = 0; i < 33 * 21 * 3; i++) image.rgb[i] = (uint8_t)(i / 9);
    uint8_t *bytes;
    size_t size;
    assert_ok(draw_encode(&image, DRAW_PNG, &bytes, &size, &error));
    assert_ok(cfine_image_decode(bytes, size, NULL, &back, &error));
    assert_int_equal(back.width, 33);
    assert_memory_equal(back.rgb, image.rgb, 33 * 21 * 3);
    cfine_image_release(&back);
    free(bytes);
    assert_ok(draw_encode(&image, DRAW_JPEG, &bytes, &size, &error));
    assert_ok(cfine_image_decode(bytes, size, NULL, &back, &error));
    for (int i = 0; i < 33 * 21 * 3; i++) assert_true(abs(back.rgb[i] - image.rgb[i]) < 24);
    cfine_image_release(&back);
    free(bytes);
    free(image.rgb);
    cfine_image wide = grey_image(70000, 1); // more than a JPEG can hold
    assert_fails(draw_encode(&wide, DRAW_JPEG, &bytes, &size, &error), CFINE_ERROR_UNSUPPORTED, "70000");
    free(wide.rgb);
}

// A chart with odd values and texts is valid in both formats, and its bars are where they should be.
static void test_charts(void **state) {
    (void)state;
    draw_bar bars[] = {
        {.heading = "group", .label = "long", .value = "10 ms", .length = 10, .tail = 12, .rgb = 0x0000ff},
        {.label = "<a & \"b\">\xff", .value = "missing: install it", .rgb = 0xff0000},
        {.label = "short", .value = "1 ms", .length = 1, .rgb = 0x00ff00}};
    draw_point points[] = {{"a", 1, 1, 0xff0000, 1}, {"b", 1, 1, 0xff0000, 1}, {NULL, 5, 0.5, 0x00ff00, 0}};
    draw_canvas *canvas = draw_canvas_create(400, 600);
    double below = draw_bars(canvas, 10, 10, 380, bars, 3);
    assert_true(below > 60 && below < 300);
    draw_points(canvas, 10, below, 380, 200, "x", "y", points, 3);
    draw_points(canvas, 10, below, 380, 200, "x", "y", points, 1); // no range
    uint8_t *bytes;
    size_t size;
    assert_ok(draw_canvas_svg(canvas, &bytes, &size, &error));
    char *text = (char *)bytes;
    assert_non_null(strstr(text, "&lt;a &amp; &quot;b&quot;&gt;?</text>"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(bytes);
    assert_ok(draw_canvas_png(canvas, 1, &bytes, &size, &error));
    cfine_image image;
    assert_ok(cfine_image_decode(bytes, size, NULL, &image, &error));
    assert_int_equal(image.width, 400);
    int blue = 0, green = 0;
    for (int y = 0; y < (int)below; y++)
        for (int x = 0; x < 400; x++) {
            const uint8_t *p = pixel(&image, x, y);
            blue += p[2] > 200 && p[0] < 60 && p[1] < 60;
            green += p[1] > 200 && p[0] < 60 && p[2] < 60;
        }
    assert_true(blue > 6 * green && green > 100); // ten times as long, and the tail
    cfine_image_release(&image);
    free(bytes);
    draw_canvas_release(canvas);
    assert_fails(draw_canvas_svg(NULL, &bytes, &size, &error), CFINE_ERROR_MEMORY, "memory");
    canvas = draw_canvas_create(1e6, 1e6);
    assert_fails(draw_canvas_png(canvas, 1, &bytes, &size, &error), CFINE_ERROR_ARGUMENT, "too large");
    draw_canvas_release(canvas);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_is_where_the_box_is),
        cmocka_unit_test(test_label_lies_above_or_inside),
        cmocka_unit_test(test_sizes_grow_with_the_image),
        cmocka_unit_test(test_odd_boxes_and_images),
        cmocka_unit_test(test_names_of_any_bytes),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_many_labels_do_not_cover_each_other),
        cmocka_unit_test(test_files_can_be_read),
        cmocka_unit_test(test_charts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
