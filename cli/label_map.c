// SPDX-License-Identifier: Apache-2.0
#include "label_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "heap.h"

// Names that say nothing: none at all, or the LABEL_7 that training tools fill in.
static int is_nameless(const char *name) {
    return !name || !*name || strncmp(name, "LABEL_", 6) == 0;
}

static int find_name(const coco_dataset *dataset, const char *name) {
    for (int32_t c = 0; c < dataset->category_count; c++)
        if (strcasecmp(dataset->categories[c].name, name) == 0) return c;
    return -1;
}

// How labels and categories fit together.
typedef struct {
    int named;    // both label i and some categories have names
    int in_place; // label i and the i-th category have the same name
    int anywhere; // label i has the name of some category
} agreement;

static agreement compare_names(const cfine_plan *plan, int labels, const coco_dataset *dataset) {
    agreement found = {0};
    int32_t named_categories = 0;
    for (int32_t c = 0; c < dataset->category_count; c++) named_categories += !is_nameless(dataset->categories[c].name);
    for (int i = 0; i < labels && named_categories; i++) {
        const char *name = cfine_plan_label(plan, i);
        if (is_nameless(name)) continue;
        found.named++;
        found.in_place += i < dataset->category_count && strcasecmp(dataset->categories[i].name, name) == 0;
        found.anywhere += find_name(dataset, name) >= 0;
    }
    return found;
}

cfine_status cli_map_labels(const cfine_plan *plan, const coco_dataset *dataset, cli_label_map *out,
                            cfine_error *error) {
    *out = (cli_label_map){0};
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_status status = cfine_plan_get_info(plan, &info, error);
    if (status != CFINE_OK) return status;
    agreement names = compare_names(plan, info.labels, dataset);
    int same_count = info.labels == dataset->category_count;
    int by_position = same_count && (!names.anywhere || 2 * names.in_place >= info.labels);
    if (by_position && !names.anywhere)
        snprintf(out->how, sizeof out->how, "by position in the order of the ids (%s)",
                 names.named ? "although no name agrees: are these the right annotations?"
                             : "there are no names to compare");
    else if (by_position)
        snprintf(out->how, sizeof out->how, "by position in the order of the ids (%d of %d names agree)",
                 names.in_place, info.labels);
    else if (names.anywhere)
        snprintf(out->how, sizeof out->how, "by name (%d of %d labels are among the %d categories)", names.anywhere,
                 info.labels, dataset->category_count);
    else
        return coco_fail(error, CFINE_ERROR_MISMATCH,
                         "the model's %d labels (%s, ...) are not the %d categories of the annotations (%s, ...): "
                         "evaluate with the annotations that the model was trained for",
                         info.labels, cfine_plan_label(plan, 0) ? cfine_plan_label(plan, 0) : "unnamed",
                         dataset->category_count, dataset->categories[0].name);
    out->by_name = !by_position;
    out->labels = info.labels;
    out->category = cli_alloc((size_t)info.labels, sizeof *out->category);
    for (int i = 0; i < info.labels; i++)
        out->category[i] = out->by_name ? find_name(dataset, cfine_plan_label(plan, i)) : i;
    return CFINE_OK;
}
