// SPDX-License-Identifier: Apache-2.0
// Image readers against what Pillow decodes (tests/data/images/manifest.txt), and against damaged and lying files.
#include "unit/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "image/image.h"
#include "image/orientation.h"
#include "unit/checksum.h"

#define IMAGES CFINE_SOURCE_DIR "/tests/data/images/"

static cfine_error error;

typedef struct golden {
    char name[64];
    int width, height, upright_width, upright_height;
    unsigned stored, upright;
} golden;

static golden goldens[200];
static int golden_count;

static int read_manifest(void **state) {
    (void)state;
    FILE *file = fopen(IMAGES "manifest.txt", "r");
    if (!file) return -1;
    char line[256];
    while (fgets(line, sizeof line, file) && golden_count < 200) {
        golden *g = &goldens[golden_count];
        if (line[0] != '#' && sscanf(line, "%63s %d %d %x %d %d %x", g->name, &g->width, &g->height, &g->stored,
                                     &g->upright_width, &g->upright_height, &g->upright) == 7)
            golden_count++;
    }
    fclose(file);
    return golden_count > 80 ? 0 : -1;
}

static const char *path_of(const char *name) {
    static char path[sizeof IMAGES + 100];
    snprintf(path, sizeof path, IMAGES "%.100s", name);
    return path;
}

static void check(const golden *g, const cfine_image *image, int width, int height, unsigned checksum) {
    if (image->width != width || image->height != height)
        fail_msg("%s is %d x %d, expected %d x %d", g->name, image->width, image->height, width, height);
    if (crc32_of(image->rgb, (size_t)width * (size_t)height * 3) != checksum)
        fail_msg("pixels of %s differ from Pillow's", g->name);
}

static void every_kind_equals_pillow(void **state) {
    (void)state;
    cfine_image_options as_stored = CFINE_INIT(cfine_image_options);
    as_stored.ignore_orientation = 1;
    for (int i = 0; i < golden_count; i++) {
        const golden *g = &goldens[i];
        cfine_image image;
        assert_ok(cfine_image_load(path_of(g->name), &as_stored, &image, &error));
        check(g, &image, g->width, g->height, g->stored);
        cfine_image_release(&image);
        assert_ok(cfine_image_load(path_of(g->name), NULL, &image, &error));
        check(g, &image, g->upright_width, g->upright_height, g->upright);
        cfine_image_release(&image);
        assert_null(image.rgb);
    }
}

// A copy that ends where its memory ends, so that sanitizers see reads past it.
static uint8_t *exact_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    return copy;
}

// Cut anywhere, a file is an error; cut in the middle, the text says truncated. Formats that end early by design
// (a trailing chunk or padding that decoding does not need) may still decode in their last bytes.
static void truncated_files_are_errors(void **state) {
    (void)state;
    for (int i = 0; i < golden_count; i++) {
        cf_bytes bytes;
        assert_ok(cf_file_read(path_of(goldens[i].name), 1 << 20, &bytes, &error));
        int is_jpeg = bytes.data[0] == 0xff;
        for (size_t size = 0; size < bytes.size; size += 1 + (i % 4)) {
            uint8_t *part = exact_copy(bytes.data, size);
            cfine_image image;
            error.message[0] = 0;
            cfine_status status = cf_image_decode(part, size, NULL, &image, &error);
            if (status == CFINE_OK) {
                if (size < bytes.size * 9 / 10 && size + 40 < bytes.size)
                    fail_msg("%s decodes from %zu of %zu bytes", goldens[i].name, size, bytes.size);
                cfine_image_release(&image);
            } else {
                if (is_jpeg && size > 2) assert_non_null(strstr(error.message, "truncated"));
                assert_null(image.rgb);
                assert_true(error.message[0] && !strchr(error.message, '\n'));
            }
            free(part);
        }
        cf_bytes_release(&bytes);
    }
    static const char *const kinds[] = {"rgb_420.jpg", "progressive.jpg", "rgb8.png",  "palette4_adam7.png",
                                        "lossy.webp",  "lossless.webp",   "rgb24.bmp", "rle8.bmp",
                                        "rgb.ppm",     "grey_text.pgm",   "bitmap.pbm"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        cf_bytes bytes;
        cfine_image image;
        assert_ok(cf_file_read(path_of(kinds[i]), 1 << 20, &bytes, &error));
        assert_fails(cf_image_decode(bytes.data, bytes.size * 2 / 3, NULL, &image, &error), CFINE_ERROR_FORMAT,
                     "truncated");
        cf_bytes_release(&bytes);
    }
}

