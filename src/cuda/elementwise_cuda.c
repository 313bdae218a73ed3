// SPDX-License-Identifier: Apache-2.0
// Activation, scale and shift, copy, batch norm, add, mul: cuda/kernels/elementwise.cu.
#include "cuda/operator.h"

enum { THREADS = 256 };

static void launch(const cf_call *call, cf_cuda_queue *queue, const char *function, int wide,
                   const void *const *arguments) {
    int64_t runs = cf_cuda_pixels(&call->out[0]) * (call->out[0].c / (wide ? CF_CUDA_WIDTH : 1));
    cf_cuda_launch(queue, function, (cf_cuda_shape){cf_cuda_blocks(runs, THREADS), (uint32_t)call->images, 1},
                   (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

static void launch_unary(const cf_call *call, cf_cuda_queue *queue, int act, float scale, float shift) {
    int wide = cf_cuda_all_wide(call);
    const void *arguments[] = {&call->in[0], &call->out[0], &act, &scale, &shift, &wide};
    launch(call, queue, "cf_unary", wide, arguments);
}

static void launch_activation(const cf_call *call, cf_cuda_queue *queue) {
    launch_unary(call, queue, call->problem->attr.activation.act, 1, 0);
}

static void launch_scale_shift(const cf_call *call, cf_cuda_queue *queue) {
    launch_unary(call, queue, CF_ACT_NONE, call->problem->attr.scale_shift.scale,
                 call->problem->attr.scale_shift.shift);
}

static void launch_copy(const cf_call *call, cf_cuda_queue *queue) {
    launch_unary(call, queue, CF_ACT_NONE, 1, 0);
}

static void launch_batch_norm(const cf_call *call, cf_cuda_queue *queue) {
    int wide = cf_cuda_all_wide(call);
    const float *scale = cf_constant_at(call, 0), *shift = cf_constant_at(call, 1);
    const void *arguments[] = {&call->in[0], &call->out[0], &scale, &shift, &wide};
    launch(call, queue, "cf_batch_norm", wide, arguments);
}

// The second operand as a tensor: the second input, or the constant [rows, cols], the same for every image.
static cf_tensor second_of(const cf_call *call) {
    if (call->problem->inputs > 1) return call->in[1];
    const cf_constant *constant = &call->problem->constant[0];
    int32_t cols = constant->shape[constant->rank - 1], rows = constant->rank > 1 ? constant->shape[0] : 1;
    return (cf_tensor){.data = (void *)(uintptr_t)cf_constant_at(call, 0),
                       .h = 1,
                       .w = rows,
                       .c = cols,
                       .row = (int64_t)rows * cols,
                       .pixel = cols,
                       .dtype = CF_F32};
}

static void launch_binary(const cf_call *call, cf_cuda_queue *queue, int multiply) {
    cf_tensor b = second_of(call);
    int wide = cf_cuda_wide(&call->in[0]) && cf_cuda_wide(&call->out[0]) && (b.c == 1 || cf_cuda_wide(&b));
    const void *arguments[] = {&call->in[0], &b, &call->out[0], &multiply, &wide};
    launch(call, queue, "cf_binary", wide, arguments);
}

static void launch_add(const cf_call *call, cf_cuda_queue *queue) {
    launch_binary(call, queue, 0);
}

static void launch_mul(const cf_call *call, cf_cuda_queue *queue) {
    launch_binary(call, queue, 1);
}

CF_CUDA_KERNEL(cf_activation_cuda, ACTIVATION, "activation_cuda", launch_activation);
CF_CUDA_KERNEL(cf_scale_shift_cuda, SCALE_SHIFT, "scale_shift_cuda", launch_scale_shift);
CF_CUDA_KERNEL(cf_copy_cuda, COPY, "copy_cuda", launch_copy);
CF_CUDA_KERNEL(cf_batch_norm_cuda, BATCH_NORM, "batch_norm_cuda", launch_batch_norm);
CF_CUDA_KERNEL(cf_add_cuda, ADD, "add_cuda", launch_add);
CF_CUDA_KERNEL(cf_mul_cuda, MUL, "mul_cuda", launch_mul);
