// SPDX-License-Identifier: Apache-2.0
// Lists on the command line of `cfine bench`, such as fp32,bf16 or 1,8.
#ifndef CLI_BENCH_LISTS_H
#define CLI_BENCH_LISTS_H

#include "options.h"

enum { BENCH_MOST_VALUES = 32 };
typedef struct bench_list {
    int items[BENCH_MOST_VALUES];
    int count;
} bench_list;

// Each returns CLI_OK, or the exit status after a message. text NULL leaves the list as it is.
int bench_read_names(const cli_verb *verb, const char *option, const char *text, const char *const *names,
                     bench_list *out);
int bench_read_numbers(const cli_verb *verb, const char *option, const char *text, int least, int most,
                       bench_list *out);

#endif
