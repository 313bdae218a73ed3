// SPDX-License-Identifier: Apache-2.0
// The list of named tensors: adding, finding by hash, checking, converting to FP32, accounting for what was used.
#include "model/weights.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/half.h"
#include "base/memory.h"

enum { MAX_TENSORS = 1 << 16, MAX_NAME = 512 };

struct cf_weights {
    cf_weight *items;
    atomic_uchar *used; // [capacity], apart from items so that readers of a const list can mark
    size_t count, capacity;
    uint32_t *slots; // open addressing: index + 1 of an item, 0 where empty; a power of two, at least twice count
    size_t slot_count;
    cf_bytes *owned;
    size_t owned_count;
};

static const struct {
    const char *name;
    size_t size;
    int is_float;
} types[CF_WEIGHT_TYPES] = {
    [CF_WEIGHT_F32] = {"F32", 4, 1},   [CF_WEIGHT_F16] = {"F16", 2, 1}, [CF_WEIGHT_BF16] = {"BF16", 2, 1},
    [CF_WEIGHT_F64] = {"F64", 8, 1},   [CF_WEIGHT_I64] = {"I64", 8, 0}, [CF_WEIGHT_I32] = {"I32", 4, 0},
    [CF_WEIGHT_I16] = {"I16", 2, 0},   [CF_WEIGHT_I8] = {"I8", 1, 0},   [CF_WEIGHT_U8] = {"U8", 1, 0},
    [CF_WEIGHT_BOOL] = {"BOOL", 1, 0},
};

const char *cf_weight_type_name(cf_weight_type type) {
    return types[type].name;
}

size_t cf_weight_type_size(cf_weight_type type) {
    return types[type].size;
}

int cf_weight_type_is_float(cf_weight_type type) {
    return types[type].is_float;
}

void cf_weight_shape_text(int rank, const int64_t *shape, char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "[", (long long)shape[i]);
    if (used < size) snprintf(text + used, size - used, rank ? "]" : "[]");
}

cf_weights *cf_weights_new(void) {
    return cf_alloc(1, sizeof(cf_weights));
}

void cf_weights_free(cf_weights *weights) {
    if (!weights) return;
    for (size_t i = 0; i < weights->count; i++) cf_free((char *)weights->items[i].name);
    for (size_t i = 0; i < weights->owned_count; i++) cf_bytes_release(&weights->owned[i]);
    cf_free(weights->items);
    cf_free(weights->used);
    cf_free(weights->slots);
    cf_free(weights->owned);
    cf_free(weights);
}

void cf_weights_drop_pages(const cf_weights *weights) {
    for (size_t i = 0; i < weights->owned_count; i++)
        if (weights->owned[i].kind == CF_BYTES_MAPPED)
            (void)madvise((void *)weights->owned[i].data, weights->owned[i].size, MADV_DONTNEED);
}

// Gives whole pages of a large tensor back once it was converted, so that file and copy are not both in memory.
static void drop_tensor(const cf_weights *weights, const cf_weight *weight) {
    enum { LEAST = 64 << 10, PAGE = 4096 };
    size_t size = weight->count * types[weight->type].size;
    for (size_t i = 0; i < weights->owned_count && size >= LEAST; i++) {
        const cf_bytes *file = &weights->owned[i];
        if (file->kind != CF_BYTES_MAPPED || weight->data < file->data || weight->data >= file->data + file->size)
            continue;
        uintptr_t first = ((uintptr_t)weight->data + PAGE - 1) / PAGE * PAGE;
        uintptr_t last = ((uintptr_t)weight->data + size) / PAGE * PAGE;
        if (last > first) (void)madvise((void *)first, last - first, MADV_DONTNEED);
    }
}

cfine_status cf_weights_own(cf_weights *weights, cf_bytes bytes, cfine_error *err) {
    cf_bytes *grown = cf_realloc(weights->owned, weights->owned_count + 1, sizeof *grown);
    if (!grown) {
        cf_bytes_release(&bytes);
        return cf_fail_memory(err, "the list of files", (weights->owned_count + 1) * sizeof *grown);
    }
    weights->owned = grown;
    weights->owned[weights->owned_count++] = bytes;
    return CFINE_OK;
}

