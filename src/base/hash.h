// SPDX-License-Identifier: Apache-2.0
// A fast 64-bit hash of bytes: tells models and files apart and finds flipped bits; no protection against forgery.
#ifndef CF_BASE_HASH_H
#define CF_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

// The value depends on the bytes, their number and the seed only: the same on every machine, in files too.
uint64_t cf_hash64(const void *data, size_t size, uint64_t seed);

#endif
