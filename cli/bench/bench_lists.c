// SPDX-License-Identifier: Apache-2.0
#include "bench_lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The next word of a list with commas, into word; returns what follows, or NULL behind the last one.
static const char *next_word(const char *text, char *word, size_t size) {
    size_t length = strcspn(text, ",");
    snprintf(word, size, "%.*s", (int)length, text);
    return text[length] ? text + length + 1 : NULL;
}

static int add(const cli_verb *verb, const char *option, int value, bench_list *out) {
    for (int i = 0; i < out->count; i++)
        if (out->items[i] == value) return cli_usage(verb, "--%s: a value is given twice", option);
    if (out->count == BENCH_MOST_VALUES) return cli_usage(verb, "--%s: more than %d values", option, BENCH_MOST_VALUES);
    out->items[out->count++] = value;
    return CLI_OK;
}

int bench_read_names(const cli_verb *verb, const char *option, const char *text, const char *const *names,
                     bench_list *out) {
    if (!text) return CLI_OK;
    out->count = 0;
    while (text) {
        char word[64], all[256] = "";
        text = next_word(text, word, sizeof word);
        int found = -1;
        for (int i = 0; names[i]; i++) {
            if (strcmp(names[i], word) == 0) found = i;
            size_t used = strlen(all);
            snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
        }
        if (found < 0) return cli_usage(verb, "--%s: '%s' is none of %s", option, word, all);
        int status = add(verb, option, found, out);
        if (status != CLI_OK) return status;
    }
    return CLI_OK;
}

int bench_read_numbers(const cli_verb *verb, const char *option, const char *text, int least, int most,
                       bench_list *out) {
    if (!text) return CLI_OK;
    out->count = 0;
    while (text) {
        char word[64], *end;
        text = next_word(text, word, sizeof word);
        errno = 0;
        long value = strtol(word, &end, 10);
        if (end == word || *end || errno) return cli_usage(verb, "--%s: '%s' is not a whole number", option, word);
        if (value < least || value > most)
            return cli_usage(verb, "--%s: %ld is not between %d and %d", option, value, least, most);
        int status = add(verb, option, (int)value, out);
        if (status != CLI_OK) return status;
    }
    return CLI_OK;
}
