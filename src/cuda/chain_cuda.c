// SPDX-License-Identifier: Apache-2.0
// Chains of steps on rows: cuda/kernels/chain.cu.
#include "cuda/chain_cuda.h"

#include <string.h>

#include "cuda/operator.h"

static int is_row(const cf_tensor *tensor, int rows) {
    return tensor->h == 1 && tensor->w == rows;
}

// A matrix product, with the weights as the conv kernels pack them: [outputs][terms rounded up to 64] of the input's
// type, or FP32 [terms][outputs]; then the bias.
static int add_conv(cf_chain_step *step, const cf_kernel *kernel, const cf_call *call) {
    const cf_conv_attr *attr = &call->problem->attr.conv;
    const cf_tensor *in = &call->in[0];
    if (attr->kernel_h != 1 || attr->kernel_w != 1 || attr->stride != 1 || attr->groups != 1) return 0;
    size_t weight_bytes;
    if (!strncmp(kernel->name, "conv_mma_", 9) || !strncmp(kernel->name, "conv_wgmma_", 11)) {
        step->kind = in->dtype == CF_BF16 ? CF_CHAIN_LINEAR_BF16 : CF_CHAIN_LINEAR_F16;
        step->terms = (in->c + 63) / 64 * 64;
        weight_bytes = (size_t)call->out[0].c * (size_t)step->terms * sizeof(uint16_t);
        if (step->terms > CF_CHAIN_TERMS || !cf_cuda_wide(in)) return 0;
    } else if (!strcmp(kernel->name, "conv_cuda_any") || !strcmp(kernel->name, "conv_cuda_f32")) {
        enum { FEW_TERMS = 64 };
        int unit = strcmp(kernel->name, "conv_cuda_f32") ? 1 : 8; // that outputs are rounded up to
        step->kind = CF_CHAIN_LINEAR_ANY;
        step->terms = in->c;
        step->line = (call->out[0].c + unit - 1) / unit * unit;
        weight_bytes = ((size_t)in->c * (size_t)step->line * sizeof(float) + 63) / 64 * 64;
        if (in->c > FEW_TERMS) return 0;
    } else {
        return 0;
    }
    step->weight = call->packed;
    step->bias = (const float *)(const void *)((const char *)call->packed + weight_bytes);
    return 1;
}

static int norm_runs(const cf_call *call) {
    int c = call->out[0].c;
    return !cf_cuda_all_wide(call) || c > 1024 ? 0 : c <= 256 ? 1 : c <= 512 ? 2 : 4;
}

// Kind, weights and widths of a step; 0 where a chain cannot do it.
static int describe(cf_chain_step *step, const cf_kernel *kernel, const cf_call *call) {
    const cf_problem *problem = call->problem;
    step->wide = cf_cuda_all_wide(call);
    step->weight = cf_cuda_constant(call, 0); // as all kernels but those of conv pack them
    switch (problem->op) {
    case CF_OP_CONV: return add_conv(step, kernel, call);
    case CF_OP_ADD:
    case CF_OP_MUL: {
        int one = problem->inputs == 2 && call->in[1].c == 1;
        step->kind = problem->op == CF_OP_ADD ? CF_CHAIN_ADD : CF_CHAIN_MUL;
        if (one) step->wide = cf_cuda_wide(&call->in[0]) && cf_cuda_wide(&call->out[0]);
        return problem->inputs == 2;
    }
    case CF_OP_ACTIVATION: step->kind = CF_CHAIN_ACTIVATION; return 1;
    case CF_OP_NORM:
    case CF_OP_GATE:
        step->kind = problem->op == CF_OP_NORM ? CF_CHAIN_NORM : CF_CHAIN_GATE;
        step->wide = norm_runs(call);
        step->bias = problem->attr.norm.has_bias ? cf_cuda_constant(call, 1) : NULL;
        return 1;
    case CF_OP_GATHER:
        step->kind = CF_CHAIN_GATHER;
        step->wide = cf_cuda_wide(&call->in[0]) && cf_cuda_wide(&call->out[0]);
        return 1;
    case CF_OP_REFERENCE:
        step->kind = CF_CHAIN_REFERENCE;
        step->terms = problem->constant[0].shape[0];
        return 1;
    case CF_OP_SHIFT_BOX: step->kind = CF_CHAIN_SHIFT_BOX; return 1;
    case CF_OP_DEFORM:
        step->kind = CF_CHAIN_DEFORM;
        step->wide = call->out[0].c / problem->attr.deform.heads / CF_CUDA_WIDTH; // lanes of a point
        return !kernel->refuse(problem) && strcmp(kernel->name, "deform_wide_cuda") == 0 &&
               cf_cuda_wide(&call->in[3]) && cf_cuda_wide(&call->out[0]);
    case CF_OP_REFINE:
        step->kind = CF_CHAIN_REFINE;
        if (step->attr.refine.reg_scale < 0) step->attr.refine.reg_scale = -step->attr.refine.reg_scale;
        return 1;
    case CF_OP_QUALITY: step->kind = CF_CHAIN_QUALITY; return 1;
    default: return 0;
    }
}

