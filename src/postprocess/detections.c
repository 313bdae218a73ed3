// SPDX-License-Identifier: Apache-2.0
#include "postprocess/detections.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

// While selecting, a detection's label holds query * labels + class and its score the logit.
static int better(const cfine_detection *a, const cfine_detection *b) {
    return a->score > b->score || (a->score == b->score && a->label < b->label);
}

// A heap with the worst on top, so that a better candidate replaces it.
static void sink(cfine_detection *heap, size_t count, size_t at) {
    for (;;) {
        size_t worst = at, left = 2 * at + 1, right = left + 1;
        if (left < count && better(&heap[worst], &heap[left])) worst = left;
        if (right < count && better(&heap[worst], &heap[right])) worst = right;
        if (worst == at) return;
        cfine_detection swap = heap[at];
        heap[at] = heap[worst];
        heap[worst] = swap;
        at = worst;
    }
}

// Boxes are fractions of the image; one that overflowed has no place in it, nor in JSON.
static int is_finite(const float *box) {
    return fabsf(box[0]) + fabsf(box[1]) + fabsf(box[2]) + fabsf(box[3]) < 1e30f;
}

static cfine_status reserve(cfine_detections *out, size_t count, cfine_error *err) {
    if (out->capacity >= count) return CFINE_OK;
    cfine_detection *grown = cf_realloc(out->items, count, sizeof *grown);
    if (!grown) return cf_fail_memory(err, "detections", count * sizeof *grown);
    out->items = grown;
    out->capacity = count;
    return CFINE_OK;
}

cfine_status cf_detections_select(const float *logits, int64_t logits_row, const float *boxes, int64_t boxes_row,
                                  int queries, int labels, int width, int height, float threshold, int most,
                                  cfine_detections *out, cfine_error *err) {
    out->count = 0;
    out->width = width;
    out->height = height;
    CF_TRY(reserve(out, (size_t)most, err));
    // Scores grow with logits, so the threshold is taken over to them; a little lower, the exact test follows.
    float least = threshold <= 0 ? -INFINITY : logf(threshold) - log1pf(-threshold) - 1e-3f;
    if (threshold >= 1) least = 15;
    cfine_detection *heap = out->items;
    size_t count = 0;
    for (int q = 0; q < queries; q++)
        for (int c = 0; c < labels; c++) {
            cfine_detection one = {.label = q * labels + c, .score = logits[q * logits_row + c]};
            if (!(one.score >= least) || !is_finite(boxes + q * boxes_row)) continue;
            if (count < (size_t)most) {
                heap[count++] = one;
                if (count == (size_t)most)
                    for (size_t i = count / 2; i-- > 0;) sink(heap, count, i);
            } else if (better(&one, &heap[0])) {
                heap[0] = one;
                sink(heap, count, 0);
            }
        }
    if (count < (size_t)most)
        for (size_t i = count / 2; i-- > 0;) sink(heap, count, i);
    for (size_t left = count; left > 1; left--) { // the worst goes to the end, again and again
        cfine_detection swap = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = swap;
        sink(heap, left - 1, 0);
    }
    for (size_t i = 0; i < count; i++) {
        cfine_detection *one = &heap[i];
        float score = 1 / (1 + expf(-one->score));
        if (!(score >= threshold)) break; // best first: the rest is lower
        const float *box = boxes + one->label / labels * boxes_row;
        float cx = box[0], cy = box[1], half_w = box[2] / 2, half_h = box[3] / 2;
        *one = (cfine_detection){one->label % labels,
                                 score,
                                 {(cx - half_w) * (float)width, (cy - half_h) * (float)height,
                                  (cx + half_w) * (float)width, (cy + half_h) * (float)height}};
        out->count = i + 1;
    }
    return CFINE_OK;
}

void cfine_detections_release(cfine_detections *detections) {
    if (!detections) return;
    cf_free(detections->items);
    memset(detections, 0, sizeof *detections);
}
