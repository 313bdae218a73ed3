// SPDX-License-Identifier: Apache-2.0
// Reads the pickle inside an official .pth as data: dictionaries, lists, numbers, texts and tensors. Nothing is ever
// called: the few classes that such files name are known here, any other is refused by name.
#ifndef CF_MODEL_UNPICKLER_H
#define CF_MODEL_UNPICKLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/weights.h"

typedef enum cf_pickle_kind {
    CF_PICKLE_MARK,    // on the stack only
    CF_PICKLE_GLOBAL,  // a known class or function
    CF_PICKLE_NOTHING, // None, numbers, and whatever else is of no interest
    CF_PICKLE_INTEGER,
    CF_PICKLE_TEXT,
    CF_PICKLE_TUPLE,
    CF_PICKLE_LIST,
    CF_PICKLE_DICT, // items are key, value, key, value, ...
    CF_PICKLE_STORAGE,
    CF_PICKLE_TENSOR
} cf_pickle_kind;

typedef struct cf_pickle_value cf_pickle_value;

typedef struct cf_pickle_tensor {
    cf_weight_type type;
    const char *storage; // name of its file under data/, not terminated
    size_t storage_length;
    size_t storage_count; // elements the storage is said to have
    size_t offset;        // of the first element; it and the strides stay within storage_count
    int rank;
    int64_t shape[CF_WEIGHT_MAX_RANK], stride[CF_WEIGHT_MAX_RANK]; // in elements
} cf_pickle_tensor;

struct cf_pickle_value {
    cf_pickle_kind kind;
    int number_fits;  // an INTEGER of at most 64 bits
    int64_t number;   // INTEGER; which class: GLOBAL
    const char *text; // TEXT: not terminated, in the pickle
    size_t length;    // of the text
    cf_pickle_value **items;
    size_t count, capacity;     // of items
    cf_pickle_tensor *tensor;   // TENSOR, STORAGE
    cf_pickle_value *next_made; // chain of all values, for releasing
};

typedef struct cf_pickle {
    cf_pickle_value *root, *made;
} cf_pickle;

// `data` must stay valid as long as the result. Time and memory are proportional to size, and
// bounded. Release in any case.
cfine_status cf_unpickle(const uint8_t *data, size_t size, cf_pickle *out, cfine_error *err);
void cf_pickle_release(cf_pickle *pickle);

// The value of a text key in a dictionary, or NULL (also where `dict` is no dictionary).
const cf_pickle_value *cf_pickle_get(const cf_pickle_value *dict, const char *key);

#endif
