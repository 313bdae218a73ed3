// SPDX-License-Identifier: Apache-2.0
#include "base64.h"

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int serve_base64_decode(const char *text, size_t length, uint8_t *out, size_t *size) {
    for (int i = 0; i < 2 && length && text[length - 1] == '='; i++) length--;
    uint32_t bits = 0;
    int count = 0;
    *size = 0;
    for (size_t i = 0; i < length; i++) {
        int value = value_of(text[i]);
        if (value < 0) return 0;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out[(*size)++] = (uint8_t)(bits >> count);
    }
    return count < 6; // six bits over are a character too many
}
