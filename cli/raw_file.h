// SPDX-License-Identifier: Apache-2.0
// `detect --raw`: what goes into the network and what comes out, as a safetensors file with pixel_values [B,3,H,W],
// logits [B,Q,C] and pred_boxes [B,Q,4] (centre x, centre y, width, height as fractions), all float32. B is the number
// of images, so they are kept in memory until the file is written.
#ifndef CLI_RAW_FILE_H
#define CLI_RAW_FILE_H

#include "cfine/cfine.h"
#include "output_file.h"

typedef struct cli_raw_file {
    int width, height, queries, labels; // of the plan
    size_t count, capacity;             // images
    float *pixels, *logits, *boxes;     // of all images, one after the other
    cli_output_file file;
} cli_raw_file;

// Opens the file, so that what is in its way shows before the work; 0 after an error message.
int cli_raw_start(cli_raw_file *raw, const char *path, const cfine_session *session);

// Room for one more image; count stays as it is. The pointers are good until the next call.
void cli_raw_reserve(cli_raw_file *raw, size_t images, float **pixels, float **logits, float **boxes);

// Writes the file, or removes it if there was no image; 0 after an error message.
int cli_raw_finish(cli_raw_file *raw);
void cli_raw_release(cli_raw_file *raw);

#endif
