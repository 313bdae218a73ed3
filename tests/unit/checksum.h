// SPDX-License-Identifier: Apache-2.0
// CRC-32 as zlib and PNG compute it: what golden files store in place of pixels.
#ifndef CF_TESTS_UNIT_CHECKSUM_H
#define CF_TESTS_UNIT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32_of(const void *data, size_t size) {
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
            table[i] = value;
        }
    uint32_t crc = ~0u;
    for (const uint8_t *p = data, *end = p + size; p < end; p++) crc = crc >> 8 ^ table[(crc ^ *p) & 255];
    return ~crc;
}

#endif
