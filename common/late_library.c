// SPDX-License-Identifier: Apache-2.0
#include "late_library.h"

#include <dlfcn.h>
#include <string.h>

#include "failure.h"

static cfine_status open_once(late_library *library, cfine_error *error) {
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return common_fail(error, CFINE_ERROR_NOT_FOUND, "%s needs %s: %.160s; install it: apt install %s",
                           library->purpose, library->file, dlerror(), library->package);
    for (size_t i = 0; i < library->count; i++) {
        // dlsym gives an object pointer; copying its bytes makes it the function pointer that POSIX says it is.
        void *symbol = dlsym(handle, library->functions[i].name);
        if (!symbol)
            return common_fail(error, CFINE_ERROR_NOT_FOUND, "%s has no %s: it is too old for %s", library->file,
                               library->functions[i].name, library->purpose);
        memcpy(library->functions[i].place, &symbol, sizeof symbol);
    }
    return CFINE_OK;
}

cfine_status late_library_open(late_library *library, cfine_error *error) {
    pthread_mutex_lock(&library->lock);
    if (!library->tried) open_once(library, &library->problem);
    library->tried = 1;
    pthread_mutex_unlock(&library->lock);
    if (library->problem.status == CFINE_OK) return CFINE_OK;
    return common_fail(error, library->problem.status, "%s", library->problem.message);
}
