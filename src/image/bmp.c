// SPDX-License-Identifier: Apache-2.0
// BMP: a file header, one of several info headers, a palette, and rows of pixels from the bottom up (or top down, when
// the height is negative), each padded to 4 bytes. 1, 4 and 8 bits index the palette, plain or run-length coded; 16, 24
// and 32 bits hold blue, green and red, or whatever bit masks say.
#include <string.h>

#include "image/image.h"

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, MASKS_AT = FILE_HEADER + INFO_HEADER };
enum { PLAIN = 0, RLE8 = 1, RLE4 = 2, BIT_FIELDS = 3, ALPHA_BIT_FIELDS = 6 };

typedef struct bmp_header {
    size_t pixels_at; // offset of the pixels in the file
    int64_t width, height;
    int top_down;
    uint32_t bits, compression;
    uint8_t palette[256][3]; // RGB; entries that the file lacks are black
    uint32_t masks[3];       // of red, green and blue, 16 and 32 bits only
} bmp_header;

static uint32_t read_u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t read_u32(const uint8_t *p) {
    return read_u16(p) | read_u16(p + 2) << 16;
}

static int probe(const uint8_t *bytes, size_t size) {
    return size >= 2 && bytes[0] == 'B' && bytes[1] == 'M';
}

static cfine_status fail_truncated(const cf_image_job *job, cfine_error *err) {
    return cf_fail(err, CFINE_ERROR_FORMAT, "truncated: the data ends after %zu bytes, before the end of the picture",
                   job->size);
}

static cfine_status read_masks(const cf_image_job *job, bmp_header *header, cfine_error *err) {
    static const uint32_t masks_16[3] = {0x7c00, 0x3e0, 0x1f}, masks_32[3] = {0xff0000, 0xff00, 0xff};
    memcpy(header->masks, header->bits == 16 ? masks_16 : masks_32, sizeof masks_16);
    if (header->compression == PLAIN) return CFINE_OK;
    if (job->size < MASKS_AT + 12) return fail_truncated(job, err);
    for (int c = 0; c < 3; c++) {
        uint32_t mask = read_u32(job->bytes + MASKS_AT + 4 * c);
        uint32_t lowest = mask & (~mask + 1);
        if (mask & (mask + lowest)) // adding the lowest bit clears a run of ones, and only a run
            return cf_fail(err, CFINE_ERROR_FORMAT, "bit mask 0x%08x has holes", mask);
        header->masks[c] = mask;
    }
    return CFINE_OK;
}

static cfine_status read_header(const cf_image_job *job, bmp_header *header, cfine_error *err) {
    const uint8_t *bytes = job->bytes;
    memset(header, 0, sizeof *header);
    if (job->size < FILE_HEADER + CORE_HEADER) return fail_truncated(job, err);
    header->pixels_at = read_u32(bytes + 10);
    size_t info = read_u32(bytes + FILE_HEADER);
    if (info != CORE_HEADER && (info < INFO_HEADER || info > 4096))
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "info header of %zu bytes is not one that cfine knows", info);
    if (job->size < FILE_HEADER + info) return fail_truncated(job, err);
    size_t colours = 0, colour_bytes = 4;
    if (info == CORE_HEADER) {
        header->width = read_u16(bytes + 18);
        header->height = read_u16(bytes + 20);
        header->bits = read_u16(bytes + 24);
        colour_bytes = 3;
    } else {
        header->width = (int32_t)read_u32(bytes + 18);
        header->height = (int32_t)read_u32(bytes + 22);
        header->bits = read_u16(bytes + 28);
        header->compression = read_u32(bytes + 30);
        colours = read_u32(bytes + 46);
    }
    header->top_down = header->height < 0;
    if (header->top_down) header->height = -header->height;

    uint32_t bits = header->bits, compression = header->compression;
    int indexed = bits == 1 || bits == 4 || bits == 8, wide = bits == 16 || bits == 32;
    int known = compression == PLAIN                                           ? indexed || wide || bits == 24
                : compression == RLE8                                          ? bits == 8
                : compression == RLE4                                          ? bits == 4
                : compression == BIT_FIELDS || compression == ALPHA_BIT_FIELDS ? wide
                                                                               : 0;
    if (!known)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%u bits a pixel with compression %u is not supported", bits,
                       compression);
    if (wide) return read_masks(job, header, err);
    if (!indexed) return CFINE_OK;
    if (!colours || colours > 1u << bits) colours = 1u << bits;
    const uint8_t *entry = bytes + FILE_HEADER + info;
    if ((job->size - FILE_HEADER - info) / colour_bytes < colours) return fail_truncated(job, err);
    for (size_t i = 0; i < colours; i++, entry += colour_bytes)
        for (int c = 0; c < 3; c++) header->palette[i][c] = entry[2 - c];
    return CFINE_OK;
}

static uint8_t *row_of(const cf_image_job *job, const bmp_header *header, int64_t y) {
    return cf_image_row(job, (int)(header->top_down ? y : header->height - 1 - y));
}

