// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"
#include "message.h"

int cli_usage(const cli_verb *verb, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_error("%s: %s; see: cfine %s --help", verb->name, text, verb->name);
    return CLI_USAGE;
}

int cli_distance(const char *a, const char *b) {
    enum { MOST = 40 };
    int rows[3][MOST + 1]; // the row before last, the last, and this one
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > MOST || b_length > MOST) return MOST;
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++) last[j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        int *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_length];
}

static int unknown_option(const cli_verb *verb, const char *word, const char *name) {
    const char *nearest = NULL;
    int least = 3; // more than two slips is another word
    for (size_t i = 0; i < verb->option_count; i++) {
        int distance = cli_distance(name, verb->options[i].name);
        if (distance < least) {
            least = distance;
            nearest = verb->options[i].name;
        }
    }
    if (nearest) return cli_usage(verb, "unknown option '%s', did you mean --%s?", word, nearest);
    return cli_usage(verb, "unknown option '%s'", word);
}

// The option of this long name, or of which `name` (length characters) is a prefix that no other shares.
static const cli_option *find_long(const cli_verb *verb, const char *name, size_t length, int *ambiguous) {
    const cli_option *found = NULL;
    *ambiguous = 0;
    for (size_t i = 0; i < verb->option_count; i++) {
        const cli_option *option = &verb->options[i];
        if (strncmp(option->name, name, length) != 0) continue;
        if (option->name[length] == 0) {
            *ambiguous = 0;
            return option;
        }
        *ambiguous = found != NULL;
        found = option;
    }
    return *ambiguous ? NULL : found;
}

static const cli_option *find_short(const cli_verb *verb, char letter) {
    for (size_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].letter == letter) return &verb->options[i];
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// Values

static int read_int(const char *text, int *out) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end) return 0;
    *out = value < -INT_MAX ? -INT_MAX : value > INT_MAX ? INT_MAX : (int)value;
    return 1;
}

static int set_int(const cli_verb *verb, const cli_option *option, const char *text, int *field) {
    int value;
    if (option->choices && !strcmp(text, option->choices[0])) {
        *field = -1;
        return CLI_OK;
    }
    if (!read_int(text, &value)) return cli_usage(verb, "--%s: '%s' is not a whole number", option->name, text);
    if (value < option->least || value > option->most)
        return cli_usage(verb, "--%s: %s is not between %.0f and %.0f", option->name, text, option->least,
                         option->most);
    *field = value;
    return CLI_OK;
}

static int set_real(const cli_verb *verb, const cli_option *option, const char *text, double *field) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return cli_usage(verb, "--%s: '%s' is not a number", option->name, text);
    if (value < option->least || value > option->most)
        return cli_usage(verb, "--%s: %g is not between %g and %g", option->name, value, option->least, option->most);
    *field = value;
    return CLI_OK;
}

static int set_size(const cli_verb *verb, const cli_option *option, const char *text, int field[2]) {
    char copy[32];
    snprintf(copy, sizeof copy, "%s", text);
    char *cross = strchr(copy, 'x');
    if (cross) *cross = 0;
    int width, height;
    if (strlen(text) >= sizeof copy || !read_int(copy, &width) || !read_int(cross ? cross + 1 : copy, &height))
        return cli_usage(verb, "--%s: '%s' is not a size such as 640x480", option->name, text);
    if (width < 32 || height < 32 || width % 32 || height % 32)
        return cli_usage(verb, "--%s: width and height of '%s' must be multiples of 32", option->name, text);
    field[0] = width;
    field[1] = height;
    return CLI_OK;
}

static int set_choice(const cli_verb *verb, const cli_option *option, const char *text, int *field) {
    char all[256] = "";
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *field = i;
            return CLI_OK;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", option->choices[i]);
    }
    return cli_usage(verb, "--%s: '%s' is none of %s", option->name, text, all);
}

// How many GPUs "cuda:0,2" names; 0 if it is no such list.
static int count_gpus(const char *text) {
    if (strncmp(text, "cuda:", 5) != 0) return 0;
    int count = 0;
    for (const char *at = text + 5;; at++) {
        size_t length = strspn(at, "0123456789");
        if (length < 1 || length > 2 || atoi(at) >= CLI_MAX_GPUS || ++count > CLI_MAX_GPUS) return 0;
        at += length;
        if (!*at) return count;
        if (*at != ',') return 0;
    }
}

