// SPDX-License-Identifier: Apache-2.0
#include "bench_stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "on_signal.h"

// A terminal that is closed and `timeout` send a process several signals in one moment and mean one.
enum { ONE_MOMENT = 100 }; // milliseconds

static struct sigaction before[CLI_ENDING_SIGNALS]; // what the second signal finds: who removes what is unfinished
static volatile sig_atomic_t stopped;
static _Atomic int64_t stopped_at; // milliseconds

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void stop(int signal_number) {
    if (!stopped) {
        stopped_at = now();
        stopped = 1;
    } else if (now() - stopped_at > ONE_MOMENT) {
        for (int i = 0; i < CLI_ENDING_SIGNALS; i++) sigaction(cli_ending_signals[i], &before[i], NULL);
        raise(signal_number); // comes when this function returns
    }
}

void bench_stop_watch(void) {
    cli_on_signal_catch();
    for (int i = 0; i < CLI_ENDING_SIGNALS; i++) {
        struct sigaction action = {.sa_handler = stop}; // calls that wait end early
        sigemptyset(&action.sa_mask);
        if (sigaction(cli_ending_signals[i], NULL, &before[i]) == 0 && before[i].sa_handler != SIG_IGN)
            sigaction(cli_ending_signals[i], &action, NULL);
    }
}

int bench_stopped(void) {
    return stopped;
}
