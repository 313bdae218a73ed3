// SPDX-License-Identifier: Apache-2.0
// A line on a terminal that says how far, how fast, and how long it will still take.
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdint.h>

typedef struct cli_progress {
    const char *unit; // "images"; "B" prints sizes as kB, MB, GB
    int64_t total;    // 0: unknown
    int64_t first;    // done before this run (a resumed download): does not count for the rate
    double start, shown;
    int active;
} cli_progress;

// Starts a bar, which stays silent unless standard error is a terminal. One bar at a time.
void cli_progress_start(cli_progress *progress, const char *unit, int64_t first, int64_t total);
void cli_progress_show(cli_progress *progress, int64_t done);
void cli_progress_end(cli_progress *progress);

// Clears the bar's line, so that something else can be printed; the next show draws it again.
void cli_progress_wipe(void);

// Seconds of a clock that only goes forward.
double cli_seconds(void);

#endif
