// SPDX-License-Identifier: Apache-2.0
// The hub that models are pulled from: its names, its addresses, and what the environment says of it.
#ifndef CLI_HUB_H
#define CLI_HUB_H

typedef struct cli_hub_model {
    const char *name;       // "dfine-nano-coco", and the folder it goes to
    const char *repository; // of the publisher, where it has another name; else NULL
    const char *about;
} cli_hub_model;

// The published D-FINE checkpoints; ends with a NULL name.
extern const cli_hub_model cli_hub_models[];

// "owner/name" of the repository behind a published name or an "owner/name", or NULL if it is neither. Free it.
char *cli_hub_repository(const char *name);

// Address of a file of a repository at a revision, on HF_ENDPOINT. Free it.
char *cli_hub_url(const char *repository, const char *revision, const char *file);

// HF_TOKEN, or NULL if there is none or the hub is reached without encryption.
const char *cli_hub_token(void);

#endif