// Any flipped byte gives an image or an error, and nothing else.
static void damaged_files_never_crash(void **state) {
    (void)state;
    uint32_t seed = 1;
    cf_image_limits limits = {.max_pixels = 1 << 20};
    for (int i = 0; i < golden_count; i++) {
        cf_bytes bytes;
        assert_ok(cf_file_read(path_of(goldens[i].name), 1 << 20, &bytes, &error));
        uint8_t *copy = exact_copy(bytes.data, bytes.size);
        for (size_t at = 0; at < bytes.size; at += at < 100 ? 1 : 17) {
            seed = seed * 1664525u + 1013904223u;
            copy[at] ^= (uint8_t)(seed >> 24 | 1);
            cfine_image image;
            if (cf_image_decode(copy, bytes.size, &limits, &image, &error) == CFINE_OK) cfine_image_release(&image);
            copy[at] = bytes.data[at];
        }
        free(copy);
        cf_bytes_release(&bytes);
    }
}

static void allocation_failures_are_reported(void **state) {
    (void)state;
    static const char *const kinds[] = {"exif6.jpg",  "cmyk.jpg", "palette4.png", "rgb16.png",
                                        "exif8.webp", "rle4.bmp", "rgb.ppm"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (long n = 0;; n++) {
            cfine_image image;
            cf_memory_fail_after(n);
            cfine_status status = cfine_image_load(path_of(kinds[i]), NULL, &image, &error);
            cf_memory_fail_after(-1);
            if (status == CFINE_OK) {
                cfine_image_release(&image);
                assert_true(n >= 2); // the file and the pixels at least
                break;
            }
            if (status != CFINE_ERROR_MEMORY) fail_msg("allocation %ld of %s: %s", n, kinds[i], error.message);
            assert_null(image.rgb);
            assert_true(n < 1000);
        }
}

static void put_u32(uint8_t *to, uint32_t value, int big) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> 8 * (big ? 3 - i : i));
}

