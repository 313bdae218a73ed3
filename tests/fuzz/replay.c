// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: replay FOLDER gives it every file of the folder (seeds, and inputs that once
// failed), each also cut short at 64 places and with 256 flipped bytes, always the same ones.
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A copy of exactly `size` bytes, so that the address sanitizer sees a read past the end.
static void give(const uint8_t *data, size_t size) {
    uint8_t *copy = calloc(size ? size : 1, 1);
    if (!copy) abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void replay(uint8_t *data, size_t size) {
    give(data, size);
    for (size_t i = 0; i < 64; i++) give(data, size * i / 64);
    uint32_t random = 1;
    for (int i = 0; i < 256 && size; i++) {
        random = random * 1664525u + 1013904223u;
        // Half of the flips hit the first 64 bytes, where headers are.
        size_t at = (random >> 8) % (i & 1 || size < 64 ? size : 64);
        uint8_t old = data[at];
        data[at] ^= (uint8_t)(1u << (random >> 29));
        give(data, size);
        data[at] = old;
    }
}

static int replay_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    enum { MOST = 1 << 24 };
    uint8_t *data = malloc(MOST);
    if (!data) abort();
    size_t size = fread(data, 1, MOST, file);
    fclose(file);
    replay(data, size);
    free(data);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    give((const uint8_t *)"", 0);
    DIR *folder = opendir(argv[1]);
    int files = 0;
    if (folder) {
        for (struct dirent *entry; (entry = readdir(folder));)
            if (entry->d_name[0] != '.') files += replay_file(argv[1], entry->d_name);
        closedir(folder);
    }
    printf("%d files\n", files);
    return files ? 0 : 1;
}
