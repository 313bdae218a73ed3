// SPDX-License-Identifier: Apache-2.0
// PNG by libspng. Samples come as the file stores them and are brought to RGB here: palettes and grey spread, alpha
// dropped (not blended), 16 bits cut to the upper 8.
#include <string.h>

#include <spng.h>

#include "base/memory.h"
#include "image/image.h"
#include "image/orientation.h"

enum { MOST_CHUNK_BYTES = 64 << 20 }; // of texts, colour profiles and EXIF, which only the last is wanted of

static int probe(const uint8_t *bytes, size_t size) {
    return size >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8);
}

// libspng and zlib report some failed allocations as damage, and their allocation hooks take no context.
static _Thread_local int allocation_failed;

static void *note_failure(void *block) {
    if (!block) allocation_failed = 1;
    return block;
}

static void *allocate(size_t size) {
    return note_failure(cf_alloc(1, size));
}

static void *allocate_many(size_t count, size_t size) {
    return note_failure(cf_alloc(count, size));
}

static void *reallocate(void *block, size_t size) {
    return note_failure(cf_realloc(block, 1, size));
}

static cfine_status fail_spng(int code, const cf_image_job *job, cfine_error *err) {
    if (allocation_failed) code = SPNG_EMEM;
    switch (code) {
    case SPNG_IO_EOF:
    case SPNG_EOF:
    case SPNG_EIDAT_TOO_SHORT:
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "truncated: the data ends after %zu bytes, before the end of the picture", job->size);
    case SPNG_EMEM: return cf_fail_memory(err, "PNG decoder", job->size);
    case SPNG_ECHUNK_LIMITS:
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "texts or profiles larger than %d bytes", MOST_CHUNK_BYTES);
    default: return cf_fail(err, CFINE_ERROR_FORMAT, "damaged: %s", spng_strerror(code));
    }
}

// One row of samples as stored (16-bit ones in host order) to RGB.
static void rgb_of_row(const struct spng_ihdr *header, const struct spng_plte *palette, const uint8_t *in,
                       uint8_t *rgb) {
    static const uint8_t grey_step[9] = {[1] = 255, [2] = 85, [4] = 17, [8] = 1};
    uint32_t depth = header->bit_depth, mask = (1u << depth) - 1;
    int coloured =
        header->color_type == SPNG_COLOR_TYPE_TRUECOLOR || header->color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;
    uint32_t channels = (coloured ? 3 : 1) + ((header->color_type & 4) != 0); // bit 2: with alpha
    for (uint32_t x = 0; x < header->width; x++, rgb += 3) {
        if (depth < 8) { // grey or palette, packed from the upper bit down
            size_t bit = (size_t)x * depth;
            uint32_t value = (uint32_t)in[bit / 8] >> (8 - depth - bit % 8) & mask;
            if (header->color_type == SPNG_COLOR_TYPE_INDEXED)
                memcpy(rgb, &palette->entries[value], 3);
            else
                memset(rgb, (int)(value * grey_step[depth]), 3);
            continue;
        }
        uint8_t sample[3];
        for (uint32_t c = 0; c < 3; c++) {
            size_t at = (size_t)x * channels + (coloured ? c : 0);
            uint16_t wide;
            if (depth == 16) {
                memcpy(&wide, in + 2 * at, 2);
                sample[c] = (uint8_t)(wide >> 8);
            } else {
                sample[c] = in[at];
            }
        }
        memcpy(rgb, header->color_type == SPNG_COLOR_TYPE_INDEXED ? &palette->entries[sample[0]].red : sample, 3);
    }
}

static cfine_status read_with(spng_ctx *context, cf_image_job *job, cfine_error *err) {
    int code;
    if ((code = spng_set_chunk_limits(context, MOST_CHUNK_BYTES, MOST_CHUNK_BYTES)) ||
        (code = spng_set_png_buffer(context, job->bytes, job->size)))
        return fail_spng(code, job, err);
    struct spng_ihdr header;
    if ((code = spng_get_ihdr(context, &header))) return fail_spng(code, job, err);
    CF_TRY(cf_image_begin(job, header.width, header.height, err));
    struct spng_exif exif;
    if (spng_get_exif(context, &exif) == 0)
        job->orientation = cf_exif_orientation((const uint8_t *)exif.data, exif.length);

    int as_stored = header.color_type == SPNG_COLOR_TYPE_TRUECOLOR && header.bit_depth == 8;
    size_t bytes;
    if ((code = spng_decoded_image_size(context, SPNG_FMT_PNG, &bytes))) return fail_spng(code, job, err);
    if (as_stored) {
        code = spng_decode_image(context, job->image.rgb, bytes, SPNG_FMT_PNG, 0);
        return code ? fail_spng(code, job, err) : CFINE_OK;
    }
    struct spng_plte palette = {0}; // an index beyond the palette is black, as in Pillow
    if (header.color_type == SPNG_COLOR_TYPE_INDEXED && (code = spng_get_plte(context, &palette)))
        return fail_spng(code, job, err);
    uint8_t *samples = cf_alloc(bytes, 1);
    if (!samples) return cf_fail_memory(err, "PNG samples", bytes);
    code = spng_decode_image(context, samples, bytes, SPNG_FMT_PNG, 0);
    if (code == 0)
        for (int y = 0; y < job->image.height; y++)
            rgb_of_row(&header, &palette, samples + bytes / header.height * (size_t)y, cf_image_row(job, y));
    cf_free(samples);
    return code ? fail_spng(code, job, err) : CFINE_OK;
}

static cfine_status read(cf_image_job *job, cfine_error *err) {
    struct spng_alloc memory = {allocate, reallocate, allocate_many, cf_free};
    allocation_failed = 0;
    spng_ctx *context = spng_ctx_new2(&memory, 0);
    if (!context) return cf_fail_memory(err, "PNG decoder", 0);
    cfine_status status = read_with(context, job, err);
    spng_ctx_free(context);
    return status;
}

const cf_image_reader cf_image_png = {"PNG", probe, read};