// Inputs that are read in rows other than the own one.
static int is_table(const cf_chain_step *step, int input) {
    return (step->kind == CF_CHAIN_GATHER && input == 0) || (step->kind == CF_CHAIN_DEFORM && input == 3);
}

typedef struct span {
    const char *begin, *end;
} span;

static span span_of(const cf_tensor *t, int images) {
    int64_t last = (images - 1) * t->image + (t->h - 1) * t->row + (t->w - 1) * t->pixel + t->c;
    const char *begin = t->data;
    return (span){begin, begin + last * cf_dtype_size(t->dtype)};
}

// 1 if a row of one tensor never lies where another row of the other does: they are apart, or views of the same rows.
static int rows_agree(const cf_tensor *a, const cf_tensor *b, int images) {
    span first = span_of(a, images), second = span_of(b, images);
    if (first.end <= second.begin || second.end <= first.begin) return 1;
    int size = cf_dtype_size(a->dtype);
    if (size != cf_dtype_size(b->dtype) || a->pixel != b->pixel || a->image != b->image) return 0;
    const char *begin = first.begin < second.begin ? first.begin : second.begin;
    const char *end_a = first.begin + a->c * size, *end_b = second.begin + b->c * size;
    return (end_a > end_b ? end_a : end_b) - begin <= a->pixel * size;
}

static int are_apart(const cf_tensor *a, const cf_tensor *b, int images) {
    span first = span_of(a, images), second = span_of(b, images);
    return first.end <= second.begin || second.end <= first.begin;
}

// 1 if the step may run in some rows while others are still in an earlier step of the chain.
static int may_follow(const cf_chain *chain, const cf_chain_step *step) {
    for (int i = 0; i < chain->count; i++) {
        const cf_chain_step *before = &chain->step[i];
        if (!rows_agree(&step->out, &before->out, chain->images)) return 0;
        for (int k = 0; k < step->inputs; k++) {
            int fine = is_table(step, k) ? are_apart(&step->in[k], &before->out, chain->images)
                                         : rows_agree(&step->in[k], &before->out, chain->images);
            if (!fine) return 0;
        }
        for (int k = 0; k < before->inputs; k++) {
            int fine = is_table(before, k) ? are_apart(&step->out, &before->in[k], chain->images)
                                           : rows_agree(&step->out, &before->in[k], chain->images);
            if (!fine) return 0;
        }
    }
    return 1;
}

int cf_cuda_chain_add(cf_chain *chain, const cf_kernel *kernel, const cf_call *call) {
    const cf_problem *problem = call->problem;
    const cf_tensor *out = &call->out[0];
    if (call->images == 0 || chain->count == CF_CHAIN_STEPS || problem->inputs > 4) return 0;
    if (chain->count && (out->w != chain->rows || call->images != chain->images)) return 0;
    if (out->h != 1 || out->w < 2) return 0;
    if (!cf_cuda_chain_is_worth_it((int64_t)call->images * out->w, problem->threads)) return 0;
    cf_chain_step step = {.inputs = problem->inputs, .attr = problem->attr, .out = *out};
    for (int i = 0; i < problem->inputs; i++) step.in[i] = call->in[i];
    if (!describe(&step, kernel, call)) return 0;
    for (int i = 0; i < problem->inputs; i++)
        if (!is_table(&step, i) && !is_row(&step.in[i], out->w)) return 0;
    chain->rows = out->w;
    chain->images = call->images;
    if (!may_follow(chain, &step)) return 0;
    chain->step[chain->count++] = step;
    return 1;
}

void cf_cuda_chain_launch(const cf_chain *chain, cf_cuda_queue *queue) {
    enum { HOPPER = 90 }; // the first with clusters
    const cf_cuda_device *device = queue->device;
    uint32_t tiles = cf_cuda_blocks((int64_t)chain->images * chain->rows, CF_CHAIN_ROWS), cluster = 1;
    while (device->compute >= HOPPER && cluster < 4 && tiles * cluster * 2 <= (uint32_t)device->multiprocessors)
        cluster *= 2;
    const void *arguments[] = {chain, &cluster};
    queue->cluster = (int)cluster;
    cf_cuda_launch(queue, "cf_chain_rows", (cf_cuda_shape){tiles * cluster, 1, 1},
                   (cf_cuda_shape){CF_CHAIN_THREADS, 1, 1}, 0, arguments);
    queue->cluster = 0;
}