// Pictures of 30,000 x 30,000 are refused from their header, before memory is taken for them.
static void limits_hold(void **state) {
    (void)state;
    cfine_image image;
    static const char *const texts[] = {"P6 30000 30000 255\nabc", "P1 30000 30000\n0", "P4\n30000\n30000\n "};
    for (size_t i = 0; i < 3; i++)
        assert_fails(cf_image_decode(texts[i], strlen(texts[i]), NULL, &image, &error), CFINE_ERROR_UNSUPPORTED,
                     "30000 x 30000");
    uint8_t bmp[64] = "BM";
    put_u32(bmp + 10, 54, 0);
    put_u32(bmp + 14, 40, 0);
    put_u32(bmp + 18, 30000, 0);
    put_u32(bmp + 22, 30000, 0);
    bmp[26] = 1;
    bmp[28] = 24;
    assert_fails(cf_image_decode(bmp, sizeof bmp, NULL, &image, &error), CFINE_ERROR_UNSUPPORTED, "30000 x 30000");
    put_u32(bmp + 18, 10000, 0); // within the limit, and a lie
    put_u32(bmp + 22, (uint32_t)-10000, 0);
    assert_fails(cf_image_decode(bmp, sizeof bmp, NULL, &image, &error), CFINE_ERROR_FORMAT, "truncated");
    put_u32(bmp + 22, 0x80000000u, 0); // a height that has no positive counterpart in 32 bits
    assert_fails(cf_image_decode(bmp, sizeof bmp, NULL, &image, &error), CFINE_ERROR_FORMAT, "2147483648");
    put_u32(bmp + 18, 0, 0);
    assert_fails(cf_image_decode(bmp, sizeof bmp, NULL, &image, &error), CFINE_ERROR_FORMAT, "0 x");

    // PNG: width and height of IHDR with the checksum to match. JPEG: height and width of SOF0.
    cf_bytes file;
    assert_ok(cf_file_read(path_of("rgb8.png"), 1 << 20, &file, &error));
    uint8_t *png = exact_copy(file.data, file.size);
    put_u32(png + 16, 30000, 1);
    put_u32(png + 20, 30000, 1);
    put_u32(png + 29, crc32_of(png + 12, 17), 1);
    assert_fails(cf_image_decode(png, file.size, NULL, &image, &error), CFINE_ERROR_UNSUPPORTED, "30000 x 30000");
    put_u32(png + 20, 3000, 1);
    put_u32(png + 29, crc32_of(png + 12, 17), 1);
    assert_int_equal(cf_image_decode(png, file.size, NULL, &image, &error), CFINE_ERROR_FORMAT);
    free(png);
    cf_bytes_release(&file);
    assert_ok(cf_file_read(path_of("rgb_420.jpg"), 1 << 20, &file, &error));
    uint8_t *jpeg = exact_copy(file.data, file.size);
    size_t sof = 0;
    while (!(jpeg[sof] == 0xff && jpeg[sof + 1] == 0xc0)) sof++;
    jpeg[sof + 5] = jpeg[sof + 7] = 30000 >> 8;
    jpeg[sof + 6] = jpeg[sof + 8] = 30000 & 255;
    assert_fails(cf_image_decode(jpeg, file.size, NULL, &image, &error), CFINE_ERROR_UNSUPPORTED, "30000 x 30000");
    free(jpeg);

    cf_image_limits limits = {.max_pixels = 29 * 19};
    assert_ok(cf_image_decode(file.data, file.size, &limits, &image, &error));
    cfine_image_release(&image);
    limits.max_pixels--;
    assert_fails(cf_image_decode(file.data, file.size, &limits, &image, &error), CFINE_ERROR_UNSUPPORTED, "29 x 19");
    limits = (cf_image_limits){.max_bytes = (int64_t)file.size - 1};
    assert_fails(cf_image_decode(file.data, file.size, &limits, &image, &error), CFINE_ERROR_UNSUPPORTED, "bytes");
    limits.max_bytes = -1;
    assert_fails(cf_image_decode(file.data, file.size, &limits, &image, &error), CFINE_ERROR_ARGUMENT, "negative");
    cf_bytes_release(&file);
}

static void other_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"GIF89a.......", 13, "GIF"},
        {"II*\0....", 8, "TIFF"},
        {"MM\0*....", 8, "TIFF"},
        {"\0\0\0 ftypavif....", 16, "AVIF"},
        {"\0\0\0 ftypheic....", 16, "HEIF"},
        {"\0\0\0 ftypmif1....", 16, "HEIF"},
        {"\xff\x0a....", 6, "JPEG XL"},
    };
    cfine_image image;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(cf_image_decode(cases[i].bytes, cases[i].size, NULL, &image, &error), CFINE_ERROR_UNSUPPORTED,
                     cases[i].words);
        assert_non_null(strstr(error.message, "convert"));
    }
    assert_fails(cf_image_decode(NULL, 0, NULL, &image, &error), CFINE_ERROR_FORMAT, "empty");
    assert_fails(cf_image_decode("x", 1, NULL, &image, &error), CFINE_ERROR_FORMAT, "78 00 00 00");
    assert_fails(cf_image_decode("BM", 2, NULL, &image, &error), CFINE_ERROR_FORMAT, "truncated");
    assert_fails(cf_image_decode("\xff\xd8\xff\xdb\0\1..", 8, NULL, &image, &error), CFINE_ERROR_FORMAT, "damaged: ");
    assert_fails(cf_image_decode("P5 3 1 100000\nabc", 17, NULL, &image, &error), CFINE_ERROR_FORMAT, "100000");
    assert_fails(cf_image_decode("P2 1 1 9 10", 11, NULL, &image, &error), CFINE_ERROR_FORMAT, "above the maximum");
    assert_fails(cf_image_decode("P3 1 1 9 1 x 2", 14, NULL, &image, &error), CFINE_ERROR_FORMAT, "where a number");
    assert_fails(cf_image_decode("P6 1 99999999999 9 ", 19, NULL, &image, &error), CFINE_ERROR_FORMAT, "digits");
}

