// SPDX-License-Identifier: Apache-2.0
// The inner loops of resizing: plain C, the definition of right, and AVX2 and AVX-512 variants that give the same bits.
//
// The vector variants multiply 16-bit halves. A weight (23 bits) is split into 15 lower bits and the rest, so one
// multiply-add instruction (pmaddwd) takes two taps of one half: sum = (sum of upper products << 15) + sum of lower
// products. All sums are modulo 2^32 and the result fits, so nothing is lost on the way.
#include <string.h>

#include "base/cpu.h"
#include "preprocess/resize.h"

enum { HALF = 1 << (CF_RESIZE_BITS - 1), LOWER_BITS = 15 };

static uint8_t round_sum(int32_t sum) { // weights are not negative, so neither is the sum
    sum >>= CF_RESIZE_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

static void across_plain(const cf_resize_axis *axis, int begin, int end, const uint8_t *src, size_t src_stride,
                         uint8_t *dst, size_t dst_stride, int rows) {
    for (int row = 0; row < rows; row++, src += src_stride, dst += dst_stride)
        for (int x = begin; x < end; x++) {
            const uint8_t *in = src + (size_t)axis->starts[x] * 3;
            const int32_t *weights = axis->weights + (size_t)x * (size_t)axis->taps;
            uint8_t *out = dst + (size_t)(x - begin) * 3;
            int32_t red = HALF, green = HALF, blue = HALF;
            for (int t = 0; t < axis->counts[x]; t++, in += 3) {
                red += weights[t] * in[0];
                green += weights[t] * in[1];
                blue += weights[t] * in[2];
            }
            out[0] = round_sum(red);
            out[1] = round_sum(green);
            out[2] = round_sum(blue);
        }
}

static void down_plain(const cf_resize_axis *axis, int y, const uint8_t *src, size_t src_stride, uint8_t *dst,
                       size_t bytes) {
    const int32_t *weights = axis->weights + (size_t)y * (size_t)axis->taps;
    src += (size_t)axis->starts[y] * src_stride;
    for (size_t i = 0; i < bytes; i++) {
        int32_t sum = HALF;
        for (int t = 0; t < axis->counts[y]; t++) sum += weights[t] * src[(size_t)t * src_stride + i];
        dst[i] = round_sum(sum);
    }
}

static void to_float_plain(const uint8_t *in, size_t count, double scale, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = (float)(in[i] * scale);
}

static void to_planes_plain(const uint8_t *rgb, size_t pixels, double scale, float *red, float *green, float *blue) {
    for (size_t i = 0; i < pixels; i++, rgb += 3) {
        red[i] = (float)(rgb[0] * scale);
        green[i] = (float)(rgb[1] * scale);
        blue[i] = (float)(rgb[2] * scale);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

// ---------------------------------------------------------------------------------------------------------------------
// AVX2

#define AVX2 __attribute__((target("avx2")))

// Shuffles of 16 bytes of RGB pixels to 16-bit pairs for multiply-add: (r0,r1) (g0,g1) (b0,b1), and the next two
// pixels.
#define PIXELS_01 0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1
#define PIXELS_23 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1
// Four pixels of 4 bytes to 12 bytes.
#define CLOSE_UP 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1

AVX2 static inline __m256i load_2_rows(const uint8_t *row0, const uint8_t *row1) {
    __m256i low = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)row0));
    return _mm256_inserti128_si256(low, _mm_loadu_si128((const __m128i *)row1), 1);
}

