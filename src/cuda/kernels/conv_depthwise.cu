// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions. A thread makes two channels of a block of WIDE x HIGH pixels: it keeps its weights in
// registers and walks down the rows of input, each of which is read once, the next one while this one is multiplied.
// Neighbouring threads have neighbouring channels, so that a warp reads and writes whole lines.
#include "cuda/kernels/conv.cuh"

// Called, not inlined: rare types, activations and strides.
static __device__ __noinline__ void finish_any(const cf_conv_args &a, int n, int y, int x, int c, float2 v) {
    float values[2] = {v.x, v.y};
    for (int i = 0; i < 2; i++) {
        float value = cf_activate(a.attr.act, values[i]);
        if (a.attr.affine) value = value * a.attr.scale + a.attr.shift;
        if (a.residual.data) value += cf_get(a.residual, cf_at(a.residual, n, y, x, c + i));
        cf_put(a.out, cf_at(a.out, n, y, x, c + i), value);
    }
}

// Two neighbouring channels of a type, as they lie in memory and in FP32, in `unit`s; `outside` is what stands for 0.
template <typename T> struct two {
    typedef uint32_t bits;
    static __device__ __forceinline__ uint32_t load(const char *from) {
        return *reinterpret_cast<const uint32_t *>(from);
    }
    static __device__ __forceinline__ uint32_t outside(const cf_tensor &) { return 0; }
    static __device__ __forceinline__ float2 unpack(const cf_tensor &, uint32_t bits) { return cf_unpack(bits, T()); }
    static __device__ __forceinline__ float unit(const cf_tensor &) { return 1.f; }
    // Whether what is stored is bytes of this type: half may store either, bytes their own.
    static __device__ __forceinline__ bool to_u8(int dtype) { return dtype == CF_U8; }
    static __device__ __forceinline__ bool to_e4m3(int dtype) { return sizeof(T) == 2 && dtype == CF_E4M3; }
    // Stores two elements `at` elements from `to` on, which is of type T unless that is bytes.
    static __device__ __forceinline__ void store(void *to, int64_t at, float2 v) {
        *reinterpret_cast<uint32_t *>(static_cast<T *>(to) + at) = cf_pack(v.x, v.y, T());
    }
};

template <> struct two<float> {
    typedef float2 bits;
    static __device__ __forceinline__ float2 load(const char *from) { return *reinterpret_cast<const float2 *>(from); }
    static __device__ __forceinline__ float2 outside(const cf_tensor &) { return make_float2(0.f, 0.f); }
    static __device__ __forceinline__ float2 unpack(const cf_tensor &, float2 v) { return v; }
    static __device__ __forceinline__ float unit(const cf_tensor &) { return 1.f; }
    static __device__ __forceinline__ bool to_u8(int dtype) { return dtype == CF_U8; }
    static __device__ __forceinline__ bool to_e4m3(int) { return false; }
    static __device__ __forceinline__ void store(void *to, int64_t at, float2 v) {
        *reinterpret_cast<float2 *>(static_cast<float *>(to) + at) = v;
    }
};

template <> struct two<uint8_t> {
    typedef uint32_t bits;
    static __device__ __forceinline__ uint32_t load(const char *from) {
        return *reinterpret_cast<const uint16_t *>(from);
    }
    static __device__ __forceinline__ uint32_t outside(const cf_tensor &t) { return (uint32_t)t.zero * 0x0101u; }
    static __device__ __forceinline__ float2 unpack(const cf_tensor &t, uint32_t bits) {
        float base = (float)(CF_WHOLE + t.zero);
        return make_float2(cf_byte_less(bits, 0, base), cf_byte_less(bits, 1, base));
    }
    static __device__ __forceinline__ float unit(const cf_tensor &t) { return t.scale; }
    static __device__ __forceinline__ bool to_u8(int dtype) { return dtype == CF_U8; }
    static __device__ __forceinline__ bool to_e4m3(int) { return false; }
    static __device__ __forceinline__ void store(void *to, int64_t at, float2 v) { two<__half>::store(to, at, v); }
};

