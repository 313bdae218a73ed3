// SPDX-License-Identifier: Apache-2.0
// Which results of one category in one image found which boxes, at every IoU threshold and in every area range.
#ifndef CFINE_CLI_COCO_MATCH_H
#define CFINE_CLI_COCO_MATCH_H

#include "coco_ap.h"

enum { COCO_THRESHOLDS = 10, COCO_AREAS = 4, COCO_MOST_RESULTS = 100 };

// A result's fate. Bit t of the masks belongs to IoU threshold t.
typedef struct coco_match {
    double score;
    int32_t rank;                 // among the results of its image and category, best 0
    uint16_t matched[COCO_AREAS]; // it found a box
    uint16_t ignored[COCO_AREAS]; // it counts neither as right nor as wrong
} coco_match;

// IoU thresholds: .50, .55, ... .95, as the same doubles that numpy's linspace gives.
double coco_threshold(int index);

// 1 if a box of this area lies outside the range: 0 all, 1 small (to 32^2), 2 medium, 3 large (from 96^2).
int coco_outside(int area_range, double area);

// Room for the largest image, grown as needed and released by coco_match_release; zero it before the first use.
typedef struct coco_match_room {
    double *iou;    // [results, truths]
    int32_t *order; // truths, those to be ignored last
    uint8_t *ignore, *taken;
    size_t capacity; // truths
} coco_match_room;

// Matches results (best first, at most COCO_MOST_RESULTS) with the truths of the same image and category (in file
// order), writing one match a result.
cfine_status coco_match_image(coco_match_room *room, const coco_truth *truths, int32_t truth_count,
                              const coco_result *const *results, int32_t result_count, coco_match *out,
                              cfine_error *error);
void coco_match_release(coco_match_room *room);

#endif