// One output pixel of two rows, 4 x int32 each.
AVX2 static inline __m256i across_pixel_avx2(const uint8_t *row0, const uint8_t *row1, const int32_t *pairs, int taps) {
    const __m256i pixels01 = _mm256_broadcastsi128_si256(_mm_setr_epi8(PIXELS_01));
    const __m256i pixels23 = _mm256_broadcastsi128_si256(_mm_setr_epi8(PIXELS_23));
    __m256i lower = _mm256_set1_epi32(HALF), upper = _mm256_setzero_si256();
    int t = 0;
    for (; t + 4 <= taps; t += 4, row0 += 12, row1 += 12) {
        __m256i in = load_2_rows(row0, row1);
        __m256i in01 = _mm256_shuffle_epi8(in, pixels01), in23 = _mm256_shuffle_epi8(in, pixels23);
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(in01, _mm256_set1_epi32(pairs[t])));
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(in01, _mm256_set1_epi32(pairs[t + 1])));
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(in23, _mm256_set1_epi32(pairs[t + 2])));
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(in23, _mm256_set1_epi32(pairs[t + 3])));
    }
    if (t < taps) {
        __m256i in01 = _mm256_shuffle_epi8(load_2_rows(row0, row1), pixels01);
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(in01, _mm256_set1_epi32(pairs[t])));
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(in01, _mm256_set1_epi32(pairs[t + 1])));
    }
    return _mm256_srai_epi32(_mm256_add_epi32(lower, _mm256_slli_epi32(upper, LOWER_BITS)), CF_RESIZE_BITS);
}

AVX2 static void across_avx2(const cf_resize_axis *axis, int begin, int end, const uint8_t *src, size_t src_stride,
                             uint8_t *dst, size_t dst_stride, int rows) {
    const __m256i close_up = _mm256_broadcastsi128_si256(_mm_setr_epi8(CLOSE_UP));
    for (int row = 0; row < rows; row += 2) {
        size_t second = row + 1 < rows ? 1 : 0; // an odd last row is computed twice
        const uint8_t *row0 = src + (size_t)row * src_stride, *row1 = row0 + second * src_stride;
        uint8_t *out0 = dst + (size_t)row * dst_stride, *out1 = out0 + second * dst_stride;
        for (int x = begin; x < end; x += 4) {
            const int32_t *pairs = axis->pairs + (size_t)x * (size_t)axis->taps;
            __m256i pixel[4];
            for (int i = 0; i < 4; i++) {
                size_t from = (size_t)axis->starts[x + i] * 3;
                pixel[i] = across_pixel_avx2(row0 + from, row1 + from, pairs + i * (ptrdiff_t)axis->taps, axis->taps);
            }
            __m256i words01 = _mm256_packs_epi32(pixel[0], pixel[1]), words23 = _mm256_packs_epi32(pixel[2], pixel[3]);
            __m256i bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(words01, words23), close_up);
            size_t at = 3 * (size_t)(x - begin);
            _mm_storeu_si128((__m128i *)(out0 + at), _mm256_castsi256_si128(bytes));
            _mm_storeu_si128((__m128i *)(out1 + at), _mm256_extracti128_si256(bytes, 1));
        }
    }
}

AVX2 static void down_avx2(const cf_resize_axis *axis, int y, const uint8_t *src, size_t src_stride, uint8_t *dst,
                           size_t bytes) {
    const int32_t *pairs = axis->pairs + (size_t)y * (size_t)axis->taps;
    const uint8_t *rows = src + (size_t)axis->starts[y] * src_stride;
    const __m256i zero = _mm256_setzero_si256();
    int count = axis->counts[y];
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32) {
        __m256i lower[4], upper[4];
        for (int k = 0; k < 4; k++) {
            lower[k] = _mm256_set1_epi32(HALF);
            upper[k] = zero;
        }
        const uint8_t *in = rows + i;
        for (int t = 0; t < count; t += 2, in += 2 * src_stride) {
            // The partner of an odd last row has weight 0: any row will do.
            const uint8_t *next = t + 1 < count ? in + src_stride : in;
            __m256i a = _mm256_loadu_si256((const __m256i *)in), b = _mm256_loadu_si256((const __m256i *)next);
            __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
            __m256i taps[4] = {_mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
                               _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
            __m256i weights0 = _mm256_set1_epi32(pairs[t]), weights1 = _mm256_set1_epi32(pairs[t + 1]);
            for (int k = 0; k < 4; k++) {
                lower[k] = _mm256_add_epi32(lower[k], _mm256_madd_epi16(taps[k], weights0));
                upper[k] = _mm256_add_epi32(upper[k], _mm256_madd_epi16(taps[k], weights1));
            }
        }
        for (int k = 0; k < 4; k++)
            lower[k] =
                _mm256_srai_epi32(_mm256_add_epi32(lower[k], _mm256_slli_epi32(upper[k], LOWER_BITS)), CF_RESIZE_BITS);
        __m256i low = _mm256_packs_epi32(lower[0], lower[1]), high = _mm256_packs_epi32(lower[2], lower[3]);
        _mm256_storeu_si256((__m256i *)(dst + i), _mm256_packus_epi16(low, high));
    }
    if (i < bytes) down_plain(axis, y, src + i, src_stride, dst + i, bytes - i);
}

