// SPDX-License-Identifier: Apache-2.0
// upsample, max_pool, avg_pool, global_pool over vectors of channels. Included once per instruction set.
#include <string.h>

#include "kernels/cpu/rows.h"

// Each input pixel goes to its four places.
static void upsample_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int same = stored_alike(in, out);
    long begin, end;
    cf_team_range(team, (long)call->images * in->h * in->w, &begin, &end);
    place at = place_of(in, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(in, &at)) {
        const char *source = pixel_at(in, at);
        char *first = cf_tensor_at(out, at.n, 2 * at.y, 2 * at.x);
        long right = out->pixel * to.size, below = out->row * to.size;
        size_t bytes = (size_t)in->c * (size_t)to.size;
        if (same)
            memcpy(first, source, bytes);
        else
            for (EACH_VECTOR(i, left, in->c))
                real_write(first + i * to.size, to, real_read(source + i * from.size, from, left), left);
        memcpy(first + right, first, bytes);
        memcpy(first + below, first, bytes);
        memcpy(first + below + right, first, bytes);
    }
}

// The taps of one window that lie inside the map.
typedef struct {
    const char *first; // the top left one
    int rows, cols, whole;
} pool_window;

static pool_window window_at(const cf_call *call, place at) {
    const cf_pool_attr *attr = &call->problem->attr.pool;
    const cf_tensor *in = &call->in[0];
    int top = at.y * attr->stride - attr->pad_top, left = at.x * attr->stride - attr->pad_left;
    int bottom = top + attr->kernel < in->h ? top + attr->kernel : in->h;
    int right = left + attr->kernel < in->w ? left + attr->kernel : in->w;
    top = top > 0 ? top : 0;
    left = left > 0 ? left : 0;
    pool_window window = {.rows = bottom > top ? bottom - top : 0, .cols = right > left ? right - left : 0};
    window.whole = window.rows == attr->kernel && window.cols == attr->kernel;
    if (window.rows && window.cols) window.first = cf_tensor_at(in, at.n, top, left);
    return window;
}

// Calls the body with `tap` at each tap of the window.
#define EACH_TAP(window, tap, row_step, pixel_step)                                                                    \
    for (int ky = 0; ky < (window).rows; ky++)                                                                         \
        for (const char *tap = (window).first + ky * (row_step), *stop = tap + (window).cols * (pixel_step);           \
             tap != stop; tap += (pixel_step))

static void max_pool_loop(const cf_call *call, real_format from, real_format to, long begin, long end) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    long row = in->row * from.size, step = in->pixel * from.size;
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        pool_window window = window_at(call, at);
        char *result = pixel_at(out, at);
        for (EACH_VECTOR(i, left, out->c)) {
            v_f32 most = window.whole ? real_read(window.first + i * from.size, from, left) : v_zero();
            EACH_TAP(window, tap, row, step) most = v_max(real_read(tap + i * from.size, from, left), most);
            real_write(result + i * to.size, to, most, left);
        }
    }
}

// The 2x2 window at stride 1 over stored numbers as they are: below[i], the row under row[i]; step, one pixel. Sixteen
// bits of a float order like whole numbers once the lower bits of negative ones are turned over; doing it twice gives
// the float back.
static inline int16_t ordered(int16_t stored) {
    return (int16_t)(stored ^ (stored >> 15 & 0x7fff));
}

#define MAX_2X2(name, type, key)                                                                                       \
    static void name(type *restrict to, const type *row, const type *below, long step, long count) {                   \
        for (long i = 0; i < count; i++) {                                                                             \
            type a = key(row[i]), b = key(row[i + step]), c = key(below[i]), d = key(below[i + step]);                 \
            a = a > b ? a : b;                                                                                         \
            c = c > d ? c : d;                                                                                         \
            to[i] = key(a > c ? a : c);                                                                                \
        }                                                                                                              \
    }
MAX_2X2(max_2x2_f32, float, )
MAX_2X2(max_2x2_half, int16_t, ordered)
MAX_2X2(max_2x2_s8, int8_t, )
MAX_2X2(max_2x2_u8, uint8_t, )

static void max_2x2(cf_dtype dtype, void *to, const char *row, const char *below, long step, long count) {
    switch (dtype) {
    case CF_F32: max_2x2_f32(to, (const float *)row, (const float *)below, step, count); break;
    case CF_S8: max_2x2_s8(to, (const int8_t *)row, (const int8_t *)below, step, count); break;
    case CF_U8: max_2x2_u8(to, (const uint8_t *)row, (const uint8_t *)below, step, count); break;
    default: max_2x2_half(to, (const int16_t *)row, (const int16_t *)below, step, count);
    }
}

// The same for 16-bit floats of channels in sixteens, to pixels to_pixel numbers apart, as they are or in another type:
// the greater of two rows is found once for the two windows that it belongs to.
static inline __m256i ordered_16(const int16_t *from) {
    __m256i v = _mm256_loadu_si256((const __m256i *)from);
    return _mm256_xor_si256(v, _mm256_and_si256(_mm256_srai_epi16(v, 15), _mm256_set1_epi16(0x7fff)));
}

