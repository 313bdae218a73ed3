// SPDX-License-Identifier: Apache-2.0
// From matches to numbers: precision over recall per category, averaged into the twelve numbers of coco_ap.h.
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "coco_match.h"

enum { COCO_RECALLS = 101 };

const char *const coco_number_names[COCO_NUMBERS] = {"AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                                     "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"};

// A mean that is -1 while nothing went in.
typedef struct coco_mean {
    double sum;
    int64_t count;
} coco_mean;

static void coco_mean_add(coco_mean *mean, double sum, int64_t count) {
    mean->sum += sum;
    mean->count += count;
}

static double coco_mean_value(const coco_mean *mean) {
    return mean->count ? mean->sum / (double)mean->count : -1;
}

// Results by category and image, then best first; equal scores keep the order they came in.
static int coco_compare_results(const void *a, const void *b) {
    const coco_result *x = *(const coco_result *const *)a, *y = *(const coco_result *const *)b;
    if (x->category != y->category) return x->category < y->category ? -1 : 1;
    if (x->image != y->image) return x->image < y->image ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x < y ? -1 : x > y;
}

// Pointers to the matches of one category, best first; equal scores keep the order of images and ranks.
static int coco_compare_matches(const void *a, const void *b) {
    const coco_match *x = *(const coco_match *const *)a, *y = *(const coco_match *const *)b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x < y ? -1 : x > y;
}

// The precision-recall curve of one category, area range and threshold.
typedef struct coco_curve {
    double precision; // sum over the 101 recalls
    double recall;    // of all results
} coco_curve;

// `best` lists the matches best first; `room` takes count doubles. positives is at least 1.
static coco_curve coco_trace(const coco_match *const *best, int32_t count, int area, int threshold, int32_t positives,
                             double *precision, double *recall) {
    double right = 0, wrong = 0;
    for (int32_t i = 0; i < count; i++) {
        int matched = best[i]->matched[area] >> threshold & 1, ignored = best[i]->ignored[area] >> threshold & 1;
        right += matched && !ignored;
        wrong += !matched && !ignored;
        recall[i] = right / positives;
        precision[i] = right / (wrong + right + DBL_EPSILON);
    }
    for (int32_t i = count - 1; i > 0; i--)
        if (precision[i] > precision[i - 1]) precision[i - 1] = precision[i];
    coco_curve curve = {0, count ? recall[count - 1] : 0};
    for (int32_t r = 0, i = 0; r < COCO_RECALLS; r++) {
        while (i < count && recall[i] < r * (1.0 / (COCO_RECALLS - 1))) i++;
        if (i == count) break;
        curve.precision += precision[i];
    }
    return curve;
}

// Recall of the `most` best results of each image alone, all areas.
static double coco_recall_within(const coco_match *matches, int32_t count, int threshold, int32_t most,
                                 int32_t positives) {
    int32_t right = 0;
    for (int32_t i = 0; i < count; i++)
        right +=
            matches[i].rank < most && matches[i].matched[0] >> threshold & ~(matches[i].ignored[0] >> threshold) & 1;
    return (double)right / positives;
}

// What one evaluation works with.
typedef struct coco_work {
    const coco_result **results; // by category, image, score
    int32_t result_count;
    coco_match *matches; // of one category
    const coco_match **best;
    double *precision, *recall;
    coco_match_room room;
    coco_mean ap[COCO_AREAS], ap50, ap75, ar[COCO_AREAS], ar1, ar10;
} coco_work;

static void coco_work_release(coco_work *work) {
    free(work->results);
    free(work->matches);
    free(work->best);
    free(work->precision);
    free(work->recall);
    coco_match_release(&work->room);
}

static cfine_status coco_work_start(coco_work *work, const coco_dataset *dataset, const coco_results *results,
                                    cfine_error *error) {
    size_t room = (size_t)results->count + 1;
    work->results = calloc(room, sizeof *work->results);
    work->matches = calloc(room, sizeof *work->matches);
    work->best = calloc(room, sizeof *work->best);
    work->precision = calloc(room, sizeof *work->precision);
    work->recall = calloc(room, sizeof *work->recall);
    if (!work->results || !work->matches || !work->best || !work->precision || !work->recall)
        return coco_fail(error, CFINE_ERROR_MEMORY, "no memory to evaluate %d results", results->count);
    for (int32_t i = 0; i < results->count; i++)
        if (results->items[i].image < dataset->limit) work->results[work->result_count++] = &results->items[i];
    qsort(work->results, (size_t)work->result_count, sizeof *work->results, coco_compare_results);
    return CFINE_OK;
}

// Adds one category: its matches lie in work->matches, `positives` are the boxes to find per area range.
static void coco_add_category(coco_work *work, int32_t count, const int32_t *positives, coco_class_summary *summary) {
    for (int32_t i = 0; i < count; i++) work->best[i] = &work->matches[i];
    qsort(work->best, (size_t)count, sizeof *work->best, coco_compare_matches);
    coco_mean ap = {0}, recall = {0};
    for (int area = 0; area < COCO_AREAS; area++) {
        if (positives[area] == 0) continue;
        for (int t = 0; t < COCO_THRESHOLDS; t++) {
            coco_curve curve = coco_trace(work->best, count, area, t, positives[area], work->precision, work->recall);
            coco_mean_add(&work->ap[area], curve.precision, COCO_RECALLS);
            coco_mean_add(&work->ar[area], curve.recall, 1);
            if (area > 0) continue;
            coco_mean_add(&ap, curve.precision, COCO_RECALLS);
            coco_mean_add(&recall, curve.recall, 1);
            if (t == 0) coco_mean_add(&work->ap50, curve.precision, COCO_RECALLS);
            if (t == 5) coco_mean_add(&work->ap75, curve.precision, COCO_RECALLS);
            if (t == 0) summary->ap50 = curve.precision / COCO_RECALLS;
            if (t == 5) summary->ap75 = curve.precision / COCO_RECALLS;
            coco_mean_add(&work->ar1, coco_recall_within(work->matches, count, t, 1, positives[0]), 1);
            coco_mean_add(&work->ar10, coco_recall_within(work->matches, count, t, 10, positives[0]), 1);
        }
    }
    summary->ap = coco_mean_value(&ap);
    summary->ar100 = coco_mean_value(&recall);
}

// Walks the images of one category that have boxes or results. *truth and *result step over the category's runs.
static cfine_status coco_match_category(coco_work *work, const coco_dataset *dataset, int32_t category, int32_t *truth,
                                        int32_t *result, coco_class_summary *summary, cfine_error *error) {
    const coco_truth *truths = dataset->truths;
    int32_t positives[COCO_AREAS] = {0}, matches = 0;
    for (;;) {
        int has_truth = *truth < dataset->truth_count && truths[*truth].category == category;
        int has_result = *result < work->result_count && work->results[*result]->category == category;
        if (!has_truth && !has_result) break;
        int32_t image = has_truth ? truths[*truth].image : INT32_MAX;
        if (has_result && work->results[*result]->image < image) image = work->results[*result]->image;
        int32_t truth_end = *truth, result_end = *result;
        while (truth_end < dataset->truth_count && truths[truth_end].category == category &&
               truths[truth_end].image == image)
            truth_end++;
        while (result_end < work->result_count && work->results[result_end]->category == category &&
               work->results[result_end]->image == image)
            result_end++;
        int32_t truth_count = truth_end - *truth, result_count = result_end - *result;
        if (image < dataset->limit) {
            summary->results += result_count;
            if (result_count > COCO_MOST_RESULTS) result_count = COCO_MOST_RESULTS;
            cfine_status status = coco_match_image(&work->room, truths + *truth, truth_count, work->results + *result,
                                                   result_count, work->matches + matches, error);
            if (status != CFINE_OK) return status;
            matches += result_count;
            for (int32_t i = *truth; i < truth_end; i++) {
                if (truths[i].crowd)
                    summary->crowds++;
                else
                    summary->boxes++;
                for (int area = 0; area < COCO_AREAS; area++)
                    positives[area] += !truths[i].crowd && !coco_outside(area, truths[i].area);
            }
        }
        *truth = truth_end;
        *result = result_end;
    }
    coco_add_category(work, matches, positives, summary);
    return CFINE_OK;
}

cfine_status coco_evaluate(const coco_dataset *dataset, const coco_results *results, coco_summary *out,
                           cfine_error *error) {
    memset(out, 0, sizeof *out);
    coco_work work = {0};
    out->classes = calloc((size_t)dataset->category_count + 1, sizeof *out->classes);
    cfine_status status =
        out->classes ? coco_work_start(&work, dataset, results, error)
                     : coco_fail(error, CFINE_ERROR_MEMORY, "no memory for %d categories", dataset->category_count);
    out->class_count = dataset->category_count;
    int32_t truth = 0, result = 0;
    for (int32_t c = 0; c < dataset->category_count && status == CFINE_OK; c++) {
        coco_class_summary *summary = &out->classes[c];
        summary->ap = summary->ap50 = summary->ap75 = summary->ar100 = -1;
        status = coco_match_category(&work, dataset, c, &truth, &result, summary, error);
    }
    const coco_mean *means[COCO_NUMBERS] = {&work.ap[0], &work.ap50,  &work.ap75,  &work.ap[1],
                                            &work.ap[2], &work.ap[3], &work.ar1,   &work.ar10,
                                            &work.ar[0], &work.ar[1], &work.ar[2], &work.ar[3]};
    for (int i = 0; i < COCO_NUMBERS; i++) out->numbers[i] = coco_mean_value(means[i]);
    coco_work_release(&work);
    if (status != CFINE_OK) coco_summary_release(out);
    return status;
}

void coco_summary_release(coco_summary *summary) {
    free(summary->classes);
    memset(summary, 0, sizeof *summary);
}
