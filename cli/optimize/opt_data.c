// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "optimize.h"

static char *copy_text(const char *text) {
    return cli_format("%s", text ? text : "");
}

void opt_take_part(const coco_dataset *all, const uint8_t *readable, int part, int parts, coco_dataset *out) {
    *out = (coco_dataset){0};
    size_t images = (size_t)all->limit + 1, truths = (size_t)all->truth_count + 1;
    out->images = cli_alloc(images, sizeof *out->images);
    out->categories = cli_alloc((size_t)all->category_count + 1, sizeof *out->categories);
    out->truths = cli_alloc(truths, sizeof *out->truths);
    int32_t *place = cli_alloc(images, sizeof *place); // of an image in the part, or -1
    for (int32_t i = 0, number = 0; i < all->limit; i++) {
        place[i] = -1;
        if (!readable[i] || number++ % parts != part) continue;
        place[i] = out->image_count;
        coco_image *image = &out->images[out->image_count++];
        *image = all->images[i];
        image->file = copy_text(image->file);
    }
    for (int32_t i = 0; i < all->category_count; i++) {
        out->categories[i] = all->categories[i];
        out->categories[i].name = copy_text(all->categories[i].name);
    }
    out->category_count = all->category_count;
    for (int32_t i = 0; i < all->truth_count; i++) { // their order (category, image, position) stays
        const coco_truth *truth = &all->truths[i];
        if (truth->image >= all->limit || place[truth->image] < 0) continue;
        out->truths[out->truth_count] = *truth;
        out->truths[out->truth_count++].image = place[truth->image];
    }
    out->limit = out->image_count;
    free(place);
}