AVX2 static inline __m256 scale_8_avx2(__m128i bytes, __m256d scale) {
    __m256i words = _mm256_cvtepu8_epi32(bytes);
    __m128 low = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_castsi256_si128(words)), scale));
    __m128 high = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_extracti128_si256(words, 1)), scale));
    return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}

AVX2 static void to_float_avx2(const uint8_t *in, size_t count, double scale, float *out) {
    const __m256d factor = _mm256_set1_pd(scale);
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(out + i, scale_8_avx2(_mm_loadl_epi64((const __m128i *)(in + i)), factor));
    to_float_plain(in + i, count - i, scale, out + i);
}

// Channel c of 8 pixels (24 bytes): from the first 16 bytes and from the last 16.
#define CHANNEL_FIRST(c) c, c + 3, c + 6, c + 9, c + 12, c == 0 ? 15 : -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1
#define CHANNEL_LAST(c) -1, -1, -1, -1, -1, c == 0 ? -1 : c + 7, c + 10, c + 13, -1, -1, -1, -1, -1, -1, -1, -1

AVX2 static void to_planes_avx2(const uint8_t *rgb, size_t pixels, double scale, float *red, float *green,
                                float *blue) {
    const __m256d factor = _mm256_set1_pd(scale);
    const __m128i first[3] = {_mm_setr_epi8(CHANNEL_FIRST(0)), _mm_setr_epi8(CHANNEL_FIRST(1)),
                              _mm_setr_epi8(CHANNEL_FIRST(2))};
    const __m128i last[3] = {_mm_setr_epi8(CHANNEL_LAST(0)), _mm_setr_epi8(CHANNEL_LAST(1)),
                             _mm_setr_epi8(CHANNEL_LAST(2))};
    float *plane[3] = {red, green, blue};
    size_t i = 0;
    for (; i + 8 <= pixels; i += 8) {
        __m128i a = _mm_loadu_si128((const __m128i *)(rgb + 3 * i));
        __m128i b = _mm_loadu_si128((const __m128i *)(rgb + 3 * i + 8));
        for (int c = 0; c < 3; c++) {
            __m128i bytes = _mm_or_si128(_mm_shuffle_epi8(a, first[c]), _mm_shuffle_epi8(b, last[c]));
            _mm256_storeu_ps(plane[c] + i, scale_8_avx2(bytes, factor));
        }
    }
    to_planes_plain(rgb + 3 * i, pixels - i, scale, red + i, green + i, blue + i);
}

// ---------------------------------------------------------------------------------------------------------------------
// AVX-512

#define AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl")))

AVX512 static inline __m512i load_4_rows(const uint8_t *const rows[4], size_t at) {
    __m512i all = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(rows[0] + at)));
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(rows[1] + at)), 1);
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(rows[2] + at)), 2);
    return _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(rows[3] + at)), 3);
}

// One output pixel of four rows, 4 x int32 each.
AVX512 static inline __m512i across_pixel_avx512(const uint8_t *const rows[4], size_t at, const int32_t *pairs,
                                                 int taps) {
    const __m512i pixels01 = _mm512_broadcast_i32x4(_mm_setr_epi8(PIXELS_01));
    const __m512i pixels23 = _mm512_broadcast_i32x4(_mm_setr_epi8(PIXELS_23));
    __m512i lower = _mm512_set1_epi32(HALF), upper = _mm512_setzero_si512();
    int t = 0;
    for (; t + 4 <= taps; t += 4, at += 12) {
        __m512i in = load_4_rows(rows, at);
        __m512i in01 = _mm512_shuffle_epi8(in, pixels01), in23 = _mm512_shuffle_epi8(in, pixels23);
        lower = _mm512_add_epi32(lower, _mm512_madd_epi16(in01, _mm512_set1_epi32(pairs[t])));
        upper = _mm512_add_epi32(upper, _mm512_madd_epi16(in01, _mm512_set1_epi32(pairs[t + 1])));
        lower = _mm512_add_epi32(lower, _mm512_madd_epi16(in23, _mm512_set1_epi32(pairs[t + 2])));
        upper = _mm512_add_epi32(upper, _mm512_madd_epi16(in23, _mm512_set1_epi32(pairs[t + 3])));
    }
    if (t < taps) {
        __m512i in01 = _mm512_shuffle_epi8(load_4_rows(rows, at), pixels01);
        lower = _mm512_add_epi32(lower, _mm512_madd_epi16(in01, _mm512_set1_epi32(pairs[t])));
        upper = _mm512_add_epi32(upper, _mm512_madd_epi16(in01, _mm512_set1_epi32(pairs[t + 1])));
    }
    return _mm512_srai_epi32(_mm512_add_epi32(lower, _mm512_slli_epi32(upper, LOWER_BITS)), CF_RESIZE_BITS);
}

