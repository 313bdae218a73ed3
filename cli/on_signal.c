// SPDX-License-Identifier: Apache-2.0
#include "on_signal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

const int cli_ending_signals[CLI_ENDING_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// A place is taken by exchanging NULL for a name, so that it needs no lock.
enum { MOST_NAMES = 16 };
static _Atomic(const char *) names[MOST_NAMES];
static _Atomic(const char *) last_words;

// readdir may not be called by a signal handler; what it is made of may.
void cli_remove_folder(const char *path) {
    _Alignas(struct dirent64) char entries[4096];
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) return;
    ssize_t got;
    while ((got = getdents64(folder, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            if (strcmp(entry->d_name, CLI_LOCK) != 0) unlinkat(folder, entry->d_name, 0); // refuses "." and ".."
            at += entry->d_reclen;
        }
    unlinkat(folder, CLI_LOCK, 0); // last: who ends in between leaves what the next one recognises
    close(folder);
    rmdir(path);
}

static void remove_and_end(int signal_number) {
    for (int i = 0; i < MOST_NAMES; i++) {
        const char *name = atomic_load(&names[i]);
        if (name && unlink(name) != 0 && errno == EISDIR) cli_remove_folder(name);
    }
    const char *text = atomic_load(&last_words);
    if (text && write(STDERR_FILENO, text, strlen(text)) < 0) errno = 0; // nobody is left to tell
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void cli_on_signal_catch(void) {
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&done)) return;
    for (int i = 0; i < CLI_ENDING_SIGNALS; i++) {
        struct sigaction action = {.sa_handler = remove_and_end}, before;
        if (sigaction(cli_ending_signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(cli_ending_signals[i], &action, NULL);
    }
}

int cli_on_signal_remove(const char *name) {
    cli_on_signal_catch();
    for (int i = 0; i < MOST_NAMES; i++) {
        const char *expected = NULL;
        if (atomic_compare_exchange_strong(&names[i], &expected, name)) return i;
    }
    return -1; // more at once than anything here has: removed at the end all the same
}

void cli_on_signal_forget(int place) {
    if (place >= 0) atomic_store(&names[place], NULL);
}

void cli_on_signal_say(const char *text) {
    cli_on_signal_catch();
    atomic_store(&last_words, text);
}
