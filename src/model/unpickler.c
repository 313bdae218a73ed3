// SPDX-License-Identifier: Apache-2.0
// A stack machine for the opcodes that torch.save writes (protocols 2 to 5). One opcode makes at most one value or
// moves values from the stack into a container, so that time and memory are bounded by the length of the pickle;
// containers refer to their items and are never walked here, so that recursive ones do no harm.
#include "model/unpickler.h"

#include <string.h>

#include "base/memory.h"

// A checkpoint with its optimizer's state has some 200,000 values.
enum { MAX_STACK = 1 << 20, MAX_VALUES = 1 << 21 };

// What a GLOBAL may name.
typedef enum known_global {
    ORDERED_DICT,
    COUNTER,
    REBUILD_TENSOR,
    REBUILD_PARAMETER,
    SIZE,
    STORAGE_CLASS
} known_global;

static const struct {
    const char *module, *name;
    known_global what;
    cf_weight_type type; // of a STORAGE_CLASS
} globals[] = {
    {"collections", "OrderedDict", ORDERED_DICT, 0},
    {"collections", "Counter", COUNTER, 0}, // milestones of a learning-rate schedule
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, 0},
    {"torch", "Size", SIZE, 0},
    {"torch", "FloatStorage", STORAGE_CLASS, CF_WEIGHT_F32},
    {"torch", "HalfStorage", STORAGE_CLASS, CF_WEIGHT_F16},
    {"torch", "BFloat16Storage", STORAGE_CLASS, CF_WEIGHT_BF16},
    {"torch", "DoubleStorage", STORAGE_CLASS, CF_WEIGHT_F64},
    {"torch", "LongStorage", STORAGE_CLASS, CF_WEIGHT_I64},
    {"torch", "IntStorage", STORAGE_CLASS, CF_WEIGHT_I32},
    {"torch", "ShortStorage", STORAGE_CLASS, CF_WEIGHT_I16},
    {"torch", "CharStorage", STORAGE_CLASS, CF_WEIGHT_I8},
    {"torch", "ByteStorage", STORAGE_CLASS, CF_WEIGHT_U8},
    {"torch", "BoolStorage", STORAGE_CLASS, CF_WEIGHT_BOOL},
};

typedef struct machine {
    const uint8_t *data;
    size_t size, at;
    cf_pickle *pickle;
    cf_pickle_value **stack, **memo;
    size_t depth, stack_capacity, memo_count, memo_next; // memo_next: where MEMOIZE stores
    size_t made;
    cfine_error *err;
} machine;

static cfine_status damaged(machine *m, const char *what) {
    return cf_fail(m->err, CFINE_ERROR_FORMAT, "the pickle is damaged at byte %zu: %s", m->at, what);
}

static cfine_status no_memory(machine *m) {
    if (m->made > MAX_VALUES)
        return cf_fail(m->err, CFINE_ERROR_UNSUPPORTED, "the pickle has more than %d values", MAX_VALUES);
    return cf_fail_memory(m->err, "the pickle's values", m->size);
}

// ---------------------------------------------------------------------------------------------------------------------
// Values, stack, memo

// NULL when out of memory or beyond the limit, which push and its callers report.
static cf_pickle_value *make(machine *m, cf_pickle_kind kind) {
    if (++m->made > MAX_VALUES) return NULL;
    cf_pickle_value *value = cf_alloc(1, sizeof *value);
    if (!value) return NULL;
    value->kind = kind;
    value->next_made = m->pickle->made;
    m->pickle->made = value;
    return value;
}

static cfine_status push(machine *m, cf_pickle_value *value) {
    if (!value) return no_memory(m);
    if (m->depth == m->stack_capacity) {
        if (m->depth == MAX_STACK) return damaged(m, "its stack grows without end");
        size_t capacity = m->stack_capacity ? m->stack_capacity * 2 : 256;
        cf_pickle_value **grown = cf_realloc(m->stack, capacity, sizeof *grown);
        if (!grown) return no_memory(m);
        m->stack = grown;
        m->stack_capacity = capacity;
    }
    m->stack[m->depth++] = value;
    return CFINE_OK;
}

// The value `below` places under the top, or NULL; a mark is no value.
static cf_pickle_value *top(const machine *m, size_t below) {
    if (below >= m->depth || m->stack[m->depth - 1 - below]->kind == CF_PICKLE_MARK) return NULL;
    return m->stack[m->depth - 1 - below];
}

