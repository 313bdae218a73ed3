// SPDX-License-Identifier: Apache-2.0
#include "raw_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"

static size_t pixels_of(const cli_raw_file *raw) {
    return 3 * (size_t)raw->width * (size_t)raw->height;
}
static size_t logits_of(const cli_raw_file *raw) {
    return (size_t)raw->queries * (size_t)raw->labels;
}
static size_t boxes_of(const cli_raw_file *raw) {
    return (size_t)raw->queries * 4;
}

int cli_raw_start(cli_raw_file *raw, const char *path, const cfine_session *session) {
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_plan_get_info(cfine_session_plan(session), &info, NULL);
    *raw = (cli_raw_file){.width = info.width, .height = info.height, .queries = info.queries, .labels = info.labels};
    return cli_output_open(&raw->file, path);
}

void cli_raw_reserve(cli_raw_file *raw, size_t images, float **pixels, float **logits, float **boxes) {
    if (raw->count + images > raw->capacity) {
        raw->capacity = 2 * raw->capacity + images;
        raw->pixels = cli_grow(raw->pixels, raw->capacity, pixels_of(raw) * sizeof(float));
        raw->logits = cli_grow(raw->logits, raw->capacity, logits_of(raw) * sizeof(float));
        raw->boxes = cli_grow(raw->boxes, raw->capacity, boxes_of(raw) * sizeof(float));
    }
    *pixels = raw->pixels + raw->count * pixels_of(raw);
    *logits = raw->logits + raw->count * logits_of(raw);
    *boxes = raw->boxes + raw->count * boxes_of(raw);
}

int cli_raw_finish(cli_raw_file *raw) {
    if (!raw->count) {
        cli_output_abort(&raw->file);
        return 1;
    }
    size_t pixel_bytes = raw->count * pixels_of(raw) * sizeof(float);
    size_t logit_bytes = raw->count * logits_of(raw) * sizeof(float);
    size_t box_bytes = raw->count * boxes_of(raw) * sizeof(float);
    char *json = cli_format("{\"pixel_values\":{\"dtype\":\"F32\",\"shape\":[%zu,3,%d,%d],\"data_offsets\":[0,%zu]},"
                            "\"logits\":{\"dtype\":\"F32\",\"shape\":[%zu,%d,%d],\"data_offsets\":[%zu,%zu]},"
                            "\"pred_boxes\":{\"dtype\":\"F32\",\"shape\":[%zu,%d,4],\"data_offsets\":[%zu,%zu]}}",
                            raw->count, raw->height, raw->width, pixel_bytes, raw->count, raw->queries, raw->labels,
                            pixel_bytes, pixel_bytes + logit_bytes, raw->count, raw->queries, pixel_bytes + logit_bytes,
                            pixel_bytes + logit_bytes + box_bytes);
    // The length of the header, padded with spaces so that the data begin aligned to 8.
    uint64_t length = (strlen(json) + 7) / 8 * 8;
    char *header = cli_format("%-*s", (int)length, json);
    cli_output_file *file = &raw->file;
    int ok = cli_output_write(file, &length, sizeof length) && cli_output_write(file, header, length) &&
             cli_output_write(file, raw->pixels, pixel_bytes) && cli_output_write(file, raw->logits, logit_bytes) &&
             cli_output_write(file, raw->boxes, box_bytes);
    if (ok)
        ok = cli_output_close(file);
    else
        cli_output_abort(file);
    free(header);
    free(json);
    return ok;
}

void cli_raw_release(cli_raw_file *raw) {
    free(raw->pixels);
    free(raw->logits);
    free(raw->boxes);
    *raw = (cli_raw_file){0};
}
