// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static atomic_long write_budget = -1; // negative: unlimited
static atomic_uint temporary_number;
enum { NAME_KEPT = 200 }; // bytes of a name in its temporary one

void cf_file_fail_after(long bytes) {
    atomic_store(&write_budget, bytes);
}

static cfine_status fail_errno(cfine_error *err, const char *path, const char *what) {
    int code = errno;
    cfine_status status = code == ENOENT ? CFINE_ERROR_NOT_FOUND : CFINE_ERROR_IO;
    return cf_fail(err, status, "%s: %s: %s", path, what, strerror(code));
}

static cfine_status fail_kind(cfine_error *err, const char *path, const struct stat *info) {
    const char *kind = S_ISDIR(info->st_mode) ? "is a folder" : "is no regular file but a pipe or device";
    return cf_fail(err, CFINE_ERROR_ARGUMENT, "%s: %s; name a file", path, kind);
}

static cfine_status open_regular(const char *path, int *out, size_t *size, cfine_error *err) {
    *out = -1;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe without a writer must not hold us up
    if (fd < 0) return fail_errno(err, path, "cannot open");
    struct stat info;
    if (fstat(fd, &info) != 0) {
        cfine_status status = fail_errno(err, path, "cannot stat");
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return fail_kind(err, path, &info);
    }
    *out = fd;
    *size = (size_t)info.st_size;
    return CFINE_OK;
}

cfine_status cf_file_map(const char *path, cf_bytes *out, cfine_error *err) {
    memset(out, 0, sizeof *out);
    int fd;
    size_t size;
    CF_TRY(open_regular(path, &fd, &size, err));
    if (size) {
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            cfine_status status = fail_errno(err, path, "cannot map");
            close(fd);
            return status;
        }
        *out = (cf_bytes){data, size, CF_BYTES_MAPPED};
    }
    close(fd);
    return CFINE_OK;
}

