// SPDX-License-Identifier: Apache-2.0
#include "image/orientation.h"

#include <string.h>

#include "base/memory.h"

static uint32_t read_u16(const uint8_t *p, int big) {
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const uint8_t *p, int big) {
    return big ? read_u16(p, 1) << 16 | read_u16(p + 2, 1) : read_u16(p + 2, 0) << 16 | read_u16(p, 0);
}

int cf_exif_orientation(const uint8_t *exif, size_t size) {
    enum { TAG_ORIENTATION = 0x112, TYPE_BYTE = 1, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY = 12 };
    if (size < 8) return 1;
    int big = exif[0] == 'M';
    if (memcmp(exif, big ? "MM\0*" : "II*\0", 4) != 0) return 1;
    size_t directory = read_u32(exif + 4, big);
    if (directory > size - 2) return 1;
    size_t entries = read_u16(exif + directory, big), room = (size - directory - 2) / ENTRY;
    if (entries > room) entries = room;
    for (size_t i = 0; i < entries; i++) {
        const uint8_t *entry = exif + directory + 2 + i * ENTRY; // tag, type, count, value
        if (read_u16(entry, big) != TAG_ORIENTATION || read_u32(entry + 4, big) != 1) continue;
        uint32_t type = read_u16(entry + 2, big), value = 1;
        if (type == TYPE_SHORT) value = read_u16(entry + 8, big);
        if (type == TYPE_LONG) value = read_u32(entry + 8, big);
        if (type == TYPE_BYTE) value = entry[8];
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

cfine_status cf_image_turn_upright(cfine_image *image, int orientation, cfine_error *err) {
    if (orientation <= 1 || orientation > 8) return CFINE_OK;
    // What the stored row 0 and column 0 show: whether rows run backwards, columns run backwards, and axes are swapped.
    int swap = orientation >= 5;
    int mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    int mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    ptrdiff_t width = image->width, height = image->height;
    ptrdiff_t out_width = swap ? height : width, out_height = swap ? width : height;
    size_t bytes = (size_t)width * (size_t)height * 3;
    uint8_t *turned = cf_alloc(bytes, 1);
    if (!turned) return cf_fail_memory(err, "turned image", bytes);
    // Steps in the stored image, in bytes, for one pixel to the right and one row down in the upright one.
    ptrdiff_t step_x = (mirror_x ? -3 : 3), step_y = (mirror_y ? -3 : 3) * width;
    ptrdiff_t right = swap ? step_y : step_x, down = swap ? step_x : step_y;
    const uint8_t *origin = image->rgb + (mirror_x ? (width - 1) * 3 : 0) + (mirror_y ? (height - 1) * width * 3 : 0);
    uint8_t *to = turned;
    for (ptrdiff_t y = 0; y < out_height; y++) {
        const uint8_t *from = origin + y * down;
        for (ptrdiff_t x = 0; x < out_width; x++, from += right, to += 3) {
            to[0] = from[0];
            to[1] = from[1];
            to[2] = from[2];
        }
    }
    cf_free(image->rgb);
    *image = (cfine_image){(int)out_width, (int)out_height, turned};
    return CFINE_OK;
}
