// SPDX-License-Identifier: Apache-2.0
// Convolutions on tensor cores fed by the copy engine, one kernel for each tile of CF_CONV_TMA_TILES and
// CF_CONV_TMA_INT8_TILES: cuda/kernels/conv_tma.cu, conv_tma_int8.cu, conv_tma_e4m3.cu. Weights are packed as for the
// other matrix kernels; of bytes, what the sums start from follows (conv_tma_args.h).
#include <string.h>

#include "cuda/conv_e4m3_cuda.h"
#include "cuda/conv_int8_cuda.h"
#include "cuda/conv_tiles.h"
#include "cuda/conv_tma_args.h"
#include "cuda/map_cuda.h"

typedef struct tile {
    const char *function;
    int turns; // 1: warp groups take turns; 0: they share each tile
    int rows, columns, groups, stages, slots;
    int terms, term_bytes; // of a step; of one of them
} tile;

// Channels of a piece that a warp stores at once, of PIECE_ROWS pixels.
static int piece_width(const tile *t) {
    return t->columns % 64 ? 32 : 64;
}

enum { PIECE_ROWS = 16, WARPS_OF_GROUP = 4, BARRIER_BYTES = 256 };

static const char *refuse_window(const cf_conv_attr *attr) {
    enum { MOST_STRIDE = 8, MOST_PAD = 64 };
    if (attr->act == CF_ACT_SIGMOID) return "wants another activation";
    if (attr->stride > MOST_STRIDE || attr->pad_left > MOST_PAD || attr->pad_top > MOST_PAD) return "too wide a window";
    return NULL;
}

// byte: the one type of a byte that is stored, or any of them (half).
static const char *refuse_ends(const cf_problem *problem, cf_dtype half, cf_dtype byte) {
    enum { CHUNK = 16 };
    for (int i = 0; i < problem->inputs; i++) { // the output, then the residual
        const cf_tensor *t = i ? &problem->in[1] : &problem->out[0];
        int each = cf_dtype_size(t->dtype) == 1 ? CHUNK : CHUNK / 2;
        int known =
            t->dtype == half || t->dtype == byte || (byte == half && (t->dtype == CF_U8 || t->dtype == CF_E4M3));
        if (t->dtype != problem->out[0].dtype || !known || t->c % each || t->pixel % each || !cf_conv_is_aligned(t) ||
            !cf_conv_is_flat(t))
            return "wants output and residual of bytes or 16 bits, in 16 bytes of channels, without gaps between rows";
    }
    return NULL;
}

static const char *refuse(const cf_problem *problem, cf_dtype dtype) {
    const char *reason = cf_conv_refuse_matrix(problem, dtype);
    if (!reason) reason = cf_conv_refuse_output(problem);
    if (!reason) reason = refuse_window(&problem->attr.conv);
    return reason ? reason : refuse_ends(problem, dtype, dtype);
}

// ---------------------------------------------------------------------------------------------------------------------
// Bytes

// Ways in which windows reach over the image's edges: conv_tma_args.h.
static int64_t borders_of(const cf_conv_attr *attr) {
    return (int64_t)(attr->pad_top + 1) * (attr->pad_bottom + 1) * (attr->pad_left + 1) * (attr->pad_right + 1);
}

static const char *refuse_bytes(const cf_problem *problem) {
    enum { MOST_BORDERS = 256 };
    const char *reason = cf_conv_int8_refuse(problem);
    if (!reason) reason = refuse_window(&problem->attr.conv);
    if (reason) return reason;
    if (borders_of(&problem->attr.conv) > MOST_BORDERS) return "too wide a border";
    return refuse_ends(problem, CF_F16, CF_U8);
}

static size_t packed_size_bytes(const cf_problem *problem) {
    return cf_conv_int8_packed_size(problem) +
           (size_t)borders_of(&problem->attr.conv) * cf_conv_bias_bytes(problem) / sizeof(float) * sizeof(int32_t);
}

// Sums of weight * zero point of each tap.
static void sum_zeros(const int8_t *line, const uint8_t *zero, int taps, int channels, int32_t *sums) {
    for (int t = 0; t < taps; t++) {
        sums[t] = 0;
        for (int c = 0; c < channels; c++) sums[t] += line[t * channels + c] * zero[c];
    }
}

static int32_t sum_inside(const int32_t *sums, const cf_conv_attr *attr, int top, int bottom, int left, int right) {
    int32_t sum = 0;
    for (int y = top; y < attr->kernel_h - bottom; y++)
        for (int x = left; x < attr->kernel_w - right; x++) sum += sums[y * attr->kernel_w + x];
    return sum;
}

