// SPDX-License-Identifier: Apache-2.0
#include "export/protobuf.h"

#include <string.h>

#include "base/memory.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_32 = 5 };

void cf_protobuf_append(cf_protobuf *out, const void *data, size_t size) {
    if (out->failed || size == 0) return;
    if (size > out->capacity - out->size) {
        size_t capacity = out->capacity ? out->capacity : 256;
        while (capacity - out->size < size && capacity <= SIZE_MAX / 2) capacity *= 2;
        uint8_t *grown = capacity - out->size < size ? NULL : cf_realloc(out->data, capacity, 1);
        if (!grown) {
            out->failed = 1;
            return;
        }
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void varint(cf_protobuf *out, uint64_t value) {
    uint8_t bytes[10];
    size_t count = 0;
    do {
        bytes[count++] = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value);
    cf_protobuf_append(out, bytes, count);
}

static void tag(cf_protobuf *out, int field, int wire) {
    varint(out, (uint64_t)field << 3 | (uint64_t)wire);
}

void cf_protobuf_int(cf_protobuf *out, int field, int64_t value) {
    tag(out, field, WIRE_VARINT);
    varint(out, (uint64_t)value);
}

void cf_protobuf_float(cf_protobuf *out, int field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    tag(out, field, WIRE_32);
    cf_protobuf_append(out, bytes, sizeof bytes);
}

void cf_protobuf_head(cf_protobuf *out, int field, uint64_t size) {
    tag(out, field, WIRE_BYTES);
    varint(out, size);
}

void cf_protobuf_text(cf_protobuf *out, int field, const char *text) {
    cf_protobuf_head(out, field, strlen(text));
    cf_protobuf_append(out, text, strlen(text));
}

void cf_protobuf_message(cf_protobuf *out, int field, const cf_protobuf *message) {
    if (message->failed) out->failed = 1;
    cf_protobuf_head(out, field, message->size);
    cf_protobuf_append(out, message->data, message->size);
}

void cf_protobuf_release(cf_protobuf *out) {
    cf_free(out->data);
    memset(out, 0, sizeof *out);
}
