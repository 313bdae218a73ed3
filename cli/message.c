// SPDX-License-Identifier: Apache-2.0
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "progress.h"

static int output_errno; // why standard output failed

// What to do about a reason of the system. Such reasons end messages of every part of the program and of the library.
static const char *remedy_of(const char *text) {
    static const struct {
        int code;
        const char *remedy;
    } known[] = {
        {ENOSPC, "; make room there, or write elsewhere"},
        {EDQUOT, "; make room there, or write elsewhere"},
        {EROFS, "; write elsewhere"},
        {EACCES, "; change the permissions, or run as a user who may"},
        {ENAMETOOLONG, "; use a shorter name"},
    };
    size_t length = strlen(text);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *reason = strerror(known[i].code);
        size_t tail = strlen(reason);
        if (length >= tail && strcmp(text + length - tail, reason) == 0) return known[i].remedy;
    }
    return "";
}

// One line, whatever characters a file's name has.
static void print_line(const char *prefix, const char *format, va_list args) {
    cli_progress_wipe();
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F) *at = '?';
    fprintf(stderr, "%s%s%s\n", prefix, text, remedy_of(text));
}

void cli_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("cfine: ", format, args);
    va_end(args);
}

void cli_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

int cli_flush_output(void) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno) output_errno = errno;
        return 0;
    }
    return 1;
}

int cli_finish_output(int status) {
    if (cli_flush_output()) return status;
    if (output_errno != EPIPE)
        cli_error("standard output: cannot write: %s", output_errno ? strerror(output_errno) : "earlier error");
    return CLI_FAILED;
}
