// SPDX-License-Identifier: Apache-2.0
// The shortest use of libcfine: detect MODEL IMAGE prints what is in the image.
#include <cfine/cfine.h>

#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: %s MODEL IMAGE\n", argv[0]), 2;
    cfine_error error;
    cfine_session *session = NULL;
    cfine_detections found = {0};
    cfine_status status = cfine_open(argv[1], NULL, &session, &error);
    if (status == CFINE_OK) status = cfine_detect_file(session, argv[2], NULL, &found, &error);
    for (size_t i = 0; i < found.count; i++) {
        const cfine_detection *d = &found.items[i];
        printf("%-16s %.3f  %.1f %.1f %.1f %.1f\n", cfine_session_label(session, d->label), (double)d->score,
               (double)d->box[0], (double)d->box[1], (double)d->box[2], (double)d->box[3]);
    }
    if (status != CFINE_OK) fprintf(stderr, "%s\n", error.message);
    cfine_detections_release(&found);
    cfine_session_close(session);
    return status != CFINE_OK;
}