static void pack_bytes(const cf_problem *problem, void *packed) {
    enum { MOST_TAPS = 32 };
    const cf_conv_attr *attr = &problem->attr.conv;
    int channels = problem->in[0].c, taps = attr->kernel_h * attr->kernel_w;
    size_t outputs = (size_t)problem->out[0].c, line = (size_t)cf_conv_steps(problem) * CF_CONV_INT8_STEP;
    size_t vector = cf_conv_bias_bytes(problem) / sizeof(float);
    cf_conv_int8_pack(problem, packed);
    char *end = (char *)packed + cf_conv_int8_packed_size(problem);
    memset(end, 0, packed_size_bytes(problem) - cf_conv_int8_packed_size(problem));
    for (size_t o = 0; o < outputs; o++) {
        int32_t sums[MOST_TAPS], *to = (int32_t *)(void *)end + o;
        sum_zeros((const int8_t *)packed + o * line, (const uint8_t *)end - channels, taps, channels, sums);
        for (int top = 0; top <= attr->pad_top; top++)
            for (int bottom = 0; bottom <= attr->pad_bottom; bottom++)
                for (int left = 0; left <= attr->pad_left; left++)
                    for (int right = 0; right <= attr->pad_right; right++, to += vector)
                        *to = -sum_inside(sums, attr, top, bottom, left, right);
    }
}

static void add_byte_args(cf_conv_tma_args *args, const cf_call *call) {
    const cf_conv_int8_args bytes = cf_conv_int8_args_of(call);
    const cf_conv_attr *attr = &call->problem->attr.conv;
    args->unit = bytes.scale;
    args->offset = (const int32_t *)(const void *)(bytes.zero + call->in[0].c);
    args->in_w = call->in[0].w;
    args->in_h = call->in[0].h;
    args->kernel_h = attr->kernel_h;
    args->pad_bottom = attr->pad_bottom;
    args->pad_right = attr->pad_right;
}

// E4M3 has no zero points: sums start from nothing.
static const char *refuse_e4m3(const cf_problem *problem) {
    const char *reason = cf_conv_refuse_bytes(problem, CF_E4M3);
    if (!reason) reason = refuse_window(&problem->attr.conv);
    return reason ? reason : refuse_ends(problem, CF_F16, CF_E4M3);
}

// A part of a concat of bytes may begin between two vectors of the copy engine.
static int is_unaligned(const cf_conv_args *args) {
    enum { CHUNK = 16 };
    return (uintptr_t)args->in.data % CHUNK || (uintptr_t)args->out.data % CHUNK ||
           (uintptr_t)args->residual.data % CHUNK;
}

// ---------------------------------------------------------------------------------------------------------------------

