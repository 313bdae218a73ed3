// SPDX-License-Identifier: Apache-2.0
// Convolution on AMX tiles in bf16 and int8. Both read the input in place, and share the packed form of the AVX-512
// kernels.
#include "kernels/cpu/conv_amx.h"

#include "base/cpu.h"

CF_AMX_MULTIPLIES(multiply_bf16, CF_AMX_BF16)
CF_AMX_MULTIPLIES(multiply_u8, CF_AMX_U8)
CF_AMX_MULTIPLIES(multiply_s8, CF_AMX_S8)

// What the shape of a problem says.
static void shape_of(const cf_problem *problem, int images, cf_amx_conv *p) {
    memset(p, 0, sizeof *p);
    int size = cf_dtype_size(problem->in[0].dtype);
    cf_conv_geometry_make(problem, images, &p->g);
    p->problem = problem;
    p->threads = problem->threads;
    p->in_line = p->g.in_line * size;
    p->in_image = p->g.in_image * size;
    p->panel = (int64_t)cf_conv_panel_bytes(&p->g);
}

static void conv_of(const cf_call *call, cf_amx_conv *p) {
    shape_of(call->problem, call->images, p);
    const cf_tensor *in = &call->in[0];
    int size = cf_dtype_size(in->dtype);
    p->call = call;
    p->in = (const char *)in->data + p->g.in_first * size;
    p->bias = (const float *)((const char *)call->packed + p->g.panels * p->panel);
    p->scale = p->bias + p->g.panels * CF_PANEL;
    p->start = size == 1 ? (const void *)(p->scale + p->g.panels * CF_PANEL) : (const void *)p->bias;
}

static size_t scratch_size(const cf_problem *problem) {
    cf_amx_conv p;
    shape_of(problem, problem->images, &p);
    cf_amx_shape(&p);
    return cf_amx_scratch(&p);
}

static const char *refuse(const cf_problem *problem, cf_dtype dtype) {
    const char *why = cf_conv_refuse(problem, dtype);
    if (why) return why;
    if (problem->out[0].dtype == CF_F16) return "FP16 results";
    cf_conv_geometry g;
    cf_conv_geometry_make(problem, 1, &g);
    return cf_amx_refuse(&g);
}

static const char *refuse_bf16(const cf_problem *problem) {
    return refuse(problem, CF_BF16);
}

static void run_bf16(const cf_call *call, const cf_team *team) {
    cf_amx_conv p;
    conv_of(call, &p);
    cf_amx_run(&p, team, multiply_bf16, 0);
}

static const char *refuse_int8(const cf_problem *problem) {
    return refuse(problem, problem->in[0].dtype == CF_S8 ? CF_S8 : CF_U8);
}

static void run_int8(const cf_call *call, const cf_team *team) {
    cf_amx_conv p;
    conv_of(call, &p);
    cf_amx_run(&p, team, call->in[0].dtype == CF_S8 ? multiply_s8 : multiply_u8, 1);
}

#define AVX512 (CF_CPU_AVX2 | CF_CPU_AVX512 | CF_CPU_AVX512_BF16)

const cf_kernel cf_conv_bf16_amx = {.name = "conv_bf16_amx",
                                    .op = CF_OP_CONV,
                                    .cpu = AVX512 | CF_CPU_AMX_BF16,
                                    .refuse = refuse_bf16,
                                    .packed_size = cf_conv_packed_size_tiles,
                                    .pack = cf_conv_pack_tiles,
                                    .scratch_size = scratch_size,
                                    .run = run_bf16};

const cf_kernel cf_conv_int8_amx = {.name = "conv_int8_amx",
                                    .op = CF_OP_CONV,
                                    .cpu = AVX512 | CF_CPU_AMX_INT8,
                                    .refuse = refuse_int8,
                                    .packed_size = cf_conv_packed_size_tiles,
                                    .pack = cf_conv_pack_tiles,
                                    .scratch_size = scratch_size,
                                    .run = run_int8};
