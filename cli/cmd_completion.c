// SPDX-License-Identifier: Apache-2.0
// `cfine completion` (hidden; the build runs it): a completion script for bash, made from the verbs' tables.
#include <stdio.h>

#include "verbs.h"

static void print_verb_names(void) {
    for (size_t i = 0; i < cli_verb_count; i++)
        if (!cli_verbs[i]->hidden) printf(" %s", cli_verbs[i]->name);
}

static void print_candidates(const char *indent, cli_completion completion, const char *const *choices) {
    if (choices) {
        printf("%sCOMPREPLY=($(compgen -W \"", indent);
        for (int i = 0; choices[i]; i++) printf("%s%s", i ? " " : "", choices[i]);
        printf("\" -- \"$word\"))\n");
    } else if (completion == CLI_COMPLETE_FILES) {
        printf("%scompopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\"))\n", indent);
    } else if (completion == CLI_COMPLETE_FOLDERS) {
        printf("%scompopt -o filenames; COMPREPLY=($(compgen -d -- \"$word\"))\n", indent);
    } else {
        printf("%sCOMPREPLY=()\n", indent);
    }
}

static void print_verb(const cli_verb *verb) {
    printf("    %s)\n        case \"$option\" in\n", verb->name);
    for (size_t i = 0; i < verb->option_count; i++) {
        const cli_option *option = &verb->options[i];
        if (!option->argument) continue;
        printf("        --%s", option->name);
        if (option->letter) printf(" | -%c", option->letter);
        printf(")\n");
        print_candidates("            ", option->completion, option->choices);
        printf("            return ;;\n");
    }
    printf("        esac\n        if [[ $word == -* ]]; then\n            COMPREPLY=($(compgen -W \"--help");
    for (size_t i = 0; i < verb->option_count; i++)
        printf(" --%s%s", verb->options[i].name, verb->options[i].argument ? "=" : "");
    printf("\" -- \"$word\"))\n"
           "            [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace\n"
           "        else\n");
    print_candidates("            ", verb->completion, NULL);
    printf("        fi ;;\n");
}

static int run(int argc, char **argv) {
    int operands, status;
    if (!cli_parse(&cli_verb_completion, argc, argv, NULL, &operands, &status)) return status;
    printf("# bash completion for cfine, made by `cfine completion`.\n"
           "_cfine() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    # bash takes '=' for a word of its own: --model=x is three words.\n"
           "    if [[ $word == '=' ]]; then\n"
           "        word=\n"
           "    elif [[ $option == '=' ]]; then\n"
           "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    fi\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W \"--help --version");
    print_verb_names();
    printf("\" -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < cli_verb_count; i++)
        if (!cli_verbs[i]->hidden) print_verb(cli_verbs[i]);
    printf("    esac\n"
           "}\n"
           "complete -F _cfine cfine\n");
    return CLI_OK;
}

const cli_verb cli_verb_completion = {
    .name = "completion",
    .summary = "print a completion script for bash",
    .operands = "",
    .example = "source <(cfine completion)\n",
    .run = run,
    .hidden = 1,
};