// How many values are above the last mark, which must exist.
static cfine_status above_mark(machine *m, size_t *count) {
    for (size_t i = m->depth; i > 0; i--)
        if (m->stack[i - 1]->kind == CF_PICKLE_MARK) {
            *count = m->depth - i;
            return CFINE_OK;
        }
    return damaged(m, "a mark is missing");
}

// Moves the top `count` values of the stack to the end of a container.
static cfine_status take(machine *m, cf_pickle_value *container, size_t count) {
    if (!count) return CFINE_OK;
    size_t needed = container->count + count;
    if (needed > container->capacity) {
        size_t capacity = container->capacity * 2 > needed ? container->capacity * 2 : needed;
        cf_pickle_value **grown = cf_realloc(container->items, capacity, sizeof *grown);
        if (!grown) return no_memory(m);
        container->items = grown;
        container->capacity = capacity;
    }
    memcpy(container->items + container->count, m->stack + m->depth - count, count * sizeof *container->items);
    container->count = needed;
    m->depth -= count;
    return CFINE_OK;
}

static cfine_status remember(machine *m, size_t index) {
    cf_pickle_value *value = top(m, 0);
    if (!value) return damaged(m, "nothing to remember");
    if (index >= m->size) return damaged(m, "a memo index is out of range"); // there cannot be so many values
    if (index >= m->memo_count) {
        size_t count = index < 512 ? 1024 : index * 2;
        cf_pickle_value **grown = cf_realloc(m->memo, count, sizeof *grown);
        if (!grown) return no_memory(m);
        memset(grown + m->memo_count, 0, (count - m->memo_count) * sizeof *grown);
        m->memo = grown;
        m->memo_count = count;
    }
    m->memo[index] = value;
    m->memo_next = index + 1;
    return CFINE_OK;
}