static size_t shared_bytes(const tile *t) {
    size_t stages = (size_t)(t->stages * (t->rows + t->columns) * t->terms * t->term_bytes);
    size_t slots = (size_t)(t->groups * WARPS_OF_GROUP * t->slots * PIECE_ROWS * piece_width(t)) * sizeof(uint16_t);
    return stages + slots + BARRIER_BYTES;
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const tile *t) {
    enum { GROUP_THREADS = 128 };
    const cf_problem *problem = call->problem;
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &call->in[0], *out = &call->out[0];
    int bytes = in->dtype == CF_U8;
    cf_conv_args plain = bytes ? cf_conv_int8_args_of(call).conv : cf_conv_args_of(call, cf_conv_matrix_bytes(problem));
    if (plain.pixels == 0) return;
    if (!plain.vector_out || (plain.residual.data && !plain.vector_residual) || is_unaligned(&plain)) {
        if (bytes)
            cf_conv_int8_launch_unaligned(call, queue);
        else if (in->dtype == CF_E4M3)
            cf_conv_e4m3_launch_unaligned(call, queue);
        else
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
                             .pieces = (int32_t)cf_cuda_blocks(in->c, t->terms),
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
    if (bytes) add_byte_args(&args, call);
    if (in->dtype == CF_E4M3) args.unit = cf_conv_e4m3_args_of(call).unit;
    if (cf_dtype_size(out->dtype) == 1) {
        args.out_bytes = out->dtype == CF_U8 ? CF_CONV_OUT_U8 : CF_CONV_OUT_E4M3;
        args.scale /= out->scale;
        args.shift = args.shift / out->scale + (float)out->zero;
        args.residual_scale = plain.residual.scale / out->scale;
        args.residual_zero = plain.residual.zero;
    }
    if (args.flat_in)
        cf_cuda_map_boxes(queue, &args.in, in->dtype, in->data, in->c, args.pixels, in->pixel, t->terms, t->rows);
    else
        cf_cuda_map_windows(queue, &args.in, in, call->images, attr, out, t->terms, t->rows);
    int64_t line = (int64_t)cf_conv_steps(problem) * CF_CONV_STEP_BYTES / (int64_t)cf_dtype_size(in->dtype);
    cf_cuda_map_boxes(queue, &args.weight, in->dtype, plain.weight, line, out->c, line, t->terms, t->columns);
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
    enum { START = 350, LATENCY = 340, RATE_BYTES = 2 * 1890, L2_BYTES = 59, SUMS_PER_CYCLE = 3 };
    double pixels = (double)problem->images * problem->out[0].h * problem->out[0].w;
    double tiles = (double)cf_cuda_blocks((int64_t)pixels, t->rows) * cf_cuda_blocks(problem->out[0].c, t->columns);
    const cf_conv_attr *attr = &problem->attr.conv;
    double steps = (double)attr->kernel_h * attr->kernel_w * cf_cuda_blocks(problem->in[0].c, t->terms);
    double row_bytes = (double)t->terms * t->term_bytes;
    double multiply = t->rows * t->columns * row_bytes / RATE_BYTES;
    double load = (t->rows + t->columns) * row_bytes / L2_BYTES;
    double step = multiply > load ? multiply : load, end = (double)t->rows * t->columns / SUMS_PER_CYCLE;
    double alone = steps * (step > LATENCY ? step : LATENCY) + LATENCY + end;
    // Groups that take turns hide their ends behind the products of the others, as far as those last.
    double each = !t->turns ? alone : steps * step > alone / t->groups ? steps * step : alone / t->groups;
    return START + alone + (cf_cuda_blocks((int64_t)tiles, problem->threads) - 1.0) * each;
}

static const char *refuse_f16(const cf_problem *problem) {
    return refuse(problem, CF_F16);
}

static const char *refuse_bf16(const cf_problem *problem) {
    return refuse(problem, CF_BF16);
}

#define KERNEL(type, id, TERMS, TERM_BYTES, PACKED_SIZE, PACK, WAY, ROWS, COLUMNS, GROUPS, STAGES, SLOTS)              \
    static const tile tile_##id = {"cf_conv_tma_" #id, CF_CONV_WAY_##WAY, ROWS, COLUMNS, GROUPS, STAGES, SLOTS, TERMS, \
                                   TERM_BYTES};                                                                        \
    static void launch_##id(const cf_call *call, cf_cuda_queue *queue) {                                               \
        launch(call, queue, &tile_##id);                                                                               \
    }                                                                                                                  \
    static double estimate_##id(const cf_problem *problem) {                                                           \
        return estimate(problem, &tile_##id);                                                                          \
    }                                                                                                                  \
    const cf_kernel cf_conv_tma_##id = {.name = "conv_tma_" #id,                                                       \
                                        .op = CF_OP_CONV,                                                              \
                                        .compute_from = 90,                                                            \
                                        .compute_to = 90,                                                              \
                                        .refuse = refuse_##type,                                                       \
                                        .packed_size = PACKED_SIZE,                                                    \
                                        .pack = PACK,                                                                  \
                                        .launch = launch_##id,                                                         \
                                        .estimate = estimate_##id};
#define HALF(type, WAY, ROWS, COLUMNS, ...)                                                                            \
    KERNEL(type, type##_##WAY##_##ROWS##x##COLUMNS, CF_CONV_STEP, 2, cf_conv_matrix_packed_size, cf_conv_matrix_pack,  \
           WAY, ROWS, COLUMNS, __VA_ARGS__)
#define TILES(unused, ...) HALF(f16, __VA_ARGS__) HALF(bf16, __VA_ARGS__)
#define BYTES(unused, WAY, TERMS, ROWS, COLUMNS, ...)                                                                  \
    KERNEL(bytes, u8_##WAY##_##ROWS##x##COLUMNS##_k##TERMS, TERMS, 1, packed_size_bytes, pack_bytes, WAY, ROWS,        \
           COLUMNS, __VA_ARGS__)

#define E4M3(unused, WAY, TERMS, ROWS, COLUMNS, ...)                                                                   \
    KERNEL(e4m3, e4m3_##WAY##_##ROWS##x##COLUMNS##_k##TERMS, TERMS, 1, cf_conv_e4m3_packed_size, cf_conv_e4m3_pack,    \
           WAY, ROWS, COLUMNS, __VA_ARGS__)

CF_CONV_TMA_TILES(TILES, )
CF_CONV_TMA_INT8_TILES(E4M3, )
CF_CONV_TMA_INT8_TILES(BYTES, )