static uint64_t hash_name(const char *name) {
    uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
    return hash ^ hash >> 29;
}

// The slot of that name, or the empty one where it would go. There is always an empty one.
static size_t find_slot(const cf_weights *weights, const char *name) {
    size_t mask = weights->slot_count - 1, slot = hash_name(name) & mask;
    while (weights->slots[slot] && strcmp(weights->items[weights->slots[slot] - 1].name, name) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

// Empties a slot and moves up what was pushed behind it, so that no search stops too early.
static void empty_slot(cf_weights *weights, size_t hole) {
    size_t mask = weights->slot_count - 1;
    for (size_t next = (hole + 1) & mask; weights->slots[next]; next = (next + 1) & mask) {
        size_t home = hash_name(weights->items[weights->slots[next] - 1].name) & mask;
        if (((next - home) & mask) < ((next - hole) & mask)) continue; // already at or behind its home
        weights->slots[hole] = weights->slots[next];
        hole = next;
    }
    weights->slots[hole] = 0;
}

static cfine_status reserve(cf_weights *weights, cfine_error *err) {
    if (weights->count < weights->capacity) return CFINE_OK;
    size_t capacity = weights->capacity ? weights->capacity * 2 : 256;
    cf_weight *items = cf_realloc(weights->items, capacity, sizeof *items);
    if (items) weights->items = items;
    atomic_uchar *used = cf_realloc(weights->used, capacity, sizeof *used);
    if (used) weights->used = used;
    uint32_t *slots = cf_realloc(weights->slots, capacity * 2, sizeof *slots);
    if (slots) weights->slots = slots;
    if (!items || !used || !slots) return cf_fail_memory(err, "the list of tensors", capacity * sizeof *items);
    weights->capacity = capacity;
    weights->slot_count = capacity * 2;
    memset(slots, 0, weights->slot_count * sizeof *slots);
    for (size_t i = 0; i < weights->count; i++) slots[find_slot(weights, items[i].name)] = (uint32_t)i + 1;
    return CFINE_OK;
}

// Number of elements, or an error where a dimension is negative or the product overflows.
static cfine_status count_elements(const char *name, int rank, const int64_t *shape, size_t *count, cfine_error *err) {
    size_t product = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(product, (uint64_t)shape[i], &product))
            return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %s: dimension %d is %lld", name, i, (long long)shape[i]);
    *count = product;
    return CFINE_OK;
}

cfine_status cf_weights_add(cf_weights *weights, const char *name, cf_weight_type type, int rank, const int64_t *shape,
                            const uint8_t *data, size_t bytes, cfine_error *err) {
    size_t length = strlen(name), count = 0, needed = 0;
    if (!length || length > MAX_NAME)
        return cf_fail(err, CFINE_ERROR_FORMAT, "a tensor's name has %zu bytes: 1 to %d are allowed", length, MAX_NAME);
    if (rank < 0 || rank > CF_WEIGHT_MAX_RANK)
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %s: %d dimensions, at most %d are allowed", name, rank,
                       CF_WEIGHT_MAX_RANK);
    CF_TRY(count_elements(name, rank, shape, &count, err));
    if (__builtin_mul_overflow(count, types[type].size, &needed) || needed != bytes)
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %s: %zu elements of type %s do not make %zu bytes", name, count,
                       types[type].name, bytes);
    if (weights->count == MAX_TENSORS)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "more than %d tensors", MAX_TENSORS);
    CF_TRY(reserve(weights, err));
    size_t slot = find_slot(weights, name);
    if (weights->slots[slot]) return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %s is there twice", name);
    char *copy = cf_strdup(name);
    if (!copy) return cf_fail_memory(err, name, length);
    cf_weight *item = &weights->items[weights->count];
    *item = (cf_weight){.name = copy, .type = type, .rank = rank, .count = count, .data = data};
    for (int i = 0; i < rank; i++) item->shape[i] = shape[i];
    atomic_init(&weights->used[weights->count], 0);
    weights->slots[slot] = (uint32_t)++weights->count;
    return CFINE_OK;
}