CF_INLINE void max_2x2_vectors(char *to, long to_pixel, real_format to_format, const int16_t *row, const int16_t *below,
                               real_format from, long c, int pixels, int alike) {
    for (long i = 0; i < c; i += 16) {
        __m256i left = _mm256_max_epi16(ordered_16(row + i), ordered_16(below + i));
        for (int x = 0; x < pixels; x++) {
            long at = (x + 1) * c + i;
            __m256i right = _mm256_max_epi16(ordered_16(row + at), ordered_16(below + at));
            __m256i most = _mm256_max_epi16(left, right);
            __m256i turned = _mm256_and_si256(_mm256_srai_epi16(most, 15), _mm256_set1_epi16(0x7fff));
            __m256i stored = _mm256_xor_si256(most, turned);
            char *out = to + (x * to_pixel + i) * to_format.size;
            left = right;
            if (alike) {
                _mm256_storeu_si256((__m256i *)out, stored);
                continue;
            }
            int16_t numbers[16];
            _mm256_storeu_si256((__m256i *)numbers, stored);
            for (int k = 0; k < 16; k += V_LANES)
                real_write(out + k * to_format.size, to_format, real_read(numbers + k, from, V_LANES), V_LANES);
        }
    }
}

// The same for what needs no turning over.
#define MAX_2X2_VECTORS(name, type, lanes, load, max, store)                                                           \
    static void name(type *to, long to_pixel, const type *row, const type *below, long c, int pixels) {                \
        for (long i = 0; i < c; i += lanes) {                                                                          \
            __typeof__(load(row)) left = max(load(row + i), load(below + i));                                          \
            for (int x = 0; x < pixels; x++) {                                                                         \
                long at = (x + 1) * c + i;                                                                             \
                __typeof__(left) right = max(load(row + at), load(below + at));                                        \
                store(to + x * to_pixel + i, max(left, right));                                                        \
                left = right;                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }
#define LOAD_BYTES(from) _mm_loadu_si128((const __m128i *)(from))
#define STORE_BYTES(to, value) _mm_storeu_si128((__m128i *)(to), value)
MAX_2X2_VECTORS(max_2x2_float_vectors, float, V_LANES, v_load, v_max, v_store)
MAX_2X2_VECTORS(max_2x2_byte_vectors, char, 16, LOAD_BYTES, _mm_max_epu8, STORE_BYTES)

enum {
    MAX_2X2_BYTES = 8192, // of a stretch on its way to an output that is not dense
    MAX_2X2_BLOCK = 32,   // pixels that all vectors of channels pass before the next ones are fetched
};

// `pixels` outputs from `at` on, all with whole windows, of the 2x2 window at stride 1.
static void max_2x2_stretch(const cf_call *call, place at, int pixels) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    const cf_pool_attr *attr = &call->problem->attr.pool;
    real_format from = real_format_of(in), to_format = real_format_of(out);
    int size = from.size, alike = stored_alike(in, out), dense = alike && out->pixel == out->c;
    int bytes = in->dtype == CF_BF16 && out->dtype == CF_U8;
    if (((alike && in->dtype != CF_S8) || bytes) && out->c % 16 == 0) {
        const char *row = cf_tensor_at(in, at.n, at.y - attr->pad_top, at.x - attr->pad_left);
        const real_format bf16 = REAL_BF16, u8 = {CF_U8, 1, to_format.scale, to_format.inverse, to_format.zero};
        for (int done = 0, now; done < pixels; done += now, at.x += now, row += now * out->c * size) {
            const int16_t *first = (const int16_t *)row, *below = (const int16_t *)(row + in->row * size);
            now = pixels - done < MAX_2X2_BLOCK ? pixels - done : MAX_2X2_BLOCK;
            if (in->dtype == CF_F32)
                max_2x2_float_vectors(pixel_at(out, at), out->pixel, (const float *)row,
                                      (const float *)(row + in->row * size), out->c, now);
            else if (in->dtype == CF_U8)
                max_2x2_byte_vectors(pixel_at(out, at), out->pixel, row, row + in->row, out->c, now);
            else if (bytes)
                max_2x2_vectors(pixel_at(out, at), out->pixel, u8, first, below, bf16, out->c, now, 0);
            else
                max_2x2_vectors(pixel_at(out, at), out->pixel, from, first, below, from, out->c, now, 1);
        }
        return;
    }
    int most = dense ? pixels : MAX_2X2_BYTES / (out->c * size);
    char part[MAX_2X2_BYTES];
    for (int done = 0; done < pixels; done += most, at.x += most) {
        int now = pixels - done < most ? pixels - done : most;
        const char *row = cf_tensor_at(in, at.n, at.y - attr->pad_top, at.x - attr->pad_left);
        char *to = pixel_at(out, at);
        max_2x2(in->dtype, dense ? to : part, row, row + in->row * size, in->c, (long)now * out->c);
        for (int x = 0; x < now && alike && !dense; x++)
            memcpy(to + x * out->pixel * size, part + (long)x * out->c * size, (size_t)(out->c * size));
        for (int x = 0; x < now && !alike; x++)
            for (EACH_VECTOR(i, left, out->c))
                real_write(to + (x * out->pixel + i) * to_format.size, to_format,
                           real_read(part + ((long)x * out->c + i) * size, from, left), left);
    }
}

// Rows of the stem's pooling: windows at the border one by one, the rest as a stretch.
static void max_2x2_run(const cf_call *call, real_format from, real_format to, long begin, long end) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    const cf_pool_attr *attr = &call->problem->attr.pool;
    for (long row = begin; row < end; row++) {
        int n = (int)(row / out->h), y = (int)(row % out->h), top = y - attr->pad_top;
        int first = attr->pad_left, last = in->w - 1 + attr->pad_left; // outputs whose windows are whole
        long start = row * out->w;
        if (last > out->w) last = out->w;
        if (top < 0 || top + 2 > in->h || last <= first) {
            max_pool_loop(call, from, to, start, start + out->w);
            continue;
        }
        max_pool_loop(call, from, to, start, start + first);
        max_2x2_stretch(call, (place){n, y, first}, last - first);
        max_pool_loop(call, from, to, start + last, start + out->w);
    }
}

