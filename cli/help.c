// SPDX-License-Identifier: Apache-2.0
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "verbs.h"

enum { WIDTH = 100, MOST_INDENT = 30 };

// Prints text from column `column` on, broken at spaces, later lines indented by `indent`.
static void print_wrapped(const char *text, int column, int indent) {
    while (*text) {
        int room = WIDTH - column, length = (int)strlen(text);
        if (length > room)
            for (length = room; length > 0 && text[length] != ' ';) length--;
        if (length == 0) length = (int)strlen(text); // one long word
        printf("%.*s\n", length, text);
        text += length;
        while (*text == ' ') text++;
        if (*text) printf("%*s", indent, "");
        column = indent;
    }
}

// "-b, --batch=N"
static int format_option(const cli_option *option, char *text, size_t size) {
    char letter[8] = "    ";
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    return snprintf(text, size, "%s--%s%s%s", letter, option->name, option->argument ? "=" : "",
                    option->argument ? option->argument : "");
}

static void print_row(const char *left, const char *right, int indent) {
    int column = printf("  %s", left);
    if (column > indent - 2) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", indent - column, "");
    print_wrapped(right, indent, indent);
}

static void print_options(const cli_verb *verb) {
    int indent = 0;
    char text[80];
    for (size_t i = 0; i < verb->option_count; i++) {
        int width = format_option(&verb->options[i], text, sizeof text) + 4;
        if (width > indent) indent = width;
    }
    if (indent < 14) indent = 14;
    if (indent > MOST_INDENT) indent = MOST_INDENT;
    puts("\nOptions:");
    for (size_t i = 0; i < verb->option_count; i++) {
        format_option(&verb->options[i], text, sizeof text);
        print_row(text, verb->options[i].help, indent);
    }
    print_row("-h, --help", "this text", indent);
}

// Indents each line by two.
static void print_lines(const char *text) {
    while (*text) {
        int length = (int)strcspn(text, "\n");
        printf("  %.*s\n", length, text);
        text += length + (text[length] == '\n');
    }
}

void cli_help_verb(const cli_verb *verb) {
    printf("cfine %s: %s\n\nUsage: cfine %s [options]%s%s\n", verb->name, verb->summary, verb->name,
           *verb->operands ? " " : "", verb->operands);
    if (verb->about) printf("\n%s", verb->about);
    print_options(verb);
    puts("\nExamples:");
    print_lines(verb->example);
}

void cli_help_all(void) {
    puts("cfine: object detection with D-FINE\n\nUsage: cfine VERB [options] [inputs]\n\nVerbs:");
    for (size_t i = 0; i < cli_verb_count; i++)
        if (!cli_verbs[i]->hidden) print_row(cli_verbs[i]->name, cli_verbs[i]->summary, 14);
    puts("\nOptions:");
    print_row("-h, --help", "this text", 17);
    print_row("-V, --version", "the version", 17);
    puts("\n'cfine VERB --help' explains a verb. Exit status: 0 done, 1 something failed, 2 wrong usage.");
}
