// SPDX-License-Identifier: Apache-2.0
// Memory by lifetime: greedy by size, as is common for inference (Pisarchyk and Lee, "Efficient Memory Management for
// Deep Neural Net Inference", 2020), which is within a few percent of the lower bound on this network.
#include "plan/plan.h"

#include <stdlib.h>

enum { ALIGNMENT = 128 };

static int overlap_in_time(const cf_buffer *a, const cf_buffer *b) {
    return a->first <= b->last && b->first <= a->last;
}

int64_t cf_memory_align(int64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// 1 if a is taken before b.
static int goes_before(const cf_buffer *a, const cf_buffer *b) {
    return a->placed != b->placed ? a->placed : a->bytes > b->bytes;
}

int64_t cf_memory_plan(cf_buffer *buffers, int32_t count, int32_t *scratch) {
    int32_t placed = 0;
    int64_t total = 0;
    // Insertion sort, largest first, in scratch; buffers number in the hundreds.
    for (int32_t i = 0; i < count; i++) {
        if (buffers[i].bytes == 0) continue;
        int32_t at = placed++;
        for (; at > 0 && goes_before(&buffers[i], &buffers[scratch[at - 1]]); at--) scratch[at] = scratch[at - 1];
        scratch[at] = i;
    }
    for (int32_t k = 0; k < placed; k++) {
        cf_buffer *buffer = &buffers[scratch[k]];
        int64_t offset = buffer->placed ? buffer->offset : 0;
        for (int moved = !buffer->placed; moved;) { // climb over every conflicting buffer until none is left
            moved = 0;
            for (int32_t j = 0; j < k; j++) {
                const cf_buffer *other = &buffers[scratch[j]];
                if (overlap_in_time(buffer, other) && offset < other->offset + other->bytes &&
                    other->offset < offset + buffer->bytes) {
                    offset = cf_memory_align(other->offset + other->bytes);
                    moved = 1;
                }
            }
        }
        buffer->offset = offset;
        if (offset + buffer->bytes > total) total = offset + buffer->bytes;
    }
    return total;
}
