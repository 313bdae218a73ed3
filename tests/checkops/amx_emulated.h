// SPDX-License-Identifier: Apache-2.0
// AMX tiles in plain C, so that the AMX kernels are checked on every machine. Forced in front of the kernels that use
// them, which the checker compiles a second time with the intrinsics replaced by these.
#ifndef CF_CHECKOPS_AMX_EMULATED_H
#define CF_CHECKOPS_AMX_EMULATED_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct {
    uint8_t loaded, rows[8], data[8][16][64];
    uint16_t bytes[8];
} emulated;

// What the processor would answer with an exception ends the checker.
static inline void emulated_need(int condition) {
    if (!condition) abort();
}

static inline void emulated_config(const void *from) {
    const uint8_t *config = from;
    memset(&emulated, 0, sizeof emulated);
    emulated_need(config[0] == 1);
    for (int t = 0; t < 8; t++) {
        memcpy(&emulated.bytes[t], config + 16 + 2 * t, 2);
        emulated.rows[t] = config[48 + t];
        emulated_need(emulated.rows[t] <= 16 && emulated.bytes[t] <= 64);
        emulated_need((emulated.rows[t] == 0) == (emulated.bytes[t] == 0));
    }
    emulated.loaded = 1;
}

static inline void emulated_load(int tile, const void *from, int64_t stride) {
    emulated_need(emulated.loaded && emulated.rows[tile]);
    memset(emulated.data[tile], 0, sizeof emulated.data[tile]);
    for (int row = 0; row < emulated.rows[tile]; row++)
        memcpy(emulated.data[tile][row], (const char *)from + row * stride, emulated.bytes[tile]);
}

static inline void emulated_zero(int tile) {
    emulated_need(emulated.loaded && emulated.rows[tile]);
    memset(emulated.data[tile], 0, sizeof emulated.data[tile]);
}

static inline void emulated_store(int tile, void *to, int64_t stride) {
    emulated_need(emulated.loaded && emulated.rows[tile]);
    for (int row = 0; row < emulated.rows[tile]; row++)
        memcpy((char *)to + row * stride, emulated.data[tile][row], emulated.bytes[tile]);
}

static inline void emulated_shapes_fit(int sums, int a, int b) {
    emulated_need(emulated.rows[sums] == emulated.rows[a] && emulated.bytes[sums] == emulated.bytes[b] &&
                  emulated.bytes[a] == emulated.rows[b] * 4 && emulated.rows[a]);
}

// As the instruction sums: even and odd products each from zero, their sum then joins the tile's.
static inline void emulated_bf16(int sums, int a, int b) {
    emulated_shapes_fit(sums, a, b);
    for (int m = 0; m < emulated.rows[sums]; m++)
        for (int n = 0; n < emulated.bytes[sums] / 4; n++) {
            float part[2] = {0, 0}, sum;
            for (int k = 0; k < emulated.rows[b]; k++)
                for (int i = 0; i < 2; i++) {
                    uint32_t left = 0, right = 0;
                    float x, y;
                    memcpy((char *)&left + 2, emulated.data[a][m] + k * 4 + i * 2, 2);
                    memcpy((char *)&right + 2, emulated.data[b][k] + n * 4 + i * 2, 2);
                    memcpy(&x, &left, 4), memcpy(&y, &right, 4);
                    part[i] = fmaf(x, y, part[i]);
                }
            memcpy(&sum, emulated.data[sums][m] + n * 4, 4);
            sum += part[0] + part[1];
            memcpy(emulated.data[sums][m] + n * 4, &sum, 4);
        }
}

static inline void emulated_int8(int sums, int a, int b, int is_signed) {
    emulated_shapes_fit(sums, a, b);
    for (int m = 0; m < emulated.rows[sums]; m++)
        for (int k = 0; k < emulated.rows[b]; k++)
            for (int n = 0; n < emulated.bytes[sums] / 4; n++) {
                int32_t sum;
                memcpy(&sum, emulated.data[sums][m] + n * 4, 4);
                for (int i = 0; i < 4; i++) {
                    uint8_t left = emulated.data[a][m][k * 4 + i];
                    sum += (is_signed ? (int8_t)left : left) * (int8_t)emulated.data[b][k][n * 4 + i];
                }
                memcpy(emulated.data[sums][m] + n * 4, &sum, 4);
            }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#undef _tile_dpbusd
#undef _tile_dpbssd
#define _tile_loadconfig(from) emulated_config(from)
#define _tile_release() memset(&emulated, 0, sizeof emulated)
#define _tile_loadd(tile, from, stride) emulated_load(tile, from, stride)
#define _tile_stream_loadd(tile, from, stride) emulated_load(tile, from, stride)
#define _tile_stored(tile, to, stride) emulated_store(tile, to, stride)
#define _tile_zero(tile) emulated_zero(tile)
#define _tile_dpbf16ps(sums, a, b) emulated_bf16(sums, a, b)
#define _tile_dpbusd(sums, a, b) emulated_int8(sums, a, b, 0)
#define _tile_dpbssd(sums, a, b) emulated_int8(sums, a, b, 1)

// Names of their own, beside the real ones.
#define cf_conv_bf16_amx emulated_conv_bf16_amx
#define cf_conv_int8_amx emulated_conv_int8_amx
#define cf_conv_f32_amx emulated_conv_f32_amx
#define cf_attention_bf16_amx emulated_attention_bf16_amx
#define cf_winograd_amx emulated_winograd_amx
#define cf_winograd_bf16_amx emulated_winograd_bf16_amx

#endif
