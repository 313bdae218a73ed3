// SPDX-License-Identifier: Apache-2.0
// COCO box AP: annotations and results as files hold them, and the twelve numbers that people compare.
//
//     instances.json --coco_dataset_read--> coco_dataset --.
//     results.json  --coco_results_read--> coco_results --+--coco_evaluate--> coco_summary
//     (or coco_results_add while a network runs) ---------'
//
// The numbers equal pycocotools' to rounding. What that takes beside the definition of AP:
// - per image and category only the 100 best results count; of equal scores the one listed first is better;
// - results choose in order of score; each takes the free box of greatest IoU >= threshold, the later of equal ones;
//   crowd boxes and boxes outside the area range are taken only where no proper one fits, may (crowds) be taken often,
//   and neither they nor unmatched results outside the range count as right or wrong;
// - IoU with a crowd box is the share of the result that lies inside it;
// - precision is the interpolated one at 101 recalls, averaged over IoU .50:.05:.95 and over the categories with boxes;
// - numbers without any box to find are -1;
// - a match with an annotation whose id is 0 counts as a miss: pycocotools takes the 0 for "no match".
//
// Memory: each struct owns what it points to and is released by its release function, which takes a zeroed struct too.
#ifndef CFINE_CLI_COCO_AP_H
#define CFINE_CLI_COCO_AP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cfine/cfine.h"

// What reading met that is odd but not fatal: one line each, a count where it happened often.
enum { COCO_MOST_NOTES = 16 };
typedef struct coco_notes {
    char lines[COCO_MOST_NOTES][256];
    int count;
} coco_notes;

typedef struct coco_image {
    int64_t id;
    char *file;        // as the annotations name it; "" where they don't
    int width, height; // pixels; 0 where unknown
    int32_t order;     // position in the file
} coco_image;

typedef struct coco_category {
    int64_t id;
    char *name;    // "" where the annotations give none
    int32_t order; // position in the file
} coco_category;

typedef struct coco_truth {
    int64_t id;
    int32_t image, category; // indices into the dataset
    double box[4];           // x, y, width, height in pixels
    double area;             // pixels, as annotated (the mask's)
    int32_t crowd;
    int32_t order; // position in the file
} coco_truth;

typedef struct coco_dataset {
    coco_image *images; // by id, ascending
    int32_t image_count;
    coco_category *categories; // by id, ascending
    int32_t category_count;
    coco_truth *truths; // by category, image, position in the file
    int32_t truth_count;
    int32_t limit; // images[0 .. limit-1] are evaluated: image_count until coco_dataset_limit
    coco_notes notes;
} coco_dataset;

typedef struct coco_result {
    int32_t image, category; // indices into the dataset
    double score;
    double box[4]; // x, y, width, height in pixels
} coco_result;

typedef struct coco_results {
    coco_result *items; // in the order they were added
    int32_t count, capacity;
    coco_notes notes;
} coco_results;

enum {
    COCO_AP,
    COCO_AP50,
    COCO_AP75,
    COCO_AP_SMALL,
    COCO_AP_MEDIUM,
    COCO_AP_LARGE,
    COCO_AR1,
    COCO_AR10,
    COCO_AR100,
    COCO_AR_SMALL,
    COCO_AR_MEDIUM,
    COCO_AR_LARGE,
    COCO_NUMBERS
};

// "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl".
extern const char *const coco_number_names[COCO_NUMBERS];

typedef struct coco_class_summary {
    double ap, ap50, ap75, ar100; // -1 where the category has no boxes
    int32_t boxes, crowds;        // annotations in the evaluated images
    int32_t results;
} coco_class_summary;

typedef struct coco_summary {
    double numbers[COCO_NUMBERS]; // 0..1, or -1 where there is nothing to find
    coco_class_summary *classes;  // one a category of the dataset
    int32_t class_count;
} coco_summary;

// Reads an annotation file ("instances" format). Fails on what cannot be evaluated (no JSON, no images, boxes that are
// no four finite numbers); what can be passed over as pycocotools does is passed over, and noted.
cfine_status coco_dataset_read(const char *path, coco_dataset *out, cfine_error *error);
void coco_dataset_release(coco_dataset *dataset);

// Evaluates only the first `images` images by id (or all, where there are fewer).
void coco_dataset_limit(coco_dataset *dataset, int32_t images);

// Index of an id, or -1.
int32_t coco_find_image(const coco_dataset *dataset, int64_t id);
int32_t coco_find_category(const coco_dataset *dataset, int64_t id);

// Reads a results file: an array of {image_id, category_id, bbox, score}. An image that the dataset does not have is an
// error; unknown categories are passed over and noted.
cfine_status coco_results_read(const char *path, const coco_dataset *dataset, coco_results *out, cfine_error *error);

// Appends one result. Fails on numbers that are not finite.
cfine_status coco_results_add(coco_results *results, const coco_result *result, cfine_error *error);

// Writes a results file that reads back to the same doubles. Failed writes stay in ferror(stream).
void coco_results_write(FILE *stream, const coco_dataset *dataset, const coco_results *results);
void coco_results_release(coco_results *results);

// The twelve numbers. 5,000 images with 100 results each take about a second.
cfine_status coco_evaluate(const coco_dataset *dataset, const coco_results *results, coco_summary *out,
                           cfine_error *error);
void coco_summary_release(coco_summary *summary);

// Shared by the files of this folder: fills *error and returns status; adds a line to the notes (cut where they are
// full).
cfine_status coco_fail(cfine_error *error, cfine_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void coco_note(coco_notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
