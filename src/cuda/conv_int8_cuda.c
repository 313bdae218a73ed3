// SPDX-License-Identifier: Apache-2.0
// Convolutions of bytes on tensor cores, one kernel for each int8 tile of cuda/conv_tiles.h: cuda/kernels/conv_int8.cu,
// conv_int8_wgmma.cu.
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "cuda/conv_int8_cuda.h"
#include "cuda/conv_tile_cuda.h"
#include "cuda/conv_tiles.h"

enum { MMA_RATE = 2400, WGMMA_RATE = 3500, CHUNK = 16, MOST = 127, MOST_E4M3 = 448 };

// ---------------------------------------------------------------------------------------------------------------------
// Packing: conv_int8_args.h says what lies where

size_t cf_conv_int8_packed_size(const cf_problem *problem) {
    return cf_conv_matrix_bytes(problem) + 3 * cf_conv_bias_bytes(problem) + (size_t)problem->in[0].c;
}

float cf_conv_int8_unit(const cf_problem *problem, size_t c) {
    return problem->constant[2].data ? problem->constant[2].data[c] : problem->in[0].scale;
}

static int zero_of(const cf_problem *problem, size_t c) {
    return problem->constant[2].data ? (int)problem->constant[2].data[(size_t)problem->in[0].c + c]
                                     : problem->in[0].zero;
}

float cf_conv_int8_step(const cf_problem *problem, size_t o) {
    size_t taps = (size_t)problem->attr.conv.kernel_h * (size_t)problem->attr.conv.kernel_w;
    size_t count = (size_t)problem->in[0].c * taps;
    const float *weight = problem->constant[0].data + o * count;
    float most = 0;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(cf_conv_int8_unit(problem, i / taps) * weight[i]));
    return most > 0 ? most / (problem->in[0].dtype == CF_E4M3 ? MOST_E4M3 : MOST) : 1;
}

float cf_conv_int8_round(const cf_problem *problem, float steps) {
    return problem->in[0].dtype == CF_E4M3 ? cf_e4m3_to_f32(cf_f32_to_e4m3(steps)) : nearbyintf(steps);
}

// One output's line of weights; returns their step.
static float pack_line(const cf_problem *problem, size_t o, int8_t *line, int32_t *offset) {
    size_t inputs = (size_t)problem->in[0].c;
    size_t taps = (size_t)problem->attr.conv.kernel_h * (size_t)problem->attr.conv.kernel_w;
    const float *weight = problem->constant[0].data + o * inputs * taps;
    float step = cf_conv_int8_step(problem, o);
    int32_t sum = 0;
    for (size_t c = 0; c < inputs; c++)
        for (size_t t = 0; t < taps; t++) {
            int stored = (int)nearbyintf(cf_conv_int8_unit(problem, c) * weight[c * taps + t] / step);
            line[t * inputs + c] = (int8_t)stored;
            sum += stored * zero_of(problem, c);
        }
    *offset = -sum;
    return step;
}

void cf_conv_int8_pack(const cf_problem *problem, void *packed) {
    size_t outputs = (size_t)problem->out[0].c, line = (size_t)cf_conv_steps(problem) * CF_CONV_INT8_STEP;
    size_t vector = cf_conv_bias_bytes(problem) / sizeof(float);
    memset(packed, 0, cf_conv_int8_packed_size(problem));
    float *bias = (float *)(void *)((char *)packed + cf_conv_matrix_bytes(problem)), *scale = bias + vector;
    int32_t *offset = (int32_t *)(scale + vector);
    uint8_t *zero = (uint8_t *)(offset + vector);
    cf_conv_pack_bias(problem, bias);
    for (size_t o = 0; o < outputs; o++) scale[o] = pack_line(problem, o, (int8_t *)packed + o * line, &offset[o]);
    for (size_t c = 0; c < (size_t)problem->in[0].c; c++) zero[c] = (uint8_t)zero_of(problem, c);
}

// ---------------------------------------------------------------------------------------------------------------------

const char *cf_conv_int8_refuse(const cf_problem *problem) {
    return cf_conv_refuse_bytes(problem, CF_U8);
}

