// SPDX-License-Identifier: Apache-2.0
// Four independent lanes of 8 bytes, each xor, multiply, rotate: every step is a bijection of the lane, so one changed
// word always changes the result, and the lanes hide the multiplication's latency (about memory speed).
#include "base/hash.h"

#include <string.h>

static const uint64_t FACTOR = 0x9e3779b97f4a7c15; // odd: 2^64 / golden ratio

static uint64_t absorb(uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * FACTOR;
    return lane << 29 | lane >> 35;
}

static uint64_t load64(const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

// Spreads every bit over all others (the finish of splitmix64).
static uint64_t spread(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

uint64_t cf_hash64(const void *data, size_t size, uint64_t seed) {
    const uint8_t *bytes = data;
    uint64_t lanes[4] = {seed, seed + 1, seed + 2, seed + 3}, tail = 0;
    size_t i = 0;
    for (; i + 32 <= size; i += 32)
        for (size_t lane = 0; lane < 4; lane++) lanes[lane] = absorb(lanes[lane], load64(bytes + i + 8 * lane));
    for (; i + 8 <= size; i += 8) lanes[i / 8 % 4] = absorb(lanes[i / 8 % 4], load64(bytes + i));
    for (size_t j = 0; i + j < size; j++) tail |= (uint64_t)bytes[i + j] << 8 * j;
    uint64_t hash = absorb(spread(seed ^ size), tail);
    for (int lane = 0; lane < 4; lane++) hash = absorb(hash, spread(lanes[lane]));
    return spread(hash);
}
