// SPDX-License-Identifier: Apache-2.0
#include "bench_stop.h"

#include <signal.h>

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    (void)signal_number;
    stopped = 1;
}

void bench_stop_watch(void) {
    static const int signals[] = {SIGINT, SIGTERM};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        // Calls that wait end early, and the second signal finds the default again.
        struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND}, before;
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    }
}

int bench_stopped(void) {
    return stopped;
}