template <> struct two<__nv_fp8_e4m3> {
    typedef uint32_t bits;
    static __device__ __forceinline__ uint32_t load(const char *from) {
        return *reinterpret_cast<const uint16_t *>(from);
    }
    static __device__ __forceinline__ uint32_t outside(const cf_tensor &) { return 0; }
    static __device__ __forceinline__ float2 unpack(const cf_tensor &, uint32_t bits) { return cf_from_two_e4m3(bits); }
    static __device__ __forceinline__ float unit(const cf_tensor &t) { return t.scale; }
    static __device__ __forceinline__ bool to_u8(int) { return false; }
    static __device__ __forceinline__ bool to_e4m3(int dtype) { return dtype == CF_E4M3; }
    static __device__ __forceinline__ void store(void *to, int64_t at, float2 v) { two<__half>::store(to, at, v); }
};

template <typename T, cf_dtype WHOLE, int KERNEL, int STRIDE, int WIDE, int HIGH>
__device__ __forceinline__ void depthwise(const cf_conv_args &a) {
    constexpr int SPAN = (WIDE - 1) * STRIDE + KERNEL, ROWS = (HIGH - 1) * STRIDE + KERNEL;
    int pairs = a.out.c / 2, strips = (a.out.w + WIDE - 1) / WIDE, bands = (a.out.h + HIGH - 1) / HIGH;
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, place = i / pairs, line = place / strips;
    int c = (i - place * pairs) * 2, ox = (place - line * strips) * WIDE;
    int n = line / bands, oy = (line - n * bands) * HIGH;
    float2 weight[KERNEL * KERNEL], bias;
    const float *weights = static_cast<const float *>(a.weight) + c;
#pragma unroll
    for (int t = 0; t < KERNEL * KERNEL; t++) {
        float2 w = *reinterpret_cast<const float2 *>(weights + t * a.out.c);
        weight[t] = make_float2(w.x * two<T>::unit(a.in), w.y * two<T>::unit(a.in));
    }
    bias = *reinterpret_cast<const float2 *>(a.bias + c);
    cf_wait_before();
    cf_let_next_start();
    if (n >= a.pixels / (a.out.h * a.out.w)) return;

    int top = oy * STRIDE - a.attr.pad_top, left = ox * STRIDE - a.attr.pad_left;
    uint32_t inside = 0; // bit s: column s of the span
#pragma unroll
    for (int s = 0; s < SPAN; s++) inside |= (left + s >= 0 && left + s < a.in.w ? 1u : 0u) << s;
    // Bytes from the first element modulo 2^32: what is read lies in an input below 4 GB.
    uint32_t pixel_bytes = (uint32_t)(a.in.pixel * sizeof(T)), row_bytes = (uint32_t)(a.in.row * sizeof(T));
    uint32_t from = (uint32_t)(n * a.in.image + top * a.in.row + left * a.in.pixel + c) * (uint32_t)sizeof(T);
    auto load = [&](int r, typename two<T>::bits(&bits)[SPAN]) {
        const char *in = static_cast<const char *>(a.in.data);
        auto outside = two<T>::outside(a.in);
        uint32_t there = top + r >= 0 && top + r < a.in.h ? inside : 0;
#pragma unroll
        for (int s = 0; s < SPAN; s++) bits[s] = there >> s & 1 ? two<T>::load(in + (from + s * pixel_bytes)) : outside;
        from += row_bytes;
    };
    bool e4m3 = two<T>::to_e4m3(a.out.dtype), bytes = e4m3 || two<T>::to_u8(a.out.dtype);
    bool usual = (bytes || a.out.dtype == WHOLE) && a.vector_out && a.attr.act <= CF_ACT_RELU && !a.residual.data;
    float scale = a.attr.affine ? a.attr.scale : 1.f, shift = a.attr.affine ? a.attr.shift : 0.f;
    float least = a.attr.act == CF_ACT_RELU ? 0.f : -INFINITY;
    if (bytes) scale /= a.out.scale, shift = shift / a.out.scale + (e4m3 ? 0 : a.out.zero);
    int64_t to = cf_at(a.out, n, oy, ox, c);

    float2 sum[HIGH][WIDE];
#pragma unroll
    for (int q = 0; q < HIGH; q++)
#pragma unroll
        for (int p = 0; p < WIDE; p++) sum[q][p] = bias;
    typename two<T>::bits next[SPAN];
    load(0, next);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float2 in[SPAN];
#pragma unroll
        for (int s = 0; s < SPAN; s++) in[s] = two<T>::unpack(a.in, next[s]);
        if (r + 1 < ROWS) load(r + 1, next);
#pragma unroll
        for (int q = 0; q < HIGH; q++) {
            int ky = r - q * STRIDE;
            if (ky < 0 || ky >= KERNEL) continue;
#pragma unroll
            for (int kx = 0; kx < KERNEL; kx++)
#pragma unroll
                for (int p = 0; p < WIDE; p++) {
                    float2 v = in[p * STRIDE + kx], w = weight[ky * KERNEL + kx], &s = sum[q][p];
                    s.x = fmaf(v.x, w.x, s.x), s.y = fmaf(v.y, w.y, s.y);
                }
            if (ky + 1 < KERNEL || oy + q >= a.out.h) continue;
#pragma unroll
            for (int p = 0; p < WIDE; p++) {
                float2 v = sum[q][p];
                if (!usual) {
                    if (ox + p < a.out.w) finish_any(a, n, oy + q, ox + p, c, v);
                    continue;
                }
                v.x = fmaf(fmaxf(v.x, least), scale, shift), v.y = fmaf(fmaxf(v.y, least), scale, shift);
                if (ox + p >= a.out.w) continue;
                int64_t at = to + q * a.out.row + p * a.out.pixel;
                if (bytes)
                    *reinterpret_cast<uint16_t *>(static_cast<uint8_t *>(a.out.data) + at) =
                        (uint16_t)(e4m3 ? cf_two_e4m3(v.x, v.y) : cf_two_bytes(v.x, v.y));
                else
                    two<T>::store(a.out.data, at, v);
            }
        }
    }
}

