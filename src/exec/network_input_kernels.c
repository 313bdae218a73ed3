// SPDX-License-Identifier: Apache-2.0
#include "exec/network_input.h"

#include <math.h>

#include "base/cpu.h"
#include "base/half.h"
#include "kernels/kernel.h"

enum { HALF_CHANNELS = 4 };

static void weave_plain(const float *const plane[3], int64_t pixels, float *out) {
    for (int64_t x = 0; x < pixels; x++, out += 3)
        for (int c = 0; c < 3; c++) out[c] = plane[c][x];
}

static void weave_half_plain(const float *const plane[3], int64_t pixels, float factor, uint16_t *out) {
    for (int64_t x = 0; x < pixels; x++, out += HALF_CHANNELS) {
        for (int c = 0; c < 3; c++) out[c] = cf_f32_to_bf16(plane[c][x] * factor);
        out[3] = 0;
    }
}

// Bytes as they are: bf16 holds whole numbers up to 256.
static void bytes_to_half_plain(const uint8_t *rgb, int64_t pixels, uint16_t *out) {
    for (int64_t x = 0; x < pixels; x++, rgb += 3, out += HALF_CHANNELS) {
        for (int c = 0; c < 3; c++) out[c] = cf_f32_to_bf16(rgb[c]);
        out[3] = 0;
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

// Of 16 pixels: element e of output vector k is channel (16 k + e) % 3 of pixel (16 k + e) / 3.
AVX512 static void weave_avx512(const float *const plane[3], int64_t pixels, float *out) {
    __m512i from_two[3], from_third[3];
    __mmask16 third[3];
    for (int k = 0; k < 3; k++) {
        int32_t two[16], blue[16];
        third[k] = 0;
        for (int e = 0; e < 16; e++) {
            int pixel = (16 * k + e) / 3, channel = (16 * k + e) % 3;
            two[e] = pixel + (channel == 1 ? 16 : 0);
            blue[e] = pixel;
            if (channel == 2) third[k] |= (__mmask16)(1 << e);
        }
        from_two[k] = _mm512_loadu_si512(two);
        from_third[k] = _mm512_loadu_si512(blue);
    }
    int64_t x = 0;
    for (; x + 16 <= pixels; x += 16)
        for (int k = 0; k < 3; k++) {
            __m512 two =
                _mm512_permutex2var_ps(_mm512_loadu_ps(plane[0] + x), from_two[k], _mm512_loadu_ps(plane[1] + x));
            __m512 all = _mm512_mask_permutexvar_ps(two, third[k], from_third[k], _mm512_loadu_ps(plane[2] + x));
            _mm512_storeu_ps(out + 3 * x + 16 * k, all);
        }
    const float *const rest[3] = {plane[0] + x, plane[1] + x, plane[2] + x};
    weave_plain(rest, pixels - x, out + 3 * x);
}

// 16 numbers to bf16, rounded to nearest even, in the low halves of 32 bits. NaN stays NaN.
AVX512 static inline __m512i half_of(__m512 value) {
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    return _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
}

// 16 pixels of two words, (red, green) and (blue, 0), in order.
AVX512 static inline void store_pixels(__m512i red_green, __m512i blue, uint16_t *out) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi32(red_green, low, blue));
    _mm512_storeu_si512(out + 32, _mm512_permutex2var_epi32(red_green, high, blue));
}

AVX512 static void weave_half_avx512(const float *const plane[3], int64_t pixels, float factor, uint16_t *out) {
    const __m512 f = _mm512_set1_ps(factor);
    int64_t x = 0;
    for (; x + 16 <= pixels; x += 16) {
        __m512i red = half_of(_mm512_mul_ps(_mm512_loadu_ps(plane[0] + x), f));
        __m512i green = half_of(_mm512_mul_ps(_mm512_loadu_ps(plane[1] + x), f));
        __m512i blue = half_of(_mm512_mul_ps(_mm512_loadu_ps(plane[2] + x), f));
        store_pixels(_mm512_or_si512(red, _mm512_slli_epi32(green, 16)), blue, out + HALF_CHANNELS * x);
    }
    const float *const rest[3] = {plane[0] + x, plane[1] + x, plane[2] + x};
    weave_half_plain(rest, pixels - x, factor, out + HALF_CHANNELS * x);
}

// Eight pixels, 24 bytes, at a time; the last 16 bytes read begin 4 bytes early, so that nothing beyond is read.
AVX512 static void bytes_to_half_avx512(const uint8_t *rgb, int64_t pixels, uint16_t *out) {
    const __m128i first = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    const __m128i last = _mm_setr_epi8(4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1);
    int64_t x = 0;
    for (; x + 8 <= pixels; x += 8, rgb += 24) {
        __m128i a = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)rgb), first);
        __m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(rgb + 8)), last);
        __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(a)), high = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(b));
        __m256i low_half = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(low), 16));
        __m256i high_half = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(high), 16));
        _mm256_storeu_si256((__m256i *)(out + HALF_CHANNELS * x), low_half);
        _mm256_storeu_si256((__m256i *)(out + HALF_CHANNELS * x + 16), high_half);
    }
    bytes_to_half_plain(rgb, pixels - x, out + HALF_CHANNELS * x);
}
#endif

static int wide(void) {
    return (cf_cpu_features() & CF_CPU_AVX512) != 0;
}

void cf_input_from_planes(const cf_tensor *input, int n, const float *planes, int begin, int end) {
    int64_t plane = (int64_t)input->h * input->w;
    for (int y = begin; y < end; y++) {
        const float *row = planes + (int64_t)y * input->w;
        const float *const rows[3] = {row, row + plane, row + 2 * plane};
        void *to = cf_tensor_at(input, n, y, 0);
        if (input->dtype == CF_BF16)
            (wide() ? weave_half_avx512 : weave_half_plain)(rows, input->w, 1 / input->scale, to);
        else
            (wide() ? weave_avx512 : weave_plain)(rows, input->w, to);
    }
}

typedef struct {
    const cf_tensor *input;
    int n, exact; // exact: bytes are stored as they are
    const cf_pixel_scale *scale;
} half_rows;

static void take_halves(const void *arg, const uint8_t *rgb, size_t pixels, int y, int x) {
    const half_rows *rows = arg;
    uint16_t *to = cf_tensor_at(rows->input, rows->n, y, x);
    if (rows->exact) {
        (wide() ? bytes_to_half_avx512 : bytes_to_half_plain)(rgb, (int64_t)pixels, to);
        return;
    }
    float factor = 1 / rows->input->scale;
    for (size_t i = 0; i < pixels; i++, rgb += 3, to += HALF_CHANNELS) {
        for (int c = 0; c < 3; c++) to[c] = cf_f32_to_bf16(rows->scale->table[c][rgb[c]] * factor);
        to[3] = 0;
    }
}

void cf_input_from_image(const cf_tensor *input, int n, const cf_resizer *resizer, const uint8_t *src,
                         const cf_pixel_scale *scale, int begin, int end) {
    if (input->dtype != CF_BF16) {
        cf_pixel_view view = {cf_tensor_at(input, n, 0, 0), input->row, input->pixel, 1};
        cf_preprocess_rows(resizer, src, scale, &view, begin, end);
        return;
    }
    int exact = !scale->normalize && fabs(scale->scale / (double)input->scale - 1) < 1e-6;
    half_rows rows = {input, n, exact, scale};
    cf_preprocess_each_run(resizer, src, begin, end, take_halves, &rows);
}
