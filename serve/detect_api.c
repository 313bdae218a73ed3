// SPDX-License-Identifier: Apache-2.0
// POST /v1/detect: a picture in, detections as JSON or the picture with its boxes out.
//
// The body is the picture's file, or a form (multipart/form-data) with one file. Query arguments, or fields of the
// form: threshold, max_detections, format ("json" or "jpeg"; Accept: image/jpeg says the same).
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/failure.h"
#include "draw/draw.h"
#include "draw/encode.h"
#include "multipart.h"
#include "request.h"

// ---------------------------------------------------------------------------------------------------------------------
// Arguments

// 1 if there is such an argument and its value is right, 0 after an answer, -1 if there is no such argument.
static int set_argument(serve_request *request, const char *key, const char *value) {
    char *end;
    if (strcmp(key, "threshold") == 0) {
        double threshold = strtod(value, &end);
        if (end == value || *end || !(threshold >= 0 && threshold <= 1)) {
            serve_answer_error(request, 400, "threshold must be a number from 0 to 1");
            return 0;
        }
        request->job.threshold = (float)threshold;
    } else if (strcmp(key, "max_detections") == 0) {
        long most = strtol(value, &end, 10);
        if (end == value || *end || most < 1 || most > 100000) {
            serve_answer_error(request, 400, "max_detections must be a whole number from 1 to 100000");
            return 0;
        }
        request->max_detections = (int)most;
    } else if (strcmp(key, "format") == 0) {
        request->jpeg = strcmp(value, "jpeg") == 0;
        if (!request->jpeg && strcmp(value, "json") != 0) {
            serve_answer_error(request, 400, "format must be json or jpeg");
            return 0;
        }
    } else {
        return -1;
    }
    return 1;
}

// Who mistypes an argument is told: without it the answer would be a plausible one.
static int take_argument(serve_request *request, const char *key, const char *value) {
    int known = set_argument(request, key, value ? value : "");
    if (known < 0)
        serve_answer_error(request, 400, "there is no argument '%.40s'; there are threshold, max_detections and format",
                           key);
    return known > 0;
}

static int read_form(serve_request *request, const char *content_type, const serve_part **image,
                     serve_part parts[SERVE_MAX_PARTS]) {
    int count;
    cfine_error error;
    if (serve_multipart_find(content_type, request->body, request->size, parts, &count, &error) != CFINE_OK) {
        serve_answer_failure(request, &error);
        return 0;
    }
    *image = NULL;
    for (int i = 0; i < count; i++) {
        char value[64];
        if (parts[i].is_file || strcmp(parts[i].name, "image") == 0 || strcmp(parts[i].name, "file") == 0) {
            if (*image) {
                serve_answer_error(request, 400, "the form has more than one file: send one a request");
                return 0;
            }
            *image = &parts[i];
            continue;
        }
        size_t length = parts[i].size < sizeof value - 1 ? parts[i].size : sizeof value - 1;
        memcpy(value, parts[i].bytes, length);
        value[length] = 0;
        if (!set_argument(request, parts[i].name, value)) return 0; // others may be a form's own: a button has a name
    }
    if (!*image) serve_answer_error(request, 400, "the form has no file");
    return *image != NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// On a hand

static void prepare(serve_job *job) {
    serve_request *request = (serve_request *)job;
    serve_part parts[SERVE_MAX_PARTS], whole = {.bytes = request->body, .size = request->size};
    const serve_part *image = &whole;
    const char *content_type = serve_header(request, "Content-Type");
    job->kind = SERVE_IMAGES;
    int ok = !serve_is_multipart(content_type) || read_form(request, content_type, &image, parts);
    if (ok && image->size == 0) {
        serve_answer_error(request, 400, "the body is empty: send the bytes of a picture");
        ok = 0;
    }
    job->refused = !(ok && serve_make_room(request, 1) && serve_decode(request, 0, image->bytes, image->size));
}

static double rounded(double value, double parts) {
    return round(value * parts) / parts;
}

static json_t *one_detection(const serve_engine *engine, const cfine_detection *found) {
    json_t *name = json_string(serve_engine_label(engine, found->label));
    return json_pack("{s:i, s:o, s:f, s:[f,f,f,f]}", "label", found->label, "name", name ? name : json_string("?"),
                     "score", rounded(found->score, 1e6), "box", rounded(found->box[0], 1e3),
                     rounded(found->box[1], 1e3), rounded(found->box[2], 1e3), rounded(found->box[3], 1e3));
}

static void answer_json(serve_request *request) {
    const serve_job *job = &request->job;
    const cfine_detections *found = &job->found[0];
    json_t *list = json_array();
    for (size_t i = 0; i < found->count; i++) json_array_append_new(list, one_detection(job->engine, &found->items[i]));
    double now = common_now();
    json_t *times = json_pack("{s:f, s:f, s:f, s:f}", "prepare", rounded(job->prepared - job->arrived, 1e6) * 1e3,
                              "queue", rounded(job->started - job->prepared, 1e6) * 1e3, "compute",
                              rounded(job->ended - job->started, 1e6) * 1e3, "total",
                              rounded(now - request->received_at, 1e6) * 1e3);
    json_t *root =
        json_pack("{s:s, s:i, s:i, s:o, s:o, s:i}", "model", request->server->options->name, "width", found->width,
                  "height", found->height, "detections", list, "milliseconds", times, "batch", job->batch);
    char *text = root ? json_dumps(root, JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    if (text)
        serve_answer(request, 200, "application/json", text, strlen(text));
    else
        serve_answer_error(request, 500, "out of memory");
}

static const char *label_name(const void *engine, int label) {
    return serve_engine_label(engine, label);
}

static void answer_jpeg(serve_request *request) {
    serve_job *job = &request->job;
    cfine_error error;
    uint8_t *bytes = NULL;
    size_t size;
    if (draw_detections(&job->images[0], &job->found[0], label_name, job->engine, &error) == CFINE_OK &&
        draw_encode(&job->images[0], DRAW_JPEG, &bytes, &size, &error) == CFINE_OK)
        serve_answer(request, 200, "image/jpeg", bytes, size);
    else
        serve_answer_error(request, 500, "%s", error.message);
}

// Drops what a neighbour in the batch, but not this request, asked for.
static void keep_wanted(const serve_request *request, cfine_detections *found) {
    size_t count = 0, most = request->max_detections ? (size_t)request->max_detections : found->count;
    while (count < found->count && count < most && found->items[count].score >= request->job.threshold) count++;
    found->count = count;
}

static void make_answer(serve_request *request) {
    keep_wanted(request, &request->job.found[0]);
    if (request->jpeg)
        answer_jpeg(request);
    else
        answer_json(request);
}

int serve_handle_detect(serve_request *request) {
    const char *accept = serve_header(request, "Accept");
    request->job.threshold = request->server->options->threshold;
    request->jpeg = accept && strncmp(accept, "image/jpeg", 10) == 0;
    if (!serve_each_argument(request, take_argument)) return 0;
    request->job.prepare = prepare;
    request->make_answer = make_answer;
    return 1;
}
