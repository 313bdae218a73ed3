// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "load/load.h"

const char *const load_protocols[] = {"detect", "kserve", NULL};

static char *whole_url(const char *address, load_protocol protocol, const char *model) {
    const char *host = strstr(address, "://");
    const char *path = strchr(host ? host + 3 : address, '/');
    if (path && path[1]) return cli_format("%s", address);
    int length = (int)(path ? path - address : (long)strlen(address));
    return protocol == LOAD_DETECT ? cli_format("%.*s/v1/detect", length, address)
                                   : cli_format("%.*s/v2/models/%s/infer", length, address, model);
}

// JSON, and behind it the tensor's elements: 4 bytes of length, little-endian, and the file.
static void make_kserve(load_request *request, int images, const uint8_t **pictures, const size_t *sizes) {
    size_t tensor = 0;
    for (int i = 0; i < images; i++) tensor += 4 + sizes[i];
    char *head = cli_format("{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[%d,1],"
                            "\"parameters\":{\"binary_data_size\":%zu}}],\"parameters\":{\"binary_data_output\":true}}",
                            images, tensor);
    size_t head_size = strlen(head);
    snprintf(request->json_size, sizeof request->json_size, "Inference-Header-Content-Length: %zu", head_size);
    request->size = head_size + tensor;
    request->body = cli_alloc(request->size, 1);
    uint8_t *at = request->body;
    memcpy(at, head, head_size);
    at += head_size;
    for (int i = 0; i < images; i++) {
        for (int byte = 0; byte < 4; byte++) *at++ = (uint8_t)(sizes[i] >> 8 * byte);
        memcpy(at, pictures[i], sizes[i]);
        at += sizes[i];
    }
    free(head);
}

void load_target_make(load_target *target, const char *address, const char *model, uint8_t *const *pictures,
                      const size_t *sizes, int count) {
    target->url = whole_url(address, target->protocol, model);
    target->count = count;
    target->requests = cli_alloc((size_t)count, sizeof *target->requests);
    const uint8_t **chosen = cli_alloc((size_t)target->images, sizeof *chosen);
    size_t *chosen_sizes = cli_alloc((size_t)target->images, sizeof *chosen_sizes);
    for (int k = 0; k < count; k++) {
        for (int i = 0; i < target->images; i++) {
            chosen[i] = pictures[(k + i) % count];
            chosen_sizes[i] = sizes[(k + i) % count];
        }
        load_request *request = &target->requests[k];
        if (target->protocol == LOAD_KSERVE) {
            make_kserve(request, target->images, chosen, chosen_sizes);
        } else {
            request->size = sizes[k];
            request->body = cli_alloc(sizes[k], 1);
            memcpy(request->body, pictures[k], sizes[k]);
        }
    }
    free(chosen);
    free(chosen_sizes);
}

void load_target_release(load_target *target) {
    for (int k = 0; k < target->count; k++) free(target->requests[k].body);
    free(target->requests);
    free(target->url);
}
