// SPDX-License-Identifier: Apache-2.0
// PNM: portable bitmaps (P1, P4), grey maps (P2, P5) and pixel maps (P3, P6), as text or binary, with a maximum value
// of up to 65535.
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "image/image.h"

typedef struct pnm_reader {
    cf_image_job *job;
    size_t at;       // offset of the next byte
    uint8_t *levels; // [largest + 1]: 8-bit level of each sample value
    uint32_t largest;
} pnm_reader;

static int is_space(int c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int probe(const uint8_t *bytes, size_t size) {
    return size >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
           (is_space(bytes[2]) || bytes[2] == '#');
}

static cfine_status fail_truncated(const cf_image_job *job, cfine_error *err) {
    return cf_fail(err, CFINE_ERROR_FORMAT, "truncated: the data ends after %zu bytes, before the end of the picture",
                   job->size);
}

// Skips white space and comments ("# ..." to the end of the line).
static void skip_space(pnm_reader *reader) {
    const cf_image_job *job = reader->job;
    while (reader->at < job->size) {
        if (job->bytes[reader->at] == '#')
            while (reader->at < job->size && job->bytes[reader->at] != '\n') reader->at++;
        else if (is_space(job->bytes[reader->at]))
            reader->at++;
        else
            return;
    }
}

// A decimal number of at most `digits` digits, in front of which white space is skipped.
static cfine_status read_number(pnm_reader *reader, int digits, uint32_t *out, cfine_error *err) {
    const cf_image_job *job = reader->job;
    skip_space(reader);
    if (reader->at == job->size) return fail_truncated(job, err);
    uint32_t value = 0;
    int count = 0;
    for (; reader->at < job->size && count < digits; reader->at++, count++) {
        int c = job->bytes[reader->at];
        if (c < '0' || c > '9') break;
        value = value * 10 + (uint32_t)(c - '0');
    }
    if (!count)
        return cf_fail(err, CFINE_ERROR_FORMAT, "byte 0x%02x at offset %zu where a number is due",
                       job->bytes[reader->at], reader->at);
    if (digits > 1 && reader->at < job->size && job->bytes[reader->at] >= '0' && job->bytes[reader->at] <= '9')
        return cf_fail(err, CFINE_ERROR_FORMAT, "number of more than %d digits at offset %zu", digits, reader->at);
    *out = value;
    return CFINE_OK;
}

static cfine_status make_levels(pnm_reader *reader, cfine_error *err) {
    reader->levels = cf_alloc((size_t)reader->largest + 1, 1);
    if (!reader->levels) return cf_fail_memory(err, "PNM levels", (size_t)reader->largest + 1);
    for (uint32_t v = 0; v <= reader->largest; v++) // rounds halves to even, as Pillow does
        reader->levels[v] = (uint8_t)nearbyint((double)v / reader->largest * 255);
    return CFINE_OK;
}

static cfine_status read_text(pnm_reader *reader, int bitmap, int channels, cfine_error *err) {
    cfine_image *image = &reader->job->image;
    size_t count = (size_t)image->width * (size_t)image->height * (size_t)channels;
    // Each sample takes a digit, and white space between numbers: a lying header ends here.
    if (reader->job->size - reader->at < (bitmap ? count : 2 * count - 1)) return fail_truncated(reader->job, err);
    for (size_t i = 0; i < count; i++) {
        uint32_t value = 0;
        CF_TRY(read_number(reader, bitmap ? 1 : 6, &value, err));
        if (value > reader->largest)
            return cf_fail(err, CFINE_ERROR_FORMAT, "sample %u is above the maximum of %u", value, reader->largest);
        if (channels == 3)
            image->rgb[i] = reader->levels[value];
        else
            memset(image->rgb + 3 * i, bitmap ? (value ? 0 : 255) : reader->levels[value], 3);
    }
    return CFINE_OK;
}

static cfine_status read_binary(pnm_reader *reader, int channels, cfine_error *err) {
    cfine_image *image = &reader->job->image;
    size_t count = (size_t)image->width * (size_t)image->height * (size_t)channels;
    size_t sample_bytes = reader->largest > 255 ? 2 : 1;
    if ((reader->job->size - reader->at) / sample_bytes < count) return fail_truncated(reader->job, err);
    const uint8_t *in = reader->job->bytes + reader->at;
    for (size_t i = 0; i < count; i++, in += sample_bytes) {
        uint32_t value = sample_bytes == 2 ? (uint32_t)in[0] << 8 | in[1] : in[0];
        uint8_t level = reader->levels[value < reader->largest ? value : reader->largest];
        if (channels == 3)
            image->rgb[i] = level;
        else
            memset(image->rgb + 3 * i, level, 3);
    }
    return CFINE_OK;
}

static cfine_status read_bits(pnm_reader *reader, cfine_error *err) {
    cfine_image *image = &reader->job->image;
    size_t row_bytes = ((size_t)image->width + 7) / 8;
    if ((reader->job->size - reader->at) / row_bytes < (size_t)image->height) return fail_truncated(reader->job, err);
    const uint8_t *in = reader->job->bytes + reader->at;
    for (int y = 0; y < image->height; y++, in += row_bytes)
        for (int x = 0; x < image->width; x++)
            memset(cf_image_row(reader->job, y) + 3 * (size_t)x, in[x / 8] >> (7 - x % 8) & 1 ? 0 : 255, 3);
    return CFINE_OK;
}

static cfine_status read_samples(pnm_reader *reader, int kind, cfine_error *err) {
    uint32_t width, height;
    int bitmap = kind == 1 || kind == 4, channels = kind == 3 || kind == 6 ? 3 : 1;
    CF_TRY(read_number(reader, 9, &width, err));
    CF_TRY(read_number(reader, 9, &height, err));
    reader->largest = 1;
    if (!bitmap) CF_TRY(read_number(reader, 6, &reader->largest, err));
    if (reader->largest < 1 || reader->largest > 65535)
        return cf_fail(err, CFINE_ERROR_FORMAT, "maximum sample value %u is not in 1..65535", reader->largest);
    if (reader->at == reader->job->size) return fail_truncated(reader->job, err);
    if (!is_space(reader->job->bytes[reader->at]))
        return cf_fail(err, CFINE_ERROR_FORMAT, "byte 0x%02x after the header, where white space is due",
                       reader->job->bytes[reader->at]);
    reader->at++; // exactly one: binary samples may look like white space
    CF_TRY(cf_image_begin(reader->job, width, height, err));
    CF_TRY(make_levels(reader, err));
    if (kind == 4) return read_bits(reader, err);
    return kind < 4 ? read_text(reader, bitmap, channels, err) : read_binary(reader, channels, err);
}

static cfine_status read(cf_image_job *job, cfine_error *err) {
    pnm_reader reader = {.job = job, .at = 2};
    cfine_status status = read_samples(&reader, job->bytes[1] - '0', err);
    cf_free(reader.levels);
    return status;
}

const cf_image_reader cf_image_pnm = {"PNM", probe, read};
