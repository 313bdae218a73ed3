// SPDX-License-Identifier: Apache-2.0
#include "execute.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// One request of the execution. Rows are images.
typedef struct {
    triton_request *request;
    triton_error *error; // sent as its answer
    int rows;
    cfine_image *images;     // [rows] KIND_COMPLETE
    cfine_detections *found; // [rows] KIND_COMPLETE
    float *pixels;           // [rows, 3, height, width] KIND_RAW
    float *logits, *boxes;   // [rows, queries, labels], [rows, queries, 4] KIND_RAW
} item;

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static triton_error *no_memory(void) {
    return triton_fail(TRITON_UNAVAILABLE, "out of memory");
}

// Errors of calls that cannot be answered any more.
static void drop(triton_error *error) {
    if (error) TRITONSERVER_ErrorDelete(error);
}

static size_t pixels_of_row(const loaded_model *model) {
    return 3 * (size_t)model->info.width * (size_t)model->info.height;
}

static size_t values_of_row(const loaded_model *model, int output) {
    return (size_t)model->info.queries * (size_t)(output == 0 ? model->info.labels : 4);
}

// ---------------------------------------------------------------------------------------------------------------------
// Inputs

// The bytes of an input, which may come in several pieces, as one block that is to be freed.
static triton_error *gather(triton_input *input, uint64_t size, uint32_t buffers, uint8_t **out) {
    uint8_t *all = malloc(size ? size : 1);
    uint64_t used = 0;
    if (!all) return no_memory();
    for (uint32_t i = 0; i < buffers; i++) {
        const void *piece;
        uint64_t length;
        triton_memory memory = TRITON_CPU;
        int64_t id = 0;
        triton_error *error = TRITONBACKEND_InputBuffer(input, i, &piece, &length, &memory, &id);
        if (!error && (memory != TRITON_CPU || length > size - used))
            error = triton_fail(TRITON_INTERNAL, "the input is not where or not as large as it was said to be");
        if (error) {
            free(all);
            return error;
        }
        memcpy(all + used, piece, length);
        used += length;
    }
    *out = all;
    if (used == size) return NULL;
    free(all);
    return triton_fail(TRITON_INVALID_ARGUMENT, "the input has %llu bytes of %llu", (unsigned long long)used,
                       (unsigned long long)size);
}

static triton_error *decode(const uint8_t *bytes, size_t size, cfine_image *image) {
    cfine_error error;
    return cfine_image_decode(bytes, size, NULL, image, &error) == CFINE_OK ? NULL : triton_failure(&error);
}

// Each element is its length, 32 bits with the lowest byte first, and then its bytes.
static triton_error *decode_elements(const uint8_t *bytes, uint64_t size, item *out) {
    uint64_t at = 0;
    out->images = calloc((size_t)out->rows, sizeof *out->images);
    out->found = calloc((size_t)out->rows, sizeof *out->found);
    if (!out->images || !out->found) return no_memory();
    for (int i = 0; i < out->rows; i++) {
        if (size - at < 4) return triton_fail(TRITON_INVALID_ARGUMENT, "image: element %d is cut short", i);
        const uint8_t *head = bytes + at;
        uint32_t length = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
        at += 4;
        if (length > size - at) return triton_fail(TRITON_INVALID_ARGUMENT, "image: element %d is cut short", i);
        TRITON_TRY(decode(bytes + at, length, &out->images[i]));
        at += length;
    }
    return NULL;
}

static triton_error *take_pixels(const loaded_model *model, uint8_t *bytes, uint64_t size, item *out) {
    size_t rows = (size_t)out->rows;
    out->pixels = (float *)(void *)bytes;
    if (size != rows * pixels_of_row(model) * sizeof(float))
        return triton_fail(TRITON_INVALID_ARGUMENT, "pixel_values: %llu bytes do not fit its shape",
                           (unsigned long long)size);
    out->logits = malloc(rows * values_of_row(model, 0) * sizeof *out->logits);
    out->boxes = malloc(rows * values_of_row(model, 1) * sizeof *out->boxes);
    return out->logits && out->boxes ? NULL : no_memory();
}

static triton_error *read_request(const loaded_model *model, item *out) {
    triton_input *input;
    triton_type type;
    const int64_t *shape;
    uint32_t rank, buffers;
    uint64_t size;
    uint8_t *bytes = NULL;
    TRITON_TRY(TRITONBACKEND_RequestInput(out->request, tensor_lists[model->kind].input.name, &input));
    TRITON_TRY(TRITONBACKEND_InputProperties(input, NULL, &type, &shape, &rank, &size, &buffers));
    if (type != tensor_lists[model->kind].input.type || rank != (model->kind == KIND_RAW ? 4 : 2) || shape[0] < 1 ||
        shape[0] > model->info.batch)
        return triton_fail(TRITON_INVALID_ARGUMENT, "%s: wrong type, rank or rows",
                           tensor_lists[model->kind].input.name);
    out->rows = (int)shape[0];
    TRITON_TRY(gather(input, size, buffers, &bytes));
    if (model->kind == KIND_RAW) return take_pixels(model, bytes, size, out);
    triton_error *error = decode_elements(bytes, size, out);
    free(bytes);
    return error;
}

