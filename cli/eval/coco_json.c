// SPDX-License-Identifier: Apache-2.0
// COCO files: reads annotations and results, writes results.
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "coco_ap.h"
#include "json_pull.h"

enum { COCO_MOST_ITEMS = 100 * 1000 * 1000, COCO_NAME_SIZE = 4096 };
static const size_t coco_most_bytes = (size_t)4 << 30;

cfine_status coco_fail(cfine_error *error, cfine_status status, const char *format, ...) {
    if (!error) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return error->status = status;
}

void coco_note(coco_notes *notes, const char *format, ...) {
    if (notes->count == COCO_MOST_NOTES) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(notes->lines[notes->count++], sizeof notes->lines[0], format, arguments);
    va_end(arguments);
}

// The whole file, to be freed by the caller.
static cfine_status coco_read_file(const char *path, char **out, size_t *out_size, cfine_error *error) {
    FILE *file = fopen(path, "rb");
    struct stat about;
    if (!file || fstat(fileno(file), &about) != 0) {
        cfine_status code = errno == ENOENT ? CFINE_ERROR_NOT_FOUND : CFINE_ERROR_IO;
        cfine_status status = coco_fail(error, code, "%s: %s", path, strerror(errno));
        if (file) fclose(file);
        return status;
    }
    cfine_status status = CFINE_OK;
    size_t capacity = S_ISREG(about.st_mode) && about.st_size > 0 ? (size_t)about.st_size + 1 : 1 << 16, size = 0;
    char *text = NULL;
    if (S_ISDIR(about.st_mode))
        status = coco_fail(error, CFINE_ERROR_IO, "%s: is a folder, not a JSON file", path);
    else if (capacity > coco_most_bytes)
        status = coco_fail(error, CFINE_ERROR_UNSUPPORTED, "%s: more than 4 GiB", path);
    else if (!(text = malloc(capacity)))
        status = coco_fail(error, CFINE_ERROR_MEMORY, "%s: no memory for %zu bytes", path, capacity);
    while (status == CFINE_OK) {
        size += fread(text + size, 1, capacity - size, file);
        if (size < capacity) break;
        char *larger = capacity < coco_most_bytes ? realloc(text, capacity * 2) : NULL;
        if (!larger)
            status = coco_fail(error, CFINE_ERROR_MEMORY, "%s: no memory for %zu bytes", path, capacity * 2);
        else
            text = larger, capacity *= 2;
    }
    if (status == CFINE_OK && ferror(file))
        status = coco_fail(error, CFINE_ERROR_IO, "%s: cannot be read: %s", path, strerror(errno));
    fclose(file);
    if (status != CFINE_OK)
        free(text);
    else
        *out = text, *out_size = size;
    return status;
}

// Makes room for one more item of an array; 0 when there is none.
static int coco_grow(void **items, int32_t count, int32_t *capacity, size_t size) {
    if (count < *capacity) return 1;
    if (count >= COCO_MOST_ITEMS) return 0;
    int32_t larger = *capacity ? *capacity * 2 : 256;
    void *grown = realloc(*items, (size_t)larger * size);
    if (!grown) return 0;
    *items = grown;
    *capacity = larger;
    return 1;
}

// ---------------------------------------------------------------------------------------------------------------------
// Annotations

// An annotation as written, before its ids are looked up.
typedef struct coco_raw_truth {
    coco_truth truth;
    int64_t image, category;
} coco_raw_truth;

typedef struct coco_reading {
    json_reader *json;
    coco_dataset *dataset;
    coco_raw_truth *raw;
    int32_t raw_count, raw_capacity, image_capacity, category_capacity;
    int seen_images, seen_categories, seen_annotations;
    int64_t without_area; // how many boxes
} coco_reading;

static int coco_fail_memory(json_reader *json) {
    pull_fail(json, "no memory, or more than %d items", COCO_MOST_ITEMS);
    json->error.status = CFINE_ERROR_MEMORY;
    return 0;
}

