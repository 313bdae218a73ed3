// SPDX-License-Identifier: Apache-2.0
// Files that appear whole or not at all: written under a temporary name beside the final one, then renamed. A signal
// that ends the program removes what is unfinished.
#ifndef CLI_OUTPUT_FILE_H
#define CLI_OUTPUT_FILE_H

#include <stddef.h>
#include <stdio.h>

typedef struct cli_output_file {
    char *path, *temporary;
    FILE *stream;
    int slot; // in the list of what signals remove
} cli_output_file;

// Each returns 1, or 0 after an error message that names the file. A special file (/dev/stdout, a pipe) is written
// directly. After open, close or abort must follow.
int cli_output_open(cli_output_file *file, const char *path);
int cli_output_write(cli_output_file *file, const void *data, size_t size);
int cli_output_close(cli_output_file *file);
void cli_output_abort(cli_output_file *file);

// 1 if the library could write this file now, or 0 after an error message: asked before work that takes long.
int cli_output_check(const char *path);

// Whether both names lead to one existing file: what is written to one would replace the other.
int cli_same_file(const char *one, const char *other);

// 1 if writing `output` would leave `input`, a file or what a folder is read from, as it is; or 0 after an error
// message.
int cli_output_spares(const char *output, const char *input);

// All three at once.
int cli_output_save(const char *path, const void *data, size_t size);

#endif
