// SPDX-License-Identifier: Apache-2.0
// Verbs and their options as data: parsing, help, completion and the manual page all read these tables.
//
// A verb is one file with a table like this and one line in verbs.h:
//
//     typedef struct { int json; int batch; } arguments;
//     static const cli_option options[] = {
//         {"json", 0, NULL, "one JSON object a line", CLI_FLAG, offsetof(arguments, json)},
//         {"batch", 'b', "N", "images per run", CLI_INT, offsetof(arguments, batch), .least = 1, .most = 1024},
//     };
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stddef.h>

// Exit statuses.
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

typedef enum cli_kind {
    CLI_FLAG,   // int: set to 1
    CLI_TEXT,   // const char *
    CLI_TEXTS,  // cli_texts: may be given several times
    CLI_INT,    // int, least..most
    CLI_REAL,   // double, least..most
    CLI_SIZE,   // int[2]: width and height, multiples of 32, given as WxH or as one number for both
    CLI_CHOICE, // int: index into choices
    CLI_DEVICE, // const char *: cpu, cuda, cuda:N, or cuda:N,N... where the verb takes several GPUs
} cli_kind;

// What the shell offers to complete an argument with.
typedef enum cli_completion { CLI_COMPLETE_NOTHING, CLI_COMPLETE_FILES, CLI_COMPLETE_FOLDERS } cli_completion;

enum { CLI_MAX_TEXTS = 64, CLI_MAX_GPUS = 16 };
typedef struct cli_texts {
    const char *items[CLI_MAX_TEXTS];
    int count;
} cli_texts;

typedef struct cli_option {
    const char *name;     // long name
    char letter;          // short name, or 0
    const char *argument; // "N", or NULL for a flag
    const char *help;     // begins with a small letter, no full stop; says the default
    cli_kind kind;
    size_t offset; // of the field in the verb's struct of arguments
    double least, most;
    const char *const *choices; // ends with NULL; of a CLI_INT: one word that stands for -1
    cli_completion completion;
} cli_option;

typedef struct cli_verb {
    const char *name;
    const char *summary;               // one line: what it does
    const char *operands;              // "INPUT...", or "" for none
    int operands_least, operands_most; // most < 0: any number
    const char *about;                 // a paragraph for `--help`, or NULL; lines end with newlines
    const char *example;               // shell lines, each ending with a newline
    const cli_option *options;
    size_t option_count;
    cli_completion completion;         // of the operands
    int (*run)(int argc, char **argv); // argv[0] is the verb; returns an exit status
    int hidden;                        // 1: left out of help and completion
    int several_gpus;                  // 1: its --device may be a list
} cli_verb;

#define CLI_COUNT(array) (sizeof(array) / sizeof *(array))

// Reads the words after the verb into `arguments` (whose fields hold the defaults) and moves the operands to
// argv[1..*operands]. Returns 1 to go on, or 0 when all is said (help, or a usage error): then *status is the exit
// status.
int cli_parse(const cli_verb *verb, int argc, char **argv, void *arguments, int *operands, int *status);

// How far one word is from another: insertions, deletions, replacements and swaps of neighbours.
int cli_distance(const char *a, const char *b);

// Reports wrong usage of a verb with a hint at its help, and returns CLI_USAGE.
int cli_usage(const cli_verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