const char *cf_conv_refuse_bytes(const cf_problem *problem, cf_dtype dtype) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0];
    if (attr->groups != 1) return "wants one group";
    if (in->dtype != dtype) return "wants another input type";
    if (in->c % CHUNK || in->image % CHUNK || in->row % CHUNK || in->pixel % CHUNK)
        return "wants channels and strides in multiples of 16";
    if (attr->kernel_h * attr->kernel_w > 32 || attr->kernel_w > 31) return "wants at most 32 taps";
    if ((int64_t)problem->images * problem->out[0].h * problem->out[0].w > INT32_MAX / 2) return "too many pixels";
    // Offsets in units of 16 bytes are 32-bit numbers.
    if (in->image * problem->images / CHUNK > INT32_MAX / 2) return "too large an input";
    return cf_conv_refuse_output(problem);
}

cf_conv_int8_args cf_conv_int8_args_of(const cf_call *call) {
    cf_conv_int8_args args = {.conv = cf_conv_args_of(call, cf_conv_matrix_bytes(call->problem))};
    size_t vector = cf_conv_bias_bytes(call->problem) / sizeof(float);
    args.scale = args.conv.bias + vector;
    args.offset = (const int32_t *)(args.scale + vector);
    args.zero = (const uint8_t *)(args.offset + vector);
    args.conv.steps = cf_conv_steps(call->problem);
    return args;
}

// A part of a concat may begin between two vectors, which shows only here.
static void launch_unaligned(const cf_conv_int8_args *args, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    const void *arguments[] = {args};
    int64_t threads = (int64_t)args->conv.pixels * cf_cuda_blocks(args->conv.out.c, 8);
    cf_cuda_launch(queue, "cf_conv_u8_unaligned", (cf_cuda_shape){cf_cuda_blocks(threads, THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const cf_conv_tile *t) {
    cf_conv_int8_args args = cf_conv_int8_args_of(call);
    if (args.conv.pixels == 0) return;
    if ((uintptr_t)args.conv.in.data % CHUNK) {
        launch_unaligned(&args, queue);
        return;
    }
    cf_conv_tile_launch(queue, t, &args.conv, &args);
}

#define TILE(from, to, instruction, RATE, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                 \
    static const cf_conv_tile                                                                                          \
        tile_##instruction##_##ROWS##x##COLUMNS = {"cf_conv_" #instruction "_u8_" #ROWS "x" #COLUMNS,                  \
                                                   ROWS,                                                               \
                                                   COLUMNS,                                                            \
                                                   DOWN * ACROSS * 32,                                                 \
                                                   STAGES,                                                             \
                                                   1,                                                                  \
                                                   BLOCKS,                                                             \
                                                   RATE};                                                              \
    static void launch_##instruction##_##ROWS##x##COLUMNS(const cf_call *call, cf_cuda_queue *queue) {                 \
        launch(call, queue, &tile_##instruction##_##ROWS##x##COLUMNS);                                                 \
    }                                                                                                                  \
    static double estimate_##instruction##_##ROWS##x##COLUMNS(const cf_problem *problem) {                             \
        return cf_conv_tile_estimate(problem, &tile_##instruction##_##ROWS##x##COLUMNS);                               \
    }                                                                                                                  \
    const cf_kernel cf_conv_##instruction##_u8_##ROWS##x##COLUMNS = {                                                  \
        .name = "conv_" #instruction "_u8_" #ROWS "x" #COLUMNS,                                                        \
        .op = CF_OP_CONV,                                                                                              \
        .compute_from = from,                                                                                          \
        .compute_to = to,                                                                                              \
        .refuse = cf_conv_int8_refuse,                                                                                 \
        .packed_size = cf_conv_int8_packed_size,                                                                       \
        .pack = cf_conv_int8_pack,                                                                                     \
        .launch = launch_##instruction##_##ROWS##x##COLUMNS,                                                           \
        .estimate = estimate_##instruction##_##ROWS##x##COLUMNS};

#define MMA(unused, instruction, ...) TILE(75, 0, instruction, MMA_RATE, __VA_ARGS__)
#define MMA_WIDE(unused, instruction, ...) TILE(80, 0, instruction, MMA_RATE, __VA_ARGS__)
#define WGMMA(unused, instruction, ...) TILE(90, 90, instruction, WGMMA_RATE, __VA_ARGS__)

CF_CONV_INT8_WGMMA_TILES(WGMMA, )
CF_CONV_INT8_MMA_TILES(MMA, )
CF_CONV_INT8_MMA_WIDE_TILES(MMA_WIDE, )

void cf_conv_int8_launch_unaligned(const cf_call *call, cf_cuda_queue *queue) {
    launch(call, queue, &tile_mma_64x64);
}
