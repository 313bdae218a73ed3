// SPDX-License-Identifier: Apache-2.0
// Reader of official .pth files: a zip whose entries are stored, not compressed: <name>/data.pkl, the pickle, and
// <name>/data/<key>, the bytes of each storage. Tensors point straight into the mapped file (a zip library would copy
// every entry); only those whose strides are not row-major are copied.
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/unpickler.h"
#include "model/weights.h"

enum {
    MAX_ENTRIES = 1 << 17,
    MAX_PICKLE = 64 << 20,
    END_SIZE = 22,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,
    MAX_COMMENT = 0xffff,
    MAX_KEY = 512
};

// A file in the zip: where its local header is, and what the central directory says about it.
typedef struct entry {
    const char *name; // not terminated
    size_t name_length;
    uint64_t header, size, packed;
    unsigned method, flags;
} entry;

typedef struct archive {
    const uint8_t *data;
    size_t size;
    entry *entries; // sorted by name
    size_t count;
    cfine_error *err;
} archive;

static uint64_t read_le(const uint8_t *data, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | data[i];
    return value;
}

static int compare_names(const void *left, const void *right) {
    const entry *a = left, *b = right;
    size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
    int order = memcmp(a->name, b->name, shorter);
    return order ? order : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

// ---------------------------------------------------------------------------------------------------------------------
// Zip

// Where the central directory is and how many entries it has, from the record at the end (the 64-bit one if there is).
static cfine_status find_directory(archive *zip, uint64_t *offset, uint64_t *bytes, uint64_t *count) {
    const uint8_t *data = zip->data;
    size_t end = zip->size, least = 0;
    if (zip->size >= END_SIZE) {
        end = zip->size - END_SIZE;
        least = end > MAX_COMMENT ? end - MAX_COMMENT : 0;
        while (end > least && read_le(data + end, 4) != 0x06054b50) end--;
    }
    if (zip->size < END_SIZE || read_le(data + end, 4) != 0x06054b50)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the zip's directory is missing: truncated download?");
    *count = read_le(data + end + 10, 2);
    *bytes = read_le(data + end + 12, 4);
    *offset = read_le(data + end + 16, 4);
    if (end < LOCATOR_SIZE || read_le(data + end - LOCATOR_SIZE, 4) != 0x07064b50) return CFINE_OK;
    uint64_t end64 = read_le(data + end - LOCATOR_SIZE + 8, 8);
    if (zip->size < END64_SIZE || end64 > zip->size - END64_SIZE || read_le(data + end64, 4) != 0x06064b50)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the zip's 64-bit directory record is damaged");
    *count = read_le(data + end64 + 32, 8);
    *bytes = read_le(data + end64 + 40, 8);
    *offset = read_le(data + end64 + 48, 8);
    return CFINE_OK;
}

// Fields that do not fit 32 bits are 0xffffffff and stand in an extra field, in this order.
static void read_extra64(entry *out, const uint8_t *extra, size_t length) {
    while (length >= 4) {
        size_t id = read_le(extra, 2), bytes = read_le(extra + 2, 2);
        if (bytes > length - 4) return;
        if (id == 1) {
            uint64_t *fields[] = {&out->size, &out->packed, &out->header};
            const uint8_t *at = extra + 4;
            for (int i = 0; i < 3; i++)
                if (*fields[i] == 0xffffffff && bytes >= 8) {
                    *fields[i] = read_le(at, 8);
                    at += 8;
                    bytes -= 8;
                }
            return;
        }
        extra += 4 + bytes;
        length -= 4 + bytes;
    }
}

static cfine_status read_directory(archive *zip) {
    uint64_t offset = 0, bytes = 0, count = 0;
    CF_TRY(find_directory(zip, &offset, &bytes, &count));
    if (offset > zip->size || bytes > zip->size - offset || count > bytes / CENTRAL_SIZE)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the zip's directory lies outside of the file");
    if (count > MAX_ENTRIES)
        return cf_fail(zip->err, CFINE_ERROR_UNSUPPORTED, "the zip has %llu files, the limit is %d",
                       (unsigned long long)count, MAX_ENTRIES);
    zip->entries = cf_alloc((size_t)count, sizeof *zip->entries);
    if (!zip->entries) return cf_fail_memory(zip->err, "the zip's directory", (size_t)count * sizeof *zip->entries);
    const uint8_t *at = zip->data + offset, *end = at + bytes;
    for (; zip->count < count; zip->count++) {
        if (end - at < CENTRAL_SIZE || read_le(at, 4) != 0x02014b50)
            return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the zip's directory is damaged at entry %zu", zip->count);
        size_t name = read_le(at + 28, 2), extra = read_le(at + 30, 2), comment = read_le(at + 32, 2);
        if ((size_t)(end - at) - CENTRAL_SIZE < name + extra + comment)
            return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the zip's directory is damaged at entry %zu", zip->count);
        entry *item = &zip->entries[zip->count];
        *item = (entry){.name = (const char *)at + CENTRAL_SIZE,
                        .name_length = name,
                        .header = read_le(at + 42, 4),
                        .size = read_le(at + 24, 4),
                        .packed = read_le(at + 20, 4),
                        .method = (unsigned)read_le(at + 10, 2),
                        .flags = (unsigned)read_le(at + 8, 2)};
        read_extra64(item, at + CENTRAL_SIZE + name, extra);
        at += CENTRAL_SIZE + name + extra + comment;
    }
    if (count) qsort(zip->entries, zip->count, sizeof *zip->entries, compare_names);
    return CFINE_OK;
}

// The bytes of an entry, in place.
static cfine_status get_data(const archive *zip, const entry *item, const uint8_t **data) {
    int shown = item->name_length > 100 ? 100 : (int)item->name_length;
    if (item->flags & 1)
        return cf_fail(zip->err, CFINE_ERROR_UNSUPPORTED, "%.*s in the zip is encrypted", shown, item->name);
    if (item->method != 0 || item->size != item->packed)
        return cf_fail(zip->err, CFINE_ERROR_UNSUPPORTED,
                       "%.*s in the zip is compressed (method %u), which torch.save does not do: save it again with "
                       "torch.save",
                       shown, item->name, item->method);
    if (zip->size < LOCAL_SIZE || item->header > zip->size - LOCAL_SIZE ||
        read_le(zip->data + item->header, 4) != 0x04034b50)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "%.*s is not where the zip's directory says", shown, item->name);
    const uint8_t *header = zip->data + item->header;
    uint64_t start = item->header + LOCAL_SIZE + read_le(header + 26, 2) + read_le(header + 28, 2);
    if (start > zip->size || item->size > zip->size - start)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "%.*s reaches beyond the end of the file: truncated download?",
                       shown, item->name);
    *data = zip->data + start;
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensors

