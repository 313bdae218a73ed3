// SPDX-License-Identifier: Apache-2.0
// Eight FP32 lanes in AVX2 with FMA, by the names of simd_avx512.h.
#ifndef CF_KERNELS_CPU_SIMD_AVX2_H
#define CF_KERNELS_CPU_SIMD_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "graph/op.h"

#define CF_INLINE static inline __attribute__((always_inline))

enum { V_LANES = 8 };
typedef __m256 v_f32;
typedef __m256i v_i32;
typedef __m256 v_truth; // all bits of a lane or none

#define V_ISA(name) name##_avx2
#define V_ISA_NAME "avx2"
#define V_CPU CF_CPU_AVX2

CF_INLINE v_f32 v_set(float x) {
    return _mm256_set1_ps(x);
}
CF_INLINE v_i32 v_set_i32(int32_t x) {
    return _mm256_set1_epi32(x);
}
CF_INLINE v_f32 v_zero(void) {
    return _mm256_setzero_ps();
}
CF_INLINE v_f32 v_add(v_f32 a, v_f32 b) {
    return _mm256_add_ps(a, b);
}
CF_INLINE v_f32 v_sub(v_f32 a, v_f32 b) {
    return _mm256_sub_ps(a, b);
}
CF_INLINE v_f32 v_mul(v_f32 a, v_f32 b) {
    return _mm256_mul_ps(a, b);
}
CF_INLINE v_f32 v_div(v_f32 a, v_f32 b) {
    return _mm256_div_ps(a, b);
}
CF_INLINE v_f32 v_reciprocal(v_f32 a) { // as in simd_avx512.h, where it is faster
    return _mm256_div_ps(_mm256_set1_ps(1), a);
}
CF_INLINE v_f32 v_reciprocal_rough(v_f32 a) {
    return v_reciprocal(a);
}
CF_INLINE v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) {
    return _mm256_fmadd_ps(a, b, c);
}
CF_INLINE v_f32 v_fnma(v_f32 a, v_f32 b, v_f32 c) {
    return _mm256_fnmadd_ps(a, b, c);
}
CF_INLINE v_f32 v_max(v_f32 a, v_f32 b) {
    return _mm256_max_ps(a, b);
}
CF_INLINE v_f32 v_min(v_f32 a, v_f32 b) {
    return _mm256_min_ps(a, b);
}
CF_INLINE v_f32 v_abs(v_f32 a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
CF_INLINE v_f32 v_copy_sign(v_f32 size, v_f32 sign) {
    return _mm256_or_ps(size, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}
CF_INLINE v_f32 v_round(v_f32 a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
CF_INLINE v_f32 v_floor(v_f32 a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
CF_INLINE v_f32 v_sqrt(v_f32 a) {
    return _mm256_sqrt_ps(a);
}
CF_INLINE float v_sum(v_f32 a) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}
CF_INLINE float v_most(v_f32 a) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
}
CF_INLINE v_truth v_less(v_f32 a, v_f32 b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
CF_INLINE v_truth v_at_least(v_f32 a, v_f32 b) {
    return _mm256_cmp_ps(a, b, _CMP_GE_OQ);
}
CF_INLINE v_truth v_both(v_truth a, v_truth b) {
    return _mm256_and_ps(a, b);
}
CF_INLINE v_truth v_first(int lanes) {
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
}
CF_INLINE int v_count(v_truth a) {
    return __builtin_popcount((unsigned)_mm256_movemask_ps(a));
}
CF_INLINE v_f32 v_choose(v_truth a, v_f32 yes, v_f32 no) {
    return _mm256_blendv_ps(no, yes, a);
}
CF_INLINE v_f32 v_split(v_f32 a, v_f32 *exponent) { // normal numbers
    __m256i bits = _mm256_castps_si256(a), one = _mm256_castps_si256(v_set(1));
    __m256 e = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127)));
    __m256 m = _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)), one));
    v_truth high = v_at_least(m, v_set(1.41421356f));
    *exponent = _mm256_add_ps(e, _mm256_and_ps(high, v_set(1)));
    return v_choose(high, _mm256_mul_ps(m, v_set(0.5f)), m);
}
CF_INLINE v_f32 v_scale_by_power(v_f32 a, v_f32 n) { // in two halves, each a power that FP32 has
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    __m256i bias = _mm256_set1_epi32(127);
    a = _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
CF_INLINE v_f32 v_normal_power(v_f32 x) { // whose power of two is a normal number; NaN passes
    return v_min(v_set(126), v_max(v_set(-126), x));
}
CF_INLINE v_f32 v_fraction(v_f32 a) {
    a = v_normal_power(a);
    return v_sub(a, v_floor(a));
}
CF_INLINE v_f32 v_scale_by_floor(v_f32 a, v_f32 x) { // x up to +-126, and beyond as there
    return v_scale_by_power(a, v_floor(v_normal_power(x)));
}
CF_INLINE v_f32 v_from_i32(v_i32 a) {
    return _mm256_cvtepi32_ps(a);
}
CF_INLINE v_f32 v_load(const float *from) {
    return _mm256_loadu_ps(from);
}
CF_INLINE void v_store(float *to, v_f32 a) {
    _mm256_storeu_ps(to, a);
}
CF_INLINE v_f32 v_load_n(const float *from, int lanes) {
    return _mm256_maskload_ps(from, _mm256_castps_si256(v_first(lanes)));
}
CF_INLINE void v_store_n(float *to, v_f32 a, int lanes) {
    _mm256_maskstore_ps(to, _mm256_castps_si256(v_first(lanes)), a);
}
CF_INLINE void v_unzip(const float *from, v_f32 *even, v_f32 *odd) {
    __m256 a = v_load(from), b = v_load(from + V_LANES);
    __m256 first = _mm256_permute2f128_ps(a, b, 0x20), second = _mm256_permute2f128_ps(a, b, 0x31);
    *even = _mm256_shuffle_ps(first, second, 0x88); // per half: values 0 2 of first, 0 2 of second
    *odd = _mm256_shuffle_ps(first, second, 0xdd);
}
CF_INLINE v_i32 v_to_i32(v_f32 a) {
    return _mm256_cvtps_epi32(a);
}
CF_INLINE void v_store_i32(int32_t *to, v_i32 a) {
    _mm256_storeu_si256((__m256i *)to, a);
}
CF_INLINE v_i32 v_load_i32(const int32_t *from) {
    return _mm256_loadu_si256((const __m256i *)from);
}

CF_INLINE __m256i v_mask(int lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

CF_INLINE v_f32 v_read(const void *from, cf_dtype dtype, int lanes, v_f32 scale, v_i32 zero) {
    if (dtype == CF_F32) return lanes >= V_LANES ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, v_mask(lanes));
    int size = cf_dtype_size(dtype);
    char part[16] = {0};
    if (lanes < V_LANES) {
        memcpy(part, from, (size_t)(lanes * size));
        from = part;
    }
    if (dtype == CF_BF16) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    if (dtype == CF_F16) return _mm256_cvtph_ps(_mm_loadu_si128(from));
    __m128i bytes = _mm_loadl_epi64(from);
    __m256i wide = dtype == CF_U8 ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(wide, zero)), scale);
}

