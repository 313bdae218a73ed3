// SPDX-License-Identifier: Apache-2.0
// Files: mapped or read whole on the way in, written under a temporary name and renamed on the way out.
#ifndef CF_BASE_FILE_H
#define CF_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

// Bytes of a file, and where they are.
typedef enum cf_bytes_kind { CF_BYTES_HEAP, CF_BYTES_MAPPED, CF_BYTES_ALIGNED } cf_bytes_kind;
typedef struct cf_bytes {
    const uint8_t *data;
    size_t size;
    cf_bytes_kind kind;
} cf_bytes;

// Maps a regular file (an empty one gives size 0 and data NULL). Directories, devices and unreadable files are errors
// that name the path. For short use only: whoever cuts the file short ends the process when it reads on (SIGBUS).
cfine_status cf_file_map(const char *path, cf_bytes *out, cfine_error *err);

// Reads a file, or standard input for "-", whole; more than limit bytes is an error.
cfine_status cf_file_read(const char *path, size_t limit, cf_bytes *out, cfine_error *err);

// Reads a regular file whole into memory from cf_alloc_aligned: for bytes that are used as long as the process runs.
cfine_status cf_file_load(const char *path, cf_bytes *out, cfine_error *err);

// Releases any kind; safe on a zeroed struct.
void cf_bytes_release(cf_bytes *bytes);

// A file being written: bytes go to "<path>.tmp-<pid>-<n>"; commit syncs and renames, abort removes. One of the two
// must be called. Nothing appears under the final name before commit succeeded.
typedef struct cf_writer {
    char *path, *temporary;
    FILE *stream;
} cf_writer;

cfine_status cf_writer_open(cf_writer *writer, const char *path, cfine_error *err);
cfine_status cf_writer_write(cf_writer *writer, const void *data, size_t size, cfine_error *err);
cfine_status cf_writer_commit(cf_writer *writer, cfine_error *err);
void cf_writer_abort(cf_writer *writer);

// All three steps at once.
cfine_status cf_file_write(const char *path, const void *data, size_t size, cfine_error *err);

// 1 if path names a directory.
int cf_is_directory(const char *path);
// 1 unless there is surely nothing at path: what may not be looked at counts, so that opening it can say why.
int cf_file_exists(const char *path);

// Tests only: writes fail with "no space left" after this many more bytes; negative switches it off.
void cf_file_fail_after(long bytes);

#endif
