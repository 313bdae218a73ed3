// SPDX-License-Identifier: Apache-2.0
#include "heap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "options.h"

static void *or_end(void *block) {
    if (block) return block;
    cli_error("out of memory");
    exit(CLI_FAILED);
}

void *cli_alloc(size_t count, size_t size) {
    return or_end(calloc(count ? count : 1, size));
}

void *cli_grow(void *block, size_t count, size_t size) {
    return or_end(reallocarray(block, count ? count : 1, size));
}

char *cli_format(const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return or_end(length < 0 ? NULL : text);
}

char *cli_path(const char *folder, const char *name) {
    size_t length = strlen(folder);
    return cli_format("%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name);
}
