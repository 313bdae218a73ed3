// SPDX-License-Identifier: Apache-2.0
// Several images in one run of one session: batch MODEL IMAGE... The images may differ in size; a plan is built for the
// largest batch and takes smaller ones too.
#include <cfine/cfine.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int count = argc - 2;
    if (count < 1) return fprintf(stderr, "usage: %s MODEL IMAGE...\n", argv[0]), 2;
    cfine_error error;
    cfine_session *session = NULL;
    cfine_image *images = calloc((size_t)count, sizeof *images);
    cfine_detections *found = calloc((size_t)count, sizeof *found); // one result an image, zeroed before the first use
    if (!images || !found) return fprintf(stderr, "out of memory\n"), 1;

    cfine_open_options options = CFINE_INIT(cfine_open_options);
    options.plan.batch = count;
    cfine_detect_options detect = CFINE_INIT(cfine_detect_options);
    detect.threshold = 0.3f;
    cfine_status status = cfine_open(argv[1], &options, &session, &error);
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = cfine_image_load(argv[2 + i], NULL, &images[i], &error);
    if (status == CFINE_OK) status = cfine_detect(session, images, count, &detect, found, &error);
    for (int i = 0; i < count && status == CFINE_OK; i++)
        printf("%s: %dx%d, %zu objects\n", argv[2 + i], found[i].width, found[i].height, found[i].count);
    if (status != CFINE_OK) fprintf(stderr, "%s\n", error.message);

    for (int i = 0; i < count; i++) {
        cfine_image_release(&images[i]);
        cfine_detections_release(&found[i]);
    }
    free(images);
    free(found);
    cfine_session_close(session);
    return status != CFINE_OK;
}
