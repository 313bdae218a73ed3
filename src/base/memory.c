// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 4 << 20, ALIGNMENT = 64 };

static atomic_long fail_after = -1; // negative: never

static int allocation_fails(void) {
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0) return 0;
    long left = atomic_fetch_sub(&fail_after, 1);
    if (left > 0) return 0;
    atomic_store(&fail_after, 0); // stay failing
    return 1;
}

void cf_memory_fail_after(long n) {
    atomic_store(&fail_after, n);
}

void *cf_alloc(size_t count, size_t size) {
    int overflow = 0;
    (void)cf_mul_size(count, size, &overflow);
    if (overflow || allocation_fails()) return NULL;
    return calloc(count ? count : 1, size ? size : 1);
}

void *cf_realloc(void *block, size_t count, size_t size) {
    int overflow = 0;
    size_t bytes = cf_mul_size(count, size, &overflow);
    if (overflow || allocation_fails()) return NULL;
    return realloc(block, bytes ? bytes : 1);
}

char *cf_strdup(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = cf_alloc(bytes, 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

char *cf_format(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : cf_alloc((size_t)length + 1, 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void cf_free(void *block) {
    free(block);
}

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

// Zeroed pages that take memory only once they are written, at a multiple of HUGE_PAGE. NULL when there is no room.
static void *map_aligned(size_t bytes) {
    size_t more = bytes + HUGE_PAGE;
    char *block = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)block % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(block, before);
    munmap(block + before + bytes, HUGE_PAGE - before);
    (void)madvise(block + before, bytes, MADV_HUGEPAGE); // a hint: failure changes nothing
    return block + before;
}

void *cf_alloc_aligned(size_t bytes) {
    if (bytes > SIZE_MAX - HUGE_PAGE || allocation_fails()) return NULL;
    size_t unit = bytes >= HUGE_FROM ? HUGE_PAGE : ALIGNMENT;
    size_t rounded = round_up(bytes ? bytes : 1, unit);
    if (unit == HUGE_PAGE) return map_aligned(rounded);
    void *block = aligned_alloc(unit, rounded);
    if (block) memset(block, 0, rounded);
    return block;
}

void cf_free_aligned(void *block, size_t bytes) {
    if (bytes >= HUGE_FROM && block)
        munmap(block, round_up(bytes, HUGE_PAGE));
    else
        free(block);
}

void cf_memory_give_back(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
