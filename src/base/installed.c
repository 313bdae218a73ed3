// SPDX-License-Identifier: Apache-2.0
#include "base/installed.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

static const char here; // lies in the file that is asked for

static int own_file(char path[PATH_MAX]) {
    Dl_info self, program;
    if (!dladdr(&here, &self)) return 0;
    // Of the program the loader knows only what it was called by, which is no path where it was found in PATH.
    int in_program = dladdr((const void *)getauxval(AT_ENTRY), &program) && program.dli_fbase == self.dli_fbase;
    return realpath(in_program ? "/proc/self/exe" : self.dli_fname, path) != NULL;
}

// Cuts "/folder" and what follows off the end of a file's path.
static int cut(char *path, const char *folder) {
    char *slash = strrchr(path, '/');
    size_t length = strlen(folder), before = (size_t)(slash - path);
    if (before < length + 1 || path[before - length - 1] != '/' || strncmp(slash - length, folder, length) != 0)
        return 0;
    path[before - length - 1] = 0;
    return 1;
}

int cf_installed_models(char *path, size_t size) {
    char file[PATH_MAX];
    struct stat info;
    if (!own_file(file) || !(cut(file, CFINE_BIN_FOLDER) || cut(file, CFINE_LIB_FOLDER))) return 0;
    int length = snprintf(path, size, "%s/" CFINE_DATA_FOLDER "/cfine/models", file);
    return length > 0 && (size_t)length < size && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