// ---------------------------------------------------------------------------------------------------------------------
// Runs

static cfine_status run_images(loaded_instance *loaded, item **items, int count, int rows, cfine_error *error) {
    cfine_image *images = calloc((size_t)rows, sizeof *images);
    cfine_detections *found = calloc((size_t)rows, sizeof *found);
    cfine_detect_options options = CFINE_INIT(cfine_detect_options);
    options.threshold = loaded->model->threshold > 0 ? loaded->model->threshold : -1;
    cfine_status status = CFINE_ERROR_MEMORY;
    if (images && found) {
        int n = 0;
        for (int i = 0; i < count; i++)
            for (int row = 0; row < items[i]->rows; row++) images[n++] = items[i]->images[row];
        status = cfine_detect(loaded->session, images, rows, &options, found, error);
        n = 0;
        for (int i = 0; i < count; i++)
            for (int row = 0; row < items[i]->rows; row++, n++) {
                if (status == CFINE_OK)
                    items[i]->found[row] = found[n];
                else
                    cfine_detections_release(&found[n]);
            }
    } else {
        *error = (cfine_error){CFINE_ERROR_MEMORY, "out of memory"};
    }
    free(found);
    free(images);
    return status;
}

static cfine_status run_pixels(loaded_instance *loaded, item **items, int count, int rows, cfine_error *error) {
    const loaded_model *model = loaded->model;
    size_t pixels = pixels_of_row(model), logits = values_of_row(model, 0), boxes = values_of_row(model, 1);
    if (count == 1)
        return cfine_session_run(loaded->session, items[0]->pixels, rows, items[0]->logits, items[0]->boxes, error);
    float *all = malloc((size_t)rows * (pixels + logits + boxes) * sizeof *all);
    if (!all) {
        *error = (cfine_error){CFINE_ERROR_MEMORY, "out of memory"};
        return error->status;
    }
    float *all_logits = all + (size_t)rows * pixels, *all_boxes = all_logits + (size_t)rows * logits;
    size_t n = 0;
    for (int i = 0; i < count; n += (size_t)items[i++]->rows)
        memcpy(all + n * pixels, items[i]->pixels, (size_t)items[i]->rows * pixels * sizeof *all);
    cfine_status status = cfine_session_run(loaded->session, all, rows, all_logits, all_boxes, error);
    n = 0;
    for (int i = 0; i < count; n += (size_t)items[i++]->rows) {
        memcpy(items[i]->logits, all_logits + n * logits, (size_t)items[i]->rows * logits * sizeof *all);
        memcpy(items[i]->boxes, all_boxes + n * boxes, (size_t)items[i]->rows * boxes * sizeof *all);
    }
    free(all);
    return status;
}

static cfine_status run(loaded_instance *loaded, item **items, int count, cfine_error *error) {
    int rows = 0;
    for (int i = 0; i < count; i++) rows += items[i]->rows;
    return loaded->model->kind == KIND_RAW ? run_pixels(loaded, items, count, rows, error)
                                           : run_images(loaded, items, count, rows, error);
}

// Runs the good requests together; if that fails, each alone, so that a bad one fails by itself.
static int run_all(loaded_instance *loaded, item *items, uint32_t count) {
    item **good = malloc(count * sizeof *good);
    int good_count = 0, rows = 0;
    cfine_error error;
    for (uint32_t i = 0; i < count; i++) {
        if (!good && !items[i].error) items[i].error = no_memory();
        if (items[i].error) continue;
        good[good_count++] = &items[i];
        rows += items[i].rows;
    }
    if (good_count && run(loaded, good, good_count, &error) != CFINE_OK)
        for (int i = 0; i < good_count; i++)
            if (run(loaded, &good[i], 1, &error) != CFINE_OK) good[i]->error = triton_failure(&error);
    free(good);
    return rows;
}

// ---------------------------------------------------------------------------------------------------------------------
// Outputs

// A place for one output of a response.
static triton_error *make_output(triton_response *response, const tensor_name *tensor, const int64_t *shape,
                                 uint32_t rank, void **buffer) {
    triton_output *output;
    triton_memory memory = TRITON_CPU;
    int64_t id = 0;
    uint64_t size = tensor->type == TRITON_INT64 ? 8 : 4;
    for (uint32_t i = 0; i < rank; i++) size *= (uint64_t)shape[i];
    TRITON_TRY(TRITONBACKEND_ResponseOutput(response, &output, tensor->name, tensor->type, shape, rank));
    TRITON_TRY(TRITONBACKEND_OutputBuffer(output, buffer, size, &memory, &id));
    return memory == TRITON_CPU ? NULL : triton_fail(TRITON_INTERNAL, "the output is not in the CPU's memory");
}

