// SPDX-License-Identifier: Apache-2.0
// WebP by libwebp, lossy and lossless; alpha is dropped (not blended).
#include <string.h>

#include <webp/decode.h>

#include "image/image.h"
#include "image/orientation.h"

static int probe(const uint8_t *bytes, size_t size) {
    return size >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4);
}

// The EXIF chunk of the RIFF container: "RIFF" size "WEBP", then chunks of name, size and data padded to even sizes.
static int find_orientation(const uint8_t *bytes, size_t size) {
    for (size_t at = 12; at + 8 <= size;) {
        const uint8_t *chunk = bytes + at;
        size_t length = (size_t)chunk[4] | (size_t)chunk[5] << 8 | (size_t)chunk[6] << 16 | (size_t)chunk[7] << 24;
        if (length > size - at - 8) return 1;
        if (!memcmp(chunk, "EXIF", 4)) {
            const uint8_t *exif = chunk + 8;
            size_t skip = length > 6 && !memcmp(exif, "Exif\0", 6) ? 6 : 0; // some writers copy JPEG's prefix
            return cf_exif_orientation(exif + skip, length - skip);
        }
        at += 8 + length + (length & 1);
    }
    return 1;
}

static cfine_status fail_webp(VP8StatusCode code, const cf_image_job *job, cfine_error *err) {
    switch (code) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "truncated: the data ends after %zu bytes, before the end of the picture", job->size);
    case VP8_STATUS_OUT_OF_MEMORY: return cf_fail_memory(err, "WebP decoder", job->size);
    case VP8_STATUS_UNSUPPORTED_FEATURE: return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "uses a feature libwebp lacks");
    default: return cf_fail(err, CFINE_ERROR_FORMAT, "damaged: the bitstream is not valid");
    }
}

static cfine_status read(cf_image_job *job, cfine_error *err) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "libwebp is of another version than the one cfine was built with");
    VP8StatusCode code = WebPGetFeatures(job->bytes, job->size, &config.input);
    if (code != VP8_STATUS_OK) return fail_webp(code, job, err);
    if (config.input.has_animation)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "animations are not supported: extract a frame");
    CF_TRY(cf_image_begin(job, config.input.width, config.input.height, err));
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = job->image.rgb;
    config.output.u.RGBA.stride = job->image.width * 3; // at most 16383 * 3: WebP has no larger pictures
    config.output.u.RGBA.size = (size_t)job->image.width * (size_t)job->image.height * 3;
    code = WebPDecode(job->bytes, job->size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) return fail_webp(code, job, err);
    job->orientation = find_orientation(job->bytes, job->size);
    return CFINE_OK;
}

const cf_image_reader cf_image_webp = {"WebP", probe, read};