static void loading_names_the_file(void **state) {
    (void)state;
    cfine_image image;
    char directory[] = "/tmp/cfine-test-XXXXXX", path[80];
    assert_non_null(mkdtemp(directory));
    assert_fails(cfine_image_load(directory, NULL, &image, &error), CFINE_ERROR_ARGUMENT, directory);
    snprintf(path, sizeof path, "%s/missing.jpg", directory);
    assert_fails(cfine_image_load(path, NULL, &image, &error), CFINE_ERROR_NOT_FOUND, path);
    snprintf(path, sizeof path, "%s/empty.jpg", directory);
    assert_ok(cf_file_write(path, "", 0, &error));
    assert_fails(cfine_image_load(path, NULL, &image, &error), CFINE_ERROR_FORMAT, path);
    assert_non_null(strstr(error.message, "empty"));
    unlink(path);
    snprintf(path, sizeof path, "%s/pipe.jpg", directory); // nobody writes to it: must not wait
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(cfine_image_load(path, NULL, &image, &error), CFINE_ERROR_ARGUMENT, path);
    unlink(path);
    rmdir(directory);
    assert_fails(cfine_image_load(NULL, NULL, &image, &error), CFINE_ERROR_ARGUMENT, "NULL");
    assert_fails(cfine_image_decode(NULL, 3, NULL, &image, &error), CFINE_ERROR_ARGUMENT, "NULL");
    cfine_image_release(NULL);
}

static void standard_input_is_read(void **state) {
    (void)state;
    cfine_image image;
    int kept = dup(STDIN_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    static const char text[] = "P3 2 1 255\n1 2 3 4 5 6 ";
    assert_int_equal(write(ends[1], text, sizeof text - 1), sizeof text - 1);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    assert_ok(cfine_image_load("-", NULL, &image, &error));
    assert_int_equal(image.width, 2);
    assert_memory_equal(image.rgb, "\1\2\3\4\5\6", 6);
    cfine_image_release(&image);
    assert_fails(cfine_image_load("-", NULL, &image, &error), CFINE_ERROR_FORMAT, "standard input: is empty");
    dup2(kept, STDIN_FILENO);
    close(kept);
}

static void broken_exif_is_upright(void **state) {
    (void)state;
    // Header, one entry (orientation, short, one value: 6), no next directory.
    static const uint8_t good[] = {'I', 'I', '*', 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
    for (size_t size = 0; size <= sizeof good; size++) {
        uint8_t *part = exact_copy(good, size);
        assert_int_equal(cf_exif_orientation(part, size), size == sizeof good ? 6 : 1);
        free(part);
    }
    for (size_t at = 0; at < sizeof good; at++)
        for (int value = 0; value < 256; value++) {
            uint8_t *copy = exact_copy(good, sizeof good);
            copy[at] = (uint8_t)value;
            int orientation = cf_exif_orientation(copy, sizeof good);
            assert_true(orientation >= 1 && orientation <= 8);
            free(copy);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_equals_pillow),
        cmocka_unit_test(truncated_files_are_errors),
        cmocka_unit_test(damaged_files_never_crash),
        cmocka_unit_test(allocation_failures_are_reported),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(loading_names_the_file),
        cmocka_unit_test(standard_input_is_read),
        cmocka_unit_test(broken_exif_is_upright),
    };
    return cmocka_run_group_tests(tests, read_manifest, NULL);
}