AVX512 static void across_avx512(const cf_resize_axis *axis, int begin, int end, const uint8_t *src, size_t src_stride,
                                 uint8_t *dst, size_t dst_stride, int rows) {
    const __m512i close_up = _mm512_broadcast_i32x4(_mm_setr_epi8(CLOSE_UP));
    for (int row = 0; row < rows; row += 4) {
        const uint8_t *in[4];
        uint8_t *out[4];
        for (int r = 0; r < 4; r++) { // rows beyond the end repeat the last one
            size_t index = (size_t)(row + r < rows ? row + r : rows - 1);
            in[r] = src + index * src_stride;
            out[r] = dst + index * dst_stride;
        }
        for (int x = begin; x < end; x += 4) {
            const int32_t *pairs = axis->pairs + (size_t)x * (size_t)axis->taps;
            __m512i pixel[4];
            for (int i = 0; i < 4; i++)
                pixel[i] = across_pixel_avx512(in, (size_t)axis->starts[x + i] * 3, pairs + i * (ptrdiff_t)axis->taps,
                                               axis->taps);
            __m512i words01 = _mm512_packs_epi32(pixel[0], pixel[1]), words23 = _mm512_packs_epi32(pixel[2], pixel[3]);
            __m512i bytes = _mm512_shuffle_epi8(_mm512_packus_epi16(words01, words23), close_up);
            size_t at = 3 * (size_t)(x - begin);
            _mm_storeu_si128((__m128i *)(out[0] + at), _mm512_castsi512_si128(bytes));
            _mm_storeu_si128((__m128i *)(out[1] + at), _mm512_extracti32x4_epi32(bytes, 1));
            _mm_storeu_si128((__m128i *)(out[2] + at), _mm512_extracti32x4_epi32(bytes, 2));
            _mm_storeu_si128((__m128i *)(out[3] + at), _mm512_extracti32x4_epi32(bytes, 3));
        }
    }
}

AVX512 static void down_avx512(const cf_resize_axis *axis, int y, const uint8_t *src, size_t src_stride, uint8_t *dst,
                               size_t bytes) {
    const int32_t *pairs = axis->pairs + (size_t)y * (size_t)axis->taps;
    const uint8_t *rows = src + (size_t)axis->starts[y] * src_stride;
    const __m512i zero = _mm512_setzero_si512();
    int count = axis->counts[y];
    for (size_t i = 0; i < bytes; i += 64) {
        __mmask64 present = bytes - i < 64 ? ~(__mmask64)0 >> (64 - (bytes - i)) : ~(__mmask64)0;
        __m512i lower[4], upper[4];
        for (int k = 0; k < 4; k++) {
            lower[k] = _mm512_set1_epi32(HALF);
            upper[k] = zero;
        }
        const uint8_t *in = rows + i;
        for (int t = 0; t < count; t += 2, in += 2 * src_stride) {
            const uint8_t *next = t + 1 < count ? in + src_stride : in; // as in AVX2
            __m512i a = _mm512_maskz_loadu_epi8(present, in), b = _mm512_maskz_loadu_epi8(present, next);
            __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
            __m512i taps[4] = {_mm512_unpacklo_epi8(low, zero), _mm512_unpackhi_epi8(low, zero),
                               _mm512_unpacklo_epi8(high, zero), _mm512_unpackhi_epi8(high, zero)};
            __m512i weights0 = _mm512_set1_epi32(pairs[t]), weights1 = _mm512_set1_epi32(pairs[t + 1]);
            for (int k = 0; k < 4; k++) {
                lower[k] = _mm512_add_epi32(lower[k], _mm512_madd_epi16(taps[k], weights0));
                upper[k] = _mm512_add_epi32(upper[k], _mm512_madd_epi16(taps[k], weights1));
            }
        }
        for (int k = 0; k < 4; k++)
            lower[k] =
                _mm512_srai_epi32(_mm512_add_epi32(lower[k], _mm512_slli_epi32(upper[k], LOWER_BITS)), CF_RESIZE_BITS);
        __m512i low = _mm512_packs_epi32(lower[0], lower[1]), high = _mm512_packs_epi32(lower[2], lower[3]);
        _mm512_mask_storeu_epi8(dst + i, present, _mm512_packus_epi16(low, high));
    }
}

