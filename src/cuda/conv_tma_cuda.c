// SPDX-License-Identifier: Apache-2.0
// Convolutions on tensor cores fed by the copy engine, one kernel for each tile of CF_CONV_TMA_TILES:
// cuda/kernels/conv_tma.cu. Weights are packed as for the other matrix kernels.
#include "cuda/conv_cuda.h"
#include "cuda/conv_tiles.h"
#include "cuda/conv_tma_args.h"
#include "cuda/map_cuda.h"

typedef struct tile {
    const char *function;
    int turns; // 1: warp groups take turns; 0: they share each tile
    int rows, columns, groups, stages, slots;
} tile;

// Channels of a piece that a warp stores at once, of PIECE_ROWS pixels.
static int piece_width(const tile *t) {
    return t->columns % 64 ? 32 : 64;
}

enum { PIECE_ROWS = 16, WARPS_OF_GROUP = 4, BARRIER_BYTES = 256 };

static const char *refuse(const cf_problem *problem, cf_dtype dtype) {
    enum { MOST_STRIDE = 8, MOST_PAD = 64 };
    const cf_conv_attr *attr = &problem->attr.conv;
    const char *reason = cf_conv_refuse_matrix(problem, dtype);
    if (!reason) reason = cf_conv_refuse_output(problem);
    if (reason) return reason;
    if (attr->act == CF_ACT_SIGMOID) return "wants another activation";
    if (attr->stride > MOST_STRIDE || attr->pad_left > MOST_PAD || attr->pad_top > MOST_PAD) return "too wide a window";
    for (int i = 0; i < problem->inputs; i++) { // the output, then the residual
        const cf_tensor *t = i ? &problem->in[1] : &problem->out[0];
        if (t->dtype != dtype || t->c % 8 || !cf_conv_is_aligned(t) || !cf_conv_is_flat(t))
            return "wants output and residual in the input's type, in eights of channels, without gaps between rows";
    }
    return NULL;
}

static size_t shared_bytes(const tile *t) {
    size_t stages = (size_t)(t->stages * (t->rows + t->columns) * CF_CONV_STEP_BYTES);
    size_t slots = (size_t)(t->groups * WARPS_OF_GROUP * t->slots * PIECE_ROWS * piece_width(t)) * sizeof(uint16_t);
    return stages + slots + BARRIER_BYTES;
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const tile *t) {
    enum { GROUP_THREADS = 128 };
    const cf_problem *problem = call->problem;
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    cf_conv_args plain = cf_conv_args_of(call, cf_conv_matrix_bytes(problem));
    if (plain.pixels == 0) return;
    if (!plain.vector_out || (plain.residual.data && !plain.vector_residual)) {
        cf_conv_launch_unaligned(call, queue);
        return;
    }
    cf_conv_tma_args args = {.residual = plain.residual.data,
                             .residual_pixel = plain.residual.pixel,
                             .bias = plain.bias,
                             .pixels = plain.pixels,
                             .outputs = out->c,
                             .channels = in->c,
                             .columns = (int32_t)cf_cuda_blocks(out->c, t->columns),
                             .taps = attr->kernel_h * attr->kernel_w,
                             .kernel_w = attr->kernel_w,
                             .pieces = (int32_t)cf_cuda_blocks(in->c, CF_CONV_STEP),
                             .flat_in = plain.flat_in,
                             .out_w = out->w,
                             .out_h = out->h,
                             .stride = attr->stride,
                             .pad_top = attr->pad_top,
                             .pad_left = attr->pad_left,
                             .act = attr->act,
                             .scale = attr->affine ? attr->scale : 1,
                             .shift = attr->affine ? attr->shift : 0};
    args.tiles = (int32_t)cf_cuda_blocks(args.pixels, t->rows) * args.columns;
    if (args.flat_in)
        cf_cuda_map_boxes(queue, &args.in, in->dtype, in->data, in->c, args.pixels, in->pixel, CF_CONV_STEP, t->rows);
    else
        cf_cuda_map_windows(queue, &args.in, in, call->images, attr, out, t->rows);
    int64_t line = (int64_t)cf_conv_steps(problem) * CF_CONV_STEP;
    cf_cuda_map_boxes(queue, &args.weight, in->dtype, plain.weight, line, out->c, line, CF_CONV_STEP, t->columns);
    cf_cuda_map_boxes(queue, &args.out, out->dtype, out->data, out->c, args.pixels, out->pixel, piece_width(t),
                      PIECE_ROWS);
    // One block stays on each multiprocessor.
    int32_t blocks = queue->device->multiprocessors < args.tiles ? queue->device->multiprocessors : args.tiles;
    const void *arguments[] = {&args};
    cf_cuda_launch(queue, t->function, (cf_cuda_shape){(uint32_t)blocks, 1, 1},
                   (cf_cuda_shape){(uint32_t)(t->groups + 1) * GROUP_THREADS, 1, 1}, shared_bytes(t), arguments);
}

