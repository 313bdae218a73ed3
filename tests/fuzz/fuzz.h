// SPDX-License-Identifier: Apache-2.0
// What every fuzz target includes: the entry point that libFuzzer and replay.c call. It takes any bytes and returns 0.
#ifndef CF_TESTS_FUZZ_FUZZ_H
#define CF_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
