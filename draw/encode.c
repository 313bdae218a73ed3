// SPDX-License-Identifier: Apache-2.0
#include "encode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <spng.h>

#include "common/failure.h"

enum { PNG_COMPRESSION = 3 }; // of 9: photos hardly get smaller with more, only slower

// libjpeg reports an error by a call that must not return.
typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
} jpeg_errors;

static void jpeg_give_up(j_common_ptr info) {
    jpeg_errors *errors = (jpeg_errors *)info->err;
    errors->base.format_message(info, errors->message);
    longjmp(errors->escape, 1);
}

static cfine_status encode_jpeg(const cfine_image *image, uint8_t **bytes, size_t *size, cfine_error *error) {
    if (image->width > JPEG_MAX_DIMENSION || image->height > JPEG_MAX_DIMENSION)
        return common_fail(error, CFINE_ERROR_UNSUPPORTED, "cannot encode a JPEG of %dx%d: the most is %ld each way",
                           image->width, image->height, (long)JPEG_MAX_DIMENSION);
    struct jpeg_compress_struct info = {0};
    jpeg_errors errors;
    unsigned char *out = NULL;
    unsigned long out_size = 0;
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_give_up;
    if (setjmp(errors.escape)) {
        jpeg_destroy_compress(&info); // the output is libjpeg's until it is finished, and lost: it was short of memory
        return common_fail(error, CFINE_ERROR_MEMORY, "cannot encode a JPEG of %dx%d: %s", image->width, image->height,
                           errors.message);
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &out, &out_size);
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, DRAW_JPEG_QUALITY, TRUE);
    for (int i = 0; i < info.num_components; i++) // 4:4:4, as colours of thin lines would run otherwise
        info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = image->rgb + (size_t)info.next_scanline * (size_t)image->width * 3;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    *bytes = out;
    *size = out_size;
    return CFINE_OK;
}

static cfine_status encode_png(const cfine_image *image, uint8_t **bytes, size_t *size, cfine_error *error) {
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    if (!context) return common_fail(error, CFINE_ERROR_MEMORY, "out of memory for a PNG");
    struct spng_ihdr header = {.width = (uint32_t)image->width,
                               .height = (uint32_t)image->height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    size_t pixels = (size_t)image->width * (size_t)image->height * 3;
    int code = spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
    if (!code) code = spng_set_option(context, SPNG_IMG_COMPRESSION_LEVEL, PNG_COMPRESSION);
    if (!code) code = spng_set_ihdr(context, &header);
    if (!code) code = spng_encode_image(context, image->rgb, pixels, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!code) *bytes = spng_get_png_buffer(context, size, &code);
    spng_ctx_free(context);
    if (!code) return CFINE_OK;
    return common_fail(error, code == SPNG_EMEM ? CFINE_ERROR_MEMORY : CFINE_ERROR_UNSUPPORTED,
                       "cannot encode a PNG of %dx%d: %s", image->width, image->height, spng_strerror(code));
}

cfine_status draw_encode(const cfine_image *image, draw_format format, uint8_t **bytes, size_t *size,
                         cfine_error *error) {
    *bytes = NULL;
    *size = 0;
    return format == DRAW_JPEG ? encode_jpeg(image, bytes, size, error) : encode_png(image, bytes, size, error);
}
