// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648) to bytes.
#ifndef SERVE_BASE64_H
#define SERVE_BASE64_H

#include <stddef.h>
#include <stdint.h>

// Decodes `length` characters (with or without padding) into out, which has room for length / 4 * 3 + 3 bytes.
// Returns 0 if they are not base64.
int serve_base64_decode(const char *text, size_t length, uint8_t *out, size_t *size);

#endif
