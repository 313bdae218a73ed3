// SPDX-License-Identifier: Apache-2.0
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "progress.h"

static int output_errno; // why standard output failed

static void print_line(const char *prefix, const char *format, va_list args) {
    cli_progress_wipe();
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "%s%s\n", prefix, text);
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
