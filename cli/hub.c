// SPDX-License-Identifier: Apache-2.0
#include "hub.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "heap.h"

static const char default_endpoint[] = "https://huggingface.co";
static const char publisher[] = "ustc-community";

const cli_hub_model cli_hub_models[] = {
    {"dfine-nano-coco", NULL, "COCO, 80 classes; 3.8 million parameters, 7 GFLOP"},
    {"dfine-small-coco", NULL, "COCO; 10 million, 25 GFLOP"},
    {"dfine-medium-coco", NULL, "COCO; 19 million, 57 GFLOP"},
    {"dfine-large-coco", NULL, "COCO; 31 million, 91 GFLOP"},
    {"dfine-xlarge-coco", NULL, "COCO; 63 million, 202 GFLOP"},
    {"dfine-small-obj2coco", NULL, "Objects365, then COCO"},
    {"dfine-medium-obj2coco", NULL, "Objects365, then COCO"},
    {"dfine-large-obj2coco", "dfine-large-obj2coco-e25", "Objects365, then COCO"},
    {"dfine-xlarge-obj2coco", NULL, "Objects365, then COCO"},
    {"dfine-small-obj365", NULL, "Objects365, 365 classes"},
    {"dfine-medium-obj365", NULL, "Objects365"},
    {"dfine-large-obj365", NULL, "Objects365"},
    {"dfine-xlarge-obj365", NULL, "Objects365"},
    {NULL, NULL, NULL},
};

static const char *endpoint(void) {
    const char *value = cli_env_hf_endpoint();
    return value ? value : default_endpoint;
}

// "owner/name" of letters, digits, '-', '_' and '.', neither part beginning with a dot.
static int is_repository(const char *name) {
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/') || name[0] == '.' || slash[1] == '.') return 0;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("-_./", *name)) return 0;
    return 1;
}

char *cli_hub_repository(const char *name) {
    for (int i = 0; cli_hub_models[i].name; i++)
        if (strcmp(cli_hub_models[i].name, name) == 0)
            return cli_format("%s/%s", publisher, cli_hub_models[i].repository ? cli_hub_models[i].repository : name);
    return is_repository(name) ? cli_format("%s", name) : NULL;
}

char *cli_hub_url(const char *repository, const char *revision, const char *file) {
    const char *base = endpoint();
    int length = (int)strlen(base);
    while (length && base[length - 1] == '/') length--;
    char *url = cli_format("%.*s/%s/resolve/", length, base, repository);
    for (; *revision; revision++) { // a branch may have any name
        int plain = isalnum((unsigned char)*revision) || strchr("-_.~", *revision);
        char *longer = plain ? cli_format("%s%c", url, *revision)
                             : cli_format("%s%%%02X", url, (unsigned)(unsigned char)*revision);
        free(url);
        url = longer;
    }
    char *whole = cli_format("%s/%s", url, file);
    free(url);
    return whole;
}

const char *cli_hub_token(void) {
    const char *base = endpoint();
    int safe = strncmp(base, "https://", 8) == 0 || strncmp(base, "http://127.0.0.1", 16) == 0 ||
               strncmp(base, "http://localhost", 16) == 0;
    return safe ? cli_env_hf_token() : NULL;
}