static cfine_status recall(machine *m, size_t index) {
    if (index >= m->memo_count || !m->memo[index]) return damaged(m, "a memo entry is missing");
    return push(m, m->memo[index]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Bytes

static cfine_status get_bytes(machine *m, size_t count, const uint8_t **out) {
    if (count > m->size - m->at) return damaged(m, "it ends too early");
    *out = m->data + m->at;
    m->at += count;
    return CFINE_OK;
}

// A little-endian number of `count` bytes, at most 8.
static cfine_status get_number(machine *m, size_t count, uint64_t *out) {
    const uint8_t *bytes = NULL;
    CF_TRY(get_bytes(m, count, &bytes));
    *out = 0;
    for (size_t i = count; i-- > 0;) *out = *out << 8 | bytes[i];
    return CFINE_OK;
}

// A line without its newline.
static cfine_status get_line(machine *m, const char **text, size_t *length) {
    const uint8_t *start = m->data + m->at, *end = memchr(start, '\n', m->size - m->at);
    if (!end) return damaged(m, "it ends too early");
    *text = (const char *)start;
    *length = (size_t)(end - start);
    m->at += *length + 1;
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// What opcodes do

static cfine_status push_integer(machine *m, int64_t number) {
    cf_pickle_value *value = make(m, CF_PICKLE_INTEGER);
    if (value) {
        value->number = number;
        value->number_fits = 1;
    }
    return push(m, value);
}

// An integer of any length; one of more than 64 bits keeps no value.
static cfine_status push_long(machine *m) {
    uint64_t length = 0;
    const uint8_t *bytes = NULL;
    CF_TRY(get_number(m, 1, &length));
    CF_TRY(get_bytes(m, (size_t)length, &bytes));
    if (length > 8) return push(m, make(m, CF_PICKLE_NOTHING));
    uint64_t number = length && bytes[length - 1] & 0x80 ? UINT64_MAX : 0; // sign
    for (size_t i = (size_t)length; i-- > 0;) number = number << 8 | bytes[i];
    return push_integer(m, (int64_t)number);
}

static cfine_status push_text(machine *m, size_t length_bytes) {
    uint64_t length = 0;
    const uint8_t *bytes = NULL;
    CF_TRY(get_number(m, length_bytes, &length));
    CF_TRY(get_bytes(m, (size_t)length, &bytes));
    cf_pickle_value *value = make(m, CF_PICKLE_TEXT);
    if (value) {
        value->text = (const char *)bytes;
        value->length = (size_t)length;
    }
    return push(m, value);
}

static int same(const char *text, size_t length, const char *expected) {
    return length == strlen(expected) && memcmp(text, expected, length) == 0;
}

static cfine_status push_global(machine *m, const char *module, size_t module_length, const char *name,
                                size_t name_length) {
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (same(module, module_length, globals[i].module) && same(name, name_length, globals[i].name)) {
            cf_pickle_value *value = make(m, CF_PICKLE_GLOBAL);
            if (value) value->number = (int64_t)i;
            return push(m, value);
        }
    return cf_fail(m->err, CFINE_ERROR_UNSUPPORTED,
                   "the pickle names %.*s.%.*s, which is not needed for weights and could run code: refused. Save the "
                   "state dict alone: torch.save({\"model\": model.state_dict()}, path)",
                   module_length > 50 ? 50 : (int)module_length, module, name_length > 50 ? 50 : (int)name_length,
                   name);
}

static cfine_status stack_global(machine *m) {
    const cf_pickle_value *name = top(m, 0), *module = top(m, 1);
    if (!name || !module || name->kind != CF_PICKLE_TEXT || module->kind != CF_PICKLE_TEXT)
        return damaged(m, "a class without a name");
    m->depth -= 2;
    return push_global(m, module->text, module->length, name->text, name->length);
}

// ("storage", class, key, location, count): the data of one or more tensors.
static cfine_status push_storage(machine *m) {
    const cf_pickle_value *id = top(m, 0);
    if (!id || id->kind != CF_PICKLE_TUPLE || id->count != 5 || id->items[0]->kind != CF_PICKLE_TEXT ||
        !same(id->items[0]->text, id->items[0]->length, "storage") || id->items[1]->kind != CF_PICKLE_GLOBAL ||
        globals[id->items[1]->number].what != STORAGE_CLASS || id->items[2]->kind != CF_PICKLE_TEXT ||
        !id->items[4]->number_fits || id->items[4]->number < 0)
        return damaged(m, "a persistent id is not a tensor's storage");
    cf_pickle_value *value = make(m, CF_PICKLE_STORAGE);
    if (!value || !(value->tensor = cf_alloc(1, sizeof *value->tensor))) return no_memory(m);
    value->tensor->type = globals[id->items[1]->number].type;
    value->tensor->storage = id->items[2]->text;
    value->tensor->storage_length = id->items[2]->length;
    value->tensor->storage_count = (size_t)id->items[4]->number;
    m->depth--;
    return push(m, value);
}

// Copies a tuple of sizes or strides; returns 0 where it is none.
static int get_dimensions(const cf_pickle_value *tuple, int64_t *out, int *rank) {
    if (tuple->kind != CF_PICKLE_TUPLE || tuple->count > CF_WEIGHT_MAX_RANK) return 0;
    for (size_t i = 0; i < tuple->count; i++) {
        if (!tuple->items[i]->number_fits || tuple->items[i]->number < 0) return 0;
        out[i] = tuple->items[i]->number;
    }
    *rank = (int)tuple->count;
    return 1;
}

// 1 if every element lies within the storage.
static int is_within(const cf_pickle_tensor *tensor) {
    size_t last = tensor->offset;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] == 0) return 1; // no elements at all
        size_t reach;
        if (__builtin_mul_overflow((size_t)tensor->shape[i] - 1, (size_t)tensor->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return 0;
    }
    return last < tensor->storage_count;
}

// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
static cfine_status rebuild_tensor(machine *m, const cf_pickle_value *arguments, cf_pickle_value **out) {
    if (arguments->count < 4 || arguments->items[0]->kind != CF_PICKLE_STORAGE || !arguments->items[1]->number_fits ||
        arguments->items[1]->number < 0)
        return damaged(m, "a tensor without storage");
    cf_pickle_value *value = make(m, CF_PICKLE_TENSOR);
    if (!value || !(value->tensor = cf_alloc(1, sizeof *value->tensor))) return no_memory(m);
    cf_pickle_tensor *tensor = value->tensor;
    *tensor = *arguments->items[0]->tensor;
    tensor->offset = (size_t)arguments->items[1]->number;
    int strides = 0;
    if (!get_dimensions(arguments->items[2], tensor->shape, &tensor->rank) ||
        !get_dimensions(arguments->items[3], tensor->stride, &strides) || strides != tensor->rank)
        return damaged(m, "a tensor's sizes or strides are wrong");
    if (!is_within(tensor)) return damaged(m, "a tensor reaches beyond its storage");
    *out = value;
    return CFINE_OK;
}

// Calls, or rather understands, function(arguments).
static cfine_status reduce(machine *m) {
    const cf_pickle_value *arguments = top(m, 0), *function = top(m, 1);
    if (!arguments || !function || function->kind != CF_PICKLE_GLOBAL || arguments->kind != CF_PICKLE_TUPLE)
        return damaged(m, "a call of something that is no function");
    cf_pickle_value *result = NULL;
    switch (globals[function->number].what) {
    case ORDERED_DICT:
        if (arguments->count) return damaged(m, "an OrderedDict with arguments");
        result = make(m, CF_PICKLE_DICT);
        break;
    case COUNTER:
    case SIZE: result = arguments->count ? arguments->items[0] : make(m, CF_PICKLE_DICT); break;
    case REBUILD_TENSOR: CF_TRY(rebuild_tensor(m, arguments, &result)); break;
    case REBUILD_PARAMETER:
        if (!arguments->count || arguments->items[0]->kind != CF_PICKLE_TENSOR)
            return damaged(m, "a parameter without a tensor");
        result = arguments->items[0];
        break;
    case STORAGE_CLASS: return damaged(m, "a storage class is called");
    }
    m->depth -= 2;
    return push(m, result);
}

// A new tuple or list of the top `count` values.
static cfine_status gather(machine *m, cf_pickle_kind kind, size_t count, int with_mark) {
    for (size_t i = 0; i < count; i++)
        if (!top(m, i)) return damaged(m, "too few values for a tuple");
    cf_pickle_value *value = make(m, kind);
    if (!value) return no_memory(m);
    CF_TRY(take(m, value, count));
    m->depth -= (size_t)with_mark;
    return push(m, value);
}

static cfine_status gather_marked(machine *m, cf_pickle_kind kind) {
    size_t count = 0;
    CF_TRY(above_mark(m, &count));
    if (kind == CF_PICKLE_DICT && count % 2) return damaged(m, "a dictionary with a key but no value");
    return gather(m, kind, count, 1);
}

// Adds the top `count` values to the container under them (and under the mark).
static cfine_status add_items(machine *m, cf_pickle_kind kind, size_t count, int with_mark) {
    cf_pickle_value *container = top(m, count + (size_t)with_mark);
    if (!container || container->kind != kind) return damaged(m, "items without their container");
    if (kind == CF_PICKLE_DICT && count % 2) return damaged(m, "a dictionary with a key but no value");
    for (size_t i = 0; i < count; i++)
        if (!top(m, i)) return damaged(m, "too few items");
    CF_TRY(take(m, container, count));
    m->depth -= (size_t)with_mark;
    return CFINE_OK;
}

static cfine_status add_marked(machine *m, cf_pickle_kind kind) {
    size_t count = 0;
    CF_TRY(above_mark(m, &count));
    return add_items(m, kind, count, 1);
}

// The state of an object: only an OrderedDict's attributes (its _metadata) occur, and they do not matter.
static cfine_status build(machine *m) {
    const cf_pickle_value *object = top(m, 1);
    if (!top(m, 0) || !object || object->kind != CF_PICKLE_DICT) return damaged(m, "state for something without state");
    m->depth--;
    return CFINE_OK;
}

static cfine_status step(machine *m, uint8_t opcode, int *stop) {
    uint64_t number = 0;
    const uint8_t *bytes = NULL;
    const char *module = NULL, *name = NULL;
    size_t module_length = 0, name_length = 0;
    switch (opcode) {
    case 0x80: // PROTO
        CF_TRY(get_number(m, 1, &number));
        return number >= 2 && number <= 5 ? CFINE_OK : damaged(m, "an unknown protocol");
    case 0x95: return get_bytes(m, 8, &bytes); // FRAME
    case '.': *stop = 1; return CFINE_OK;
    case '(': return push(m, make(m, CF_PICKLE_MARK));
    case 'N':  // NONE
    case 0x88: // NEWTRUE
    case 0x89: // NEWFALSE
        return push(m, make(m, CF_PICKLE_NOTHING));
    case 'G': // BINFLOAT
        CF_TRY(get_bytes(m, 8, &bytes));
        return push(m, make(m, CF_PICKLE_NOTHING));
    case 'J': CF_TRY(get_number(m, 4, &number)); return push_integer(m, (int32_t)(uint32_t)number);
    case 'K': CF_TRY(get_number(m, 1, &number)); return push_integer(m, (int64_t)number);
    case 'M': CF_TRY(get_number(m, 2, &number)); return push_integer(m, (int64_t)number);
    case 0x8a: return push_long(m);
    case 'X': return push_text(m, 4);
    case 0x8c: return push_text(m, 1);
    case 0x8d: return push_text(m, 8);
    case '}': return push(m, make(m, CF_PICKLE_DICT));
    case ']': return push(m, make(m, CF_PICKLE_LIST));
    case ')': return push(m, make(m, CF_PICKLE_TUPLE));
    case 0x85: return gather(m, CF_PICKLE_TUPLE, 1, 0);
    case 0x86: return gather(m, CF_PICKLE_TUPLE, 2, 0);
    case 0x87: return gather(m, CF_PICKLE_TUPLE, 3, 0);
    case 't': return gather_marked(m, CF_PICKLE_TUPLE);
    case 'l': return gather_marked(m, CF_PICKLE_LIST);
    case 'd': return gather_marked(m, CF_PICKLE_DICT);
    case 'a': return add_items(m, CF_PICKLE_LIST, 1, 0);
    case 'e': return add_marked(m, CF_PICKLE_LIST);
    case 's': return add_items(m, CF_PICKLE_DICT, 2, 0);
    case 'u': return add_marked(m, CF_PICKLE_DICT);
    case 'q': CF_TRY(get_number(m, 1, &number)); return remember(m, (size_t)number);
    case 'r': CF_TRY(get_number(m, 4, &number)); return remember(m, (size_t)number);
    case 0x94: return remember(m, m->memo_next); // MEMOIZE
    case 'h': CF_TRY(get_number(m, 1, &number)); return recall(m, (size_t)number);
    case 'j': CF_TRY(get_number(m, 4, &number)); return recall(m, (size_t)number);
    case 'c': // GLOBAL
        CF_TRY(get_line(m, &module, &module_length));
        CF_TRY(get_line(m, &name, &name_length));
        return push_global(m, module, module_length, name, name_length);
    case 0x93: return stack_global(m);
    case 'Q': return push_storage(m); // BINPERSID
    case 'R': return reduce(m);
    case 'b': return build(m);
    default:
        return cf_fail(m->err, CFINE_ERROR_UNSUPPORTED,
                       "the pickle has the opcode 0x%02x at byte %zu, which torch.save does not write for weights: "
                       "refused",
                       opcode, m->at - 1);
    }
}

cfine_status cf_unpickle(const uint8_t *data, size_t size, cf_pickle *out, cfine_error *err) {
    *out = (cf_pickle){0};
    machine m = {.data = data, .size = size, .pickle = out, .err = err};
    cfine_status status = CFINE_OK;
    int stop = 0;
    while (status == CFINE_OK && !stop) {
        if (m.at == size) {
            status = damaged(&m, "it ends without a stop");
            break;
        }
        uint8_t opcode = data[m.at++];
        status = step(&m, opcode, &stop);
    }
    if (status == CFINE_OK && !(out->root = top(&m, 0))) status = damaged(&m, "it has no result");
    cf_free(m.stack);
    cf_free(m.memo);
    return status;
}

void cf_pickle_release(cf_pickle *pickle) {
    for (cf_pickle_value *value = pickle->made; value;) {
        cf_pickle_value *next = value->next_made;
        cf_free(value->items);
        cf_free(value->tensor);
        cf_free(value);
        value = next;
    }
    *pickle = (cf_pickle){0};
}

const cf_pickle_value *cf_pickle_get(const cf_pickle_value *dict, const char *key) {
    if (!dict || dict->kind != CF_PICKLE_DICT) return NULL;
    for (size_t i = dict->count; i >= 2; i -= 2) { // the last one of a key counts
        const cf_pickle_value *candidate = dict->items[i - 2];
        if (candidate->kind == CF_PICKLE_TEXT && same(candidate->text, candidate->length, key))
            return dict->items[i - 1];
    }
    return NULL;
}
