// SPDX-License-Identifier: Apache-2.0
// Matching of results with annotated boxes, as coco_ap.h defines it.
#include "coco_match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double coco_threshold(int index) {
    return index == COCO_THRESHOLDS - 1 ? 0.95 : index * ((0.95 - 0.5) / (COCO_THRESHOLDS - 1)) + 0.5;
}

int coco_outside(int area_range, double area) {
    static const double least[COCO_AREAS] = {0, 0, 32 * 32, 96 * 96};
    static const double most[COCO_AREAS] = {1e10, 32 * 32, 96 * 96, 1e10};
    return area < least[area_range] || area > most[area_range];
}

// Overlap of two boxes over their union, or over the result alone where the truth is a crowd.
static double coco_iou(const double *result, const double *truth, int crowd) {
    double w = fmin(result[0] + result[2], truth[0] + truth[2]) - fmax(result[0], truth[0]);
    if (w <= 0) return 0;
    double h = fmin(result[1] + result[3], truth[1] + truth[3]) - fmax(result[1], truth[1]);
    if (h <= 0) return 0;
    double both = w * h, area = result[2] * result[3];
    return both / (crowd ? area : area + truth[2] * truth[3] - both);
}

void coco_match_release(coco_match_room *room) {
    free(room->iou);
    free(room->order);
    free(room->ignore);
    free(room->taken);
    memset(room, 0, sizeof *room);
}

static cfine_status coco_match_grow(coco_match_room *room, size_t truths, cfine_error *error) {
    if (truths < room->capacity) return CFINE_OK;
    coco_match_release(room);
    size_t capacity = truths + 64;
    room->iou = calloc(capacity, COCO_MOST_RESULTS * sizeof *room->iou);
    room->order = calloc(capacity, sizeof *room->order);
    room->ignore = calloc(capacity, 1);
    room->taken = calloc(capacity, 1);
    if (!room->iou || !room->order || !room->ignore || !room->taken)
        return coco_fail(error, CFINE_ERROR_MEMORY, "no memory to match %zu boxes of one image", truths);
    room->capacity = capacity;
    return CFINE_OK;
}

// The truth that a result takes at this threshold, as an index into `truths`, or -1. `iou` is the result's row.
static int32_t coco_best_truth(const coco_match_room *room, const coco_truth *truths, int32_t truth_count,
                               const double *iou, double threshold) {
    double best = fmin(threshold, 1 - 1e-10);
    int32_t found = -1;
    for (int32_t i = 0; i < truth_count; i++) {
        int32_t truth = room->order[i];
        if (room->taken[truth] && !truths[truth].crowd) continue;
        // From here on all are to be ignored: they cannot win over a proper one.
        if (found >= 0 && !room->ignore[found] && room->ignore[truth]) break;
        if (iou[truth] < best) continue;
        best = iou[truth];
        found = truth;
    }
    return found;
}

// Marks what each truth is in this area range and puts the proper ones in front.
static void coco_order_truths(coco_match_room *room, const coco_truth *truths, int32_t truth_count, int area) {
    int32_t place = 0;
    for (int32_t i = 0; i < truth_count; i++) {
        room->ignore[i] = truths[i].crowd || coco_outside(area, truths[i].area);
        if (!room->ignore[i]) room->order[place++] = i;
    }
    for (int32_t i = 0; i < truth_count; i++)
        if (room->ignore[i]) room->order[place++] = i;
}

cfine_status coco_match_image(coco_match_room *room, const coco_truth *truths, int32_t truth_count,
                              const coco_result *const *results, int32_t result_count, coco_match *out,
                              cfine_error *error) {
    cfine_status status = coco_match_grow(room, (size_t)truth_count, error);
    if (status != CFINE_OK) return status;
    for (int32_t r = 0; r < result_count; r++) {
        out[r] = (coco_match){.score = results[r]->score, .rank = r};
        for (int32_t t = 0; t < truth_count; t++)
            room->iou[(size_t)r * (size_t)truth_count + (size_t)t] =
                coco_iou(results[r]->box, truths[t].box, truths[t].crowd);
    }
    for (int area = 0; area < COCO_AREAS; area++) {
        coco_order_truths(room, truths, truth_count, area);
        for (int t = 0; t < COCO_THRESHOLDS; t++) {
            memset(room->taken, 0, (size_t)truth_count);
            for (int32_t r = 0; r < result_count; r++) {
                const double *iou = room->iou + (size_t)r * (size_t)truth_count;
                int32_t found = coco_best_truth(room, truths, truth_count, iou, coco_threshold(t));
                int matched = found >= 0 && truths[found].id != 0, ignored = found >= 0 && room->ignore[found];
                if (found >= 0) room->taken[found] = 1;
                if (!matched && coco_outside(area, results[r]->box[2] * results[r]->box[3])) ignored = 1;
                out[r].matched[area] |= (uint16_t)(matched << t);
                out[r].ignored[area] |= (uint16_t)(ignored << t);
            }
        }
    }
    return CFINE_OK;
}
