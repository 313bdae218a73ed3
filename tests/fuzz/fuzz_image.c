// SPDX-License-Identifier: Apache-2.0
// Any bytes as an image: an error of one line, or pixels that can all be read.
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cf_image_limits limits = {.max_pixels = 1 << 18};
    cfine_image image;
    cfine_error error = {0};
    cfine_status status = cf_image_decode(data, size, &limits, &image, &error);
    if (status != CFINE_OK) {
        if (!error.message[0] || strchr(error.message, '\n') || image.rgb) abort();
        return 0;
    }
    volatile uint8_t seen; // reads of every pixel stay
    size_t bytes = (size_t)image.width * (size_t)image.height * 3;
    for (size_t i = 0; i < bytes; i++) seen = image.rgb[i];
    cfine_image_release(&image);
    (void)seen;
    return 0;
}
