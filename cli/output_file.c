// SPDX-License-Identifier: Apache-2.0
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "message.h"
#include "on_signal.h"

enum { NAME_KEPT = 200 };

static void forget(cli_output_file *file) {
    cli_on_signal_forget(file->slot);
    free(file->temporary);
    free(file->path);
    *file = (cli_output_file){.slot = -1};
}

static int folder_exists(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? cli_format("%.*s/", (int)(slash - path), path) : cli_format(".");
    struct stat info;
    int exists = stat(folder, &info) == 0;
    free(folder);
    return exists;
}

static int fail(const cli_output_file *file, const char *what) {
    cli_error("%s: cannot %s: %s", file->path, what, strerror(errno));
    return 0;
}

int cli_output_open(cli_output_file *file, const char *path) {
    static atomic_uint number;
    *file = (cli_output_file){.path = cli_format("%s", path), .slot = -1};
    struct stat info;
    if (!*path) {
        // Its temporary file could be made, and would fail to be renamed when all is done.
    } else if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        errno = EISDIR;
        if (!S_ISDIR(info.st_mode)) file->stream = fopen(path, "wbe");
    } else {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        // A name as long as names may be has room for the ending too.
        file->temporary = cli_format("%.*s%.*s.tmp-%ld-%u", (int)(name - path), path, NAME_KEPT, name, (long)getpid(),
                                     atomic_fetch_add(&number, 1));
        file->slot = cli_on_signal_remove(file->temporary);
        file->stream = fopen(file->temporary, "w+bxe");
    }
    if (file->stream) return 1;
    if (!*path)
        cli_error("the name of the file to write is empty; name a file");
    else if (errno == ENOENT && !folder_exists(path))
        cli_error("%s: cannot create: its folder does not exist; make it first", path);
    else
        fail(file, "create");
    forget(file);
    return 0;
}

int cli_output_check(const char *path) {
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        cli_error("%s: %s; name a file", path,
                  S_ISDIR(info.st_mode) ? "is a folder" : "is no regular file but a pipe or device");
        return 0;
    }
    cli_output_file file;
    if (!cli_output_open(&file, path)) return 0;
    cli_output_abort(&file);
    return 1;
}

int cli_output_write(cli_output_file *file, const void *data, size_t size) {
    return !size || fwrite(data, 1, size, file->stream) == size || fail(file, "write");
}

int cli_output_close(cli_output_file *file) {
    int ok = fflush(file->stream) == 0 || fail(file, "write");
    // What a full or broken disk refuses late shows here; a pipe has nothing to synchronise.
    if (ok && file->temporary && fsync(fileno(file->stream)) != 0) ok = fail(file, "write");
    if (fclose(file->stream) != 0 && ok) ok = fail(file, "write");
    file->stream = NULL;
    if (ok && file->temporary && rename(file->temporary, file->path) != 0) ok = fail(file, "rename");
    if (!ok && file->temporary) unlink(file->temporary);
    forget(file);
    return ok;
}

void cli_output_abort(cli_output_file *file) {
    if (file->stream) fclose(file->stream);
    if (file->temporary) unlink(file->temporary);
    forget(file);
}

int cli_same_file(const char *one, const char *other) {
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int cli_output_spares(const char *output, const char *input) {
    static const char *const inside[] = {"", "/config.json", "/model.safetensors", "/preprocessor_config.json"};
    int same = 0;
    for (size_t i = 0; i < sizeof inside / sizeof *inside && !same; i++) {
        char *path = cli_format("%s%s", input, inside[i]);
        same = cli_same_file(output, path);
        free(path);
    }
    if (same) cli_error("%s: is an input, which would be replaced: name another file to write", output);
    return !same;
}

int cli_output_save(const char *path, const void *data, size_t size) {
    cli_output_file file;
    if (!cli_output_open(&file, path)) return 0;
    if (cli_output_write(&file, data, size)) return cli_output_close(&file);
    cli_output_abort(&file);
    return 0;
}
