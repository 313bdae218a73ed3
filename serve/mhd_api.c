// SPDX-License-Identifier: Apache-2.0
#include "mhd_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "problem.h"

static const char library_name[] = "libmicrohttpd.so.12";

static serve_mhd functions;
static char problem[256]; // empty: opened
static pthread_once_t once = PTHREAD_ONCE_INIT;

// dlsym gives an object pointer; copying its bytes makes it the function pointer that POSIX says it is.
static void find(void *library, const char *name, void *pointer) {
    void *symbol = dlsym(library, name);
    if (!symbol) snprintf(problem, sizeof problem, "%s: has no %s: too old", library_name, name);
    memcpy(pointer, &symbol, sizeof symbol);
}

static void open_library(void) {
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(problem, sizeof problem, "the server needs libmicrohttpd: %.120s; install it: apt install %s",
                 dlerror(), "libmicrohttpd12");
        return;
    }
#define FIND(name) find(library, #name, &functions.name);
    SERVE_MHD_FUNCTIONS(FIND)
}

const serve_mhd *serve_mhd_open(cfine_error *error) {
    pthread_once(&once, open_library);
    if (!problem[0]) return &functions;
    serve_fail(error, CFINE_ERROR_NOT_FOUND, "%s", problem);
    return NULL;
}