cfine_status cf_weights_rename(cf_weights *weights, size_t index, const char *name, cfine_error *err) {
    const cf_weight *other = cf_weights_find(weights, name);
    if (other == &weights->items[index]) return CFINE_OK;
    if (other)
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensors %s and %s are two names of the same weight",
                       weights->items[index].name, name);
    char *copy = cf_strdup(name);
    if (!copy) return cf_fail_memory(err, name, strlen(name));
    empty_slot(weights, find_slot(weights, weights->items[index].name));
    cf_free((char *)weights->items[index].name);
    weights->items[index].name = copy;
    weights->slots[find_slot(weights, copy)] = (uint32_t)index + 1;
    return CFINE_OK;
}

void cf_weights_remove(cf_weights *weights, size_t index) {
    empty_slot(weights, find_slot(weights, weights->items[index].name));
    cf_free((char *)weights->items[index].name);
    size_t last = --weights->count;
    if (index == last) return;
    weights->slots[find_slot(weights, weights->items[last].name)] = (uint32_t)index + 1;
    weights->items[index] = weights->items[last];
    atomic_store(&weights->used[index], atomic_load(&weights->used[last]));
}

size_t cf_weights_count(const cf_weights *weights) {
    return weights->count;
}

const cf_weight *cf_weights_at(const cf_weights *weights, size_t index) {
    return &weights->items[index];
}

const cf_weight *cf_weights_find(const cf_weights *weights, const char *name) {
    if (!weights->count) return NULL;
    uint32_t slot = weights->slots[find_slot(weights, name)];
    return slot ? &weights->items[slot - 1] : NULL;
}

void cf_weights_mark(const cf_weights *weights, const cf_weight *weight) {
    atomic_store_explicit(&weights->used[weight - weights->items], 1, memory_order_relaxed);
}

cfine_status cf_weights_expect(const cf_weights *weights, const char *name, int rank, const int64_t *shape,
                               const cf_weight **out, cfine_error *err) {
    char expected[128], found[128];
    cf_weight_shape_text(rank, shape, expected, sizeof expected);
    const cf_weight *weight = cf_weights_find(weights, name);
    if (!weight)
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "tensor %s %s is missing: the weights are incomplete or belong to another config", name,
                       expected);
    cf_weight_shape_text(weight->rank, weight->shape, found, sizeof found);
    if (weight->rank != rank || (rank && memcmp(weight->shape, shape, (size_t)rank * sizeof *shape) != 0))
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "tensor %s has the shape %s, the config asks for %s: weights and config do not belong together",
                       name, found, expected);
    if (!types[weight->type].is_float)
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %s has the type %s, expected F32, F16, BF16 or F64", name,
                       types[weight->type].name);
    cf_weights_mark(weights, weight);
    if (out) *out = weight;
    return CFINE_OK;
}