cfine_status cf_file_read(const char *path, size_t limit, cf_bytes *out, cfine_error *err) {
    memset(out, 0, sizeof *out);
    int from_stdin = strcmp(path, "-") == 0, fd = STDIN_FILENO;
    size_t capacity = 64 << 10, used = 0;
    if (!from_stdin) {
        size_t size;
        CF_TRY(open_regular(path, &fd, &size, err));
        if (size > limit) {
            close(fd);
            return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: has %zu bytes, the limit is %zu", path, size, limit);
        }
        capacity = size + 1; // one more byte shows the end of the file without growing
    }
    cfine_status status = CFINE_OK;
    uint8_t *data = cf_alloc(capacity, 1);
    if (!data) status = cf_fail_memory(err, path, capacity);
    while (status == CFINE_OK) {
        if (used == capacity) {
            uint8_t *grown = capacity > SIZE_MAX / 2 ? NULL : cf_realloc(data, capacity * 2, 1);
            if (!grown) {
                status = cf_fail_memory(err, path, capacity);
                break;
            }
            data = grown;
            capacity *= 2;
        }
        ssize_t got = read(fd, data + used, capacity - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = fail_errno(err, path, "cannot read");
        if (got <= 0) break;
        used += (size_t)got;
        if (used > limit) status = cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: more than %zu bytes", path, limit);
    }
    if (!from_stdin) close(fd);
    if (status != CFINE_OK) {
        cf_free(data);
        return status;
    }
    *out = (cf_bytes){data, used, CF_BYTES_HEAP};
    return CFINE_OK;
}

cfine_status cf_file_load(const char *path, cf_bytes *out, cfine_error *err) {
    memset(out, 0, sizeof *out);
    int fd;
    size_t size, used = 0;
    CF_TRY(open_regular(path, &fd, &size, err));
    uint8_t *data = cf_alloc_aligned(size);
    cfine_status status = data ? CFINE_OK : cf_fail_memory(err, path, size);
    while (status == CFINE_OK && used < size) {
        ssize_t got = read(fd, data + used, size - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = fail_errno(err, path, "cannot read");
        if (got == 0) status = cf_fail(err, CFINE_ERROR_IO, "%s: was cut short while it was read; try again", path);
        if (got > 0) used += (size_t)got;
    }
    close(fd);
    if (status != CFINE_OK) {
        cf_free_aligned(data, size);
        return status;
    }
    *out = (cf_bytes){data, size, CF_BYTES_ALIGNED};
    return CFINE_OK;
}

void cf_bytes_release(cf_bytes *bytes) {
    switch (bytes->kind) {
    case CF_BYTES_HEAP: cf_free((void *)bytes->data); break;
    case CF_BYTES_MAPPED: munmap((void *)bytes->data, bytes->size); break;
    case CF_BYTES_ALIGNED: cf_free_aligned((void *)bytes->data, bytes->size); break;
    }
    memset(bytes, 0, sizeof *bytes);
}

cfine_status cf_writer_open(cf_writer *writer, const char *path, cfine_error *err) {
    memset(writer, 0, sizeof *writer);
    if (!*path) return cf_fail(err, CFINE_ERROR_ARGUMENT, "the name of the file to write is empty; name a file");
    struct stat info; // a rename would put a file in the place of /dev/null
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) return fail_kind(err, path, &info);
    writer->path = cf_strdup(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    // A name as long as names may be has room for the ending too.
    writer->temporary = cf_format("%.*s%.*s.tmp-%ld-%u", (int)(name - path), path, NAME_KEPT, name, (long)getpid(),
                                  atomic_fetch_add(&temporary_number, 1));
    if (!writer->path || !writer->temporary) {
        cf_writer_abort(writer);
        return cf_fail_memory(err, path, strlen(path));
    }
    writer->stream = fopen(writer->temporary, "wbxe");
    if (!writer->stream) {
        cfine_status status = errno == ENOENT
                                  ? cf_fail(err, CFINE_ERROR_NOT_FOUND,
                                            "%s: cannot create: its folder does not exist; make it first", path)
                                  : fail_errno(err, path, "cannot create");
        cf_free(writer->temporary); // nothing to remove
        writer->temporary = NULL;
        cf_writer_abort(writer);
        return status;
    }
    return CFINE_OK;
}

cfine_status cf_writer_write(cf_writer *writer, const void *data, size_t size, cfine_error *err) {
    if (!size) return CFINE_OK;
    long budget = atomic_load(&write_budget);
    if (budget >= 0) {
        if ((size_t)budget < size) {
            errno = ENOSPC;
            return fail_errno(err, writer->path, "cannot write");
        }
        atomic_fetch_sub(&write_budget, (long)size);
    }
    if (fwrite(data, 1, size, writer->stream) != size) return fail_errno(err, writer->path, "cannot write");
    return CFINE_OK;
}

cfine_status cf_writer_commit(cf_writer *writer, cfine_error *err) {
    cfine_status status = CFINE_OK;
    if (fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0)
        status = fail_errno(err, writer->path, "cannot write");
    if (fclose(writer->stream) != 0 && status == CFINE_OK) status = fail_errno(err, writer->path, "cannot write");
    writer->stream = NULL;
    if (status == CFINE_OK && rename(writer->temporary, writer->path) != 0)
        status = fail_errno(err, writer->path, "cannot rename into place");
    if (status == CFINE_OK) { // the temporary name is gone: abort must not remove anything
        cf_free(writer->temporary);
        writer->temporary = NULL;
    }
    cf_writer_abort(writer);
    return status;
}

void cf_writer_abort(cf_writer *writer) {
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary) unlink(writer->temporary);
    cf_free(writer->temporary);
    cf_free(writer->path);
    memset(writer, 0, sizeof *writer);
}

cfine_status cf_file_write(const char *path, const void *data, size_t size, cfine_error *err) {
    cf_writer writer;
    CF_TRY(cf_writer_open(&writer, path, err));
    cfine_status status = cf_writer_write(&writer, data, size, err);
    if (status == CFINE_OK) return cf_writer_commit(&writer, err);
    cf_writer_abort(&writer);
    return status;
}

int cf_is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int cf_file_exists(const char *path) {
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}
