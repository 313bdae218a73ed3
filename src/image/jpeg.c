// SPDX-License-Identifier: Apache-2.0
// JPEG by libjpeg-turbo with its defaults (accurate DCT, smooth chroma upsampling), which is what Pillow uses too.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "image/image.h"
#include "image/orientation.h"

// A progressive file may ask for any number of passes over the picture: real ones have about ten.
enum { MOST_SCANS = 300, ROWS_AT_ONCE = 8 };

typedef struct jpeg_decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape; // libjpeg reports errors by a call that must not return
    cf_image_job *job;
    cfine_status status;
    cfine_error *err;
} jpeg_decoder;

static jpeg_decoder *decoder_of(j_common_ptr info) {
    return info->client_data;
}

static void on_error(j_common_ptr info) {
    jpeg_decoder *decoder = decoder_of(info);
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    cfine_status status = CFINE_ERROR_FORMAT;
    switch (info->err->msg_code) {
    case JERR_OUT_OF_MEMORY: status = CFINE_ERROR_MEMORY; break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL: status = CFINE_ERROR_UNSUPPORTED; break;
    }
    decoder->status = cf_fail(decoder->err, status, "%s%s", status == CFINE_ERROR_FORMAT ? "damaged: " : "", text);
    longjmp(decoder->escape, 1);
}

// Damage inside the data is patched over by libjpeg, as in Pillow; the end of the data before the end of the picture is
// an error.
static void on_message(j_common_ptr info, int level) {
    if (level >= 0 || info->err->msg_code != JWRN_JPEG_EOF) return;
    jpeg_decoder *decoder = decoder_of(info);
    decoder->status =
        cf_fail(decoder->err, CFINE_ERROR_FORMAT,
                "truncated: the data ends after %zu bytes, before the end-of-image marker", decoder->job->size);
    longjmp(decoder->escape, 1);
}

static void on_progress(j_common_ptr info) {
    jpeg_decoder *decoder = decoder_of(info);
    if (decoder->info.input_scan_number <= MOST_SCANS) return;
    decoder->status = cf_fail(decoder->err, CFINE_ERROR_UNSUPPORTED, "more than %d scans", MOST_SCANS);
    longjmp(decoder->escape, 1);
}

static void find_orientation(jpeg_decoder *decoder) {
    for (jpeg_saved_marker_ptr marker = decoder->info.marker_list; marker; marker = marker->next)
        if (marker->data_length > 6 && !memcmp(marker->data, "Exif\0", 6)) {
            decoder->job->orientation = cf_exif_orientation(marker->data + 6, marker->data_length - 6);
            return;
        }
}

// a * b / 255, rounded.
static int mul_255(int a, int b) {
    int product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

// CMYK as Adobe writes it, inverted, so that 255 is no ink.
static void rgb_of_inverted_cmyk(const uint8_t *cmyk, uint8_t *rgb, int width) {
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        int white = cmyk[3];
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(white - mul_255(255 - cmyk[c], white));
    }
}

static cfine_status decode(jpeg_decoder *decoder) {
    struct jpeg_decompress_struct *info = &decoder->info;
    cf_image_job *job = decoder->job;
    jpeg_create_decompress(info);
    info->client_data = decoder;
    info->progress = &decoder->progress;
    decoder->progress.progress_monitor = on_progress;
    jpeg_mem_src(info, job->bytes, job->size);
    jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(info, TRUE);
    find_orientation(decoder);
    CF_TRY(cf_image_begin(job, info->image_width, info->image_height, decoder->err));
    int cmyk = info->num_components == 4;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB; // libjpeg makes RGB of grey and YCbCr
    jpeg_start_decompress(info);
    JSAMPARRAY inks = NULL;
    if (cmyk) inks = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, info->output_width * 4, 1);
    while (info->output_scanline < info->output_height) {
        int y = (int)info->output_scanline, left = job->image.height - y;
        if (cmyk) {
            jpeg_read_scanlines(info, inks, 1);
            rgb_of_inverted_cmyk(inks[0], cf_image_row(job, y), job->image.width);
            continue;
        }
        JSAMPROW rows[ROWS_AT_ONCE];
        int count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
        for (int i = 0; i < count; i++) rows[i] = cf_image_row(job, y + i);
        jpeg_read_scanlines(info, rows, (JDIMENSION)count);
    }
    jpeg_finish_decompress(info);
    return CFINE_OK;
}

static int probe(const uint8_t *bytes, size_t size) {
    return size >= 3 && !memcmp(bytes, "\xff\xd8\xff", 3);
}

static cfine_status read(cf_image_job *job, cfine_error *err) {
    jpeg_decoder decoder = {.job = job, .err = err};
    decoder.info.err = jpeg_std_error(&decoder.errors);
    decoder.info.client_data = &decoder;
    decoder.errors.error_exit = on_error;
    decoder.errors.emit_message = on_message;
    if (setjmp(decoder.escape) == 0) decoder.status = decode(&decoder);
    jpeg_destroy_decompress(&decoder.info);
    return decoder.status;
}

const cf_image_reader cf_image_jpeg = {"JPEG", probe, read};
