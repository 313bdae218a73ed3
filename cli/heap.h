// SPDX-License-Identifier: Apache-2.0
// Memory of the command: running out of it ends the program with a message, as there is nothing left to save.
#ifndef CLI_HEAP_H
#define CLI_HEAP_H

#include <stddef.h>

// Zeroed memory for count * size bytes; free with free().
void *cli_alloc(size_t count, size_t size);

// Grows a block of cli_alloc (or NULL) to count * size bytes.
void *cli_grow(void *block, size_t count, size_t size);

// Printf into a new string; free with free().
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

// "folder/name" as a new string, also of "folder/".
char *cli_path(const char *folder, const char *name);

#endif