static int set_device(const cli_verb *verb, const cli_option *option, const char *text, const char **field) {
    *field = text;
    if (strcmp(text, "cpu") == 0 || strcmp(text, "cuda") == 0) return CLI_OK;
    int count = count_gpus(text);
    if (count > 1 && !verb->several_gpus)
        return cli_usage(verb, "--%s: %s takes one GPU, such as cuda:0, not '%s'", option->name, verb->name, text);
    if (count) return CLI_OK;
    return cli_usage(verb, "--%s: '%s' is none of cpu, cuda, cuda:N%s with N from 0 to %d", option->name, text,
                     verb->several_gpus ? " or a list such as cuda:0,1" : "", CLI_MAX_GPUS - 1);
}

static int set_value(const cli_verb *verb, const cli_option *option, const char *text, void *arguments) {
    void *field = (char *)arguments + option->offset;
    switch (option->kind) {
    case CLI_FLAG: *(int *)field = 1; return CLI_OK;
    case CLI_TEXT: *(const char **)field = text; return CLI_OK;
    case CLI_TEXTS: {
        cli_texts *texts = field;
        if (texts->count == CLI_MAX_TEXTS)
            return cli_usage(verb, "--%s: given more than %d times", option->name, CLI_MAX_TEXTS);
        texts->items[texts->count++] = text;
        return CLI_OK;
    }
    case CLI_INT: return set_int(verb, option, text, field);
    case CLI_REAL: return set_real(verb, option, text, field);
    case CLI_SIZE: return set_size(verb, option, text, field);
    case CLI_CHOICE: return set_choice(verb, option, text, field);
    case CLI_DEVICE: return set_device(verb, option, text, field);
    }
    return CLI_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Words

// The words that are still to be read.
typedef struct {
    char **words;
    int count, next;
} word_list;

static int needs_argument(const cli_verb *verb, const cli_option *option) {
    return cli_usage(verb, "--%s needs an argument: %s", option->name, option->argument);
}

static int read_long(const cli_verb *verb, const char *word, word_list *rest, void *arguments) {
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    int ambiguous;
    const cli_option *option = length ? find_long(verb, name, length, &ambiguous) : NULL;
    if (length && ambiguous) return cli_usage(verb, "option '%s' could be several", word);
    if (!option) {
        char copy[64];
        snprintf(copy, sizeof copy, "%.*s", (int)length, name);
        return unknown_option(verb, word, copy);
    }
    if (!option->argument)
        return equals ? cli_usage(verb, "--%s takes no argument", option->name)
                      : set_value(verb, option, NULL, arguments);
    if (equals) return set_value(verb, option, equals + 1, arguments);
    if (rest->next == rest->count) return needs_argument(verb, option);
    return set_value(verb, option, rest->words[rest->next++], arguments);
}

// "-j", "-jn" for two flags, "-b8" and "-b 8".
static int read_short(const cli_verb *verb, const char *word, word_list *rest, void *arguments) {
    for (const char *letter = word + 1; *letter; letter++) {
        const cli_option *option = find_short(verb, *letter);
        if (!option) return cli_usage(verb, "unknown option '-%c'", *letter);
        if (!option->argument) {
            set_value(verb, option, NULL, arguments);
            continue;
        }
        if (letter[1]) return set_value(verb, option, letter + 1, arguments);
        if (rest->next == rest->count) return needs_argument(verb, option);
        return set_value(verb, option, rest->words[rest->next++], arguments);
    }
    return CLI_OK;
}

static int check_operands(const cli_verb *verb, int count, char **operands) {
    if (count < verb->operands_least) return cli_usage(verb, "%s is missing", verb->operands);
    if (verb->operands_most >= 0 && count > verb->operands_most)
        return cli_usage(verb, "'%s' is one word too many", operands[verb->operands_most]);
    return CLI_OK;
}

int cli_parse(const cli_verb *verb, int argc, char **argv, void *arguments, int *operands, int *status) {
    word_list rest = {argv, argc, 1};
    int kept = 0, only_operands = 0;
    *status = CLI_OK;
    while (rest.next < rest.count && *status == CLI_OK) {
        char *word = rest.words[rest.next++];
        if (only_operands || word[0] != '-' || word[1] == 0) {
            argv[1 + kept++] = word; // the place was read already
        } else if (strcmp(word, "--") == 0) {
            only_operands = 1;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            cli_help_verb(verb);
            return 0;
        } else {
            *status =
                word[1] == '-' ? read_long(verb, word, &rest, arguments) : read_short(verb, word, &rest, arguments);
        }
    }
    if (*status == CLI_OK) *status = check_operands(verb, kept, argv + 1);
    *operands = kept;
    return *status == CLI_OK;
}
