// SPDX-License-Identifier: Apache-2.0
#include "cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char library_name[] = "libcuda.so.1";

static cf_cu functions;
static char problem[256]; // empty: opened
static pthread_once_t once = PTHREAD_ONCE_INIT;

// dlsym gives an object pointer; copying its bytes makes it the function pointer that POSIX says it is.
static void find(void *library, const char *name, void *pointer) {
    void *symbol = dlsym(library, name);
    if (!symbol)
        snprintf(problem, sizeof problem, "%s has no %s: the driver is too old, CUDA 12 or newer is needed",
                 library_name, name);
    memcpy(pointer, &symbol, sizeof symbol);
}

static void open_library(void) {
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(problem, sizeof problem, "no CUDA driver (%s) on this machine; use --device cpu", library_name);
        return;
    }
#define FIND(symbol, name, arguments) find(library, symbol, &functions.name);
    CF_CU_FUNCTIONS(FIND)
    if (problem[0]) return;
    cf_cu_result result = functions.init(0);
    const char *text = "unknown error";
    if (result) functions.error_string(result, &text);
    if (result) snprintf(problem, sizeof problem, "the CUDA driver does not start: %s; use --device cpu", text);
}

const cf_cu *cf_cu_open(cfine_error *err) {
    pthread_once(&once, open_library);
    if (!problem[0]) return &functions;
    cf_fail(err, CFINE_ERROR_DEVICE, "%s", problem);
    return NULL;
}

cfine_status cf_cu_fail(const cf_cu *cu, cf_cu_result result, const char *what, cfine_error *err) {
    const char *text = NULL;
    cu->error_string(result, &text);
    return cf_fail(err, CFINE_ERROR_DEVICE, "cuda: %s: %s (%d)", what, text ? text : "unknown error", result);
}
