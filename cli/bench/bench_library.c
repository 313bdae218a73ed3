// SPDX-License-Identifier: Apache-2.0
#include "bench_library.h"

#include <dlfcn.h>
#include <string.h>

#include "coco_ap.h"

static void *open_file(const char *file) {
    return dlopen(file, RTLD_NOW | RTLD_LOCAL);
}

// The file within the interpreter's package; "" where there is none.
static void ask_python(const bench_library_place *place, bench_helper *helper, char *path, size_t size) {
    cfine_error ignored;
    bench_answer answer = {0};
    FILE *task = bench_helper_task(helper, &ignored);
    *path = 0;
    if (!task) return;
    fprintf(task, "{\"op\":\"library\"");
    bench_put_text(task, "module", place->module);
    bench_put_text(task, "files", place->files);
    fprintf(task, "}\n");
    if (bench_helper_answer(helper, &answer, &ignored) == CFINE_OK) snprintf(path, size, "%s", answer.path);
}

cfine_status bench_library_open(const bench_library_place *place, const char *named, bench_helper *helper,
                                void **handle, cfine_error *error) {
    if (named) {
        *handle = open_file(named);
        if (*handle) return CFINE_OK;
        return coco_fail(error, CFINE_ERROR_NOT_FOUND, "%s: cannot open the library that %s or %s names: %.200s",
                         place->engine, place->option, place->variable, dlerror());
    }
    for (int i = 0; place->names[i]; i++)
        if ((*handle = open_file(place->names[i]))) return CFINE_OK;
    char path[1024];
    ask_python(place, helper, path, sizeof path);
    if (*path && (*handle = open_file(path))) return CFINE_OK;
    if (*path) return coco_fail(error, CFINE_ERROR_NOT_FOUND, "%s: %.300s", place->engine, dlerror());
    return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                     "%s is not installed: pip install %s for the interpreter that --python names, or name %s with %s "
                     "or %s",
                     place->engine, place->package, place->names[0], place->option, place->variable);
}

cfine_status bench_library_functions(const bench_library_place *place, void *handle, const bench_function *functions,
                                     size_t count, cfine_error *error) {
    for (size_t i = 0; i < count; i++) {
        // dlsym gives an object pointer; copying its bytes makes it the function pointer that POSIX says it is.
        void *symbol = dlsym(handle, functions[i].name);
        if (!symbol)
            return coco_fail(error, CFINE_ERROR_NOT_FOUND, "this %s is too old, it has no %s: pip install -U %s",
                             place->engine, functions[i].name, place->package);
        memcpy(functions[i].place, &symbol, sizeof symbol);
    }
    return CFINE_OK;
}
