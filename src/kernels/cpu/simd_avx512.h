// SPDX-License-Identifier: Apache-2.0
// Sixteen FP32 lanes in AVX-512, by the names that simd_avx2.h gives to eight: kernels written in these words are
// compiled once for each. Only for files that are compiled with the instruction set.
#ifndef CF_KERNELS_CPU_SIMD_AVX512_H
#define CF_KERNELS_CPU_SIMD_AVX512_H

#include <immintrin.h>

#include "graph/op.h"

#define CF_INLINE static inline __attribute__((always_inline))

enum { V_LANES = 16 };
typedef __m512 v_f32;
typedef __m512i v_i32;
typedef __mmask16 v_truth; // one bit a lane

// Names of kernels and their symbols in files that are compiled for each instruction set.
#define V_ISA(name) name##_avx512
#define V_ISA_NAME "avx512"
#define V_CPU CF_CPU_AVX512

CF_INLINE v_f32 v_set(float x) {
    return _mm512_set1_ps(x);
}
CF_INLINE v_i32 v_set_i32(int32_t x) {
    return _mm512_set1_epi32(x);
}
CF_INLINE v_f32 v_zero(void) {
    return _mm512_setzero_ps();
}
CF_INLINE v_f32 v_add(v_f32 a, v_f32 b) {
    return _mm512_add_ps(a, b);
}
CF_INLINE v_f32 v_sub(v_f32 a, v_f32 b) {
    return _mm512_sub_ps(a, b);
}
CF_INLINE v_f32 v_mul(v_f32 a, v_f32 b) {
    return _mm512_mul_ps(a, b);
}
CF_INLINE v_f32 v_div(v_f32 a, v_f32 b) {
    return _mm512_div_ps(a, b);
}
CF_INLINE v_f32 v_reciprocal(v_f32 a) { // of normal numbers up to 2^126; two units in the last place, faster than v_div
    v_f32 r = _mm512_rcp14_ps(a);
    return _mm512_fmadd_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(1)), r);
}
CF_INLINE v_f32 v_reciprocal_rough(v_f32 a) { // relative error 2^-14; 0 for infinity
    return _mm512_rcp14_ps(a);
}
CF_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { // a * b + c
    return _mm512_fmadd_ps(a, b, c);
}
CF_INLINE v_f32 v_fnma(v_f32 a, v_f32 b, v_f32 c) { // c - a * b
    return _mm512_fnmadd_ps(a, b, c);
}
CF_INLINE v_f32 v_max(v_f32 a, v_f32 b) { // b when either is NaN
    return _mm512_max_ps(a, b);
}
CF_INLINE v_f32 v_min(v_f32 a, v_f32 b) { // b when either is NaN
    return _mm512_min_ps(a, b);
}
CF_INLINE v_f32 v_abs(v_f32 a) {
    return _mm512_abs_ps(a);
}
CF_INLINE v_f32 v_copy_sign(v_f32 size, v_f32 sign) { // size is not negative
    return _mm512_or_ps(size, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}
CF_INLINE v_f32 v_round(v_f32 a) {
    return _mm512_roundscale_ps(a, 8);
}
CF_INLINE v_f32 v_floor(v_f32 a) {
    return _mm512_roundscale_ps(a, 9);
}
CF_INLINE v_f32 v_sqrt(v_f32 a) {
    return _mm512_sqrt_ps(a);
}
CF_INLINE float v_sum(v_f32 a) { // of all lanes
    return _mm512_reduce_add_ps(a);
}
CF_INLINE float v_most(v_f32 a) { // of all lanes
    return _mm512_reduce_max_ps(a);
}
CF_INLINE v_truth v_less(v_f32 a, v_f32 b) { // false when either is NaN
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
CF_INLINE v_truth v_at_least(v_f32 a, v_f32 b) { // likewise
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}
CF_INLINE v_truth v_both(v_truth a, v_truth b) {
    return a & b;
}
CF_INLINE v_truth v_first(int lanes) { // true in the first `lanes`
    return (v_truth)((1u << lanes) - 1);
}
CF_INLINE int v_count(v_truth a) { // of the true lanes
    return __builtin_popcount(a);
}
CF_INLINE v_f32 v_choose(v_truth a, v_f32 yes, v_f32 no) {
    return _mm512_mask_blend_ps(a, no, yes);
}
CF_INLINE v_f32 v_split(v_f32 a, v_f32 *exponent) { // a = result * 2^exponent, 1/sqrt 2 <= result < sqrt 2; a > 0
    __m512 e = _mm512_getexp_ps(a), m = _mm512_getmant_ps(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    __mmask16 high = _mm512_cmp_ps_mask(m, v_set(1.41421356f), _CMP_GE_OQ);
    *exponent = _mm512_mask_add_ps(e, high, e, v_set(1));
    return _mm512_mask_mul_ps(m, high, m, v_set(0.5f));
}
CF_INLINE v_f32 v_scale_by_power(v_f32 a, v_f32 n) { // a * 2^n, n whole, -150 .. 128
    return _mm512_scalef_ps(a, n);
}
CF_INLINE v_f32 v_fraction(v_f32 a) { // a - floor(a); 0 for infinities
    return _mm512_reduce_ps(a, 9);
}
CF_INLINE v_f32 v_scale_by_floor(v_f32 a, v_f32 x) { // a * 2^floor(x), any x
    return _mm512_scalef_ps(a, x);
}
CF_INLINE v_f32 v_from_i32(v_i32 a) {
    return _mm512_cvtepi32_ps(a);
}
CF_INLINE v_f32 v_load(const float *from) {
    return _mm512_loadu_ps(from);
}
CF_INLINE void v_store(float *to, v_f32 a) {
    _mm512_storeu_ps(to, a);
}
CF_INLINE v_f32 v_load_n(const float *from, int lanes) { // zero behind
    return _mm512_maskz_loadu_ps(v_first(lanes), from);
}
CF_INLINE void v_store_n(float *to, v_f32 a, int lanes) {
    _mm512_mask_storeu_ps(to, v_first(lanes), a);
}
CF_INLINE void v_unzip(const float *from, v_f32 *even, v_f32 *odd) { // of 2 * V_LANES values
    const __m512i at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 low = v_load(from), high = v_load(from + V_LANES);
    *even = _mm512_permutex2var_ps(low, at, high);
    *odd = _mm512_permutex2var_ps(low, _mm512_add_epi32(at, _mm512_set1_epi32(1)), high);
}
CF_INLINE v_i32 v_to_i32(v_f32 a) { // to nearest even
    return _mm512_cvtps_epi32(a);
}
CF_INLINE void v_store_i32(int32_t *to, v_i32 a) {
    _mm512_storeu_si512(to, a);
}
CF_INLINE v_i32 v_load_i32(const int32_t *from) {
    return _mm512_loadu_si512(from);
}

CF_INLINE __mmask16 v_mask(int lanes) {
    return (__mmask16)((1u << lanes) - 1);
}

// Loads and stores of the first `lanes` values; whole vectors go without a mask, because masked stores are slow on
// some processors.
CF_INLINE __m512 v_get_32(const void *from, int lanes) {
    return lanes >= V_LANES ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(v_mask(lanes), from);
}
CF_INLINE __m256i v_get_16(const void *from, int lanes) {
    return lanes >= V_LANES ? _mm256_loadu_si256(from) : _mm256_maskz_loadu_epi16(v_mask(lanes), from);
}
CF_INLINE __m128i v_get_8(const void *from, int lanes) {
    return lanes >= V_LANES ? _mm_loadu_si128(from) : _mm_maskz_loadu_epi8(v_mask(lanes), from);
}
CF_INLINE void v_put_16(void *to, int lanes, __m256i value) {
    if (lanes >= V_LANES)
        _mm256_storeu_si256(to, value);
    else
        _mm256_mask_storeu_epi16(to, v_mask(lanes), value);
}
CF_INLINE void v_put_8(void *to, int lanes, __m128i value) {
    if (lanes >= V_LANES)
        _mm_storeu_si128(to, value);
    else
        _mm_mask_storeu_epi8(to, v_mask(lanes), value);
}

// The first `lanes` values of a type as FP32, the rest zero; nothing behind them is read.
CF_INLINE v_f32 v_read(const void *from, cf_dtype dtype, int lanes, v_f32 scale, v_i32 zero) {
    switch (dtype) {
    case CF_BF16: return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v_get_16(from, lanes)), 16));
    case CF_U8:
    case CF_S8: {
        __m128i bytes = v_get_8(from, lanes);
        __m512i wide = dtype == CF_U8 ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes);
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(wide, zero)), scale);
    }
    case CF_F16: return _mm512_cvtph_ps(v_get_16(from, lanes));
    default: return v_get_32(from, lanes);
    }
}

