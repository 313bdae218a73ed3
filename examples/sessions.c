// SPDX-License-Identifier: Apache-2.0
// Throughput: one session a thread, one core a session, all on one plan, whose weights they share.
// sessions MODEL IMAGE SESSIONS runs the image ten times in each session and checks that all found the same.
#include <cfine/cfine.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const cfine_plan *plan;
    const cfine_image *image;
    cfine_detections found; // of the last run
    cfine_status status;
    cfine_error error;
} worker;

static void *work(void *arg) {
    worker *w = arg;
    cfine_session *session = NULL;
    cfine_session_options options = CFINE_INIT(cfine_session_options);
    options.threads = 1;
    w->status = cfine_session_open(w->plan, &options, &session, &w->error);
    for (int i = 0; i < 10 && w->status == CFINE_OK; i++)
        w->status = cfine_detect(session, w->image, 1, NULL, &w->found, &w->error);
    cfine_session_close(session);
    return NULL;
}

static int same(const cfine_detections *a, const cfine_detections *b) {
    return a->count == b->count && (!a->count || !memcmp(a->items, b->items, a->count * sizeof *a->items));
}

int main(int argc, char **argv) {
    int sessions = argc == 4 ? atoi(argv[3]) : 0;
    if (sessions < 1) return fprintf(stderr, "usage: %s MODEL IMAGE SESSIONS\n", argv[0]), 2;
    cfine_error error;
    cfine_model *model = NULL;
    cfine_plan *plan = NULL;
    cfine_image image = {0};
    cfine_plan_options options = CFINE_INIT(cfine_plan_options);
    options.threads = 1;
    cfine_status status = cfine_model_open(argv[1], &model, &error);
    if (status == CFINE_OK) status = cfine_plan_build(model, &options, &plan, &error);
    if (status == CFINE_OK) status = cfine_image_load(argv[2], NULL, &image, &error);
    cfine_model_close(model); // the plan has what it needs

    int failed = status != CFINE_OK;
    if (failed) fprintf(stderr, "%s\n", error.message);
    worker *workers = calloc((size_t)sessions, sizeof *workers);
    pthread_t *threads = calloc((size_t)sessions, sizeof *threads);
    int started = 0;
    for (; !failed && workers && threads && started < sessions; started++) {
        workers[started].plan = plan;
        workers[started].image = &image;
        if (pthread_create(&threads[started], NULL, work, &workers[started])) break;
    }
    if (started < sessions) failed = 1;
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        if (workers[i].status != CFINE_OK) failed = 1, fprintf(stderr, "session %d: %s\n", i, workers[i].error.message);
    }
    for (int i = 1; i < started && !failed; i++)
        if (!same(&workers[i].found, &workers[0].found)) failed = 1, fprintf(stderr, "session %d differs\n", i);
    if (!failed) printf("%d sessions, each found %zu objects\n", sessions, workers[0].found.count);

    for (int i = 0; i < started; i++) cfine_detections_release(&workers[i].found);
    free(workers);
    free(threads);
    cfine_image_release(&image);
    cfine_plan_close(plan);
    return failed;
}