static int coco_read_image(coco_reading *reading) {
    json_reader *json = reading->json;
    coco_dataset *dataset = reading->dataset;
    coco_image image = {.order = dataset->image_count};
    char key[32], file[COCO_NAME_SIZE] = "";
    int first = 1, has_id = 0;
    if (!pull_enter_object(json, "an item of images")) return 0;
    while (pull_next_key(json, &first, key, sizeof key)) {
        double size;
        if (strcmp(key, "id") == 0)
            has_id = pull_integer(json, "id of an image", &image.id);
        else if (strcmp(key, "file_name") == 0)
            pull_string(json, "file_name", file, sizeof file);
        else if (strcmp(key, "width") == 0 && pull_peek(json) != 'n' && pull_number(json, "width", &size))
            image.width = size >= 1 && size <= 1e6 ? (int)size : 0;
        else if (strcmp(key, "height") == 0 && pull_peek(json) != 'n' && pull_number(json, "height", &size))
            image.height = size >= 1 && size <= 1e6 ? (int)size : 0;
        else
            pull_skip(json);
    }
    if (!json->failed && !has_id) return pull_fail(json, "an image without id");
    if (json->failed) return 0;
    if (!coco_grow((void **)&dataset->images, dataset->image_count, &reading->image_capacity, sizeof image) ||
        !(image.file = strdup(file)))
        return coco_fail_memory(json);
    dataset->images[dataset->image_count++] = image;
    return 1;
}

static int coco_read_category(coco_reading *reading) {
    json_reader *json = reading->json;
    coco_dataset *dataset = reading->dataset;
    coco_category category = {.order = dataset->category_count};
    char key[32], name[COCO_NAME_SIZE] = "";
    int first = 1, has_id = 0;
    if (!pull_enter_object(json, "an item of categories")) return 0;
    while (pull_next_key(json, &first, key, sizeof key)) {
        if (strcmp(key, "id") == 0)
            has_id = pull_integer(json, "id of a category", &category.id);
        else if (strcmp(key, "name") == 0 && pull_peek(json) == '"')
            pull_string(json, "name", name, sizeof name);
        else
            pull_skip(json);
    }
    if (!json->failed && !has_id) return pull_fail(json, "a category without id");
    if (json->failed) return 0;
    if (!coco_grow((void **)&dataset->categories, dataset->category_count, &reading->category_capacity,
                   sizeof category) ||
        !(category.name = strdup(name)))
        return coco_fail_memory(json);
    dataset->categories[dataset->category_count++] = category;
    return 1;
}

static int coco_read_box(json_reader *json, double box[4]) {
    int first = 1, count = 0;
    if (!pull_enter_array(json, "bbox")) return 0;
    while (pull_next_item(json, &first)) {
        if (count == 4) return pull_fail(json, "bbox has more than the 4 numbers x, y, width, height");
        if (!pull_number(json, "a number of bbox", &box[count++])) return 0;
    }
    if (!json->failed && count < 4) return pull_fail(json, "bbox has %d numbers instead of x, y, width, height", count);
    return !json->failed;
}

static int coco_read_annotation(coco_reading *reading) {
    json_reader *json = reading->json;
    coco_raw_truth raw = {.truth.order = reading->raw_count};
    char key[32];
    int first = 1, has_id = 0, has_image = 0, has_category = 0, has_box = 0, has_area = 0;
    double crowd = 0;
    if (!pull_enter_object(json, "an item of annotations")) return 0;
    while (pull_next_key(json, &first, key, sizeof key)) {
        if (strcmp(key, "id") == 0)
            has_id = pull_integer(json, "id of an annotation", &raw.truth.id);
        else if (strcmp(key, "image_id") == 0)
            has_image = pull_integer(json, "image_id", &raw.image);
        else if (strcmp(key, "category_id") == 0)
            has_category = pull_integer(json, "category_id", &raw.category);
        else if (strcmp(key, "bbox") == 0)
            has_box = coco_read_box(json, raw.truth.box);
        else if (strcmp(key, "area") == 0)
            has_area = pull_number(json, "area", &raw.truth.area);
        else if (strcmp(key, "iscrowd") == 0)
            pull_number(json, "iscrowd", &crowd);
        else
            pull_skip(json);
    }
    if (json->failed) return 0;
    if (!has_id || !has_image || !has_category || !has_box)
        return pull_fail(json, "an annotation without %s",
                         !has_id         ? "id"
                         : !has_image    ? "image_id"
                         : !has_category ? "category_id"
                                         : "bbox");
    raw.truth.crowd = crowd != 0;
    if (!has_area) {
        raw.truth.area = raw.truth.box[2] * raw.truth.box[3];
        reading->without_area++;
    }
    if (!coco_grow((void **)&reading->raw, reading->raw_count, &reading->raw_capacity, sizeof raw))
        return coco_fail_memory(json);
    reading->raw[reading->raw_count++] = raw;
    return 1;
}

