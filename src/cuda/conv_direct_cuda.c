// SPDX-License-Identifier: Apache-2.0
// Any convolution, the stem, depthwise: cuda/kernels/conv_direct.cu; FP32: cuda/kernels/conv_f32.cu.
#include <string.h>

#include "cuda/conv_cuda.h"

// Packed: FP32 weights [tap][channel of a group][output rounded up to `unit`], then the bias.
static size_t weight_bytes_of(const cf_problem *problem, size_t unit) {
    const int32_t *shape = problem->constant[0].shape;
    size_t terms = (size_t)shape[1] * (size_t)shape[2] * (size_t)shape[3];
    return cf_conv_round_up(terms * cf_conv_round_up((size_t)shape[0], unit) * sizeof(float), 64);
}

static void pack_weight(const cf_problem *problem, void *packed, size_t unit) {
    const int32_t *shape = problem->constant[0].shape;
    size_t outputs = (size_t)shape[0], inputs = (size_t)shape[1], taps = (size_t)shape[2] * (size_t)shape[3];
    size_t line = cf_conv_round_up(outputs, unit), bytes = weight_bytes_of(problem, unit);
    float *weight = packed;
    memset(weight, 0, bytes);
    for (size_t o = 0; o < outputs; o++)
        for (size_t i = 0; i < inputs; i++)
            for (size_t t = 0; t < taps; t++)
                weight[(t * inputs + i) * line + o] = problem->constant[0].data[(o * inputs + i) * taps + t];
    cf_conv_pack_bias(problem, (float *)(void *)((char *)packed + bytes));
}

static size_t packed_size_any(const cf_problem *problem) {
    return weight_bytes_of(problem, 1) + cf_conv_bias_bytes(problem);
}

static void pack_any(const cf_problem *problem, void *packed) {
    pack_weight(problem, packed, 1);
}

static size_t packed_size_eights(const cf_problem *problem) {
    return weight_bytes_of(problem, 8) + cf_conv_bias_bytes(problem);
}

static void pack_eights(const cf_problem *problem, void *packed) {
    pack_weight(problem, packed, 8);
}

static const char *refuse_any(const cf_problem *problem) {
    if (problem->in[0].dtype == CF_S8 || problem->in[0].dtype == CF_U8) return "wants no 8-bit input";
    return cf_conv_refuse_output(problem);
}