// Cycles, roughly; the numbers fit what X's layers took on an H100.
static double estimate(const cf_problem *problem, const tile *t) {
    enum { START = 350, LATENCY = 340, RATE = 1890, L2_BYTES = 59, SUMS_PER_CYCLE = 3 };
    double pixels = (double)problem->images * problem->out[0].h * problem->out[0].w;
    double tiles = (double)cf_cuda_blocks((int64_t)pixels, t->rows) * cf_cuda_blocks(problem->out[0].c, t->columns);
    const cf_conv_attr *attr = &problem->attr.conv;
    double steps = (double)attr->kernel_h * attr->kernel_w * cf_cuda_blocks(problem->in[0].c, CF_CONV_STEP);
    double multiply = (double)t->rows * t->columns * CF_CONV_STEP / RATE;
    double load = (double)(t->rows + t->columns) * CF_CONV_STEP_BYTES / L2_BYTES;
    double step = multiply > load ? multiply : load, end = (double)t->rows * t->columns / SUMS_PER_CYCLE;
    double alone = steps * (step > LATENCY ? step : LATENCY) + LATENCY + end;
    // Groups that take turns hide their ends behind the products of the others, as far as those last.
    double each = !t->turns ? alone : steps * step > alone / t->groups ? steps * step : alone / t->groups;
    return START + alone + (cf_cuda_blocks((int64_t)tiles, problem->threads) - 1.0) * each;
}

#define TILE(dtype, DTYPE, WAY, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)                                                  \
    static const tile tile_##dtype##_##WAY##_##ROWS##x##COLUMNS =                                                      \
        {"cf_conv_tma_" #dtype "_" #WAY "_" #ROWS "x" #COLUMNS,                                                        \
         CF_CONV_WAY_##WAY,                                                                                            \
         ROWS,                                                                                                         \
         COLUMNS,                                                                                                      \
         GROUPS,                                                                                                       \
         STAGES,                                                                                                       \
         SLOTS};                                                                                                       \
    static const char *refuse_##dtype##_##WAY##_##ROWS##x##COLUMNS(const cf_problem *problem) {                        \
        return refuse(problem, DTYPE);                                                                                 \
    }                                                                                                                  \
    static void launch_##dtype##_##WAY##_##ROWS##x##COLUMNS(const cf_call *call, cf_cuda_queue *queue) {               \
        launch(call, queue, &tile_##dtype##_##WAY##_##ROWS##x##COLUMNS);                                               \
    }                                                                                                                  \
    static double estimate_##dtype##_##WAY##_##ROWS##x##COLUMNS(const cf_problem *problem) {                           \
        return estimate(problem, &tile_##dtype##_##WAY##_##ROWS##x##COLUMNS);                                          \
    }                                                                                                                  \
    const cf_kernel cf_conv_tma_##dtype##_##WAY##_##ROWS##x##COLUMNS = {                                               \
        .name = "conv_tma_" #dtype "_" #WAY "_" #ROWS "x" #COLUMNS,                                                    \
        .op = CF_OP_CONV,                                                                                              \
        .compute_from = 90,                                                                                            \
        .compute_to = 90,                                                                                              \
        .refuse = refuse_##dtype##_##WAY##_##ROWS##x##COLUMNS,                                                         \
        .packed_size = cf_conv_matrix_packed_size,                                                                     \
        .pack = cf_conv_matrix_pack,                                                                                   \
        .launch = launch_##dtype##_##WAY##_##ROWS##x##COLUMNS,                                                         \
        .estimate = estimate_##dtype##_##WAY##_##ROWS##x##COLUMNS};
#define TILES(unused, ...) TILE(f16, CF_F16, __VA_ARGS__) TILE(bf16, CF_BF16, __VA_ARGS__)

CF_CONV_TMA_TILES(TILES, )
