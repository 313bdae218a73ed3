// SPDX-License-Identifier: Apache-2.0
// All verbs, in the order of the help text. A new verb NAME is a line here and a file cmd_NAME.c with
// `const cli_verb cli_verb_NAME`.
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "options.h"

// clang-format off
#define CLI_VERBS(verb) \
    verb(detect) \
    verb(eval) \
    verb(bench) \
    verb(build) \
    verb(calibrate) \
    verb(optimize) \
    verb(export) \
    verb(pull) \
    verb(info) \
    verb(doctor) \
    verb(serve) \
    verb(load) \
    verb(triton) \
    verb(completion) \
    verb(manual)
// clang-format on

#define CLI_DECLARE_VERB(name) extern const cli_verb cli_verb_##name;
CLI_VERBS(CLI_DECLARE_VERB)

extern const cli_verb *const cli_verbs[];
extern const size_t cli_verb_count;

#endif
