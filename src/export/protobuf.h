// SPDX-License-Identifier: Apache-2.0
// Writes the protobuf wire format: fields with a number and a value, into memory that grows.
#ifndef CF_EXPORT_PROTOBUF_H
#define CF_EXPORT_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

// Zero it before the first use. When memory runs out `failed` is set, and further calls do nothing.
typedef struct cf_protobuf {
    uint8_t *data;
    size_t size, capacity;
    int failed;
} cf_protobuf;

void cf_protobuf_int(cf_protobuf *out, int field, int64_t value);
void cf_protobuf_float(cf_protobuf *out, int field, float value);
void cf_protobuf_text(cf_protobuf *out, int field, const char *text);
void cf_protobuf_message(cf_protobuf *out, int field, const cf_protobuf *message);
// Bytes that are encoded already.
void cf_protobuf_append(cf_protobuf *out, const void *data, size_t size);
// The head of a field of `size` bytes, which the caller adds or writes behind it.
void cf_protobuf_head(cf_protobuf *out, int field, uint64_t size);
void cf_protobuf_release(cf_protobuf *out);

#endif