static int is_row_major(const cf_pickle_tensor *tensor) {
    int64_t expected = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->stride[i] != expected) return 0;
        if (__builtin_mul_overflow(expected, tensor->shape[i], &expected)) return 0;
    }
    return 1;
}

// Copies elements in row-major order. `budget` bounds what all copies of a file may take, as strides of zero could make
// a terabyte out of one element.
static cfine_status copy_strided(const cf_pickle_tensor *tensor, const uint8_t *source, size_t count, size_t *budget,
                                 cf_bytes *out, cfine_error *err) {
    size_t element = cf_weight_type_size(tensor->type), bytes = 0;
    if (__builtin_mul_overflow(count, element, &bytes) || bytes > *budget)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "its strides make it larger than the file");
    *budget -= bytes;
    uint8_t *copy = cf_alloc(bytes, 1);
    if (!copy) return cf_fail_memory(err, "a tensor", bytes);
    int64_t index[CF_WEIGHT_MAX_RANK] = {0};
    for (size_t i = 0; i < count; i++) {
        size_t from = 0;
        for (int axis = 0; axis < tensor->rank; axis++) from += (size_t)(index[axis] * tensor->stride[axis]);
        memcpy(copy + i * element, source + from * element, element);
        for (int axis = tensor->rank - 1; axis >= 0 && ++index[axis] == tensor->shape[axis]; axis--) index[axis] = 0;
    }
    *out = (cf_bytes){copy, bytes, CF_BYTES_HEAP};
    return CFINE_OK;
}

