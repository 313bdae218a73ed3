// SPDX-License-Identifier: Apache-2.0
#include "bench_stop.h"

#include <signal.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof *signals };

static struct sigaction before[SIGNALS]; // what the second signal finds again: the default, or who removes files
static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    stopped = 1;
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == signal_number) sigaction(signal_number, &before[i], NULL);
}

void bench_stop_watch(void) {
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_handler = stop}; // calls that wait end early
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &before[i]) == 0 && before[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

int bench_stopped(void) {
    return stopped;
}
