// SPDX-License-Identifier: Apache-2.0
// Conversions between FP32 and shorter formats, rounding to nearest even; NaN stays NaN.
#ifndef CF_BASE_HALF_H
#define CF_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t cf_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float cf_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float cf_bf16_to_f32(uint16_t half) {
    return cf_float_of((uint32_t)half << 16);
}

static inline uint16_t cf_f32_to_bf16(float value) {
    uint32_t bits = cf_bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); // quiet NaN
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float cf_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    if (exponent == 31) return cf_float_of(sign | 0x7f800000 | mantissa << 13);
    if (exponent) return cf_float_of(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f; // subnormal or zero
    return sign ? -magnitude : magnitude;
}

static inline uint16_t cf_f32_to_f16(float value) {
    uint32_t bits = cf_bits_of(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);  // NaN
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // rounds to infinity
    if (magnitude < 0x38800000) {                                  // subnormal: let the FPU round
        float rounded = cf_float_of(magnitude) + 0.5f;             // ulp of 0.5 is 2^-24, the subnormal step
        return (uint16_t)(sign | (cf_bits_of(rounded) - cf_bits_of(0.5f)));
    }
    return (uint16_t)(sign | ((magnitude + 0xfff + (magnitude >> 13 & 1)) - 0x38000000) >> 13);
}

// E4M3 as GPUs have it: 1, 4 and 3 bits, no infinity, NaN where all but the sign are set.
static inline float cf_e4m3_to_f32(uint8_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x80) << 24, exponent = bits >> 3 & 15, mantissa = bits & 7;
    if ((bits & 0x7f) == 0x7f) return cf_float_of(sign | 0x7fc00000);
    if (exponent) return cf_float_of(sign | (exponent + 120) << 23 | mantissa << 20);
    float magnitude = (float)mantissa * 0x1p-9f; // subnormal or zero
    return sign ? -magnitude : magnitude;
}

// What lies beyond 448 becomes that.
static inline uint8_t cf_f32_to_e4m3(float value) {
    uint32_t bits = cf_bits_of(value), sign = bits >> 24 & 0x80, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint8_t)(sign | 0x7f);  // NaN
    if (magnitude >= 0x43e00000) return (uint8_t)(sign | 0x7e); // 448
    if (magnitude < 0x3c800000) {                               // subnormal: let the FPU round
        float rounded = cf_float_of(magnitude) + 0x1p14f;       // ulp of 2^14 is 2^-9, the subnormal step
        return (uint8_t)(sign | (cf_bits_of(rounded) - cf_bits_of(0x1p14f)));
    }
    return (uint8_t)(sign | ((magnitude + 0x7ffff + (magnitude >> 20 & 1)) - 0x3c000000) >> 20);
}

#endif