static int coco_read_array(coco_reading *reading, const char *what, int (*read_item)(coco_reading *)) {
    int first = 1;
    if (!pull_enter_array(reading->json, what)) return 0;
    while (pull_next_item(reading->json, &first))
        if (!read_item(reading)) return 0;
    return !reading->json->failed;
}

static int coco_read_top(coco_reading *reading) {
    json_reader *json = reading->json;
    char key[32];
    int first = 1;
    if (!pull_enter_object(json, "an annotation file")) return 0;
    while (pull_next_key(json, &first, key, sizeof key)) {
        int *seen = strcmp(key, "images") == 0        ? &reading->seen_images
                    : strcmp(key, "categories") == 0  ? &reading->seen_categories
                    : strcmp(key, "annotations") == 0 ? &reading->seen_annotations
                                                      : NULL;
        if (seen && (*seen)++) return pull_fail(json, "%s appears twice", key);
        if (!seen)
            pull_skip(json);
        else if (seen == &reading->seen_images)
            coco_read_array(reading, key, coco_read_image);
        else if (seen == &reading->seen_categories)
            coco_read_array(reading, key, coco_read_category);
        else
            coco_read_array(reading, key, coco_read_annotation);
    }
    if (!pull_finish(json)) return 0;
    if (!reading->seen_images || !reading->seen_categories || !reading->seen_annotations)
        return pull_fail(json, "no \"%s\" in the file: is it in COCO's \"instances\" format?",
                         !reading->seen_images       ? "images"
                         : !reading->seen_categories ? "categories"
                                                     : "annotations");
    if (reading->dataset->image_count == 0) return pull_fail(json, "no images");
    if (reading->dataset->category_count == 0) return pull_fail(json, "no categories");
    return 1;
}

static int coco_compare_images(const void *a, const void *b) {
    const coco_image *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : x->order - y->order;
}

static int coco_compare_categories(const void *a, const void *b) {
    const coco_category *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : x->order - y->order;
}

static int coco_compare_truths(const void *a, const void *b) {
    const coco_truth *x = a, *y = b;
    if (x->category != y->category) return x->category < y->category ? -1 : 1;
    if (x->image != y->image) return x->image < y->image ? -1 : 1;
    return x->order - y->order;
}

