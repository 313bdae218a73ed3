// SPDX-License-Identifier: Apache-2.0
// Images decoded ahead by threads of their own, handed out in order, so that decoding overlaps with the network.
#ifndef CLI_IMAGE_QUEUE_H
#define CLI_IMAGE_QUEUE_H

#include <stddef.h>

#include "cfine/cfine.h"

typedef struct cli_queued_image {
    const char *path;
    size_t index;      // in the list of paths
    cfine_image image; // decoded, if status is CFINE_OK; may be drawn upon
    cfine_status status;
    cfine_error error;
    double seconds; // that decoding took
    int ready;      // of the queue
} cli_queued_image;

typedef struct cli_image_queue cli_image_queue;

typedef struct cli_image_queue_options {
    size_t depth; // images held at a time
    int threads;  // that decode; 0: a few, for a network that needs the cores itself
    cfine_image_options image;
} cli_image_queue_options;

// Starts decoding `count` files. `paths` must outlive the queue.
cli_image_queue *cli_image_queue_start(char *const *paths, size_t count, const cli_image_queue_options *options);

// Waits for the next image; NULL after the last. It stays valid until it is given back.
cli_queued_image *cli_image_queue_next(cli_image_queue *queue);

// Gives the oldest `count` images back that were taken.
void cli_image_queue_give_back(cli_image_queue *queue, size_t count);

// Ends decoding, whether all were taken or not.
void cli_image_queue_stop(cli_image_queue *queue);

#endif
