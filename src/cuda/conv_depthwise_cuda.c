// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions: cuda/kernels/conv_depthwise.cu, one kernel for each block of pixels that a thread can make.
#include "cuda/conv_cuda.h"

typedef struct block {
    const char *function[5][2][2]; // [F16, bf16, U8, FP32, E4M3][3x3, 5x5][stride 1, 2]
    int wide, high;
} block;

static size_t packed_size(const cf_problem *problem) {
    return cf_conv_f32_packed_size(problem, 1);
}

static void pack(const cf_problem *problem, void *packed) {
    cf_conv_f32_pack(problem, packed, 1);
}

// Each makes two channels.
static int64_t threads_of(const block *b, const cf_tensor *out, int images) {
    return (int64_t)images * cf_cuda_blocks(out->h, b->high) * cf_cuda_blocks(out->w, b->wide) * (out->c / 2);
}

static const char *refuse(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    const cf_tensor *in = &problem->in[0];
    if (attr->groups != in->c || problem->out[0].c != in->c) return "wants as many groups as channels";
    if (!(attr->kernel_h == attr->kernel_w && (attr->kernel_h == 3 || attr->kernel_h == 5))) return "wants 3x3 or 5x5";
    if (attr->stride > 2) return "wants stride 1 or 2";
    if (in->dtype == CF_S8 || in->dtype == CF_I32) return "wants unsigned bytes or floats";
    if (problem->constant[2].rank) return "wants one scale";
    if (in->c % 8 || !cf_conv_is_aligned(in)) return "wants channels and strides in multiples of 8";
    if (in->image * problem->images > UINT32_MAX / 2) return "wants an input below 4 GB";
    return cf_conv_refuse_output(problem);
}

static void launch(const cf_call *call, cf_cuda_queue *queue, const block *b) {
    enum { THREADS = 128 };
    const cf_conv_attr *attr = &call->problem->attr.conv;
    cf_conv_args args = cf_conv_args_of(call, cf_conv_f32_bytes(call->problem, 1));
    if (args.pixels == 0) return;
    const void *arguments[] = {&args};
    cf_dtype dtype = args.in.dtype;
    int type = dtype == CF_F16 ? 0 : dtype == CF_BF16 ? 1 : dtype == CF_U8 ? 2 : dtype == CF_F32 ? 3 : 4;
    cf_cuda_launch(queue, b->function[type][attr->kernel_h == 5][attr->stride == 2],
                   (cf_cuda_shape){cf_cuda_blocks(threads_of(b, &args.out, call->images), THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

// Cycles, roughly: large blocks read less, but need many pixels before multiprocessors are busy.
static double estimate(const cf_problem *problem, const block *b) {
    enum { START = 1500, THREADS = 512, PER_CYCLE = 50 };
    int kernel = problem->attr.conv.kernel_h, stride = problem->attr.conv.stride;
    double loads = (double)((b->wide - 1) * stride + kernel) * ((b->high - 1) * stride + kernel) + kernel * kernel;
    double work = 2.0 * b->wide * b->high * kernel * kernel + 6 * loads;
    double share = (double)threads_of(b, &problem->out[0], problem->images) / problem->threads;
    return START + work * (share > THREADS ? share : THREADS) / PER_CYCLE;
}

#define FUNCTIONS(type, size)                                                                                          \
    {                                                                                                                  \
        {"cf_conv_depthwise_" type "_3_s1_" size, "cf_conv_depthwise_" type "_3_s2_" size}, {                          \
            "cf_conv_depthwise_" type "_5_s1_" size, "cf_conv_depthwise_" type "_5_s2_" size                           \
        }                                                                                                              \
    }
#define BLOCK(WIDE, HIGH)                                                                                              \
    static const block block_##WIDE##x##HIGH = {                                                                       \
        {FUNCTIONS("f16", #WIDE "x" #HIGH), FUNCTIONS("bf16", #WIDE "x" #HIGH), FUNCTIONS("u8", #WIDE "x" #HIGH),      \
         FUNCTIONS("f32", #WIDE "x" #HIGH), FUNCTIONS("e4m3", #WIDE "x" #HIGH)},                                       \
        WIDE,                                                                                                          \
        HIGH};                                                                                                         \
    static void launch_##WIDE##x##HIGH(const cf_call *call, cf_cuda_queue *queue) {                                    \
        launch(call, queue, &block_##WIDE##x##HIGH);                                                                   \
    }                                                                                                                  \
    static double estimate_##WIDE##x##HIGH(const cf_problem *problem) {                                                \
        return estimate(problem, &block_##WIDE##x##HIGH);                                                              \
    }                                                                                                                  \
    const cf_kernel cf_conv_cuda_depthwise_##WIDE##x##HIGH = {.name = "conv_cuda_depthwise_" #WIDE "x" #HIGH,          \
                                                              .op = CF_OP_CONV,                                        \
                                                              .refuse = refuse,                                        \
                                                              .packed_size = packed_size,                              \
                                                              .pack = pack,                                            \
                                                              .launch = launch_##WIDE##x##HIGH,                        \
                                                              .estimate = estimate_##WIDE##x##HIGH};

BLOCK(4, 4)
BLOCK(2, 2)
