// SPDX-License-Identifier: Apache-2.0
// A library that says of itself that it is an ONNX Runtime too old for any table of functions that is asked for; for
// tests of `cfine bench`.
#include <stddef.h>
#include <stdint.h>

static const void *no_table(uint32_t version) {
    (void)version;
    return NULL;
}

static const char *version(void) {
    return "1.2.0";
}

typedef struct {
    const void *(*table)(uint32_t version);
    const char *(*version)(void);
} base;

__attribute__((visibility("default"))) const base *OrtGetApiBase(void);
const base *OrtGetApiBase(void) {
    static const base mine = {no_table, version};
    return &mine;
}