// `prefix` is what precedes "data.pkl" in the names of the zip.
static cfine_status add_tensor(const archive *zip, const entry *prefix, const char *name,
                               const cf_pickle_tensor *tensor, size_t *budget, cf_weights *weights) {
    char path[2 * MAX_KEY];
    if (prefix->name_length + 5 + tensor->storage_length > sizeof path)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the name of its storage is too long");
    entry wanted = {.name = path};
    memcpy(path, prefix->name, prefix->name_length);
    memcpy(path + prefix->name_length, "data/", 5);
    memcpy(path + prefix->name_length + 5, tensor->storage, tensor->storage_length);
    wanted.name_length = prefix->name_length + 5 + tensor->storage_length;
    const entry *item =
        zip->count ? bsearch(&wanted, zip->entries, zip->count, sizeof *zip->entries, compare_names) : NULL;
    if (!item)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "its data (data/%.*s) are missing in the zip",
                       tensor->storage_length > 40 ? 40 : (int)tensor->storage_length, tensor->storage);
    const uint8_t *data = NULL;
    CF_TRY(get_data(zip, item, &data));
    size_t element = cf_weight_type_size(tensor->type), count = 1;
    if (tensor->storage_count > item->size / element)
        return cf_fail(zip->err, CFINE_ERROR_FORMAT, "its storage has %llu bytes, but should have %zu elements of %s",
                       (unsigned long long)item->size, tensor->storage_count, cf_weight_type_name(tensor->type));
    for (int i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(count, (size_t)tensor->shape[i], &count))
            return cf_fail(zip->err, CFINE_ERROR_FORMAT, "its sizes overflow");
    if (count) data += tensor->offset * element; // within storage_count, as the unpickler has checked
    if (!is_row_major(tensor)) {
        cf_bytes copy = {0};
        CF_TRY(copy_strided(tensor, data, count, budget, &copy, zip->err));
        data = copy.data;
        CF_TRY(cf_weights_own(weights, copy, zip->err));
    }
    return cf_weights_add(weights, name, tensor->type, tensor->rank, tensor->shape, data, count * element, zip->err);
}

// The state dict that people mean: the averaged weights where training kept them, else the model, else all there is.
static const cf_pickle_value *pick_state(const cf_pickle_value *root) {
    const cf_pickle_value *averaged = cf_pickle_get(cf_pickle_get(root, "ema"), "module");
    if (averaged && averaged->kind == CF_PICKLE_DICT) return averaged;
    const cf_pickle_value *model = cf_pickle_get(root, "model");
    return model && model->kind == CF_PICKLE_DICT ? model : root;
}

