// SPDX-License-Identifier: Apache-2.0
// Attention: cuda/kernels/attention*.cu.
#include "cuda/operator.h"

// Products of every query with every key, FP32.
static size_t products_bytes(const cf_problem *problem) {
    return (size_t)problem->images * (size_t)problem->attr.attention.heads * (size_t)cf_cuda_pixels(&problem->in[0]) *
           (size_t)cf_cuda_pixels(&problem->in[1]) * sizeof(float);
}

static void launch_any(const cf_call *call, cf_cuda_queue *queue) {
    enum { WARPS = 4 };
    const int32_t *heads = &call->problem->attr.attention.heads;
    const void *arguments[] = {&call->in[0], &call->in[1], &call->in[2], &call->out[0], &call->scratch, heads};
    cf_cuda_launch(
        queue, "cf_attention_any",
        (cf_cuda_shape){cf_cuda_blocks(cf_cuda_pixels(&call->in[0]), WARPS), (uint32_t)*heads, (uint32_t)call->images},
        (cf_cuda_shape){WARPS * 32, 1, 1}, 0, arguments);
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensor cores

// As in attention_mma.cu.
typedef struct attention_args {
    cf_tensor q, k, v, out;
    int size, wide;
} attention_args;

enum { MOST_CHANNELS = 64 }; // of a head

static const char *refuse_matrix(const cf_problem *problem, cf_dtype dtype) {
    int size = problem->in[0].c / problem->attr.attention.heads;
    if (size % 8 || size > MOST_CHANNELS) return "channels of a head are no multiple of 8 up to 64";
    for (int i = 0; i < 3; i++)
        if (problem->in[i].dtype != dtype) return "another type";
    return NULL;
}

static const char *refuse_f16(const cf_problem *problem) {
    return refuse_matrix(problem, CF_F16);
}

static const char *refuse_bf16(const cf_problem *problem) {
    return refuse_matrix(problem, CF_BF16);
}

static const char *refuse_f32(const cf_problem *problem) {
    return refuse_matrix(problem, CF_F32);
}

static void launch_matrix(const cf_call *call, cf_cuda_queue *queue) {
    // [type][channels of a head / 16 - 1][warps share queries]
    static const char *const functions[3][MOST_CHANNELS / 16][2] = {
        {{"cf_attention_f16_16_1", "cf_attention_f16_16_4"},
         {"cf_attention_f16_32_1", "cf_attention_f16_32_4"},
         {"cf_attention_f16_48_1", "cf_attention_f16_48_4"},
         {"cf_attention_f16_64_1", "cf_attention_f16_64_4"}},
        {{"cf_attention_bf16_16_1", "cf_attention_bf16_16_4"},
         {"cf_attention_bf16_32_1", "cf_attention_bf16_32_4"},
         {"cf_attention_bf16_48_1", "cf_attention_bf16_48_4"},
         {"cf_attention_bf16_64_1", "cf_attention_bf16_64_4"}},
        {{"cf_attention_f32_16_1", "cf_attention_f32_16_4"},
         {"cf_attention_f32_32_1", "cf_attention_f32_32_4"},
         {"cf_attention_f32_48_1", "cf_attention_f32_48_4"},
         {"cf_attention_f32_64_1", "cf_attention_f32_64_4"}},
    };
    int heads = call->problem->attr.attention.heads, size = call->in[0].c / heads, wide = cf_cuda_wide(&call->out[0]);
    for (int i = 0; i < 3; i++) wide = wide && cf_cuda_wide(&call->in[i]);
    attention_args args = {call->in[0], call->in[1], call->in[2], call->out[0], size, wide};
    const void *arguments[] = {&args};
    // Fewer than two blocks for a multiprocessor: let four warps share 16 queries instead of having 16 each.
    int64_t queries = cf_cuda_pixels(&call->in[0]), blocks = (queries + 63) / 64 * heads * call->images;
    int share = blocks < 2 * (int64_t)call->problem->threads;
    cf_dtype dtype = call->in[0].dtype;
    cf_cuda_launch(queue,
                   functions[dtype == CF_F16    ? 0
                             : dtype == CF_BF16 ? 1
                                                : 2][(size + 15) / 16 - 1][share],
                   (cf_cuda_shape){cf_cuda_blocks(queries, share ? 16 : 64), (uint32_t)heads, (uint32_t)call->images},
                   (cf_cuda_shape){128, 1, 1}, 0, arguments);
}

const cf_kernel cf_attention_f16_cuda = {.name = "attention_f16_cuda",
                                         .op = CF_OP_ATTENTION,
                                         .compute_from = 75,
                                         .refuse = refuse_f16,
                                         .launch = launch_matrix};
const cf_kernel cf_attention_bf16_cuda = {.name = "attention_bf16_cuda",
                                          .op = CF_OP_ATTENTION,
                                          .compute_from = 80,
                                          .refuse = refuse_bf16,
                                          .launch = launch_matrix};
const cf_kernel cf_attention_f32_cuda = {.name = "attention_f32_cuda",
                                         .op = CF_OP_ATTENTION,
                                         .compute_from = 80,
                                         .refuse = refuse_f32,
                                         .launch = launch_matrix};
const cf_kernel cf_attention_cuda = {.name = "attention_cuda",
                                     .op = CF_OP_ATTENTION,
                                     .refuse = cf_accept_all,
                                     .scratch_size = products_bytes,
                                     .launch = launch_any};