static void rgb_of_masked(const bmp_header *header, const uint8_t *in, uint8_t *rgb) {
    uint32_t bytes = header->bits / 8;
    for (int64_t x = 0; x < header->width; x++, in += bytes, rgb += 3) {
        uint32_t pixel = bytes == 2 ? read_u16(in) : read_u32(in);
        for (int c = 0; c < 3; c++) {
            uint32_t mask = header->masks[c], lowest = mask & (~mask + 1);
            rgb[c] = mask ? (uint8_t)((uint64_t)((pixel & mask) / lowest) * 255 / (mask / lowest)) : 0;
        }
    }
}

static void rgb_of_indices(const bmp_header *header, const uint8_t *in, uint8_t *rgb) {
    uint32_t bits = header->bits, mask = (1u << bits) - 1;
    for (int64_t x = 0; x < header->width; x++, rgb += 3) {
        int64_t bit = x * bits;
        memcpy(rgb, header->palette[(uint32_t)in[bit / 8] >> (8 - bits - bit % 8) & mask], 3);
    }
}

static cfine_status read_plain(cf_image_job *job, const bmp_header *header, cfine_error *err) {
    size_t row_bits = (size_t)header->width * header->bits, row_bytes = (row_bits + 7) / 8;
    size_t stride = (row_bits + 31) / 32 * 4, left = job->size - header->pixels_at;
    if (left < row_bytes || (left - row_bytes) / stride < (size_t)header->height - 1) return fail_truncated(job, err);
    const uint8_t *in = job->bytes + header->pixels_at;
    for (int64_t y = 0; y < header->height; y++, in += stride) {
        uint8_t *rgb = row_of(job, header, y);
        if (header->bits < 16) {
            rgb_of_indices(header, in, rgb);
        } else if (header->bits != 24) {
            rgb_of_masked(header, in, rgb);
        } else {
            for (int64_t x = 0; x < header->width; x++)
                for (int c = 0; c < 3; c++) rgb[3 * x + c] = in[3 * x + 2 - c];
        }
    }
    return CFINE_OK;
}

// Where run-length codes have got to; pixels that they skip keep colour 0.
typedef struct bmp_cursor {
    const cf_image_job *job;
    const bmp_header *header;
    int64_t x, y;
} bmp_cursor;

static void put(bmp_cursor *at, uint32_t index) {
    if (at->x < at->header->width && at->y < at->header->height)
        memcpy(row_of(at->job, at->header, at->y) + 3 * at->x, at->header->palette[index], 3);
    at->x++;
}

// Index i of a run or of literal pixels: a byte each with 8 bits, upper then lower half with 4.
static uint32_t nth_index(const uint8_t *bytes, uint32_t i, uint32_t bits) {
    if (bits == 8) return bytes[i];
    return i % 2 ? bytes[i / 2] & 15u : bytes[i / 2] >> 4;
}

static cfine_status read_runs(cf_image_job *job, const bmp_header *header, cfine_error *err) {
    enum { END_OF_ROW = 0, END_OF_PICTURE = 1, MOVE = 2 };
    const uint8_t *in = job->bytes + header->pixels_at, *end = job->bytes + job->size;
    bmp_cursor at = {.job = job, .header = header};
    for (int64_t y = 0; y < header->height; y++)
        for (int64_t x = 0; x < header->width; x++) memcpy(row_of(job, header, y) + 3 * x, header->palette[0], 3);
    while (at.y < header->height) {
        if (end - in < 2) return fail_truncated(job, err);
        uint32_t count = in[0], code = in[1];
        in += 2;
        if (count) {
            uint8_t pair[2] = {(uint8_t)code, (uint8_t)code};
            for (uint32_t i = 0; i < count; i++) put(&at, nth_index(pair, i % 2, header->bits));
        } else if (code == END_OF_ROW) {
            at.x = 0;
            at.y++;
        } else if (code == END_OF_PICTURE) {
            return CFINE_OK;
        } else if (code == MOVE) {
            if (end - in < 2) return fail_truncated(job, err);
            at.x += in[0];
            at.y += in[1];
            in += 2;
        } else {
            uint32_t bytes = (code * header->bits + 15) / 16 * 2; // padded to 16 bits
            if (end - in < (ptrdiff_t)bytes) return fail_truncated(job, err);
            for (uint32_t i = 0; i < code; i++) put(&at, nth_index(in, i, header->bits));
            in += bytes;
        }
    }
    return CFINE_OK;
}

static cfine_status read(cf_image_job *job, cfine_error *err) {
    bmp_header header;
    CF_TRY(read_header(job, &header, err));
    CF_TRY(cf_image_begin(job, header.width, header.height, err));
    if (header.pixels_at >= job->size) return fail_truncated(job, err);
    int runs = header.compression == RLE8 || header.compression == RLE4;
    return runs ? read_runs(job, &header, err) : read_plain(job, &header, err);
}

const cf_image_reader cf_image_bmp = {"BMP", probe, read};
