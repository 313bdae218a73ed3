// SPDX-License-Identifier: Apache-2.0
// Convolutions of E4M3 on tensor cores, one kernel for each tile of CF_CONV_E4M3_MMA_TILES: cuda/kernels/conv_e4m3.cu.
// Those that the copy engine feeds are in conv_tma_cuda.c.
#include "cuda/conv_e4m3_cuda.h"

#include <string.h>

#include "base/half.h"
#include "cuda/conv_int8_cuda.h"
#include "cuda/conv_tile_cuda.h"
#include "cuda/conv_tiles.h"

// Multiplications and additions of a multiprocessor in a cycle: Hopper takes as long as for FP16.
enum { MMA_RATE = 1200, CHUNK = 16 };

static const char *refuse(const cf_problem *problem) {
    return cf_conv_refuse_bytes(problem, CF_E4M3);
}

size_t cf_conv_e4m3_packed_size(const cf_problem *problem) {
    return cf_conv_matrix_bytes(problem) + 2 * cf_conv_bias_bytes(problem);
}

void cf_conv_e4m3_pack(const cf_problem *problem, void *packed) {
    size_t outputs = (size_t)problem->out[0].c, inputs = (size_t)problem->in[0].c;
    size_t taps = (size_t)problem->attr.conv.kernel_h * (size_t)problem->attr.conv.kernel_w;
    size_t line = (size_t)cf_conv_steps(problem) * CF_CONV_STEP_BYTES;
    memset(packed, 0, cf_conv_e4m3_packed_size(problem));
    float *bias = (float *)(void *)((char *)packed + cf_conv_matrix_bytes(problem));
    float *unit = bias + cf_conv_bias_bytes(problem) / sizeof(float);
    cf_conv_pack_bias(problem, bias);
    for (size_t o = 0; o < outputs; o++) {
        const float *weight = problem->constant[0].data + o * inputs * taps;
        uint8_t *to = (uint8_t *)packed + o * line;
        unit[o] = cf_conv_int8_step(problem, o);
        for (size_t i = 0; i < inputs * taps; i++)
            to[i % taps * inputs + i / taps] =
                cf_f32_to_e4m3(cf_conv_int8_unit(problem, i / taps) * weight[i] / unit[o]);
    }
}

cf_conv_e4m3_args cf_conv_e4m3_args_of(const cf_call *call) {
    cf_conv_e4m3_args args = {.conv = cf_conv_args_of(call, cf_conv_matrix_bytes(call->problem))};
    args.conv.steps = cf_conv_steps(call->problem);
    args.unit = args.conv.bias + cf_conv_bias_bytes(call->problem) / sizeof(float);
    return args;
}

// A part of a concat may begin between two vectors, which shows only here.
static void launch_unaligned(const cf_conv_e4m3_args *args, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    const void *arguments[] = {args};
    int64_t threads = (int64_t)args->conv.pixels * cf_cuda_blocks(args->conv.out.c, 8);
    cf_cuda_launch(queue, "cf_conv_e4m3_unaligned", (cf_cuda_shape){cf_cuda_blocks(threads, THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const cf_conv_tile *t) {
    cf_conv_e4m3_args args = cf_conv_e4m3_args_of(call);
    if (args.conv.pixels == 0) return;
    if ((uintptr_t)args.conv.in.data % CHUNK)
        launch_unaligned(&args, queue);
    else
        cf_conv_tile_launch(queue, t, &args.conv, &args);
}

#define TILE(unused, instruction, ROWS, COLUMNS, DOWN, ACROSS, STAGES, BLOCKS)                                         \
    static const cf_conv_tile tile_##ROWS##x##COLUMNS = {"cf_conv_" #instruction "_e4m3_" #ROWS "x" #COLUMNS,          \
                                                         ROWS,                                                         \
                                                         COLUMNS,                                                      \
                                                         DOWN * ACROSS * 32,                                           \
                                                         STAGES,                                                       \
                                                         1,                                                            \
                                                         BLOCKS,                                                       \
                                                         MMA_RATE};                                                    \
    static void launch_##ROWS##x##COLUMNS(const cf_call *call, cf_cuda_queue *queue) {                                 \
        launch(call, queue, &tile_##ROWS##x##COLUMNS);                                                                 \
    }                                                                                                                  \
    static double estimate_##ROWS##x##COLUMNS(const cf_problem *problem) {                                             \
        return cf_conv_tile_estimate(problem, &tile_##ROWS##x##COLUMNS);                                               \
    }                                                                                                                  \
    const cf_kernel cf_conv_##instruction##_e4m3_##ROWS##x##COLUMNS = {.name = "conv_" #instruction "_e4m3_" #ROWS     \
                                                                               "x" #COLUMNS,                           \
                                                                       .op = CF_OP_CONV,                               \
                                                                       .compute_from = 89,                             \
                                                                       .compute_to = 0,                                \
                                                                       .refuse = refuse,                               \
                                                                       .packed_size = cf_conv_e4m3_packed_size,        \
                                                                       .pack = cf_conv_e4m3_pack,                      \
                                                                       .launch = launch_##ROWS##x##COLUMNS,            \
                                                                       .estimate = estimate_##ROWS##x##COLUMNS};

CF_CONV_E4M3_MMA_TILES(TILE, )

void cf_conv_e4m3_launch_unaligned(const cf_call *call, cf_cuda_queue *queue) {
    launch(call, queue, &tile_64x64);
}