static void max_pool_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    const cf_pool_attr *attr = &call->problem->attr.pool;
    real_format from = real_format_of(in), to = real_format_of(out);
    long begin, end;
    if (attr->kernel == 2 && attr->stride == 1 && in->pixel == in->c && out->c * from.size <= MAX_2X2_BYTES) {
        cf_team_range(team, (long)call->images * out->h, &begin, &end);
        max_2x2_run(call, from, to, begin, end);
        return;
    }
    pixel_share(call, team, &begin, &end);
    max_pool_loop(call, from, to, begin, end);
}

static void avg_pool_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int kernel = call->problem->attr.pool.kernel;
    v_f32 share = v_set(1 / (float)(kernel * kernel));
    long row = in->row * from.size, step = in->pixel * from.size, begin, end;
    pixel_share(call, team, &begin, &end);
    place at = place_of(out, begin);
    for (long pixel = begin; pixel < end; pixel++, place_next(out, &at)) {
        pool_window window = window_at(call, at);
        char *result = pixel_at(out, at);
        for (EACH_VECTOR(i, left, out->c)) {
            v_f32 sum = v_zero();
            EACH_TAP(window, tap, row, step) sum = sum + real_read(tap + i * from.size, from, left);
            real_write(result + i * to.size, to, sum * share, left);
        }
    }
}

// Shared by vectors of channels: the map is read once, V_LANES channels at a time. Sums of rows are added up apart, so
// that rounding grows with h + w, not with h * w.
static void global_pool_run(const cf_call *call, const cf_team *team) {
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    real_format from = real_format_of(in), to = real_format_of(out);
    int vectors = (in->c + V_LANES - 1) / V_LANES;
    v_f32 share = v_set(1 / ((float)in->h * (float)in->w));
    long begin, end;
    cf_team_range(team, (long)call->images * vectors, &begin, &end);
    for (long job = begin; job < end; job++) {
        int n = (int)(job / vectors), i = (int)(job % vectors) * V_LANES;
        int left = in->c - i < V_LANES ? in->c - i : V_LANES;
        v_f32 sum = v_zero();
        for (int y = 0; y < in->h; y++) {
            v_f32 line = v_zero();
            const char *at = (const char *)cf_tensor_at(in, n, y, 0) + (long)i * from.size;
            for (int x = 0; x < in->w; x++, at += in->pixel * from.size) line = line + real_read(at, from, left);
            sum = sum + line;
        }
        real_write((char *)cf_tensor_at(out, n, 0, 0) + (long)i * to.size, to, sum * share, left);
    }
}

static const char *pool_refuse(const cf_problem *problem) {
    return problem->in[0].dtype == CF_I32 || problem->out[0].dtype == CF_I32 ? "integers" : NULL;
}

#define POOL_KERNEL(op_name, enumerator)                                                                               \
    const cf_kernel V_ISA(cf_##op_name) = {.name = #op_name "_" V_ISA_NAME,                                            \
                                           .op = CF_OP_##enumerator,                                                   \
                                           .cpu = V_CPU,                                                               \
                                           .refuse = pool_refuse,                                                      \
                                           .run = op_name##_run};
POOL_KERNEL(upsample, UPSAMPLE)
POOL_KERNEL(max_pool, MAX_POOL)
POOL_KERNEL(avg_pool, AVG_POOL)
POOL_KERNEL(global_pool, GLOBAL_POOL)