static int coco_compare_ids(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

// Sorts images and categories by id and keeps the first of those with equal ids.
static void coco_sort_ids(coco_dataset *dataset) {
    int32_t kept = 0;
    qsort(dataset->images, (size_t)dataset->image_count, sizeof *dataset->images, coco_compare_images);
    for (int32_t i = 0; i < dataset->image_count; i++) {
        if (kept == 0 || dataset->images[i].id != dataset->images[kept - 1].id) {
            dataset->images[kept++] = dataset->images[i];
            continue;
        }
        coco_note(&dataset->notes, "image id %lld appears again: only its first entry counts",
                  (long long)dataset->images[i].id);
        free(dataset->images[i].file);
    }
    dataset->image_count = dataset->limit = kept;
    kept = 0;
    qsort(dataset->categories, (size_t)dataset->category_count, sizeof *dataset->categories, coco_compare_categories);
    for (int32_t i = 0; i < dataset->category_count; i++) {
        if (kept == 0 || dataset->categories[i].id != dataset->categories[kept - 1].id) {
            dataset->categories[kept++] = dataset->categories[i];
            continue;
        }
        coco_note(&dataset->notes, "category id %lld appears again: only its first entry counts",
                  (long long)dataset->categories[i].id);
        free(dataset->categories[i].name);
    }
    dataset->category_count = kept;
}

// Notes annotations that share an id, and the id 0.
static int coco_check_truth_ids(coco_dataset *dataset) {
    int64_t *ids = malloc(((size_t)dataset->truth_count + 1) * sizeof *ids), repeated = 0, zeros = 0, example = 0;
    if (!ids) return 0;
    for (int32_t i = 0; i < dataset->truth_count; i++) {
        ids[i] = dataset->truths[i].id;
        zeros += ids[i] == 0;
    }
    qsort(ids, (size_t)dataset->truth_count, sizeof *ids, coco_compare_ids);
    for (int32_t i = 1; i < dataset->truth_count; i++)
        if (ids[i] == ids[i - 1]) repeated++, example = ids[i];
    free(ids);
    if (repeated)
        coco_note(&dataset->notes, "%lld annotations repeat an id (such as %lld): each counts as a box of its own",
                  (long long)repeated, (long long)example);
    if (zeros)
        coco_note(&dataset->notes,
                  "%lld annotations have id 0: finding them counts as a miss, as in pycocotools; "
                  "number annotations from 1",
                  (long long)zeros);
    return 1;
}

// Looks up the ids of the raw annotations; what belongs to no image or category is passed over.
static int coco_resolve(coco_reading *reading) {
    coco_dataset *dataset = reading->dataset;
    int64_t lost_images = 0, lost_categories = 0, flat = 0, outside = 0, odd_areas = 0;
    const coco_raw_truth *lost_image = NULL, *lost_category = NULL, *outside_one = NULL;
    dataset->truths = malloc(((size_t)reading->raw_count + 1) * sizeof *dataset->truths);
    if (!dataset->truths) return 0;
    for (int32_t i = 0; i < reading->raw_count; i++) {
        coco_raw_truth *raw = &reading->raw[i];
        coco_truth *truth = &raw->truth;
        truth->image = coco_find_image(dataset, raw->image);
        truth->category = coco_find_category(dataset, raw->category);
        if (truth->image < 0 && !lost_images++) lost_image = raw;
        if (truth->image >= 0 && truth->category < 0 && !lost_categories++) lost_category = raw;
        if (truth->image < 0 || truth->category < 0) continue;
        const coco_image *image = &dataset->images[truth->image];
        const double *box = truth->box, slack = 2; // pixels: annotators round
        flat += box[2] <= 0 || box[3] <= 0;
        odd_areas += truth->area < 0;
        if (image->width && image->height &&
            (box[0] < -slack || box[1] < -slack || box[0] + box[2] > image->width + slack ||
             box[1] + box[3] > image->height + slack) &&
            !outside++)
            outside_one = raw;
        dataset->truths[dataset->truth_count++] = *truth;
    }
    qsort(dataset->truths, (size_t)dataset->truth_count, sizeof *dataset->truths, coco_compare_truths);
    coco_notes *notes = &dataset->notes;
    if (lost_images)
        coco_note(notes, "%lld annotations of images that are not listed (such as id %lld): passed over",
                  (long long)lost_images, (long long)lost_image->image);
    if (lost_categories)
        coco_note(notes, "%lld annotations of categories that are not listed (such as id %lld): passed over",
                  (long long)lost_categories, (long long)lost_category->category);
    if (outside)
        coco_note(notes,
                  "%lld boxes reach outside their image (such as annotation %lld of image %lld): used as they "
                  "stand",
                  (long long)outside, (long long)outside_one->truth.id, (long long)outside_one->image);
    if (flat) coco_note(notes, "%lld boxes without width or height: nothing can match them", (long long)flat);
    if (odd_areas)
        coco_note(notes, "%lld annotations of negative area: they count in no area range", (long long)odd_areas);
    if (reading->without_area)
        coco_note(notes, "%lld annotations without area: width x height taken", (long long)reading->without_area);
    return coco_check_truth_ids(dataset);
}

cfine_status coco_dataset_read(const char *path, coco_dataset *out, cfine_error *error) {
    memset(out, 0, sizeof *out);
    char *text;
    size_t size;
    cfine_status status = coco_read_file(path, &text, &size, error);
    if (status != CFINE_OK) return status;
    json_reader json;
    coco_reading reading = {.json = &json, .dataset = out};
    pull_reader_start(&json, path, text, size);
    if (coco_read_top(&reading)) {
        coco_sort_ids(out);
        if (!coco_resolve(&reading)) coco_fail_memory(&json);
    }
    free(text);
    free(reading.raw);
    if (json.failed) {
        status = json.error.status;
        if (error) *error = json.error;
        coco_dataset_release(out);
    }
    return status;
}

void coco_dataset_release(coco_dataset *dataset) {
    for (int32_t i = 0; i < dataset->image_count; i++) free(dataset->images[i].file);
    for (int32_t i = 0; i < dataset->category_count; i++) free(dataset->categories[i].name);
    free(dataset->images);
    free(dataset->categories);
    free(dataset->truths);
    memset(dataset, 0, sizeof *dataset);
}

void coco_dataset_limit(coco_dataset *dataset, int32_t images) {
    dataset->limit = images < dataset->image_count ? images : dataset->image_count;
}

int32_t coco_find_image(const coco_dataset *dataset, int64_t id) {
    int32_t low = 0, high = dataset->image_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (dataset->images[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < dataset->image_count && dataset->images[low].id == id ? low : -1;
}

int32_t coco_find_category(const coco_dataset *dataset, int64_t id) {
    int32_t low = 0, high = dataset->category_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (dataset->categories[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < dataset->category_count && dataset->categories[low].id == id ? low : -1;
}

// ---------------------------------------------------------------------------------------------------------------------
// Results

cfine_status coco_results_add(coco_results *results, const coco_result *result, cfine_error *error) {
    const double *box = result->box;
    if (!isfinite(result->score) || !isfinite(box[0]) || !isfinite(box[1]) || !isfinite(box[2]) || !isfinite(box[3]))
        return coco_fail(error, CFINE_ERROR_FORMAT,
                         "a result with a score or box that is not finite: %g at %g %g %g %g", result->score, box[0],
                         box[1], box[2], box[3]);
    if (!coco_grow((void **)&results->items, results->count, &results->capacity, sizeof *results->items))
        return coco_fail(error, CFINE_ERROR_MEMORY, "no memory for result number %d", results->count + 1);
    results->items[results->count++] = *result;
    return CFINE_OK;
}

static int coco_read_result(json_reader *json, const coco_dataset *dataset, coco_results *out, int64_t *lost,
                            int64_t *lost_category) {
    coco_result result = {0};
    char key[32];
    int first = 1, has_image = 0, has_category = 0, has_box = 0, has_score = 0;
    int64_t image = 0, category = 0;
    if (!pull_enter_object(json, "a result")) return 0;
    while (pull_next_key(json, &first, key, sizeof key)) {
        if (strcmp(key, "image_id") == 0)
            has_image = pull_integer(json, "image_id", &image);
        else if (strcmp(key, "category_id") == 0)
            has_category = pull_integer(json, "category_id", &category);
        else if (strcmp(key, "bbox") == 0)
            has_box = coco_read_box(json, result.box);
        else if (strcmp(key, "score") == 0)
            has_score = pull_number(json, "score", &result.score);
        else
            pull_skip(json);
    }
    if (json->failed) return 0;
    if (!has_image || !has_category || !has_box || !has_score)
        return pull_fail(json, "a result without %s",
                         !has_image      ? "image_id"
                         : !has_category ? "category_id"
                         : !has_box      ? "bbox"
                                         : "score");
    result.image = coco_find_image(dataset, image);
    result.category = coco_find_category(dataset, category);
    if (result.image < 0)
        return pull_fail(json,
                         "a result for image id %lld, which the annotations do not list: do the two files belong "
                         "together?",
                         (long long)image);
    if (result.category < 0) {
        *lost_category = category;
        ++*lost;
        return 1;
    }
    if (coco_results_add(out, &result, NULL) != CFINE_OK) return coco_fail_memory(json);
    return 1;
}

cfine_status coco_results_read(const char *path, const coco_dataset *dataset, coco_results *out, cfine_error *error) {
    memset(out, 0, sizeof *out);
    char *text;
    size_t size;
    cfine_status status = coco_read_file(path, &text, &size, error);
    if (status != CFINE_OK) return status;
    json_reader json;
    pull_reader_start(&json, path, text, size);
    int first = 1;
    int64_t lost = 0, lost_category = 0;
    if (pull_enter_array(&json, "a results file"))
        while (pull_next_item(&json, &first))
            if (!coco_read_result(&json, dataset, out, &lost, &lost_category)) break;
    pull_finish(&json);
    free(text);
    if (lost)
        coco_note(&out->notes, "%lld results of categories that are not listed (such as id %lld): passed over",
                  (long long)lost, (long long)lost_category);
    if (json.failed) {
        status = json.error.status;
        if (error) *error = json.error;
        coco_results_release(out);
    }
    return status;
}

void coco_results_release(coco_results *results) {
    free(results->items);
    memset(results, 0, sizeof *results);
}

// The shortest of the usual forms that reads back to the same double.
static const char *coco_number_text(double value, char text[32]) {
    for (int digits = 6; digits <= 17; digits = digits < 15 ? digits + 3 : digits + 2) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

void coco_results_write(FILE *stream, const coco_dataset *dataset, const coco_results *results) {
    fputc('[', stream);
    for (int32_t i = 0; i < results->count && !ferror(stream); i++) {
        const coco_result *r = &results->items[i];
        char n[5][32];
        for (int k = 0; k < 4; k++) coco_number_text(r->box[k], n[k]);
        fprintf(stream, "%s\n{\"image_id\":%lld,\"category_id\":%lld,\"bbox\":[%s,%s,%s,%s],\"score\":%s}",
                i ? "," : "", (long long)dataset->images[r->image].id, (long long)dataset->categories[r->category].id,
                n[0], n[1], n[2], n[3], coco_number_text(r->score, n[4]));
    }
    fputs("\n]\n", stream);
}