// bf16 by rounding to nearest even; NaN stays NaN.
CF_INLINE __m256i v_to_bf16(__m512 value) {
#ifdef __AVX512BF16__ // in files compiled for it: one instruction, to which subnormal numbers are zero
    return (__m256i)_mm512_cvtneps_pbh(value);
#endif
    __m512i bits = _mm512_castps_si512(value),
            odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

CF_INLINE __m256i v_to_f16(__m512 value) {
    return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
}

// Stores the first `lanes` values; bytes as round(value * inverse) + zero, saturated.
CF_INLINE void v_write(void *to, cf_dtype dtype, int lanes, v_f32 value, v_f32 inverse, v_i32 zero) {
    switch (dtype) {
    case CF_BF16: v_put_16(to, lanes, v_to_bf16(value)); break;
    case CF_U8:
    case CF_S8: {
        // Limits before the conversion: beyond int32 it would give the smallest integer.
        __m512 steps = _mm512_mul_ps(value, inverse);
        steps = _mm512_max_ps(_mm512_min_ps(steps, _mm512_set1_ps(1024)), _mm512_set1_ps(-1024));
        __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(steps), zero);
        __m128i bytes = dtype == CF_S8 ? _mm512_cvtsepi32_epi8(whole)
                                       : _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512()));
        v_put_8(to, lanes, bytes);
        break;
    }
    case CF_F16: v_put_16(to, lanes, v_to_f16(value)); break;
    default:
        if (lanes >= V_LANES)
            _mm512_storeu_ps(to, value);
        else
            _mm512_mask_storeu_ps(to, v_mask(lanes), value);
    }
}

// AVX-512 alone has the next two. 32 words, of which two vectors were packed, to bytes in order, saturated.
CF_INLINE __m256i v_words_to_bytes(cf_dtype dtype, __m512i words) {
    __m512i bytes = dtype == CF_S8 ? _mm512_packs_epi16(words, words) : _mm512_packus_epi16(words, words);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, bytes));
}

// Two vectors in units of the output to 32 bytes, saturated as v_write does it, with fewer instructions. zero: of the
// bytes, as 16-bit numbers.
CF_INLINE __m256i v_to_bytes(cf_dtype dtype, v_f32 low, v_f32 high, __m512i zero) {
    v_f32 most = v_set(1024); // beyond int32 the conversion would give the smallest integer
    __m512i words = _mm512_packs_epi32(v_to_i32(v_min(low, most)), v_to_i32(v_min(high, most)));
    return v_words_to_bytes(dtype, _mm512_adds_epi16(words, zero));
}

#endif
