// SPDX-License-Identifier: Apache-2.0
// A file's bytes in memory.
#ifndef CLI_READ_FILE_H
#define CLI_READ_FILE_H

#include <stddef.h>
#include <stdint.h>

// Returns 1, or 0 after an error message that names the file. A zero stands behind the bytes: text can be read as a
// string. Free with free().
int cli_read_file(const char *path, uint8_t **bytes, size_t *size);

#endif
