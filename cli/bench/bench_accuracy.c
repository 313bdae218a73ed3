// SPDX-License-Identifier: Apache-2.0
#include "bench_accuracy.h"

#include <stdlib.h>
#include <string.h>

#include "bench_stop.h"
#include "eval_run.h"
#include "heap.h"
#include "message.h"

// A peer as a detector: cfine prepares and selects, the peer runs the network.
typedef struct {
    const bench_row *row;
    cfine_session *session; // of the same shape
    cfine_plan_info info;
    float *pixels; // [batch, 3, height, width]
    bench_batch batch;
} peer_detector;

static cfine_status fail_stopped(cfine_error *error) {
    return coco_fail(error, CFINE_ERROR_DEVICE, "stopped");
}

static cfine_status detect_with_cfine(void *context, const cfine_image *images, int count,
                                      const cfine_detect_options *options, cfine_detections *out, cfine_error *error) {
    if (bench_stopped()) return fail_stopped(error);
    return cfine_detect(context, images, count, options, out, error);
}

static cfine_status detect_with_peer(void *context, const cfine_image *images, int count,
                                     const cfine_detect_options *options, cfine_detections *out, cfine_error *error) {
    if (bench_stopped()) return fail_stopped(error);
    peer_detector *peer = context;
    const cfine_plan_info *info = &peer->info;
    size_t image = (size_t)3 * (size_t)info->width * (size_t)info->height;
    cfine_status status = CFINE_OK;
    for (int i = 0; i < count && status == CFINE_OK; i++)
        status = cfine_session_prepare(peer->session, &images[i], peer->pixels + (size_t)i * image, error);
    if (status != CFINE_OK) return status;
    bench_batch *batch = &peer->batch;
    status = peer->row->runner->infer(peer->row, batch, error);
    for (int i = 0; i < count && status == CFINE_OK; i++) {
        size_t first = (size_t)i * (size_t)info->queries;
        status = cfine_session_postprocess(peer->session, batch->logits + first * (size_t)info->labels,
                                           batch->boxes + first * 4, images[i].width, images[i].height, options,
                                           &out[i], error);
    }
    return status;
}

// A number over fewer pictures is not the dataset's.
static cfine_status check_complete(const cli_eval_run *run, const coco_dataset *dataset, cfine_error *error) {
    if (run->failed == 0) return CFINE_OK;
    return coco_fail(
        error, CFINE_ERROR_NOT_FOUND,
        "accuracy needs all %d pictures of the annotations, %d could not be read: name the folder that has "
        "them, or annotations of those that are there",
        dataset->limit, run->failed);
}

static cfine_status score(bench_row *row, const coco_dataset *dataset, cli_eval_run *run, cfine_error *error) {
    coco_summary summary;
    cfine_status status = check_complete(run, dataset, error);
    if (status == CFINE_OK) status = coco_evaluate(dataset, &run->results, &summary, error);
    coco_results_release(&run->results);
    if (status != CFINE_OK) return status;
    row->ap = summary.numbers[COCO_AP];
    row->ap50 = summary.numbers[COCO_AP50];
    coco_summary_release(&summary);
    return CFINE_OK;
}

static cfine_status measure_cfine(bench_row *row, const coco_dataset *dataset, const char *images, cfine_error *error) {
    cfine_session *session = bench_cfine_session(row);
    cli_label_map labels;
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_status status = cfine_plan_get_info(cfine_session_plan(session), &info, error);
    if (status == CFINE_OK) status = cli_map_labels(cfine_session_plan(session), dataset, &labels, error);
    if (status != CFINE_OK) return status;
    cli_detector detector = {detect_with_cfine, session, info.batch};
    cli_eval_run run;
    status = cli_eval_detector(&detector, dataset, images, &labels, 1, &run, error);
    if (status == CFINE_OK) status = score(row, dataset, &run, error);
    free(labels.category);
    return status;
}

static cfine_status measure_peer(bench_row *row, const cli_model_args *model, const coco_dataset *dataset,
                                 const char *images, cfine_error *error) {
    peer_detector peer = {.row = row, .info = CFINE_INIT(cfine_plan_info)};
    cfine_status status = bench_open_around(row, model, &peer.session, error);
    if (status != CFINE_OK) return status;
    cli_label_map labels = {0};
    const cfine_plan *plan = cfine_session_plan(peer.session);
    status = cfine_plan_get_info(plan, &peer.info, error);
    if (status == CFINE_OK) status = cli_map_labels(plan, dataset, &labels, error);
    if (status == CFINE_OK) {
        size_t count = (size_t)row->batch * 3 * (size_t)peer.info.width * (size_t)peer.info.height;
        peer.pixels = cli_alloc(count, sizeof *peer.pixels);
        peer.batch = (bench_batch){
            .pixels = peer.pixels, .pixel_count = count, .queries = peer.info.queries, .labels = peer.info.labels};
        cli_detector detector = {detect_with_peer, &peer, row->batch};
        cli_eval_run run;
        status = cli_eval_detector(&detector, dataset, images, &labels, 1, &run, error);
        if (status == CFINE_OK) status = score(row, dataset, &run, error);
    }
    free(peer.batch.outputs);
    free(peer.pixels);
    free(labels.category);
    cfine_session_close(peer.session);
    return status;
}

// 1 if both rows find the same objects: batch and scope change nothing.
static int finds_the_same(const bench_row *a, const bench_row *b) {
    return a->engine == b->engine && a->precision == b->precision && a->queries == b->queries &&
           (a->calibration == b->calibration ||
            (a->calibration && b->calibration && strcmp(a->calibration, b->calibration) == 0));
}

static cfine_status measure(bench_row *rows, int place, const cli_model_args *model, const coco_dataset *dataset,
                            const char *images, cfine_error *error) {
    bench_row *row = &rows[place];
    for (int k = 0; k < place; k++)
        if (finds_the_same(&rows[k], row) && rows[k].ap >= 0) row->ap = rows[k].ap, row->ap50 = rows[k].ap50;
    if (row->ap >= 0) return CFINE_OK;
    if (row->engine == BENCH_CFINE) return measure_cfine(row, dataset, images, error);
    cfine_status status = measure_peer(row, model, dataset, images, error);
    if (bench_stopped()) return status;
    if (status != CFINE_ERROR_DEVICE && status != CFINE_ERROR_MISMATCH) return status;
    snprintf(row->note, sizeof row->note, "%s", error->message);
    cli_note("%s %s: accuracy not measured: %s", bench_engine_names[row->engine], cli_precisions[row->precision],
             error->message);
    return CFINE_OK;
}

cfine_status bench_measure_accuracy(bench_row *rows, int count, const cli_model_args *model, const char *data,
                                    const char *images, cfine_error *error) {
    coco_dataset dataset;
    cfine_status status = coco_dataset_read(data, &dataset, error);
    if (status != CFINE_OK) return status;
    for (int i = 0; i < count && status == CFINE_OK; i++)
        if (rows[i].runner && !rows[i].failed) status = measure(rows, i, model, &dataset, images, error);
    coco_dataset_release(&dataset);
    return bench_stopped() ? CFINE_OK : status;
}
