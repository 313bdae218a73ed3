// SPDX-License-Identifier: Apache-2.0
// Convolutions without matrix products: any shape and type one output a thread, the stem, and depthwise ones.
#include "cuda/kernels/conv.cuh"

// One thread an output element, whatever the types. Weights in FP32 as [tap][channel of a group][output], so that
// neighbouring threads read neighbours.
CF_GLOBAL cf_conv_any(const __grid_constant__ cf_conv_args a) {
    cf_wait_before();
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= (int64_t)a.pixels * a.out.c) return;
    unsigned m = i / a.out.c, o = i - (int64_t)m * a.out.c;
    unsigned line = m / (unsigned)a.out.w, ox = m - line * a.out.w, n = line / (unsigned)a.out.h,
             oy = line - n * a.out.h;
    int group_in = a.in.c / a.attr.groups, group_out = a.out.c / a.attr.groups, first = o / group_out * group_in;
    const float *weight = static_cast<const float *>(a.weight) + o;
    float sum = a.bias[o];
    for (int ky = 0; ky < a.attr.kernel_h; ky++)
        for (int kx = 0; kx < a.attr.kernel_w; kx++, weight += (int64_t)group_in * a.out.c) {
            int y = (int)oy * a.attr.stride + ky - a.attr.pad_top, x = (int)ox * a.attr.stride + kx - a.attr.pad_left;
            if (y < 0 || y >= a.in.h || x < 0 || x >= a.in.w) continue;
            int64_t at = cf_at(a.in, n, y, x, first);
            float part = 0;
            for (int c = 0; c < group_in; c++) part = fmaf(weight[(int64_t)c * a.out.c], cf_get(a.in, at + c), part);
            sum += part;
        }
    float value = cf_activate(a.attr.act, sum);
    if (a.attr.affine) value = value * a.attr.scale + a.attr.shift;
    if (a.residual.data) value += cf_get(a.residual, cf_at(a.residual, n, oy, ox, o));
    cf_put(a.out, cf_at(a.out, n, oy, ox, o), value);
}

// The stem: 3x3 over three channels. A thread makes all channels of one pixel, eight at a time; weights as FP32
// [tap][channel][output rounded up to 8], in shared memory.
enum { STEM_TERMS = 27 };

CF_GLOBAL __launch_bounds__(128) cf_conv_stem(const __grid_constant__ cf_conv_args a) {
    extern __shared__ float4 shared4[];
    float *weight = reinterpret_cast<float *>(shared4);
    int outputs = (a.out.c + 7) / 8 * 8;
    for (int i = threadIdx.x; i < STEM_TERMS * outputs; i += blockDim.x)
        weight[i] = static_cast<const float *>(a.weight)[i];
    __syncthreads();
    cf_wait_before();
    cf_let_next_start();
    unsigned m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= (unsigned)a.pixels) return;
    unsigned line = m / (unsigned)a.out.w, ox = m - line * a.out.w, n = line / (unsigned)a.out.h,
             oy = line - n * a.out.h;
    float in[STEM_TERMS];
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
        int y = (int)oy * a.attr.stride + tap / 3 - a.attr.pad_top;
        int x = (int)ox * a.attr.stride + tap % 3 - a.attr.pad_left;
        int inside = y >= 0 && y < a.in.h && x >= 0 && x < a.in.w;
        int64_t at = cf_at(a.in, n, y, x, 0);
#pragma unroll
        for (int c = 0; c < 3; c++) in[tap * 3 + c] = inside ? cf_get(a.in, at + c) : 0.f;
    }
    for (int o = 0; o < a.out.c; o += 8) {
        cf_eight e = {};
#pragma unroll
        for (int k = 0; k < STEM_TERMS; k++) {
            cf_eight w = cf_load8_f32(weight + k * outputs + o);
#pragma unroll
            for (int i = 0; i < 8; i++) e.v[i] = fmaf(in[k], w.v[i], e.v[i]);
        }
        cf_conv_finish8(a, m, o, e);
    }
}

// Called, not inlined: a depthwise thread ends up to four pixels, and the code is long.
static __device__ __noinline__ void finish(const cf_conv_args &a, unsigned m, int o, cf_eight e) {
    cf_conv_finish8(a, m, o, e);
}

template <typename T> __device__ __forceinline__ float4 unpack4(uint2 bits) {
    float2 low = cf_unpack(bits.x, T()), high = cf_unpack(bits.y, T());
    return make_float4(low.x, low.y, high.x, high.y);
}

