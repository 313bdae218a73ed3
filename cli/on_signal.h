// SPDX-License-Identifier: Apache-2.0
// What a signal that ends the program does first: it removes what is unfinished and says a last word.
#ifndef CLI_ON_SIGNAL_H
#define CLI_ON_SIGNAL_H

enum { CLI_ENDING_SIGNALS = 4 };
extern const int cli_ending_signals[CLI_ENDING_SIGNALS]; // SIGINT, SIGTERM, SIGHUP, SIGQUIT

// From here on, where these signals would end the program (not where they are ignored, or caught by another). The
// functions below do it too.
void cli_on_signal_catch(void);

// A file, or a folder of files, to be removed; returns its place in the list, or -1 where that is full. The name must
// stay as it is until it is forgotten.
int cli_on_signal_remove(const char *name);
void cli_on_signal_forget(int place);

// Text for standard error, which stays where it is; NULL: nothing.
void cli_on_signal_say(const char *text);

// Removes a folder (not what a link leads to) and the files in it, the lock last. May be called by a signal handler.
#define CLI_LOCK "lock"
void cli_remove_folder(const char *path);

#endif
