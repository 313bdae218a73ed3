// SPDX-License-Identifier: Apache-2.0
// What a person names on the command line, as a list of image files.
#ifndef CLI_INPUTS_H
#define CLI_INPUTS_H

#include <stddef.h>

typedef struct cli_inputs {
    char **paths;
    size_t count;
    int standard_input; // 1 if that is among them
    int failed;         // words that gave no image; each was reported
} cli_inputs;

// Files stand for themselves, folders for the images in them (by name, sorted, not the folders below), patterns that
// name no file for what they match, "-" for standard input. Release with cli_inputs_release.
void cli_inputs_expand(char **words, int count, cli_inputs *out);
void cli_inputs_release(cli_inputs *inputs);

#endif
