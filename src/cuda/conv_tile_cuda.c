// SPDX-License-Identifier: Apache-2.0
// Convolutions on tensor cores, one kernel for each tile of cuda/conv_tiles.h: cuda/kernels/conv_wgmma.cu, conv_mma.cu.
#include "cuda/conv_tile_cuda.h"
#include "cuda/conv_tiles.h"

enum { MMA_RATE = 1200, WGMMA_RATE = 1750, MMA_FP32_RATE = 200, ROW_BYTES = CF_CONV_STEP_BYTES };

static const char *refuse(const cf_problem *problem, cf_dtype dtype) {
    const char *reason = cf_conv_refuse_matrix(problem, dtype);
    return reason ? reason : cf_conv_refuse_output(problem);
}

static size_t shared_bytes(const cf_conv_tile *t) {
    size_t stages = (size_t)(t->stages * (t->rows + t->columns) * ROW_BYTES);
    size_t sums = (size_t)(t->rows * (t->columns + 8)) * sizeof(float); // or int32_t
    return stages > sums ? stages : sums;
}

void cf_conv_tile_launch(cf_cuda_queue *queue, const cf_conv_tile *t, cf_conv_args *conv, const void *args) {
    conv->columns = (int32_t)cf_cuda_blocks(conv->out.c, t->columns);
    uint32_t blocks = cf_cuda_blocks(conv->pixels, t->rows) * (uint32_t)conv->columns * (uint32_t)t->splits;
    const void *arguments[] = {args};
    cf_cuda_launch(queue, t->function, (cf_cuda_shape){blocks, 1, 1}, (cf_cuda_shape){(uint32_t)t->threads, 1, 1},
                   shared_bytes(t), arguments);
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const cf_conv_tile *t) {
    cf_conv_args args = cf_conv_args_of(call, cf_conv_matrix_bytes(call->problem));
    if (args.pixels == 0) return;
    args.steps = cf_conv_steps(call->problem);
    cf_conv_tile_launch(queue, t, &args, &args);
}

double cf_conv_tile_estimate(const cf_problem *problem, const cf_conv_tile *t) {
    enum { START = 3000, STEP_LATENCY = 250, L2_BYTES = 32, SUMS_PER_CYCLE = 6, CLUSTER = 6000 };
    double pixels = (double)problem->images * problem->out[0].h * problem->out[0].w;
    double blocks =
        (double)cf_cuda_blocks((int64_t)pixels, t->rows) * cf_cuda_blocks(problem->out[0].c, t->columns) * t->splits;
    double steps = (double)((cf_conv_steps(problem) + t->splits - 1) / t->splits);
    double terms = (double)ROW_BYTES / (double)cf_dtype_size(problem->in[0].dtype);
    double multiply = (double)t->rows * t->columns * terms / t->rate;
    double load = (double)(t->rows + t->columns) * ROW_BYTES / L2_BYTES;
    double step = multiply > load ? multiply : load, share = blocks / problem->threads;
    double together = share < 1 ? 1 : share < t->blocks ? share : t->blocks;
    double each = steps * (step * together > STEP_LATENCY ? step * together : STEP_LATENCY);
    // The beginning and the end of a block hide behind the products of those beside it.
    double ends = START + (double)t->rows * t->columns / t->splits / SUMS_PER_CYCLE + (t->splits > 1 ? CLUSTER : 0);
    each += together > 1.5 ? 0.6 * ends : ends;
    double rounds = share / together;
    // The last round is as long as a full one.
    if (rounds < 8) rounds = (double)cf_cuda_blocks((int64_t)blocks, (int64_t)(problem->threads * together + 0.5));
    return each * rounds;
}

#define TILE(from, to, dtype, DTYPE, instruction, RATE, ROWS, COLUMNS, DOWN, ACROSS, STAGES, SPLITS, BLOCKS)           \
    static const cf_conv_tile tile_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS = {                        \
        "cf_conv_" #instruction "_" #dtype "_" #ROWS "x" #COLUMNS "_k" #SPLITS,                                        \
        ROWS,                                                                                                          \
        COLUMNS,                                                                                                       \
        DOWN * ACROSS * 32,                                                                                            \
        STAGES,                                                                                                        \
        SPLITS,                                                                                                        \
        BLOCKS,                                                                                                        \
        RATE};                                                                                                         \
    static const char *refuse_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS(const cf_problem *problem) {    \
        return refuse(problem, DTYPE);                                                                                 \
    }                                                                                                                  \
    static void launch_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS(const cf_call *call,                   \
                                                                                cf_cuda_queue *queue) {                \
        launch(call, queue, &tile_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS);                           \
    }                                                                                                                  \
    static double estimate_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS(const cf_problem *problem) {       \
        return cf_conv_tile_estimate(problem, &tile_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS);         \
    }                                                                                                                  \
    const cf_kernel cf_conv_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS = {                               \
        .name = "conv_" #instruction "_" #dtype "_" #ROWS "x" #COLUMNS "_k" #SPLITS,                                   \
        .op = CF_OP_CONV,                                                                                              \
        .compute_from = from,                                                                                          \
        .compute_to = to,                                                                                              \
        .refuse = refuse_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS,                                     \
        .packed_size = cf_conv_matrix_packed_size,                                                                     \
        .pack = cf_conv_matrix_pack,                                                                                   \
        .launch = launch_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS,                                     \
        .estimate = estimate_##instruction##_##dtype##_##ROWS##x##COLUMNS##_k##SPLITS};

// A tile in both types, for these compute capabilities.
#define TILES(from_f16, from_bf16, to, instruction, RATE, ...)                                                         \
    TILE(from_f16, to, f16, CF_F16, instruction, RATE, __VA_ARGS__)                                                    \
    TILE(from_bf16, to, bf16, CF_BF16, instruction, RATE, __VA_ARGS__)
#define MMA(unused, instruction, ...) TILES(75, 80, 0, instruction, MMA_RATE, __VA_ARGS__)
#define MMA_WIDE(unused, instruction, ...) TILES(80, 80, 0, instruction, MMA_RATE, __VA_ARGS__)
#define MMA_SPLIT(unused, instruction, ...) TILES(90, 90, 0, instruction, MMA_RATE, __VA_ARGS__)
#define WGMMA(unused, instruction, ...) TILES(90, 90, 90, instruction, WGMMA_RATE, __VA_ARGS__)

#define MMA_FP32(unused, instruction, ...) TILE(80, 0, f32, CF_F32, instruction, MMA_FP32_RATE, __VA_ARGS__)

CF_CONV_MMA_FP32_TILES(MMA_FP32, )
CF_CONV_WGMMA_TILES(WGMMA, )
CF_CONV_MMA_TILES(MMA, )
CF_CONV_MMA_WIDE_TILES(MMA_WIDE, )
CF_CONV_MMA_SPLIT_TILES(MMA_SPLIT, )

void cf_conv_launch_unaligned(const cf_call *call, cf_cuda_queue *queue) {
    launch(call, queue, call->in[0].dtype == CF_F16 ? &tile_mma_f16_64x64_k1 : &tile_mma_bf16_64x64_k1);
}
