// SPDX-License-Identifier: Apache-2.0
// Which category of a dataset each label of a model means.
#ifndef CLI_LABEL_MAP_H
#define CLI_LABEL_MAP_H

#include "cfine/cfine.h"
#include "coco_ap.h"

typedef struct cli_label_map {
    int32_t *category; // [labels] index of the category, or -1 where the dataset has none
    int labels;
    int by_name;   // 1: found by name; 0: label i is the i-th category by id
    char how[200]; // the same in words
} cli_label_map;

// By position where there are as many labels as categories and at least half of the names agree in place or none agrees
// anywhere; else by name, where at least one matches. Release the map with free(map->category).
cfine_status cli_map_labels(const cfine_plan *plan, const coco_dataset *dataset, cli_label_map *out,
                            cfine_error *error);

#endif
