// SPDX-License-Identifier: Apache-2.0
// Heap memory with overflow checks, alignment for vector loads, and a way for tests to make allocations fail.
#ifndef CF_BASE_MEMORY_H
#define CF_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

// Zeroed memory for count * size bytes, or NULL (also when the product overflows). Free with cf_free.
void *cf_alloc(size_t count, size_t size);

// Grows or shrinks a block of cf_alloc; new bytes are not zeroed; NULL leaves the old block as it was.
void *cf_realloc(void *block, size_t count, size_t size);

char *cf_strdup(const char *text);

// Printf into a new string; NULL when out of memory. Free with cf_free.
char *cf_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

void cf_free(void *block);

// Zeroed memory aligned to 64 bytes; from 4 MiB up aligned to 2 MiB and offered to the kernel as huge pages, which
// saves TLB misses on big activations. Free with cf_free_aligned and the same size.
void *cf_alloc_aligned(size_t bytes);
void cf_free_aligned(void *block, size_t bytes);

// Returns what was freed to the system where the C library can: after large work whose blocks lay between others.
void cf_memory_give_back(void);

// Tests only: the n-th allocation from now (0 = the next) and all later ones fail; a negative n switches it off.
void cf_memory_fail_after(long n);

// count * size, or 0 and *overflow = 1.
static inline size_t cf_mul_size(size_t count, size_t size, int *overflow) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        *overflow = 1;
        return 0;
    }
    return product;
}

#endif
