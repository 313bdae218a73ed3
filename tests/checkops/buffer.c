// SPDX-License-Identifier: Apache-2.0
// Buffers with canaries: strided views, halos of zeros, poison everywhere else.
#include "checkops/checkops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CANARY = 64, POISON = 0xff }; // elements; 0xff.. is a NaN in every floating format

int check_buffer_make(check_buffer *buffer, const cf_tensor *shape, int images, int gap, int canary) {
    memset(buffer, 0, sizeof *buffer);
    cf_tensor *tensor = &buffer->tensor;
    *tensor = *shape;
    // Bytes of a part of a concat may begin between two vectors.
    int between = gap > 0 && gap % 16 == 0 ? 8 : 0;
    int64_t size = cf_dtype_size(shape->dtype), edge = canary ? CANARY + between : 0;
    tensor->pixel = shape->c + gap;
    tensor->row = tensor->pixel * (shape->w + 2 * shape->halo);
    tensor->image = tensor->row * (shape->h + 2 * shape->halo);
    // Exactly as long as the last element needs, so that the address sanitizer sees a read past the end.
    int64_t elements = images ? tensor->image * images - gap : 0;
    buffer->bytes = (size_t)((elements + 2 * edge) * size);
    if (posix_memalign((void **)&buffer->block, 64, buffer->bytes)) buffer->block = NULL;
    buffer->before = malloc(buffer->bytes);
    if (!buffer->block || !buffer->before) {
        check_buffer_free(buffer);
        return 0;
    }
    memset(buffer->block, POISON, buffer->bytes);
    tensor->data = buffer->block + (edge + shape->halo * (tensor->row + tensor->pixel)) * size;
    int halo = shape->halo;
    if (halo == 0) return 1;
    for (int n = 0; n < images; n++)
        for (int y = -halo; y < shape->h + halo; y++)
            for (int x = -halo; x < shape->w + halo; x++)
                if (y < 0 || y >= shape->h || x < 0 || x >= shape->w)
                    for (int c = 0; c < shape->c; c++) cf_tensor_set(tensor, n, y, x, c, 0);
    return 1;
}

void check_buffer_free(check_buffer *buffer) {
    free(buffer->block);
    free(buffer->before);
    buffer->block = buffer->before = NULL;
}

void check_buffer_set(check_buffer *buffer, int images, const float *values) {
    const cf_tensor *t = &buffer->tensor;
    size_t bytes = (size_t)t->c * (size_t)cf_dtype_size(t->dtype);
    for (int n = 0; n < images; n++)
        for (int y = 0; y < t->h; y++)
            for (int x = 0; x < t->w; x++) {
                if (!values) memset(cf_tensor_at(t, n, y, x), POISON, bytes);
                for (int c = 0; c < t->c && values; c++) cf_tensor_set(t, n, y, x, c, *values++);
            }
}

void check_buffer_remember(check_buffer *buffer) {
    memcpy(buffer->before, buffer->block, buffer->bytes);
}

size_t check_buffer_damage(const check_buffer *buffer, int images) {
    const cf_tensor *t = &buffer->tensor;
    size_t bytes = (size_t)t->c * (size_t)cf_dtype_size(t->dtype);
    // Elements may change: take them over into the copy, then the rest must be equal.
    for (int n = 0; n < images; n++)
        for (int y = 0; y < t->h; y++)
            for (int x = 0; x < t->w; x++) {
                unsigned char *at = cf_tensor_at(t, n, y, x);
                memcpy(buffer->before + (at - buffer->block), at, bytes);
            }
    size_t damaged = 0;
    if (memcmp(buffer->before, buffer->block, buffer->bytes))
        for (size_t i = 0; i < buffer->bytes; i++) damaged += buffer->before[i] != buffer->block[i];
    return damaged;
}

void check_buffer_poison(check_buffer *buffer) {
    memset(buffer->block, POISON, buffer->bytes);
}

size_t check_buffer_border_damage(const check_buffer *buffer, int images) {
    const cf_tensor *t = &buffer->tensor;
    size_t bytes = (size_t)t->pixel * (size_t)cf_dtype_size(t->dtype), damaged = 0;
    int zero = t->dtype == CF_S8 || t->dtype == CF_U8 ? t->zero : 0;
    for (int n = 0; n < images; n++)
        for (int y = -t->halo; y < t->h + t->halo; y++)
            for (int x = -t->halo; x < t->w + t->halo; x++)
                if (y < 0 || y >= t->h || x < 0 || x >= t->w)
                    memset(buffer->before + ((unsigned char *)cf_tensor_at(t, n, y, x) - buffer->block), zero, bytes);
    for (size_t i = 0; i < buffer->bytes; i++) damaged += buffer->before[i] != buffer->block[i];
    return damaged;
}