static void launch_any(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 256 };
    cf_conv_args args = cf_conv_args_of(call, weight_bytes_of(call->problem, 1));
    if (args.pixels == 0) return;
    const void *arguments[] = {&args};
    cf_cuda_launch(queue, "cf_conv_any",
                   (cf_cuda_shape){cf_cuda_blocks((int64_t)args.pixels * args.out.c, THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

const cf_kernel cf_conv_cuda_any = {.name = "conv_cuda_any",
                                    .op = CF_OP_CONV,
                                    .refuse = refuse_any,
                                    .packed_size = packed_size_any,
                                    .pack = pack_any,
                                    .launch = launch_any};

static const char *refuse_stem(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    if (problem->in[0].dtype == CF_S8 || problem->in[0].dtype == CF_U8) return "wants no 8-bit input";
    if (attr->groups != 1 || problem->in[0].c != 3) return "wants three channels in one group";
    if (attr->kernel_h != 3 || attr->kernel_w != 3) return "wants a 3x3 kernel";
    if (problem->out[0].c > 256) return "wants at most 256 outputs";
    return cf_conv_refuse_output(problem);
}

static void launch_stem(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    size_t weight_bytes = weight_bytes_of(call->problem, 8);
    cf_conv_args args = cf_conv_args_of(call, weight_bytes);
    if (args.pixels == 0) return;
    const void *arguments[] = {&args};
    cf_cuda_launch(queue, "cf_conv_stem", (cf_cuda_shape){cf_cuda_blocks(args.pixels, THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, weight_bytes, arguments);
}

const cf_kernel cf_conv_cuda_stem = {.name = "conv_cuda_stem",
                                     .op = CF_OP_CONV,
                                     .refuse = refuse_stem,
                                     .packed_size = packed_size_eights,
                                     .pack = pack_eights,
                                     .launch = launch_stem};

// Pixels that a thread makes: `wide` x `high`.
typedef struct depthwise_shape {
    const char *function;
    int kernel, stride, wide, high;
} depthwise_shape;

static const depthwise_shape depthwise_shapes[2][4] = {{{"cf_depthwise_3_s1_4x2", 3, 1, 4, 2},
                                                        {"cf_depthwise_3_s2_2x2", 3, 2, 2, 2},
                                                        {"cf_depthwise_5_s1_4x2", 5, 1, 4, 2},
                                                        {"cf_depthwise_5_s2_2x2", 5, 2, 2, 2}},
                                                       {{"cf_depthwise_3_s1_2x1", 3, 1, 2, 1},
                                                        {"cf_depthwise_3_s2_2x1", 3, 2, 2, 1},
                                                        {"cf_depthwise_5_s1_2x1", 5, 1, 2, 1},
                                                        {"cf_depthwise_5_s2_2x1", 5, 2, 2, 1}}};

static int64_t depthwise_threads(const depthwise_shape *shape, const cf_tensor *out, int images) {
    return (int64_t)images * cf_cuda_blocks(out->h, shape->high) * cf_cuda_blocks(out->w, shape->wide) * (out->c / 4);
}

// The large pieces read less, but need many pixels before they fill the GPU. The problem decides, not the call: packed
// weights are the same.
static const depthwise_shape *depthwise_of(const cf_problem *problem, int images) {
    enum { THREADS_WANTED = 512 }; // a multiprocessor
    const cf_conv_attr *attr = &problem->attr.conv;
    const depthwise_shape *large = &depthwise_shapes[0][(attr->kernel_h == 5) * 2 + (attr->stride == 2)];
    const depthwise_shape *small = &depthwise_shapes[1][(attr->kernel_h == 5) * 2 + (attr->stride == 2)];
    return depthwise_threads(large, &problem->out[0], images) >= (int64_t)problem->threads * THREADS_WANTED ? large
                                                                                                            : small;
}

static const char *refuse_depthwise(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0];
    if (attr->groups != in->c || problem->out[0].c != in->c) return "wants as many groups as channels";
    if (!(attr->kernel_h == attr->kernel_w && (attr->kernel_h == 3 || attr->kernel_h == 5))) return "wants 3x3 or 5x5";
    if (attr->stride > 2) return "wants stride 1 or 2";
    if (!cf_conv_is_half(in->dtype)) return "wants 16-bit inputs";
    if (in->c % 8 || !cf_conv_is_aligned(in)) return "wants channels and strides in multiples of 8";
    return cf_conv_refuse_output(problem);
}

static void launch_depthwise(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    cf_conv_args args = cf_conv_args_of(call, weight_bytes_of(call->problem, 1));
    if (args.pixels == 0) return;
    const depthwise_shape *shape = depthwise_of(call->problem, call->images);
    const void *arguments[] = {&args};
    cf_cuda_launch(queue, shape->function,
                   (cf_cuda_shape){cf_cuda_blocks(depthwise_threads(shape, &args.out, call->images), THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

const cf_kernel cf_conv_cuda_depthwise = {.name = "conv_cuda_depthwise",
                                          .op = CF_OP_CONV,
                                          .refuse = refuse_depthwise,
                                          .packed_size = packed_size_any,
                                          .pack = pack_any,
                                          .launch = launch_depthwise};

// One block makes `rows` pixels x 64 channels.
static const char *refuse_f32(const cf_problem *problem) {
    const cf_tensor *in = &problem->in[0];
    if (problem->attr.conv.groups != 1) return "wants one group";
    if (in->dtype != CF_F32) return "wants an FP32 input";
    if (in->c % 4 || in->image % 4 || in->row % 4 || in->pixel % 4) return "wants channels and strides in fours";
    return cf_conv_refuse_output(problem);
}

static void launch_f32(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128, COLUMNS = 64, TERMS = 16, MANY = 128, FEW = 32 };
    const cf_conv_attr *attr = &call->problem->attr.conv;
    cf_conv_args args = cf_conv_args_of(call, weight_bytes_of(call->problem, 8));
    args.columns = (int32_t)cf_cuda_blocks(args.out.c, COLUMNS);
    args.steps = attr->kernel_h * attr->kernel_w * (int32_t)cf_cuda_blocks(args.in.c, TERMS);
    uint32_t blocks = cf_cuda_blocks(args.pixels, MANY) * (uint32_t)args.columns;
    int few = blocks < 2 * (uint32_t)call->problem->threads; // two blocks a multiprocessor, or smaller ones
    if (few) blocks = cf_cuda_blocks(args.pixels, FEW) * (uint32_t)args.columns;
    if (blocks == 0) return;
    const void *arguments[] = {&args};
    cf_cuda_launch(queue, few ? "cf_conv_f32_32" : "cf_conv_f32_128", (cf_cuda_shape){blocks, 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

const cf_kernel cf_conv_cuda_f32 = {.name = "conv_cuda_f32",
                                    .op = CF_OP_CONV,
                                    .refuse = refuse_f32,
                                    .packed_size = packed_size_eights,
                                    .pack = pack_eights,
                                    .launch = launch_f32};
