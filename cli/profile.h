// SPDX-License-Identifier: Apache-2.0
// `--profile`: where the time went.
#ifndef CLI_PROFILE_H
#define CLI_PROFILE_H

#include "cfine/cfine.h"

// Seconds of a run over images.
typedef struct cli_phases {
    double open;   // model, plan and session
    double decode; // in the decoding threads
    double wait;   // for them
    double detect; // prepare, network, boxes
    double draw;
    int images;
} cli_phases;

// Prints the phases, the steps of the last run of the network, and the sums by operator, on standard error.
void cli_print_profile(const cfine_session *session, const cli_phases *phases, double seconds);

#endif
