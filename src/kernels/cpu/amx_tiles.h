// SPDX-License-Identifier: Apache-2.0
// The shapes of AMX's eight tile registers.
#ifndef CF_KERNELS_CPU_AMX_TILES_H
#define CF_KERNELS_CPU_AMX_TILES_H

#include <immintrin.h>
#include <stdint.h>

// GCC 12 does not know that tiles read memory: before they do, what was stored there must not wait, or be left out.
static inline __attribute__((always_inline)) void cf_before_tiles(const void *to) {
    __asm__ volatile("" ::"r"(to) : "memory");
}

// As the processor reads them.
typedef struct __attribute__((packed)) {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} cf_tile_shapes;

// Rows and bytes of a row of each tile; all of a kernel's tiles are set before its first tile instruction.
static inline void cf_tiles_configure(const uint8_t rows[8], const uint16_t bytes[8]) {
    cf_tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) shapes.rows[i] = rows[i], shapes.bytes[i] = bytes[i];
    cf_before_tiles(&shapes);
    _tile_loadconfig(&shapes);
}

#endif
