// SPDX-License-Identifier: Apache-2.0
// exp, erf, log and the activations on a vector, in the words of simd_avx512.h or simd_avx2.h, one of which comes
// first.
#ifndef CF_KERNELS_CPU_SIMD_ACT_H
#define CF_KERNELS_CPU_SIMD_ACT_H

// About 1 ulp; below -87.3 the result runs into denormals and zero, above 88.7 it is infinite.
CF_INLINE v_f32 v_exp(v_f32 x) {
    x = v_min(v_set(89), v_max(v_set(-104), x)); // in this order NaN passes
    v_f32 n = v_round(v_mul(x, v_set(1.44269504f)));
    v_f32 r = v_fnma(n, v_set(0.693145752f), x); // ln 2 in two parts, so that the products are exact
    r = v_fnma(n, v_set(1.42860677e-6f), r);
    v_f32 p = v_set(1.38888889e-3f); // Taylor to x^6: |r| <= 0.347, the rest is below 1.2e-7
    p = v_fma(p, r, v_set(8.33333333e-3f));
    p = v_fma(p, r, v_set(4.16666667e-2f));
    p = v_fma(p, r, v_set(1.66666667e-1f));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(p, r, v_set(1));
    p = v_fma(p, r, v_set(1));
    return v_scale_by_power(p, n);
}

// Beyond x = -87 it stays at e^-87: x * sigmoid(x) is next to 0 there, down to x = -1e30. A division would take as long
// as all the rest.
CF_INLINE v_f32 v_sigmoid(v_f32 x) {
    v_f32 power = v_exp(v_min(v_set(87), v_sub(v_zero(), x))); // in this order NaN passes
    return v_reciprocal(v_add(v_set(1), power));
}

// Abramowitz and Stegun 7.1.26: absolute error below 2e-7.
CF_INLINE v_f32 v_erf(v_f32 x) {
    v_f32 a = v_abs(x), t = v_div(v_set(1), v_fma(a, v_set(0.3275911f), v_set(1)));
    v_f32 p = v_set(1.061405429f);
    p = v_fma(p, t, v_set(-1.453152027f));
    p = v_fma(p, t, v_set(1.421413741f));
    p = v_fma(p, t, v_set(-0.284496736f));
    p = v_fma(p, t, v_set(0.254829592f));
    v_f32 value = v_fnma(v_mul(p, t), v_exp(v_fnma(a, a, v_zero())), v_set(1));
    return v_copy_sign(v_max(v_zero(), value), x);
}

// Natural logarithm of positive normal numbers; error below 2e-7 * max(1, |log|).
CF_INLINE v_f32 v_log(v_f32 x) {
    v_f32 e, f = v_sub(v_split(x, &e), v_set(1)), square = v_mul(f, f);
    v_f32 p = v_fma(f, v_set(-0.0766081885f), v_set(0.127863303f)); // log(1 + f) = f - f*f/2 + f*f*f*p
    p = v_fma(p, f, v_set(-0.131616056f));
    p = v_fma(p, f, v_set(0.14197877f));
    p = v_fma(p, f, v_set(-0.16622752f));
    p = v_fma(p, f, v_set(0.200014129f));
    p = v_fma(p, f, v_set(-0.250008464f));
    p = v_fma(p, f, v_set(0.333333284f));
    p = v_add(v_mul(square, v_fma(p, f, v_set(-0.5f))), f);
    return v_fma(e, v_set(0.693147181f), p);
}

CF_INLINE v_f32 v_act(int act, v_f32 x) {
    switch (act) {
    case CF_ACT_RELU: return v_max(x, v_zero());
    case CF_ACT_SILU: return v_mul(x, v_sigmoid(x));
    case CF_ACT_GELU: {
        v_f32 half = v_mul(x, v_set(0.5f));
        return v_fma(half, v_erf(v_mul(x, v_set(0.70710678f))), half);
    }
    case CF_ACT_SIGMOID: return v_sigmoid(x);
    case CF_ACT_CLAMP: return v_max(v_set(-10), v_min(v_set(10), x));
    default: return x;
    }
}

// 1 / (1 + e^-x), relative error 1e-6. Beyond x = -87 it stays at e^-87: there x * sigmoid(x) is next to 0.
CF_INLINE v_f32 v_sigmoid_rounded(v_f32 x) {
    v_f32 t = v_min(v_set(126), v_max(v_set(-126), v_mul(x, v_set(-1.44269504f)))); // in this order NaN passes
    v_f32 n = v_round(t), r = v_sub(t, n);
    v_f32 p = v_fma(r, v_set(0.00132647238f), v_set(0.00967151299f)); // 2^r
    p = v_fma(p, r, v_set(0.0555073358f));
    p = v_fma(p, r, v_set(0.240222424f));
    p = v_fma(p, r, v_set(0.693147004f));
    p = v_fma(p, r, v_set(1));
    return v_reciprocal(v_add(v_set(1), v_scale_by_power(p, n)));
}

// 1 / (1 + e^-x), relative error 2^-12.8, a fourteenth of bf16's half step: half as many instructions. They are what
// limits convolutions of few channels on AMX: while tiles are multiplied one vector instruction starts a cycle, not
// two. SiLU of -infinity is NaN by it, as by the formula.
CF_INLINE v_f32 v_sigmoid_coarse(v_f32 x) {
    v_f32 t = v_mul(x, v_set(-1.44269504f)), r = v_fraction(t);
    v_f32 p = v_fma(r, v_set(0.078024514f), v_set(0.22606717f)); // 2^r, 0 <= r < 1, relative error 7.5e-5
    p = v_fma(p, r, v_set(0.69583356f));
    p = v_fma(p, r, v_set(0.9999252f));
    return v_reciprocal_rough(v_add(v_set(1), v_scale_by_floor(p, t)));
}

// v_act, as exact as an output of a type can tell.
CF_INLINE v_f32 v_act_for(cf_dtype dtype, int act, v_f32 x) {
    if (dtype == CF_F32 || (act != CF_ACT_SILU && act != CF_ACT_SIGMOID)) return v_act(act, x);
    v_f32 sigmoid = dtype == CF_F16 ? v_sigmoid_rounded(x) : v_sigmoid_coarse(x);
    return act == CF_ACT_SILU ? v_mul(x, sigmoid) : sigmoid;
}

#endif
