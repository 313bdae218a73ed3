// SPDX-License-Identifier: Apache-2.0
#include "eval_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "image_queue.h"
#include "message.h"
#include "progress.h"

char *cli_picture_path(const char *folder, const char *file) {
    char *path = cli_path(folder, file);
    const char *slash = strrchr(file, '/');
    if (!slash || access(path, F_OK) == 0) return path;
    char *shorter = cli_path(folder, slash + 1);
    if (access(shorter, F_OK) == 0) {
        free(path);
        return shorter;
    }
    free(shorter);
    return path;
}

static char **picture_paths(const char *folder, const coco_dataset *dataset) {
    char **paths = cli_alloc((size_t)dataset->limit + 1, sizeof *paths);
    for (int32_t i = 0; i < dataset->limit; i++) paths[i] = cli_picture_path(folder, dataset->images[i].file);
    return paths;
}

static void free_paths(char **paths, const coco_dataset *dataset) {
    for (int32_t i = 0; i < dataset->limit; i++) free(paths[i]);
    free(paths);
}

int32_t cli_find_readable(const char *folder, const coco_dataset *dataset, uint8_t *readable) {
    char **paths = picture_paths(folder, dataset);
    int threads = cfine_cpu_count();
    cli_image_queue_options ahead = {
        .depth = 2 * (size_t)threads, .threads = threads, .image = CFINE_INIT(cfine_image_options)};
    cli_image_queue *queue = cli_image_queue_start(paths, (size_t)dataset->limit, &ahead);
    cli_progress bar;
    cli_progress_start(&bar, "images", 0, dataset->limit);
    int32_t found = 0;
    for (cli_queued_image *next; (next = cli_image_queue_next(queue));) {
        readable[next->index] = next->status == CFINE_OK;
        found += next->status == CFINE_OK;
        if (next->status != CFINE_OK) cli_error("%s", next->error.message);
        cli_progress_show(&bar, (int64_t)next->index + 1);
        cli_image_queue_give_back(queue, 1);
    }
    cli_progress_end(&bar);
    cli_image_queue_stop(queue);
    free_paths(paths, dataset);
    return found;
}

