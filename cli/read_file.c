// SPDX-License-Identifier: Apache-2.0
#include "read_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "message.h"

int cli_read_file(const char *path, uint8_t **bytes, size_t *size) {
    FILE *file = fopen(path, "rbe");
    size_t room = 1 << 16;
    uint8_t *data = cli_alloc(room, 1);
    *bytes = NULL;
    *size = 0;
    while (file) { // whatever it is, a pipe too: to its end
        size_t got = fread(data + *size, 1, room - 1 - *size, file);
        *size += got;
        if (got == 0) break;
        if (*size == room - 1) data = cli_grow(data, room *= 2, 1);
    }
    int good = file && !ferror(file);
    if (!good) cli_error("%s: cannot be read: %s", path, strerror(errno));
    if (file) fclose(file);
    if (!good) {
        free(data);
        return 0;
    }
    data[*size] = 0;
    *bytes = data;
    return 1;
}
