// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"

static const struct {
    uint32_t bit;
    const char *name;
} feature_names[] = {
    {CF_CPU_AVX2, "avx2"},
    {CF_CPU_AVX_VNNI, "avx_vnni"},
    {CF_CPU_AVX512, "avx512"},
    {CF_CPU_AVX512_VNNI, "avx512_vnni"},
    {CF_CPU_AVX512_BF16, "avx512_bf16"},
    {CF_CPU_AVX512_FP16, "avx512_fp16"},
    {CF_CPU_AMX_BF16, "amx_bf16"},
    {CF_CPU_AMX_INT8, "amx_int8"},
};

enum {
    UP_TO_AVX2 = CF_CPU_AVX2,
    UP_TO_AVX512 = UP_TO_AVX2 | CF_CPU_AVX512,
    UP_TO_VNNI = UP_TO_AVX512 | CF_CPU_AVX512_VNNI,
    UP_TO_BF16 = UP_TO_VNNI | CF_CPU_AVX512_BF16,
    UP_TO_FP16 = UP_TO_BF16 | CF_CPU_AVX512_FP16 | CF_CPU_AVX_VNNI, // processors with the one have the other
};

int cf_cpu_mask_parse(const char *name, uint32_t *mask) {
    static const struct {
        const char *name;
        uint32_t mask;
    } levels[] = {
        {"scalar", 0},
        {"avx2", UP_TO_AVX2},
        {"avxvnni", UP_TO_AVX2 | CF_CPU_AVX_VNNI},
        {"avx512", UP_TO_AVX512},
        {"avx512vnni", UP_TO_VNNI},
        {"avx512bf16", UP_TO_BF16},
        {"avx512fp16", UP_TO_FP16},
        {"amx", UP_TO_FP16 | CF_CPU_AMX_BF16 | CF_CPU_AMX_INT8},
        {"native", ~0u},
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(levels[i].name, name)) {
            *mask = levels[i].mask;
            return 1;
        }
    return 0;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

// AMX tile data is off for each process until it asks Linux for it (arch_prctl, feature 18).
static int request_amx(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static uint32_t detect(void) {
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    uint32_t fma_f16c = (c & bit_FMA) && (c & bit_F16C);
    uint64_t saved = read_xcr0();
    int ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    uint32_t b7 = b, c7 = c, d7 = d, a71 = 0;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) a71 = a;
    if (ymm && fma_f16c && (b7 & bit_AVX2)) features |= CF_CPU_AVX2;
    if ((features & CF_CPU_AVX2) && (a71 & 1u << 4)) features |= CF_CPU_AVX_VNNI;
    uint32_t foundation = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if (!(features & CF_CPU_AVX2) || !zmm || (b7 & foundation) != foundation) return features;
    features |= CF_CPU_AVX512;
    if (c7 & bit_AVX512VNNI) features |= CF_CPU_AVX512_VNNI;
    if (a71 & 1u << 5) features |= CF_CPU_AVX512_BF16;
    if (d7 & 1u << 23) features |= CF_CPU_AVX512_FP16;
    uint32_t amx_tile = d7 & 1u << 24, amx_bf16 = d7 & 1u << 22, amx_int8 = d7 & 1u << 25;
    if (tiles && amx_tile && (amx_bf16 || amx_int8) && request_amx()) {
        if (amx_bf16) features |= CF_CPU_AMX_BF16;
        if (amx_int8) features |= CF_CPU_AMX_INT8;
    }
    return features;
}

void cf_cpu_model(char *text, size_t size) {
    uint32_t words[13] = {0};
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]))
            break;
    const char *brand = (const char *)words;
    while (*brand == ' ') brand++;
    snprintf(text, size, "%s", *brand ? brand : "unknown");
}
uint32_t cf_cpu_flush_subnormals(void) {
    enum { DENORMALS_ARE_ZERO = 1 << 6, FLUSH_TO_ZERO = 1 << 15 };
    uint32_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | DENORMALS_ARE_ZERO | FLUSH_TO_ZERO);
    return before;
}

void cf_cpu_set_float_mode(uint32_t mode) {
    __builtin_ia32_ldmxcsr(mode);
}
#else
static uint32_t detect(void) {
    return 0;
}

uint32_t cf_cpu_flush_subnormals(void) {
    return 0;
}

void cf_cpu_set_float_mode(uint32_t mode) {
    (void)mode;
}

void cf_cpu_model(char *text, size_t size) {
    snprintf(text, size, "unknown");
}
#endif

static atomic_uint allowed = ~0u;
static atomic_uint detected; // features, once known
static atomic_uint allowed_by_environment;
static atomic_int detection_done;

static uint32_t detect_once(void) {
    if (!atomic_load_explicit(&detection_done, memory_order_acquire)) {
        uint32_t mask = ~0u; // every thread finds the same answers, so a race is harmless
        const char *wanted = cf_env_cpu();
        if (wanted) cf_cpu_mask_parse(wanted, &mask);
        atomic_store(&allowed_by_environment, mask);
        atomic_store(&detected, detect());
        atomic_store_explicit(&detection_done, 1, memory_order_release);
    }
    return atomic_load(&detected);
}

uint32_t cf_cpu_features(void) {
    return detect_once() & atomic_load(&allowed_by_environment) & atomic_load(&allowed);
}

uint32_t cf_cpu_forbidden(void) {
    return detect_once() & ~cf_cpu_features();
}

void cf_cpu_set_mask(uint32_t mask) {
    atomic_store(&allowed, mask);
}

void cf_cpu_describe(uint32_t features, char *text, size_t size) {
    size_t used = 0;
    if (size) text[0] = 0;
    for (size_t i = 0; i < sizeof feature_names / sizeof *feature_names && used < size; i++)
        if (features & feature_names[i].bit)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", feature_names[i].name);
    if (!used) snprintf(text, size, "none");
}

int cf_cpu_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
