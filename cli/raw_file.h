// SPDX-License-Identifier: Apache-2.0
// `detect --raw`: what goes into the network and what comes out, as a safetensors file with pixel_values [B,3,H,W],
// logits [B,Q,C] and pred_boxes [B,Q,4] (centre x, centre y, width, height as fractions), all float32. B is the number
// of images, known at the end only: while they come, the file is laid out for as many as there may be.
#ifndef CLI_RAW_FILE_H
#define CLI_RAW_FILE_H

#include "cfine/cfine.h"
#include "output_file.h"

typedef struct cli_raw_file {
    int width, height, queries, labels; // of the plan
    size_t most, count;                 // images: there may be, there are
    float *pixels, *logits, *boxes;     // of one batch
    FILE *spool;                        // where they go: the file itself, or a temporary one in front of a pipe
    cli_output_file file;               // path is NULL once it is finished or given up
} cli_raw_file;

// Opens the file, so that what is in its way shows before the work; 0 after an error message. `most` images may come,
// up to `batch` at a time.
int cli_raw_start(cli_raw_file *raw, const char *path, const cfine_session *session, size_t most, int batch);

// Writes `images` images from pixels, logits and boxes; 0 after an error message, and the file is given up.
int cli_raw_write(cli_raw_file *raw, size_t images);

// Completes the file, or removes it if there was no image; 0 after an error message.
int cli_raw_finish(cli_raw_file *raw);
void cli_raw_release(cli_raw_file *raw);

#endif