// Depthwise: a thread sums WIDE x HIGH neighbouring pixels of four channels. Each row of input that they need is read
// and made FP32 once and goes into all their sums. Weights as FP32 [tap][channel]. Neighbouring threads have
// neighbouring channels of the same pixels: at the end two of them swap halves, so that each stores eight channels.
template <typename T, int KERNEL, int STRIDE, int WIDE, int HIGH>
__device__ __forceinline__ void depthwise(const cf_conv_args &a) {
    constexpr int SPAN = (WIDE - 1) * STRIDE + KERNEL, ROWS = (HIGH - 1) * STRIDE + KERNEL;
    static_assert(WIDE % 2 == 0, "pixels are stored in pairs");
    cf_wait_before();
    cf_let_next_start();
    int fours = a.out.c / 4, strips = (a.out.w + WIDE - 1) / WIDE, bands = (a.out.h + HIGH - 1) / HIGH;
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    int64_t place = i / fours;
    int c = (int)(i - place * fours) * 4;
    int64_t line = place / strips;
    int ox = (int)(place - line * strips) * WIDE;
    int n = (int)(line / bands), oy = (int)(line - (int64_t)n * bands) * HIGH;
    bool exists = n < a.pixels / (a.out.h * a.out.w);

    float4 sum[HIGH][WIDE] = {};
    const float *weight = static_cast<const float *>(a.weight) + c;
    int top = oy * STRIDE - a.attr.pad_top, left = ox * STRIDE - a.attr.pad_left;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int y = top + r;
        if (!exists || y < 0 || y >= a.in.h) continue;
        const uint16_t *row = static_cast<const uint16_t *>(a.in.data) + n * a.in.image + y * a.in.row + c;
        uint2 bits[SPAN];
        float4 in[SPAN];
#pragma unroll
        for (int s = 0; s < SPAN; s++) {
            int x = left + s;
            bits[s] = x >= 0 && x < a.in.w ? *reinterpret_cast<const uint2 *>(row + x * a.in.pixel) : uint2{};
        }
#pragma unroll
        for (int s = 0; s < SPAN; s++) in[s] = unpack4<T>(bits[s]);
#pragma unroll
        for (int q = 0; q < HIGH; q++) {
            int ky = r - q * STRIDE;
            if (ky < 0 || ky >= KERNEL) continue;
#pragma unroll
            for (int kx = 0; kx < KERNEL; kx++) {
                float4 w = *reinterpret_cast<const float4 *>(weight + (int64_t)(ky * KERNEL + kx) * a.out.c);
#pragma unroll
                for (int p = 0; p < WIDE; p++) {
                    float4 v = in[p * STRIDE + kx], &to = sum[q][p];
                    to.x = fmaf(v.x, w.x, to.x), to.y = fmaf(v.y, w.y, to.y);
                    to.z = fmaf(v.z, w.z, to.z), to.w = fmaf(v.w, w.w, to.w);
                }
            }
        }
    }
    int odd = threadIdx.x % 2;
#pragma unroll
    for (int q = 0; q < HIGH; q++)
#pragma unroll
        for (int p = 0; p < WIDE; p += 2) {
            float4 keep = odd ? sum[q][p + 1] : sum[q][p], give = odd ? sum[q][p] : sum[q][p + 1], got;
            got.x = __shfl_xor_sync(0xffffffffu, give.x, 1), got.y = __shfl_xor_sync(0xffffffffu, give.y, 1);
            got.z = __shfl_xor_sync(0xffffffffu, give.z, 1), got.w = __shfl_xor_sync(0xffffffffu, give.w, 1);
            if (!exists || oy + q >= a.out.h || ox + p + odd >= a.out.w) continue;
            float4 low = odd ? got : keep, high = odd ? keep : got;
            finish(a, ((unsigned)n * a.out.h + oy + q) * a.out.w + ox + p + odd, c - odd * 4,
                   {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}});
        }
}

#define DEPTHWISE(KERNEL, STRIDE, WIDE, HIGH)                                                                          \
    CF_GLOBAL __launch_bounds__(128)                                                                                   \
        cf_depthwise_##KERNEL##_s##STRIDE##_##WIDE##x##HIGH(const __grid_constant__ cf_conv_args a) {                  \
        if (a.in.dtype == CF_F16)                                                                                      \
            depthwise<__half, KERNEL, STRIDE, WIDE, HIGH>(a);                                                          \
        else                                                                                                           \
            depthwise<__nv_bfloat16, KERNEL, STRIDE, WIDE, HIGH>(a);                                                   \
    }

// Many pixels a thread where there are enough threads anyway, few where there are not.
DEPTHWISE(3, 1, 4, 2)
DEPTHWISE(3, 1, 2, 1)
DEPTHWISE(3, 2, 2, 2)
DEPTHWISE(3, 2, 2, 1)
DEPTHWISE(5, 1, 4, 2)
DEPTHWISE(5, 1, 2, 1)
DEPTHWISE(5, 2, 2, 2)
DEPTHWISE(5, 2, 2, 1)