static uint16_t load16(const uint8_t *data) {
    uint16_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

// FP64 to FP32; what does not fit becomes infinity, which the caller refuses.
static float load64(const uint8_t *data) {
    double value;
    memcpy(&value, data, sizeof value);
    return fabs(value) > 3.4028235677973366e38 ? (float)copysign(INFINITY, value) : (float)value;
}

cfine_status cf_weights_read_f32(const cf_weights *weights, const cf_weight *weight, float *out, cfine_error *err) {
    size_t count = weight->count;
    const uint8_t *data = weight->data;
    switch (weight->type) {
    case CF_WEIGHT_F32:
        if (count) memcpy(out, data, count * sizeof *out);
        break;
    case CF_WEIGHT_F16:
        for (size_t i = 0; i < count; i++) out[i] = cf_f16_to_f32(load16(data + 2 * i));
        break;
    case CF_WEIGHT_BF16:
        for (size_t i = 0; i < count; i++) out[i] = cf_bf16_to_f32(load16(data + 2 * i));
        break;
    case CF_WEIGHT_F64:
        for (size_t i = 0; i < count; i++) out[i] = load64(data + 8 * i);
        break;
    default:
        return cf_fail(err, CFINE_ERROR_FORMAT, "tensor %s has the type %s, expected F32, F16, BF16 or F64",
                       weight->name, types[weight->type].name);
    }
    // An exponent of all ones is infinity or NaN. The maximum of the exponents vectorises; a search for the index is
    // only needed on the way to an error.
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = cf_bits_of(out[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    if (largest >= 0x7f800000) {
        size_t index = 0;
        while ((cf_bits_of(out[index]) & 0x7f800000) != 0x7f800000) index++;
        return cf_fail(err, CFINE_ERROR_FORMAT,
                       "tensor %s: element %zu is %s: the checkpoint is damaged or its training diverged", weight->name,
                       index, isnan(out[index]) ? "NaN" : "infinite");
    }
    drop_tensor(weights, weight);
    cf_weights_mark(weights, weight);
    return CFINE_OK;
}

cfine_status cf_weights_load(const cf_weights *weights, const char *name, int rank, const int64_t *shape, float *out,
                             cfine_error *err) {
    const cf_weight *weight;
    CF_TRY(cf_weights_expect(weights, name, rank, shape, &weight, err));
    return cf_weights_read_f32(weights, weight, out, err);
}

// Tensors that inference does not need. '#' stands for a number: the index of a decoder layer in names that begin with
// one of the `per_layer` entries, which are harmless only from the first layer on that does not run; the heads that
// make scores are also harmless below it, since only the last layer's are used.
static const struct {
    const char *pattern;
    enum { ANYWHERE_AT_END, WHOLE, LAYER_BEYOND, LAYER_ANY } match;
} harmless[] = {
    {".num_batches_tracked", ANYWHERE_AT_END},     // counts training steps
    {".num_points_scale", ANYWHERE_AT_END},        // 1 / points, which the config says
    {"model.denoising_class_embed.weight", WHOLE}, // training only
    {"model.decoder.anchors", WHOLE},              // computed for the input size at hand
    {"model.decoder.valid_mask", WHOLE},           // likewise
    {"model.anchors", WHOLE},                      //
    {"model.valid_mask", WHOLE},                   //
    {"model.decoder.layers.#.", LAYER_BEYOND},     // layers behind the one that is evaluated
    {"model.decoder.bbox_embed.#.", LAYER_BEYOND}, //
    {"model.decoder.class_embed.#.", LAYER_ANY},   // scores are read from the last layer only
    {"model.decoder.lqe_layers.#.", LAYER_ANY},    //
};

// 1 if name begins with pattern, whose '#' takes digits; *number is their value.
static int matches_layer(const char *name, const char *pattern, long *number) {
    size_t head = strcspn(pattern, "#");
    if (strncmp(name, pattern, head) != 0 || name[head] < '0' || name[head] > '9') return 0;
    char *end;
    *number = strtol(name + head, &end, 10);
    return strncmp(end, pattern + head + 1, strlen(pattern + head + 1)) == 0;
}

int cf_weight_is_harmless(const char *name, int decoder_layers) {
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        const char *pattern = harmless[i].pattern;
        size_t tail = strlen(pattern);
        long number = 0;
        switch (harmless[i].match) {
        case ANYWHERE_AT_END:
            if (length >= tail && strcmp(name + length - tail, pattern) == 0) return 1;
            break;
        case WHOLE:
            if (strcmp(name, pattern) == 0) return 1;
            break;
        case LAYER_BEYOND:
            if (matches_layer(name, pattern, &number) && number >= decoder_layers) return 1;
            break;
        case LAYER_ANY:
            if (matches_layer(name, pattern, &number)) return 1;
            break;
        }
    }
    return 0;
}

cfine_status cf_weights_check_leftovers(const cf_weights *weights, int decoder_layers, cfine_error *err) {
    size_t left = 0;
    const cf_weight *first = NULL;
    for (size_t i = 0; i < weights->count; i++) {
        const cf_weight *weight = &weights->items[i];
        if (atomic_load_explicit(&weights->used[i], memory_order_relaxed)) continue;
        if (cf_weight_is_harmless(weight->name, decoder_layers)) continue;
        left++;
        if (!first || strcmp(weight->name, first->name) < 0) first = weight;
    }
    if (!left) return CFINE_OK;
    char shape[128];
    cf_weight_shape_text(first->rank, first->shape, shape, sizeof shape);
    return cf_fail(err, CFINE_ERROR_FORMAT,
                   "%zu tensor%s no part of the network that the config describes, the first is %s %s: weights and "
                   "config do not belong together",
                   left, left == 1 ? " is" : "s are", first->name, shape);
}
