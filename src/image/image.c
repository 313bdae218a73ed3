// SPDX-License-Identifier: Apache-2.0
// Finds the reader of an image by its first bytes, and turns what it read upright.
#include "image/image.h"

#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "image/orientation.h"

static const int64_t default_max_pixels = 178956970; // where Pillow suspects a decompression bomb
static const int64_t default_max_bytes = 1 << 30;

static const cf_image_reader *const readers[] = {&cf_image_jpeg, &cf_image_png, &cf_image_webp, &cf_image_bmp,
                                                 &cf_image_pnm};

// Formats that are recognised only to say that they are not read.
static const struct {
    const char *name;
    int offset;
    const char *magic;
    int length;
} unreadable[] = {
    {"GIF", 0, "GIF8", 4},
    {"TIFF", 0, "II*\0", 4},
    {"TIFF", 0, "MM\0*", 4},
    {"AVIF", 4, "ftypavi", 7},
    {"HEIF", 4, "ftyphe", 6},
    {"HEIF", 4, "ftypmif1", 8},
    {"HEIF", 4, "ftypmsf1", 8},
    {"JPEG XL", 0, "\xff\x0a", 2},
    {"JPEG XL", 4, "JXL \r\n", 6},
    {"JPEG 2000", 4, "jP  \r\n", 6},
    {"JPEG 2000", 0, "\xff\x4f\xff\x51", 4},
    {"PDF", 0, "%PDF-", 5},
};

static cfine_status fail_unknown(const uint8_t *bytes, size_t size, cfine_error *err) {
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
        size_t offset = (size_t)unreadable[i].offset, length = (size_t)unreadable[i].length;
        if (size >= offset + length && !memcmp(bytes + offset, unreadable[i].magic, length))
            return cf_fail(err, CFINE_ERROR_UNSUPPORTED,
                           "%s images are not supported: convert it to JPEG, PNG, WebP, BMP or PNM",
                           unreadable[i].name);
    }
    uint8_t first[4] = {0};
    memcpy(first, bytes, size < 4 ? size : 4);
    return cf_fail(err, CFINE_ERROR_FORMAT,
                   "not an image of a known format (begins with bytes %02x %02x %02x %02x); cfine reads JPEG, PNG, "
                   "WebP, BMP and PNM",
                   first[0], first[1], first[2], first[3]);
}

cfine_status cf_image_begin(cf_image_job *job, int64_t width, int64_t height, cfine_error *err) {
    if (width < 1 || height < 1 || width > INT_MAX || height > INT_MAX)
        return cf_fail(err, CFINE_ERROR_FORMAT, "header claims an image of %lld x %lld pixels", (long long)width,
                       (long long)height);
    if (width > job->max_pixels / height)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED,
                       "%lld x %lld pixels are more than the limit of %lld: make the image smaller", (long long)width,
                       (long long)height, (long long)job->max_pixels);
    int overflow = 0;
    size_t bytes = cf_mul_size(cf_mul_size((size_t)width, (size_t)height, &overflow), 3, &overflow);
    uint8_t *rgb = overflow ? NULL : cf_alloc(bytes, 1);
    if (!rgb) return cf_fail_memory(err, "decoded image", bytes);
    job->image = (cfine_image){(int)width, (int)height, rgb};
    return CFINE_OK;
}

cfine_status cf_image_decode(const void *bytes, size_t size, const cf_image_limits *limits, cfine_image *out,
                             cfine_error *err) {
    memset(out, 0, sizeof *out);
    int64_t max_bytes = limits && limits->max_bytes ? limits->max_bytes : default_max_bytes;
    int64_t max_pixels = limits && limits->max_pixels ? limits->max_pixels : default_max_pixels;
    if (max_bytes < 0 || max_pixels < 0)
        return cf_fail(err, CFINE_ERROR_ARGUMENT,
                       "image limits: max_pixels %lld and max_bytes %lld must not be negative", (long long)max_pixels,
                       (long long)max_bytes);
    if (!size) return cf_fail(err, CFINE_ERROR_FORMAT, "is empty (0 bytes): no image");
    if (size > (uint64_t)max_bytes)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "has %zu bytes, the limit for an image is %lld", size,
                       (long long)max_bytes);
    cf_image_job job = {.bytes = bytes, .size = size, .max_pixels = max_pixels, .orientation = 1};
    const cf_image_reader *reader = NULL;
    for (size_t i = 0; i < sizeof readers / sizeof *readers && !reader; i++)
        if (readers[i]->probe(job.bytes, size)) reader = readers[i];
    if (!reader) return fail_unknown(bytes, size, err);
    cfine_status status = reader->read(&job, err);
    if (status != CFINE_OK) status = cf_fail_within(err, status, "%s", reader->name);
    if (status == CFINE_OK && !(limits && limits->ignore_orientation))
        status = cf_image_turn_upright(&job.image, job.orientation, err);
    if (status != CFINE_OK) {
        cfine_image_release(&job.image);
        return status;
    }
    *out = job.image;
    return CFINE_OK;
}

// Fields that an older caller's struct lacks read as zero, the default.
static cf_image_limits limits_of(const cfine_image_options *options) {
    cfine_image_options all = {0};
    if (options) memcpy(&all, options, options->struct_size < sizeof all ? options->struct_size : sizeof all);
    return (cf_image_limits){all.max_pixels, all.max_bytes, all.ignore_orientation};
}

cfine_status cfine_image_decode(const void *bytes, size_t size, const cfine_image_options *options, cfine_image *out,
                                cfine_error *error) {
    if (!out || (!bytes && size)) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_image_decode: NULL argument");
    cf_image_limits limits = limits_of(options);
    return cf_image_decode(bytes, size, &limits, out, error);
}

cfine_status cfine_image_load(const char *path, const cfine_image_options *options, cfine_image *out,
                              cfine_error *error) {
    if (!path || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_image_load: NULL argument");
    memset(out, 0, sizeof *out);
    cf_image_limits limits = limits_of(options);
    int64_t max_bytes = limits.max_bytes ? limits.max_bytes : default_max_bytes;
    if (max_bytes < 0) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_image_load: max_bytes must not be negative");
    cf_bytes bytes; // read, not mapped: a file cut short while it is decoded must not raise SIGBUS
    CF_TRY(cf_file_read(path, (size_t)max_bytes, &bytes, error));
    cfine_status status = cf_image_decode(bytes.data, bytes.size, &limits, out, error);
    cf_bytes_release(&bytes);
    if (status != CFINE_OK) return cf_fail_within(error, status, "%s", strcmp(path, "-") ? path : "standard input");
    return CFINE_OK;
}

void cfine_image_release(cfine_image *image) {
    if (!image) return;
    cf_free(image->rgb);
    memset(image, 0, sizeof *image);
}
