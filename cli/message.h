// SPDX-License-Identifier: Apache-2.0
// What a person reads besides results: errors and notes, all on standard error.
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

// "cfine: ..." on a line of its own, and what to do where the text ends with a known reason of the system; wipes a
// progress bar first.
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A line that is not an error.
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Tells of a failed write to standard output (not of a closed pipe: whoever read it had enough) and returns the exit
// status that follows: `status`, or CLI_FAILED.
int cli_finish_output(int status);

// Hands results on to whoever reads them. Returns 0 once standard output has failed: results go nowhere, loops may end.
int cli_flush_output(void);

#endif
