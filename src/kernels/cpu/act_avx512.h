// SPDX-License-Identifier: Apache-2.0
// Activations on 16 FP32 values (AVX-512). Only for files compiled with AVX-512.
#ifndef CF_KERNELS_CPU_ACT_AVX512_H
#define CF_KERNELS_CPU_ACT_AVX512_H

#include <immintrin.h>

#include "graph/op.h"

// exp, about 1 ulp; below -87.3 the result runs into denormals and zero, above 88.7 it is infinite.
static inline __m512 cf_exp_avx512(__m512 x) {
    x = _mm512_min_ps(_mm512_set1_ps(89), _mm512_max_ps(_mm512_set1_ps(-104), x)); // in this order NaN passes
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x); // ln 2 in two parts, exact products
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(1.38888889e-3f); // Taylor to x^6: |r| <= 0.347, the rest is below 1.2e-7
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.33333333e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16666667e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66666667e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

static inline __m512 cf_sigmoid_avx512(__m512 x) {
    __m512 one = _mm512_set1_ps(1);
    return _mm512_div_ps(one, _mm512_add_ps(one, cf_exp_avx512(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// erf by Abramowitz and Stegun 7.1.26: absolute error below 2e-7.
static inline __m512 cf_erf_avx512(__m512 x) {
    __m512 one = _mm512_set1_ps(1), a = _mm512_abs_ps(x);
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(a, _mm512_set1_ps(0.3275911f), one));
    __m512 p = _mm512_set1_ps(1.061405429f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
    __m512 e = cf_exp_avx512(_mm512_fnmadd_ps(a, a, _mm512_setzero_ps()));
    __m512 value = _mm512_fnmadd_ps(_mm512_mul_ps(p, t), e, one);
    __m512 sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f));
    return _mm512_or_ps(value, sign);
}

static inline __attribute__((always_inline)) __m512 cf_act_avx512(int act, __m512 x) {
    switch (act) {
    case CF_ACT_RELU: return _mm512_max_ps(x, _mm512_setzero_ps());
    case CF_ACT_SILU: {
        __m512 e = cf_exp_avx512(_mm512_sub_ps(_mm512_setzero_ps(), x));
        return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1), e));
    }
    case CF_ACT_GELU: {
        __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
        return _mm512_fmadd_ps(half, cf_erf_avx512(_mm512_mul_ps(x, _mm512_set1_ps(0.70710678f))), half);
    }
    case CF_ACT_SIGMOID: return cf_sigmoid_avx512(x);
    case CF_ACT_CLAMP: return _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(10)), _mm512_set1_ps(-10));
    default: return x;
    }
}

#endif
