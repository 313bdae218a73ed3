// SPDX-License-Identifier: Apache-2.0
// `cfine manual` (hidden; the build runs it): the manual page cfine(1), made from the verbs' tables.
#include <stdio.h>
#include <string.h>

#include "cfine/cfine.h"
#include "model_args.h"
#include "verbs.h"

// Text with the characters escaped that roff would take for its own.
static void print_text(const char *text) {
    int at_start = 1;
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        at_start = *text == '\n';
    }
}

static void print_option(const cli_option *option) {
    puts(".TP");
    if (option->letter) printf("\\fB\\-%c\\fR, ", option->letter);
    printf("\\fB\\-\\-");
    print_text(option->name);
    printf("\\fR");
    if (option->argument) {
        printf("=\\fI");
        print_text(option->argument);
        printf("\\fR");
    }
    putchar('\n');
    print_text(option->help);
    puts(".");
}

static void print_verb(const cli_verb *verb) {
    printf(".SS cfine %s [options] %s\n", verb->name, verb->operands);
    print_text(verb->summary);
    puts(".");
    if (verb->about) {
        puts(".PP");
        print_text(verb->about);
    }
    for (size_t i = 0; i < verb->option_count; i++) print_option(&verb->options[i]);
    puts(".PP\nExamples:\n.PP\n.nf\n.RS");
    print_text(verb->example);
    puts(".RE\n.fi");
}

static int run(int argc, char **argv) {
    int operands, status;
    if (!cli_parse(&cli_verb_manual, argc, argv, NULL, &operands, &status)) return status;
    printf(".TH CFINE 1 \"\" \"cfine %s\" \"User Commands\"\n", cfine_version());
    fputs(".SH NAME\ncfine \\- object detection with D\\-FINE\n"
          ".SH SYNOPSIS\n\\fBcfine\\fR \\fIverb\\fR [\\fIoptions\\fR] [\\fIinputs\\fR]\n"
          ".SH DESCRIPTION\n"
          "Finds objects in images with D\\-FINE networks. Results go to standard output; progress and notes go to\n"
          "standard error. \\fBcfine \\-\\-help\\fR lists the verbs, \\fBcfine\\fR \\fIverb\\fR \\fB\\-\\-help\\fR\n"
          "explains one. A model is a directory of Hugging Face, an official .pth, a .plan, or the name of a bundled\n"
          "or pulled model.\n"
          ".SH VERBS\n",
          stdout);
    for (size_t i = 0; i < cli_verb_count; i++)
        if (!cli_verbs[i]->hidden) print_verb(cli_verbs[i]);
    fputs(".SH EXIT STATUS\n0: all done. 1: something failed (one bad image among many, too). 2: wrong usage.\n"
          ".SH ENVIRONMENT\n"
          ".TP\n\\fBCFINE_CPU\\fR\nHighest instruction set to use: " CLI_CPU_LEVELS ".\n"
          ".TP\n\\fBCFINE_MODELS\\fR\nFolder of bundled models, instead of the installed one.\n"
          ".TP\n\\fBCFINE_CACHE\\fR\nFolder of pulled models, instead of ~/.cache/cfine.\n"
          ".TP\n\\fBHF_ENDPOINT\\fR, \\fBHF_TOKEN\\fR\nThe hub to pull from, and the token to show it.\n",
          stdout);
    return CLI_OK;
}

const cli_verb cli_verb_manual = {
    .name = "manual",
    .summary = "print the manual page",
    .operands = "",
    .example = "cfine manual | man -l -\n",
    .run = run,
    .hidden = 1,
};