AVX512 static inline __m512 scale_16_avx512(__m128i bytes, __m512d scale) {
    __m256 low = _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(bytes)), scale));
    __m256 high =
        _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))), scale));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

AVX512 static void to_float_avx512(const uint8_t *in, size_t count, double scale, float *out) {
    const __m512d factor = _mm512_set1_pd(scale);
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        _mm512_storeu_ps(out + i, scale_16_avx512(_mm_loadu_si128((const __m128i *)(in + i)), factor));
    to_float_plain(in + i, count - i, scale, out + i);
}

// Channel c of 16 pixels (48 bytes): what each third of 16 bytes gives.
#define THIRD_0(c) c, c + 3, c + 6, c + 9, c + 12, c == 0 ? 15 : -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1
#define THIRD_1(c)                                                                                                     \
    -1, -1, -1, -1, -1, c == 0 ? -1 : c - 1, c + 2, c + 5, c + 8, c + 11, c == 2 ? -1 : c + 14, -1, -1, -1, -1, -1
#define THIRD_2(c) -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, c == 2 ? 0 : -1, c + 1, c + 4, c + 7, c + 10, c + 13

AVX512 static void to_planes_avx512(const uint8_t *rgb, size_t pixels, double scale, float *red, float *green,
                                    float *blue) {
    const __m512d factor = _mm512_set1_pd(scale);
    const __m128i shuffles[3][3] = {
        {_mm_setr_epi8(THIRD_0(0)), _mm_setr_epi8(THIRD_1(0)), _mm_setr_epi8(THIRD_2(0))},
        {_mm_setr_epi8(THIRD_0(1)), _mm_setr_epi8(THIRD_1(1)), _mm_setr_epi8(THIRD_2(1))},
        {_mm_setr_epi8(THIRD_0(2)), _mm_setr_epi8(THIRD_1(2)), _mm_setr_epi8(THIRD_2(2))},
    };
    float *plane[3] = {red, green, blue};
    size_t i = 0;
    for (; i + 16 <= pixels; i += 16) {
        const __m128i *in = (const __m128i *)(rgb + 3 * i);
        __m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1), c = _mm_loadu_si128(in + 2);
        for (int k = 0; k < 3; k++) {
            __m128i ab = _mm_or_si128(_mm_shuffle_epi8(a, shuffles[k][0]), _mm_shuffle_epi8(b, shuffles[k][1]));
            __m128i bytes = _mm_or_si128(ab, _mm_shuffle_epi8(c, shuffles[k][2]));
            _mm512_storeu_ps(plane[k] + i, scale_16_avx512(bytes, factor));
        }
    }
    to_planes_plain(rgb + 3 * i, pixels - i, scale, red + i, green + i, blue + i);
}
#endif

static const cf_resize_kernels kernels[] = {
#if defined(__x86_64__)
    {"avx512", CF_CPU_AVX512, across_avx512, down_avx512, to_float_avx512, to_planes_avx512},
    {"avx2", CF_CPU_AVX2, across_avx2, down_avx2, to_float_avx2, to_planes_avx2},
#endif
    {"plain", 0, across_plain, down_plain, to_float_plain, to_planes_plain},
};

const cf_resize_kernels *cf_resize_kernel_list(size_t *count) {
    *count = sizeof kernels / sizeof *kernels;
    return kernels;
}
