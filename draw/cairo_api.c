// SPDX-License-Identifier: Apache-2.0
#include "cairo_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "failure.h"

static const char library_name[] = "libcairo.so.2";

static draw_cairo functions;
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
        snprintf(problem, sizeof problem, "drawing labels needs cairo: %.120s; install it: apt install libcairo2",
                 dlerror());
        return;
    }
#define FIND(name) find(library, #name, &functions.name);
    DRAW_CAIRO_FUNCTIONS(FIND)
}

const draw_cairo *draw_cairo_open(cfine_error *error) {
    pthread_once(&once, open_library);
    if (!problem[0]) return &functions;
    draw_fail(error, CFINE_ERROR_NOT_FOUND, "%s", problem);
    return NULL;
}