static triton_error *write_raw(const loaded_model *model, const item *from, int output, triton_response *response) {
    int64_t shape[] = {from->rows, model->info.queries, output == 0 ? model->info.labels : 4};
    void *buffer;
    TRITON_TRY(make_output(response, &tensor_lists[KIND_RAW].outputs[output], shape, 3, &buffer));
    memcpy(buffer, output == 0 ? from->logits : from->boxes,
           (size_t)from->rows * values_of_row(model, output) * sizeof(float));
    return NULL;
}

// Rows are as long as the longest; shorter ones end with label -1, score 0 and empty boxes.
static triton_error *write_detections(const item *from, int output, triton_response *response) {
    size_t longest = 0;
    for (int row = 0; row < from->rows; row++)
        if (from->found[row].count > longest) longest = from->found[row].count;
    int64_t shape[] = {from->rows, output == 3 ? 1 : (int64_t)longest, 4};
    void *buffer;
    TRITON_TRY(
        make_output(response, &tensor_lists[KIND_COMPLETE].outputs[output], shape, output == 2 ? 3 : 2, &buffer));
    int64_t *integers = buffer;
    float *floats = buffer;
    for (int row = 0; row < from->rows; row++) {
        const cfine_detections *found = &from->found[row];
        if (output == 3) integers[row] = (int64_t)found->count;
        for (size_t i = 0, at = (size_t)row * longest; i < longest && output != 3; i++, at++) {
            int is_there = i < found->count;
            if (output == 0) integers[at] = is_there ? found->items[i].label : -1;
            if (output == 1) floats[at] = is_there ? found->items[i].score : 0;
            for (int k = 0; k < 4 && output == 2; k++)
                floats[at * 4 + (size_t)k] = is_there ? found->items[i].box[k] : 0;
        }
    }
    return NULL;
}

static triton_error *write_outputs(const loaded_model *model, const item *from, triton_response *response) {
    const tensor_list *list = &tensor_lists[model->kind];
    uint32_t wanted;
    TRITON_TRY(TRITONBACKEND_RequestOutputCount(from->request, &wanted));
    for (uint32_t i = 0; i < wanted; i++) {
        const char *name;
        TRITON_TRY(TRITONBACKEND_RequestOutputName(from->request, i, &name));
        for (int k = 0; k < list->output_count; k++)
            if (strcmp(name, list->outputs[k].name) == 0)
                TRITON_TRY(model->kind == KIND_RAW ? write_raw(model, from, k, response)
                                                   : write_detections(from, k, response));
    }
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------

// Returns whether the request was answered well.
static int answer(const loaded_model *model, item *from) {
    triton_response *response;
    triton_error *failed = TRITONBACKEND_ResponseNew(&response, from->request);
    if (failed) {
        drop(failed);
        drop(from->error);
        return 0;
    }
    triton_error *error = from->error ? from->error : write_outputs(model, from, response);
    drop(TRITONBACKEND_ResponseSend(response, TRITON_RESPONSE_FINAL, error));
    drop(error);
    return error == NULL;
}

static void release_item(item *one) {
    for (int row = 0; row < one->rows && one->images; row++) cfine_image_release(&one->images[row]);
    for (int row = 0; row < one->rows && one->found; row++) cfine_detections_release(&one->found[row]);
    free(one->images);
    free(one->found);
    free(one->pixels);
    free(one->logits);
    free(one->boxes);
}

void execute_requests(triton_instance *instance, loaded_instance *loaded, triton_request **requests, uint32_t count) {
    uint64_t start = nanoseconds();
    item *items = calloc(count, sizeof *items), alone = {0};
    if (!items && count > 1) { // one after the other needs no list
        for (uint32_t i = 0; i < count; i++) execute_requests(instance, loaded, &requests[i], 1);
        return;
    }
    item *all = items ? items : &alone;
    for (uint32_t i = 0; i < count; i++) {
        all[i] = (item){.request = requests[i]};
        all[i].error = read_request(loaded->model, &all[i]);
    }
    uint64_t compute_start = nanoseconds();
    int rows = run_all(loaded, all, count);
    uint64_t compute_end = nanoseconds();
    for (uint32_t i = 0; i < count; i++) {
        int good = answer(loaded->model, &all[i]);
        drop(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], good, start, compute_start, compute_end,
                                                         nanoseconds()));
        drop(TRITONBACKEND_RequestRelease(requests[i], TRITON_RELEASE_ALL));
        release_item(&all[i]);
    }
    if (rows)
        drop(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, (uint64_t)rows, start, compute_start,
                                                              compute_end, nanoseconds()));
    free(items);
}
