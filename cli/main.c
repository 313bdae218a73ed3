// SPDX-License-Identifier: Apache-2.0
// The command `cfine`: finds the verb and runs it. A verb lives in cmd_<verb>.c; verbs.h lists them.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cfine/cfine.h"
#include "environment.h"
#include "help.h"
#include "message.h"
#include "verbs.h"

#define ADDRESS(name) &cli_verb_##name,
const cli_verb *const cli_verbs[] = {CLI_VERBS(ADDRESS)};
const size_t cli_verb_count = CLI_COUNT(cli_verbs);

static const cli_verb *find_verb(const char *name) {
    for (size_t i = 0; i < cli_verb_count; i++)
        if (strcmp(cli_verbs[i]->name, name) == 0) return cli_verbs[i];
    return NULL;
}

static int unknown_verb(const char *name) {
    const char *nearest = NULL;
    int least = 3; // more than two slips is another word
    for (size_t i = 0; i < cli_verb_count; i++) {
        int distance = cli_distance(name, cli_verbs[i]->name);
        if (!cli_verbs[i]->hidden && distance < least) {
            least = distance;
            nearest = cli_verbs[i]->name;
        }
    }
    const char *kind = name[0] == '-' ? "option" : "verb";
    if (nearest)
        cli_error("unknown %s '%s', did you mean '%s'? See: cfine --help", kind, name, nearest);
    else
        cli_error("unknown %s '%s'; see: cfine --help", kind, name);
    return CLI_USAGE;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        cli_error("no verb given; see: cfine --help");
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("cfine %s\n", cfine_version());
        return CLI_OK;
    }
    int help = strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    if (help && argc == 2) {
        cli_help_all();
        return CLI_OK;
    }
    const cli_verb *verb = find_verb(help ? argv[2] : word);
    if (!verb) return unknown_verb(help ? argv[2] : word);
    if (help) {
        cli_help_verb(verb);
        return CLI_OK;
    }
    cfine_error error;
    if (cli_env_cpu() && cfine_cpu_limit(cli_env_cpu(), &error) != CFINE_OK) {
        cli_error("CFINE_CPU: %s", error.message);
        return CLI_USAGE;
    }
    return verb->run(argc - 1, argv + 1);
}

// A stream that the caller closed gives errors; without this, the next file opened would take its place and get what
// is printed.
static void occupy_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) exit(CLI_FAILED);
}

int main(int argc, char **argv) {
    occupy_standard_streams();
    signal(SIGPIPE, SIG_IGN); // a closed pipe is a failed write, so that temporary files are removed on the way out
    return cli_finish_output(run(argc, argv));
}