CF_INLINE __m128i v_to_bf16(__m256 value) {
    __m256i bits = _mm256_castps_si256(value),
            odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    rounded = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}

CF_INLINE void v_write(void *to, cf_dtype dtype, int lanes, v_f32 value, v_f32 inverse, v_i32 zero) {
    if (dtype == CF_F32) {
        if (lanes >= V_LANES)
            _mm256_storeu_ps(to, value);
        else
            _mm256_maskstore_ps(to, v_mask(lanes), value);
        return;
    }
    __m128i packed;
    int size = cf_dtype_size(dtype);
    if (dtype == CF_BF16) {
        packed = v_to_bf16(value);
    } else if (dtype == CF_F16) {
        packed = _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
    } else {
        __m256 steps = _mm256_mul_ps(value, inverse);
        steps = _mm256_max_ps(_mm256_min_ps(steps, _mm256_set1_ps(1024)), _mm256_set1_ps(-1024));
        __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(steps), zero);
        __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        packed = dtype == CF_U8 ? _mm_packus_epi16(words, words) : _mm_packs_epi16(words, words);
    }
    if (lanes >= V_LANES && size == 2) {
        _mm_storeu_si128(to, packed);
    } else if (lanes >= V_LANES) {
        _mm_storel_epi64(to, packed);
    } else {
        char part[16];
        _mm_storeu_si128((__m128i *)part, packed);
        memcpy(to, part, (size_t)(lanes * size));
    }
}

#endif
