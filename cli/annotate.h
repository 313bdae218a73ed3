// SPDX-License-Identifier: Apache-2.0
// `detect --out`: copies of the images with what was found drawn upon them.
#ifndef CLI_ANNOTATE_H
#define CLI_ANNOTATE_H

#include "cfine/cfine.h"
#include "inputs.h"

typedef struct cli_annotations {
    char **paths; // where the copy of each input goes
    size_t count;
} cli_annotations;

// Makes the folder and gives each input a name in it: its own, with .png for kinds that are not written. Refuses two
// inputs of one name, and copies that would replace an input. Returns an exit status, after a message.
int cli_annotations_plan(const char *folder, const cli_inputs *inputs, cli_annotations *out);
void cli_annotations_release(cli_annotations *annotations);

// Draws upon the image and writes it; 0 after an error message.
int cli_annotate(const char *path, cfine_image *image, const cfine_detections *found, const cfine_session *session);

#endif