static cfine_status add_state(const archive *zip, const entry *prefix, const cf_pickle_value *state,
                              cf_weights *weights) {
    size_t budget = zip->size;
    for (size_t i = 0; i + 1 < state->count; i += 2) {
        const cf_pickle_value *key = state->items[i], *value = state->items[i + 1];
        char name[MAX_KEY + 1];
        if (key->kind != CF_PICKLE_TEXT || !key->length || key->length > MAX_KEY || memchr(key->text, 0, key->length))
            return cf_fail(zip->err, CFINE_ERROR_FORMAT, "entry %zu of the state dict has no name", i / 2);
        memcpy(name, key->text, key->length);
        name[key->length] = 0;
        if (value->kind != CF_PICKLE_TENSOR)
            return cf_fail(zip->err, CFINE_ERROR_FORMAT,
                           "entry %.200s of the state dict is not a tensor: expected {\"model\": state_dict} or "
                           "{\"ema\": {\"module\": state_dict}}",
                           name);
        cfine_status status = add_tensor(zip, prefix, name, value->tensor, &budget, weights);
        if (status != CFINE_OK) return cf_fail_within(zip->err, status, "tensor %.200s", name);
    }
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------

// The pickle: the entry <name>/data.pkl. `prefix` becomes "<name>/".
static cfine_status find_pickle(const archive *zip, const entry **found, entry *prefix) {
    static const char name[] = "data.pkl";
    for (size_t i = 0; i < zip->count; i++) {
        const entry *item = &zip->entries[i];
        size_t tail = sizeof name - 1;
        if (item->name_length < tail || memcmp(item->name + item->name_length - tail, name, tail) != 0) continue;
        *prefix = *item;
        prefix->name_length -= tail;
        if (prefix->name_length && prefix->name[prefix->name_length - 1] != '/') continue;
        if (memchr(prefix->name, '/', prefix->name_length) != prefix->name + prefix->name_length - 1 &&
            prefix->name_length)
            continue; // deeper than one folder
        *found = item;
        return CFINE_OK;
    }
    return cf_fail(zip->err, CFINE_ERROR_FORMAT, "the zip has no data.pkl: it was not written by torch.save");
}

static cfine_status check_byte_order(const archive *zip, const entry *prefix) {
    for (size_t i = 0; i < zip->count; i++) {
        const entry *item = &zip->entries[i];
        if (item->name_length != prefix->name_length + 9 || item->size != 3 ||
            memcmp(item->name, prefix->name, prefix->name_length) != 0 ||
            memcmp(item->name + prefix->name_length, "byteorder", 9) != 0)
            continue;
        const uint8_t *data = NULL;
        CF_TRY(get_data(zip, item, &data));
        if (memcmp(data, "big", 3) == 0)
            return cf_fail(zip->err, CFINE_ERROR_UNSUPPORTED, "was written on a big-endian machine");
    }
    return CFINE_OK;
}

static cfine_status parse_archive(archive *zip, cf_weights *weights) {
    CF_TRY(read_directory(zip));
    const entry *item = NULL;
    entry prefix = {0};
    const uint8_t *pickle_data = NULL;
    CF_TRY(find_pickle(zip, &item, &prefix));
    CF_TRY(check_byte_order(zip, &prefix));
    CF_TRY(get_data(zip, item, &pickle_data));
    if (item->size > MAX_PICKLE)
        return cf_fail(zip->err, CFINE_ERROR_UNSUPPORTED, "the pickle has %llu bytes, the limit is %d",
                       (unsigned long long)item->size, MAX_PICKLE);
    cf_pickle pickle;
    cfine_status status = cf_unpickle(pickle_data, (size_t)item->size, &pickle, zip->err);
    if (status == CFINE_OK) {
        const cf_pickle_value *state = pick_state(pickle.root);
        if (state->kind == CF_PICKLE_DICT && state->count)
            status = add_state(zip, &prefix, state, weights);
        else
            status = cf_fail(zip->err, CFINE_ERROR_FORMAT,
                             "holds no state dict: expected {\"model\": state_dict} or {\"ema\": {\"module\": "
                             "state_dict}}");
    }
    cf_pickle_release(&pickle);
    return status;
}

cfine_status cf_pth_parse(const uint8_t *data, size_t size, const char *file, cf_weights *weights, cfine_error *err) {
    archive zip = {.data = data, .size = size, .err = err};
    cfine_status status;
    if (size >= 2 && data[0] == 0x80)
        status = cf_fail(err, CFINE_ERROR_UNSUPPORTED,
                         "is a .pth as torch before 1.6 wrote it: load and save it again with a newer torch");
    else if (size < 4 || memcmp(data, "PK", 2) != 0)
        status = cf_fail(err, CFINE_ERROR_FORMAT, "is not a .pth of torch.save (a zip)");
    else
        status = parse_archive(&zip, weights);
    cf_free(zip.entries);
    return status == CFINE_OK ? CFINE_OK : cf_fail_within(err, status, "%s", file);
}

cfine_status cf_pth_open(const char *path, cf_weights *weights, cfine_error *err) {
    cf_bytes bytes;
    CF_TRY(cf_file_map(path, &bytes, err));
    const uint8_t *data = bytes.data;
    size_t size = bytes.size;
    CF_TRY(cf_weights_own(weights, bytes, err));
    return cf_pth_parse(data, size, path, weights, err);
}
