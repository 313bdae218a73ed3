// SPDX-License-Identifier: Apache-2.0
// What the processor can do and the operating system lets us use.
#ifndef CF_BASE_CPU_H
#define CF_BASE_CPU_H

#include <stddef.h>
#include <stdint.h>

// Feature bits. Each level of kernels asks for the bits it needs; see cf_cpu_level_name.
enum {
    CF_CPU_AVX2 = 1 << 0,        // AVX2, FMA and F16C
    CF_CPU_AVX512 = 1 << 1,      // AVX-512 F, BW, DQ, VL
    CF_CPU_AVX512_VNNI = 1 << 2, // int8 dot products
    CF_CPU_AVX512_BF16 = 1 << 3, // bf16 dot products
    CF_CPU_AVX512_FP16 = 1 << 4, // FP16 arithmetic
    CF_CPU_AMX_BF16 = 1 << 5,    // AMX tiles with bf16, permission granted by the kernel
    CF_CPU_AMX_INT8 = 1 << 6,
    CF_CPU_AVX_VNNI = 1 << 7, // int8 dot products of 256 bits, without AVX-512
};

// Features usable here: CPUID says so, the OS saves the registers (XGETBV), AMX permission was granted, and the mask
// (cf_cpu_set_mask or the variable CFINE_CPU) allows it. Thread-safe; detection happens once.
uint32_t cf_cpu_features(void);

// Features that only the mask keeps from being usable here.
uint32_t cf_cpu_forbidden(void);

// Limits later answers of cf_cpu_features. A name of cf_cpu_mask_parse turned into bits; ~0 allows all.
void cf_cpu_set_mask(uint32_t mask);

// "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "avx512fp16", "amx" or "native" to the bits
// allowed up to that level; avxvnni stands beside avx512 (some processors have one, some the other) and belongs to
// avx512fp16 and what follows. Returns 0 and leaves *mask alone when the name is unknown.
int cf_cpu_mask_parse(const char *name, uint32_t *mask);

// "avx2 avx512 avx512_vnni ..." of the given bits, into text.
void cf_cpu_describe(uint32_t features, char *text, size_t size);

// Brand string of CPUID, or "unknown".
void cf_cpu_model(char *text, size_t size);

// Makes arithmetic of the calling thread treat subnormal numbers as zero until the mode is put back: on Intel each one
// costs over a hundred cycles, and the tails of exponentials are full of them. Returns the mode before.
uint32_t cf_cpu_flush_subnormals(void);
void cf_cpu_set_float_mode(uint32_t mode);

// Cores this process may run on (affinity mask).
int cf_cpu_count(void);

#endif
