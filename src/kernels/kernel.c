// SPDX-License-Identifier: Apache-2.0
// Choosing a kernel, and element access for the reference.
#include "kernels/kernel.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

float cf_tensor_get(const cf_tensor *tensor, int n, int y, int x, int c) {
    const char *at = (const char *)cf_tensor_at(tensor, n, y, x) + (int64_t)c * cf_dtype_size(tensor->dtype);
    switch (tensor->dtype) {
    case CF_F32: return *(const float *)at;
    case CF_BF16: return cf_bf16_to_f32(*(const uint16_t *)at);
    case CF_F16: return cf_f16_to_f32(*(const uint16_t *)at);
    case CF_S8: return tensor->scale * (float)(*(const int8_t *)at - tensor->zero);
    case CF_U8: return tensor->scale * (float)(*(const uint8_t *)at - tensor->zero);
    case CF_I32: return (float)*(const int32_t *)at;
    case CF_E4M3: return tensor->scale * cf_e4m3_to_f32(*(const uint8_t *)at);
    }
    return 0;
}

static int quantise(float value, const cf_tensor *tensor, int least, int most) {
    float stored = nearbyintf(value / tensor->scale) + (float)tensor->zero;
    return stored < (float)least ? least : stored > (float)most ? most : (int)stored;
}

void cf_tensor_set(const cf_tensor *tensor, int n, int y, int x, int c, float value) {
    char *at = (char *)cf_tensor_at(tensor, n, y, x) + (int64_t)c * cf_dtype_size(tensor->dtype);
    switch (tensor->dtype) {
    case CF_F32: *(float *)at = value; break;
    case CF_BF16: *(uint16_t *)at = cf_f32_to_bf16(value); break;
    case CF_F16: *(uint16_t *)at = cf_f32_to_f16(value); break;
    case CF_S8: *(int8_t *)at = (int8_t)quantise(value, tensor, -128, 127); break;
    case CF_U8: *(uint8_t *)at = (uint8_t)quantise(value, tensor, 0, 255); break;
    case CF_I32: *(int32_t *)at = (int32_t)value; break;
    case CF_E4M3: *(uint8_t *)at = cf_f32_to_e4m3(value / tensor->scale); break;
    }
}

const cf_kernel *const *cf_kernels_of(cf_backend backend, cf_op op, int *count) {
    return backend == CF_CUDA ? cf_cuda_kernels_of(op, count) : cf_cpu_kernels_of(op, count);
}

const cf_kernel *cf_kernel_find(const char *name) {
    for (int backend = CF_CPU; backend <= CF_CUDA; backend++)
        for (int op = 0; op < CF_OP_COUNT; op++) {
            int count;
            const cf_kernel *const *list = cf_kernels_of((cf_backend)backend, (cf_op)op, &count);
            for (int i = 0; i < count; i++)
                if (!strcmp(list[i]->name, name)) return list[i];
        }
    return NULL;
}

int cf_kernel_runs_on(const cf_kernel *kernel, const cf_target *target) {
    if (target->backend == CF_CPU) return kernel->run && (kernel->cpu & ~target->features) == 0;
    return kernel->launch && target->compute >= kernel->compute_from &&
           (kernel->compute_to == 0 || target->compute <= kernel->compute_to);
}

const cf_kernel *cf_kernel_select(const cf_problem *problem, const cf_target *target, int reference_only) {
    int count;
    const cf_kernel *const *list = cf_kernels_of(target->backend, problem->op, &count);
    if (count == 0) return NULL;
    const cf_kernel *best = list[count - 1];
    double least = HUGE_VAL;
    for (int i = 0; i < count - 1 && !reference_only; i++) {
        if (!cf_kernel_runs_on(list[i], target) || list[i]->refuse(problem)) continue;
        if (!list[i]->estimate) return least < HUGE_VAL ? best : list[i];
        double estimate = list[i]->estimate(problem);
        if (estimate < least) least = estimate, best = list[i];
    }
    return best;
}
