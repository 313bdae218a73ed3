// SPDX-License-Identifier: Apache-2.0
// Convolution of E4M3 by wgmma, operands brought by the copy engine: one kernel for each tile of
// CF_CONV_TMA_INT8_TILES, and one for what is not aligned.
#include "cuda/conv_tiles.h"
#include "cuda/kernels/conv_tma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define BODY(WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                          \
    conv_tma<__nv_fp8_e4m3, CF_CONV_WAY_##WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS>(a);
#else
#define BODY(...) // never launched on other chips
#endif

#define KERNEL(unused, WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                \
    CF_GLOBAL __launch_bounds__(GROUPS * 128 + 128, 1)                                                                 \
        cf_conv_tma_e4m3_##WAY##_##ROWS##x##COLUMNS##_k##STEP(const __grid_constant__ cf_conv_tma_args a) {            \
        BODY(WAY, STEP, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                          \
    }

CF_CONV_TMA_INT8_TILES(KERNEL, )

// The same packed weights, eight outputs a thread. line: weights from one output to the next; unit: of each output.
CF_GLOBAL cf_conv_e4m3_unaligned(const __grid_constant__ cf_conv_args a, const float *unit, int line) {
    cf_wait_before();
    unsigned eights = (a.out.c + 7) / 8, i = blockIdx.x * blockDim.x + threadIdx.x, m = i / eights;
    if (m >= (unsigned)a.pixels) return;
    int o = (int)(i - m * eights) * 8;
    unsigned row = m / (unsigned)a.out.w, ox = m - row * a.out.w, n = row / (unsigned)a.out.h, oy = row - n * a.out.h;
    const uint8_t *weight = static_cast<const uint8_t *>(a.weight) + (int64_t)o * line;
    cf_eight e = {};
    for (int tap = 0; tap < a.attr.kernel_h * a.attr.kernel_w; tap++, weight += a.in.c) {
        int y = (int)oy * a.attr.stride + tap / a.attr.kernel_w - a.attr.pad_top;
        int x = (int)ox * a.attr.stride + tap % a.attr.kernel_w - a.attr.pad_left;
        if (y < 0 || y >= a.in.h || x < 0 || x >= a.in.w) continue;
        const uint8_t *in = static_cast<const uint8_t *>(a.in.data) + cf_at(a.in, n, y, x, 0);
        for (int c = 0; c < a.in.c; c++)
#pragma unroll
            for (int k = 0; k < 8; k++)
                if (o + k < a.out.c)
                    e.v[k] = fmaf(cf_from_two_e4m3(in[c]).x, cf_from_two_e4m3(weight[k * line + c]).x, e.v[k]);
    }
    cf_eight units = cf_load8_f32(unit + o);
#pragma unroll
    for (int k = 0; k < 8; k++) e.v[k] *= units.v[k];
    cf_conv_finish8(a, m, o, e);
}