// One kernel a type: a kernel for all of them has the registers of the hungriest.
#define DEPTHWISE_OF(name, T, WHOLE, KERNEL, STRIDE, WIDE, HIGH, BLOCKS)                                               \
    CF_GLOBAL __launch_bounds__(128, BLOCKS)                                                                           \
        cf_conv_depthwise_##name##_##KERNEL##_s##STRIDE##_##WIDE##x##HIGH(const __grid_constant__ cf_conv_args a) {    \
        depthwise<T, WHOLE, KERNEL, STRIDE, WIDE, HIGH>(a);                                                            \
    }
#define DEPTHWISE(...)                                                                                                 \
    DEPTHWISE_OF(f16, __half, CF_F16, __VA_ARGS__)                                                                     \
    DEPTHWISE_OF(bf16, __nv_bfloat16, CF_BF16, __VA_ARGS__)                                                            \
    DEPTHWISE_OF(u8, uint8_t, CF_F16, __VA_ARGS__)                                                                     \
    DEPTHWISE_OF(e4m3, __nv_fp8_e4m3, CF_F16, __VA_ARGS__)                                                             \
    DEPTHWISE_OF(f32, float, CF_F32, __VA_ARGS__)

DEPTHWISE(3, 1, 4, 4, 5)
DEPTHWISE(3, 1, 2, 2, 6)
DEPTHWISE(3, 2, 4, 4, 4)
DEPTHWISE(3, 2, 2, 2, 6)
DEPTHWISE(5, 1, 4, 4, 3)
DEPTHWISE(5, 1, 2, 2, 4)
DEPTHWISE(5, 2, 4, 4, 3)
DEPTHWISE(5, 2, 2, 2, 4)
