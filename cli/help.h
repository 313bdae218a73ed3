// SPDX-License-Identifier: Apache-2.0
// Help texts, made from the verbs' tables.
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "options.h"

void cli_help_all(void);
void cli_help_verb(const cli_verb *verb);

#endif
