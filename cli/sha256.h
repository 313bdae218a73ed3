// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), the checksum that the hub gives for large files.
#ifndef CLI_SHA256_H
#define CLI_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct cli_sha256 {
    uint32_t state[8];
    uint64_t bytes; // taken so far
    uint8_t block[64];
} cli_sha256;

void cli_sha256_start(cli_sha256 *hash);
void cli_sha256_add(cli_sha256 *hash, const void *data, size_t size);

// 64 hexadecimal digits and a zero.
void cli_sha256_end(cli_sha256 *hash, char text[65]);

#endif
