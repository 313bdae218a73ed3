// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Names out of hostile files may hold newlines and terminal escapes: one line of plain text leaves the library.
static void make_plain(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f) *text = '?';
}

cfine_status cf_fail(cfine_error *err, cfine_status code, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        make_plain(err->message);
        err->status = code;
    }
    return code;
}

cfine_status cf_fail_within(cfine_error *err, cfine_status code, const char *format, ...) {
    if (err) {
        char inner[sizeof err->message];
        memcpy(inner, err->message, sizeof inner);
        inner[sizeof inner - 1] = 0;
        va_list args;
        va_start(args, format);
        int used = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->message)
            snprintf(err->message + used, sizeof err->message - (size_t)used, ": %.1000s", inner);
        make_plain(err->message);
        err->status = code;
    }
    return code;
}

cfine_status cf_fail_memory(cfine_error *err, const char *what, size_t bytes) {
    return cf_fail(err, CFINE_ERROR_MEMORY, "out of memory: %zu bytes for %s; lower --batch or --size, or free memory",
                   bytes, what);
}

const char *cfine_status_name(cfine_status status) {
    switch (status) {
    case CFINE_OK: return "ok";
    case CFINE_ERROR_ARGUMENT: return "wrong argument";
    case CFINE_ERROR_NOT_FOUND: return "not found";
    case CFINE_ERROR_IO: return "input/output error";
    case CFINE_ERROR_FORMAT: return "bad file";
    case CFINE_ERROR_UNSUPPORTED: return "unsupported";
    case CFINE_ERROR_MEMORY: return "out of memory";
    case CFINE_ERROR_MISMATCH: return "plan mismatch";
    case CFINE_ERROR_DEVICE: return "device error";
    case CFINE_ERROR_INTERNAL: return "internal error";
    }
    return "unknown status";
}
