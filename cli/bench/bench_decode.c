// SPDX-License-Identifier: Apache-2.0
// The next pictures of a row, decoded side by side, as a server would.
#include <pthread.h>

#include "bench.h"

enum { MOST_DECODERS = 64 };

typedef struct {
    const bench_row *row;
    cfine_image *images;
    int first, step; // this thread takes images first, first + step, ...
    cfine_status status;
    cfine_error error;
} decoder;

static void *decode_images(void *argument) {
    decoder *work = argument;
    const bench_pictures *pictures = work->row->pictures;
    for (int i = work->first; i < work->row->batch && work->status == CFINE_OK; i += work->step) {
        size_t picture = (work->row->turn + (size_t)i) % pictures->count;
        work->status = cfine_image_decode(pictures->bytes[picture], pictures->sizes[picture], NULL, &work->images[i],
                                          &work->error);
    }
    return NULL;
}

cfine_status bench_decode_batch(const bench_row *row, cfine_image *images, cfine_error *error) {
    decoder work[MOST_DECODERS];
    pthread_t threads[MOST_DECODERS];
    int started[MOST_DECODERS] = {0}, count = row->threads < row->batch ? row->threads : row->batch;
    if (count > MOST_DECODERS) count = MOST_DECODERS;
    for (int i = count - 1; i >= 0; i--) { // this thread takes the last part itself
        work[i] = (decoder){.row = row, .images = images, .first = i, .step = count};
        started[i] = i > 0 && pthread_create(&threads[i], NULL, decode_images, &work[i]) == 0;
        if (!started[i]) decode_images(&work[i]);
    }
    cfine_status status = CFINE_OK;
    for (int i = 0; i < count; i++) {
        if (started[i]) pthread_join(threads[i], NULL);
        if (work[i].status == CFINE_OK || status != CFINE_OK) continue;
        status = work[i].status;
        if (error) *error = work[i].error;
    }
    return status;
}
