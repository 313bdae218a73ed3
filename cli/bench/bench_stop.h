// SPDX-License-Identifier: Apache-2.0
// Ctrl-C ends the measuring, not the program: what was measured by then is shown. A second one, but for those of the
// same moment, ends the program.
#ifndef CLI_BENCH_STOP_H
#define CLI_BENCH_STOP_H

void bench_stop_watch(void); // from here on
int bench_stopped(void);     // 1: asked to stop, by one of cli_ending_signals

#endif
