// SPDX-License-Identifier: Apache-2.0
// Any convolution, the stem: cuda/kernels/conv_direct.cu; FP32: cuda/kernels/conv_f32.cu.
#include <math.h>
#include <string.h>

#include "cuda/conv_int8_cuda.h"
#include "kernels/constants.h"

// With scales and zero points of the input's channels behind the bias, where it has them.
static size_t units_bytes(const cf_problem *problem) {
    return problem->constant[2].rank ? 2 * (size_t)problem->in[0].c * sizeof(float) : 0;
}

static size_t packed_size_any(const cf_problem *problem) {
    return cf_conv_f32_packed_size(problem, 1) + units_bytes(problem);
}

// The weights of an int8 or E4M3 convolution have 8 bits whatever kernel runs it: what calibration finds holds for
// every device.
static void round_weights(const cf_problem *problem, float *weight) {
    size_t outputs = (size_t)problem->out[0].c, inputs = (size_t)problem->in[0].c;
    size_t taps = (size_t)problem->attr.conv.kernel_h * (size_t)problem->attr.conv.kernel_w;
    for (size_t o = 0; o < outputs; o++) {
        float step = cf_conv_int8_step(problem, o);
        for (size_t i = 0; i < inputs * taps; i++) {
            float unit = cf_conv_int8_unit(problem, i % inputs), *w = &weight[i * outputs + o];
            *w = cf_conv_int8_round(problem, unit * *w / step) * step / unit;
        }
    }
}

static void pack_any(const cf_problem *problem, void *packed) {
    cf_conv_f32_pack(problem, packed, 1);
    int bytes = problem->in[0].dtype == CF_U8 || problem->in[0].dtype == CF_E4M3;
    if (bytes && problem->attr.conv.groups == 1) round_weights(problem, packed);
    if (units_bytes(problem))
        memcpy((char *)packed + cf_conv_f32_packed_size(problem, 1), problem->constant[2].data, units_bytes(problem));
}

static size_t packed_size_eights(const cf_problem *problem) {
    return cf_conv_f32_packed_size(problem, 8);
}

static void pack_eights(const cf_problem *problem, void *packed) {
    cf_conv_f32_pack(problem, packed, 8);
}

static void launch_any(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 256 };
    cf_conv_args args = cf_conv_args_of(call, cf_conv_f32_bytes(call->problem, 1));
    if (args.pixels == 0) return;
    const void *units =
        units_bytes(call->problem) ? (const char *)call->packed + cf_conv_f32_packed_size(call->problem, 1) : NULL;
    const void *arguments[] = {&args, &units};
    cf_cuda_launch(queue, "cf_conv_any",
                   (cf_cuda_shape){cf_cuda_blocks((int64_t)args.pixels * args.out.c, THREADS), 1, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

const cf_kernel cf_conv_cuda_any = {.name = "conv_cuda_any",
                                    .op = CF_OP_CONV,
                                    .refuse = cf_accept_all,
                                    .packed_size = packed_size_any,
                                    .pack = pack_any,
                                    .launch = launch_any};

static const char *refuse_stem(const cf_problem *problem) {
    const cf_conv_attr *attr = &problem->attr.conv;
    if (cf_dtype_size(problem->in[0].dtype) == 1) return "wants no 8-bit input";
    if (attr->groups != 1 || problem->in[0].c != 3) return "wants three channels in one group";
    if (attr->kernel_h != 3 || attr->kernel_w != 3) return "wants a 3x3 kernel";
    if (problem->out[0].c > 256) return "wants at most 256 outputs";
    return cf_conv_refuse_output(problem);
}

static void launch_stem(const cf_call *call, cf_cuda_queue *queue) {
    enum { THREADS = 128 };
    size_t weight_bytes = cf_conv_f32_bytes(call->problem, 8);
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
    cf_conv_args args = cf_conv_args_of(call, cf_conv_f32_bytes(call->problem, 8));
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