cfine_status cli_check_folder(const char *folder, const coco_dataset *dataset, int32_t least, cfine_error *error) {
    struct stat info;
    if (stat(folder, &info) != 0) return coco_fail(error, CFINE_ERROR_NOT_FOUND, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return coco_fail(error, CFINE_ERROR_ARGUMENT, "%s: is not a folder: name the one with the pictures", folder);
    for (int32_t i = 0; i < dataset->limit; i++)
        if (!dataset->images[i].file[0])
            return coco_fail(error, CFINE_ERROR_FORMAT, "the annotations give image id %lld no file_name",
                             (long long)dataset->images[i].id);
    int32_t there = 0; // a wrong folder is one error, not one for each picture
    for (int32_t i = 0; i < dataset->limit && there < least; i++) {
        char *path = cli_picture_path(folder, dataset->images[i].file);
        there += stat(path, &info) == 0;
        free(path);
    }
    if (there >= least) return CFINE_OK;
    if (there == 0)
        return coco_fail(
            error, CFINE_ERROR_NOT_FOUND,
            "--images %s: none of the %d pictures of the annotations is in this folder, neither %s nor any "
            "other",
            folder, dataset->limit, dataset->images[0].file);
    return coco_fail(error, CFINE_ERROR_NOT_FOUND,
                     "--images %s: only %d of the %d pictures of the annotations are in this folder: name the one that "
                     "has them, or annotations of those that are there",
                     folder, there, dataset->limit);
}

typedef struct {
    const coco_dataset *dataset;
    const cli_label_map *labels;
    const cli_detector *detector;
    cli_image_queue *queue;
    cfine_image *images;     // [batch]
    int32_t *places;         // [batch] of the images in the dataset
    cfine_detections *found; // [batch]
    int32_t next;            // image of the dataset
    cli_eval_run *out;
} evaluation;

// Takes images until the batch is full or there are no more; returns how many were taken.
static size_t take_batch(evaluation *run, int *good) {
    size_t taken = 0;
    *good = 0;
    while (taken < (size_t)run->detector->batch) {
        cli_queued_image *next = cli_image_queue_next(run->queue);
        if (!next) break;
        int32_t place = run->next++;
        taken++;
        if (next->status != CFINE_OK) {
            cli_error("%s", next->error.message);
            run->out->failed++;
            continue;
        }
        const coco_image *about = &run->dataset->images[place];
        run->out->other_size +=
            about->width && about->height && (about->width != next->image.width || about->height != next->image.height);
        run->images[*good] = next->image;
        run->places[(*good)++] = place;
    }
    return taken;
}

static cfine_status keep_detections(evaluation *run, int32_t image, const cfine_detections *found, cfine_error *error) {
    for (size_t i = 0; i < found->count; i++) {
        const cfine_detection *d = &found->items[i];
        if (d->label < 0 || d->label >= run->labels->labels || run->labels->category[d->label] < 0) continue;
        double x = d->box[0], y = d->box[1];
        coco_result result = {image, run->labels->category[d->label], d->score, {x, y, d->box[2] - x, d->box[3] - y}};
        cfine_status status = coco_results_add(&run->out->results, &result, error);
        if (status != CFINE_OK) return status;
    }
    return CFINE_OK;
}

static cfine_status run_images(evaluation *run, int progress, cfine_error *error) {
    cfine_detect_options options = CFINE_INIT(cfine_detect_options);
    options.threshold = -1;
    cli_progress bar;
    cli_progress_start(&bar, "images", 0, run->dataset->limit);
    if (!progress) bar.active = 0;
    cfine_status status = CFINE_OK;
    while (status == CFINE_OK) {
        int good;
        size_t taken = take_batch(run, &good);
        if (!taken) break;
        if (good)
            status = run->detector->detect(run->detector->context, run->images, good, &options, run->found, error);
        for (int i = 0; i < good && status == CFINE_OK; i++)
            status = keep_detections(run, run->places[i], &run->found[i], error);
        run->out->images += good;
        cli_image_queue_give_back(run->queue, taken);
        cli_progress_show(&bar, run->next);
    }
    cli_progress_end(&bar);
    if (status == CFINE_OK && run->out->images == 0)
        return coco_fail(error, CFINE_ERROR_NOT_FOUND, "none of the %d pictures could be read", run->dataset->limit);
    return status;
}

static cfine_status detect_with_session(void *context, const cfine_image *images, int count,
                                        const cfine_detect_options *options, cfine_detections *out,
                                        cfine_error *error) {
    return cfine_detect(context, images, count, options, out, error);
}

cfine_status cli_eval_session(cfine_session *session, const coco_dataset *dataset, const char *folder,
                              const cli_label_map *labels, int progress, cli_eval_run *out, cfine_error *error) {
    *out = (cli_eval_run){0};
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_status status = cfine_plan_get_info(cfine_session_plan(session), &info, error);
    if (status != CFINE_OK) return status;
    cli_detector detector = {detect_with_session, session, info.batch};
    return cli_eval_detector(&detector, dataset, folder, labels, progress, out, error);
}

cfine_status cli_eval_detector(const cli_detector *detector, const coco_dataset *dataset, const char *folder,
                               const cli_label_map *labels, int progress, cli_eval_run *out, cfine_error *error) {
    *out = (cli_eval_run){0};
    cfine_status status = cli_check_folder(folder, dataset, dataset->limit ? 1 : 0, error);
    if (status != CFINE_OK) return status;
    char **paths = picture_paths(folder, dataset);
    double start = cli_seconds();
    size_t batch = (size_t)detector->batch;
    cli_image_queue_options ahead = {.depth = 2 * batch, .image = CFINE_INIT(cfine_image_options)};
    ahead.image.ignore_orientation = 1;
    evaluation run = {
        .dataset = dataset,
        .labels = labels,
        .detector = detector,
        .queue = cli_image_queue_start(paths, (size_t)dataset->limit, &ahead),
        .images = cli_alloc(batch, sizeof *run.images),
        .places = cli_alloc(batch, sizeof *run.places),
        .found = cli_alloc(batch, sizeof *run.found),
        .out = out,
    };
    status = run_images(&run, progress, error);
    out->seconds = cli_seconds() - start;
    cli_image_queue_stop(run.queue);
    for (size_t i = 0; i < batch; i++) cfine_detections_release(&run.found[i]);
    free_paths(paths, dataset);
    free(run.found);
    free(run.places);
    free(run.images);
    if (status != CFINE_OK) coco_results_release(&out->results);
    return status;
}
