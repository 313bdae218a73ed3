// SPDX-License-Identifier: Apache-2.0
// The steps one by one, for pixels that come from elsewhere: raw MODEL fills the network's input itself (a horizontal
// ramp), runs the forward pass, reads the best query's logits, and lets cfine turn the outputs into detections.
#include <cfine/cfine.h>

#include <stdio.h>
#include <stdlib.h>

static void ramp(float *pixels, int width, int height) { // [3, height, width], 0..1
    for (int i = 0; i < 3 * height * width; i++) pixels[i] = (float)(i % width) / (float)width;
}

static cfine_status run(cfine_session *session, cfine_error *error) {
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_status status = cfine_plan_get_info(cfine_session_plan(session), &info, error);
    if (status != CFINE_OK) return status;
    size_t queries = (size_t)info.queries, labels = (size_t)info.labels;
    float *pixels = malloc(3 * (size_t)info.width * (size_t)info.height * sizeof *pixels);
    float *logits = malloc(queries * labels * sizeof *logits); // [queries, labels]
    float *boxes = malloc(queries * 4 * sizeof *boxes);        // [queries, 4]: centre and size, as fractions
    cfine_detections found = {0};
    if (pixels && logits && boxes) {
        ramp(pixels, info.width, info.height);
        status = cfine_session_run(session, pixels, 1, logits, boxes, error);
        cfine_detect_options all = CFINE_INIT(cfine_detect_options);
        all.threshold = -1;
        // The source image is taken to be of 640x480 pixels: boxes come out in its coordinates.
        if (status == CFINE_OK)
            status = cfine_session_postprocess(session, logits, boxes, 640, 480, &all, &found, error);
    }
    if (status == CFINE_OK && found.count)
        printf("%zu queries of %zu labels; best: label %d, score %.3f; first box %.3f %.3f %.3f %.3f\n", queries,
               labels, found.items[0].label, (double)found.items[0].score, (double)boxes[0], (double)boxes[1],
               (double)boxes[2], (double)boxes[3]);
    cfine_detections_release(&found);
    free(pixels);
    free(logits);
    free(boxes);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
    cfine_error error;
    cfine_session *session = NULL;
    cfine_status status = cfine_open(argv[1], NULL, &session, &error);
    if (status == CFINE_OK) status = run(session, &error);
    if (status != CFINE_OK) fprintf(stderr, "%s\n", error.message);
    cfine_session_close(session);
    return status != CFINE_OK;
}
