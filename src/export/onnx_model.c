// SPDX-License-Identifier: Apache-2.0
// The parts of an ONNX file by their numbers in onnx.proto, and the file as a whole.
#include "export/onnx_model.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "base/memory.h"

enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTR_NAME = 1, ATTR_F = 2, ATTR_I = 3, ATTR_S = 4, ATTR_INTS = 8, ATTR_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_STRING = 3, TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };

cf_onnx_name cf_onnx_named(const char *name) {
    cf_onnx_name out;
    snprintf(out.text, sizeof out.text, "%s", name);
    return out;
}

// "<where>/<label>_<number>", cut in front where it would be too long.
static cf_onnx_name new_name(cf_onnx *model, const char *label) {
    cf_onnx_name out;
    snprintf(out.text, sizeof out.text, "%.150s/%.40s_%d", model->where ? model->where : "", label, model->number++);
    return out;
}

void cf_onnx_release(cf_onnx *model) {
    for (int i = 0; i < model->constant_count; i++) {
        cf_free(model->constants[i].name);
        if (model->constants[i].owned) cf_free((void *)model->constants[i].data);
    }
    cf_free(model->constants);
    cf_protobuf_release(&model->nodes);
    cf_protobuf_release(&model->inputs);
    cf_protobuf_release(&model->outputs);
    memset(model, 0, sizeof *model);
}

// ---------------------------------------------------------------------------------------------------------------------
// Nodes

static void put_attr(cf_protobuf *node, const cf_onnx_attr *attr) {
    static const int types[] = {TYPE_INT, TYPE_FLOAT, TYPE_STRING, TYPE_INTS};
    cf_protobuf out = {0};
    cf_protobuf_text(&out, ATTR_NAME, attr->name);
    switch (attr->kind) {
    case CF_ONNX_INT: cf_protobuf_int(&out, ATTR_I, attr->i); break;
    case CF_ONNX_FLOAT: cf_protobuf_float(&out, ATTR_F, attr->f); break;
    case CF_ONNX_TEXT: cf_protobuf_text(&out, ATTR_S, attr->s); break;
    case CF_ONNX_INTS:
        for (int i = 0; i < attr->count; i++) cf_protobuf_int(&out, ATTR_INTS, attr->ints[i]);
        break;
    }
    cf_protobuf_int(&out, ATTR_TYPE, types[attr->kind]);
    cf_protobuf_message(node, NODE_ATTRIBUTE, &out);
    cf_protobuf_release(&out);
}

static void put_node(cf_onnx *model, const char *op, const cf_onnx_name *inputs, int input_count,
                     const cf_onnx_name *outputs, int output_count, const cf_onnx_attr *attrs, int attr_count) {
    cf_protobuf out = {0};
    for (int i = 0; i < input_count; i++) cf_protobuf_text(&out, NODE_INPUT, inputs[i].text);
    for (int i = 0; i < output_count; i++) cf_protobuf_text(&out, NODE_OUTPUT, outputs[i].text);
    cf_protobuf_text(&out, NODE_NAME, outputs[0].text);
    cf_protobuf_text(&out, NODE_OP, op);
    for (int i = 0; i < attr_count; i++) put_attr(&out, &attrs[i]);
    cf_protobuf_message(&model->nodes, GRAPH_NODE, &out);
    cf_protobuf_release(&out);
}

cf_onnx_name cf_onnx_node(cf_onnx *model, const char *op, const cf_onnx_name *inputs, int input_count,
                          const cf_onnx_attr *attrs, int attr_count, cf_onnx_name *second) {
    cf_onnx_name outputs[2] = {new_name(model, op)};
    if (second) outputs[1] = *second = new_name(model, op);
    put_node(model, op, inputs, input_count, outputs, second ? 2 : 1, attrs, attr_count);
    return outputs[0];
}

cf_onnx_name cf_onnx_1(cf_onnx *model, const char *op, cf_onnx_name a) {
    return cf_onnx_node(model, op, &a, 1, NULL, 0, NULL);
}

cf_onnx_name cf_onnx_2(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_name b) {
    return cf_onnx_node(model, op, (cf_onnx_name[]){a, b}, 2, NULL, 0, NULL);
}

cf_onnx_name cf_onnx_3(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_name b, cf_onnx_name c) {
    return cf_onnx_node(model, op, (cf_onnx_name[]){a, b, c}, 3, NULL, 0, NULL);
}

cf_onnx_name cf_onnx_1a(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_attr attr) {
    return cf_onnx_node(model, op, &a, 1, &attr, 1, NULL);
}

cf_onnx_name cf_onnx_2a(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_name b, cf_onnx_attr attr) {
    return cf_onnx_node(model, op, (cf_onnx_name[]){a, b}, 2, &attr, 1, NULL);
}

cf_onnx_name cf_onnx_cast(cf_onnx *model, cf_onnx_name x, cf_onnx_type to) {
    return cf_onnx_1a(model, "Cast", x, CF_ONNX_I("to", to));
}

// ---------------------------------------------------------------------------------------------------------------------
// Constants

static cf_onnx_name add_constant(cf_onnx *model, cf_onnx_constant constant, const char *label) {
    cf_onnx_name name = new_name(model, label);
    constant.name = cf_strdup(name.text);
    if (model->constant_count == model->constant_capacity) {
        int capacity = model->constant_capacity ? 2 * model->constant_capacity : 256;
        cf_onnx_constant *grown = cf_realloc(model->constants, (size_t)capacity, sizeof *grown);
        if (grown) {
            model->constants = grown;
            model->constant_capacity = capacity;
        }
    }
    if (!constant.name || !constant.data || model->constant_count == model->constant_capacity) {
        model->failed = 1;
        cf_free(constant.name);
        if (constant.owned) cf_free((void *)constant.data);
        return name;
    }
    model->constants[model->constant_count++] = constant;
    return name;
}

// The floats of a constant as FP16. What is beyond its range becomes its greatest number: an infinity that meets a zero
// would be NaN.
static void store_half(cf_onnx_constant *constant) {
    const float *from = constant->data, most = 65504;
    size_t count = constant->bytes / sizeof *from;
    uint16_t *to = cf_alloc(count, sizeof *to);
    for (size_t i = 0; i < count && from && to; i++)
        to[i] = cf_f32_to_f16(from[i] > most ? most : from[i] < -most ? -most : from[i]);
    if (constant->owned) cf_free((void *)constant->data);
    if (!from) cf_free(to), to = NULL; // no memory for what it was to be made of
    constant->type = CF_ONNX_F16;
    constant->data = to;
    constant->bytes = count * sizeof *to;
    constant->owned = 1;
}

cf_onnx_name cf_onnx_weight(cf_onnx *model, const char *label, const float *data, int owned, int rank,
                            const int64_t *dims) {
    cf_onnx_constant constant = {
        .type = CF_ONNX_F32, .rank = rank, .data = data, .bytes = sizeof *data, .owned = owned};
    for (int i = 0; i < rank; i++) {
        constant.dims[i] = dims[i];
        constant.bytes *= (size_t)dims[i];
    }
    if (model->half) store_half(&constant);
    return add_constant(model, constant, label);
}

// A constant of the same bytes and rank, so that small ones are stored once.
static const cf_onnx_constant *find_constant(const cf_onnx *model, const cf_onnx_constant *like) {
    for (int i = 0; i < model->constant_count; i++) {
        const cf_onnx_constant *other = &model->constants[i];
        if (other->type == like->type && other->rank == like->rank && other->bytes == like->bytes &&
            memcmp(other->data, like->data, like->bytes) == 0)
            return other;
    }
    return NULL;
}

static cf_onnx_name small_constant(cf_onnx *model, cf_onnx_constant constant) {
    const cf_onnx_constant *found = find_constant(model, &constant);
    if (found) return cf_onnx_named(found->name);
    void *copy = cf_alloc(constant.bytes, 1);
    if (copy) memcpy(copy, constant.data, constant.bytes);
    constant.data = copy;
    constant.owned = 1;
    const char *where = model->where;
    model->where = "constants";
    cf_onnx_name name = add_constant(model, constant, constant.type == CF_ONNX_I64 ? "ints" : "scalar");
    model->where = where;
    return name;
}

cf_onnx_name cf_onnx_scalar(cf_onnx *model, float value) {
    uint16_t half = cf_f32_to_f16(value);
    if (model->half)
        return small_constant(model, (cf_onnx_constant){.type = CF_ONNX_F16, .data = &half, .bytes = sizeof half});
    return small_constant(model, (cf_onnx_constant){.type = CF_ONNX_F32, .data = &value, .bytes = sizeof value});
}

cf_onnx_name cf_onnx_ints(cf_onnx *model, int count, const int64_t *values) {
    return small_constant(
        model,
        (cf_onnx_constant){
            .type = CF_ONNX_I64, .rank = 1, .dims = {count}, .data = values, .bytes = (size_t)count * sizeof *values});
}

// ---------------------------------------------------------------------------------------------------------------------
// Inputs, outputs, the file

static void put_value(cf_protobuf *graph, int field, const char *name, cf_onnx_type element, int rank,
                      const int64_t *dims) {
    cf_protobuf shape = {0}, tensor = {0}, type = {0}, value = {0};
    for (int i = 0; i < rank; i++) {
        cf_protobuf dim = {0};
        if (dims[i])
            cf_protobuf_int(&dim, DIM_VALUE, dims[i]);
        else
            cf_protobuf_text(&dim, DIM_PARAM, "batch");
        cf_protobuf_message(&shape, SHAPE_DIM, &dim);
        cf_protobuf_release(&dim);
    }
    cf_protobuf_int(&tensor, TENSOR_ELEMENT, element);
    cf_protobuf_message(&tensor, TENSOR_SHAPE, &shape);
    cf_protobuf_message(&type, TYPE_TENSOR, &tensor);
    cf_protobuf_text(&value, VALUE_NAME, name);
    cf_protobuf_message(&value, VALUE_TYPE, &type);
    cf_protobuf_message(graph, field, &value);
    cf_protobuf_release(&shape);
    cf_protobuf_release(&tensor);
    cf_protobuf_release(&type);
    cf_protobuf_release(&value);
}

void cf_onnx_input(cf_onnx *model, const char *name, cf_onnx_type type, int rank, const int64_t *dims) {
    put_value(&model->inputs, GRAPH_INPUT, name, type, rank, dims);
}

void cf_onnx_output(cf_onnx *model, const char *name, cf_onnx_name value, cf_onnx_type type, int rank,
                    const int64_t *dims) {
    cf_onnx_name out = cf_onnx_named(name);
    put_node(model, "Identity", &value, 1, &out, 1, NULL, 0);
    put_value(&model->outputs, GRAPH_OUTPUT, name, type, rank, dims);
}

// The field of a constant in the graph without its data, which follow it.
static void put_initializer(cf_protobuf *out, const cf_onnx_constant *constant) {
    cf_protobuf tensor = {0};
    for (int i = 0; i < constant->rank; i++) cf_protobuf_int(&tensor, TENSOR_DIMS, constant->dims[i]);
    cf_protobuf_int(&tensor, TENSOR_TYPE, constant->type);
    cf_protobuf_text(&tensor, TENSOR_NAME, constant->name);
    cf_protobuf_head(&tensor, TENSOR_RAW, constant->bytes);
    cf_protobuf_head(out, GRAPH_INITIALIZER, tensor.size + constant->bytes);
    cf_protobuf_append(out, tensor.data, tensor.size);
    out->failed |= tensor.failed;
    cf_protobuf_release(&tensor);
}

// Bytes of all initializers within the graph.
static size_t initializer_bytes(const cf_onnx *model, int *failed) {
    size_t bytes = 0;
    for (int i = 0; i < model->constant_count; i++) {
        cf_protobuf head = {0};
        put_initializer(&head, &model->constants[i]);
        bytes += head.size + model->constants[i].bytes;
        *failed |= head.failed;
        cf_protobuf_release(&head);
    }
    return bytes;
}

static cfine_status write_message(cf_writer *writer, const cf_protobuf *message, cfine_error *err) {
    if (message->failed) return cf_fail(err, CFINE_ERROR_MEMORY, "out of memory while writing an ONNX file");
    return cf_writer_write(writer, message->data, message->size, err);
}

static cfine_status write_initializers(const cf_onnx *model, cf_writer *writer, cfine_error *err) {
    for (int i = 0; i < model->constant_count; i++) {
        cf_protobuf head = {0};
        put_initializer(&head, &model->constants[i]);
        cfine_status status = write_message(writer, &head, err);
        cf_protobuf_release(&head);
        if (status == CFINE_OK)
            status = cf_writer_write(writer, model->constants[i].data, model->constants[i].bytes, err);
        if (status != CFINE_OK) return status;
    }
    return CFINE_OK;
}

static cfine_status write_parts(const cf_onnx *model, const cf_protobuf *head, cf_writer *writer, cfine_error *err) {
    CF_TRY(write_message(writer, head, err));
    CF_TRY(write_message(writer, &model->nodes, err));
    CF_TRY(write_initializers(model, writer, err));
    CF_TRY(write_message(writer, &model->inputs, err));
    return write_message(writer, &model->outputs, err);
}

// Everything in front of the nodes: what the file is, and the begin of the graph.
static void put_file_head(cf_protobuf *out, const char *graph_name, size_t graph_bytes) {
    cf_protobuf opset = {0}, name = {0};
    cf_protobuf_text(&opset, OPSET_DOMAIN, "");
    cf_protobuf_int(&opset, OPSET_VERSION, CF_ONNX_OPSET);
    cf_protobuf_text(&name, GRAPH_NAME, graph_name);
    cf_protobuf_int(out, MODEL_IR, CF_ONNX_IR);
    cf_protobuf_text(out, MODEL_PRODUCER, "cfine");
    cf_protobuf_text(out, MODEL_PRODUCER_VERSION, cfine_version());
    cf_protobuf_message(out, MODEL_OPSET, &opset);
    cf_protobuf_head(out, MODEL_GRAPH, graph_bytes + name.size);
    cf_protobuf_append(out, name.data, name.size);
    out->failed |= name.failed;
    cf_protobuf_release(&opset);
    cf_protobuf_release(&name);
}

cfine_status cf_onnx_save(const cf_onnx *model, const char *graph_name, const char *path, cfine_error *err) {
    int failed = model->failed || model->nodes.failed || model->inputs.failed || model->outputs.failed;
    size_t bytes = model->nodes.size + model->inputs.size + model->outputs.size + initializer_bytes(model, &failed);
    if (failed) return cf_fail(err, CFINE_ERROR_MEMORY, "out of memory while making an ONNX model");
    if (bytes > INT32_MAX - 4096)
        return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "%s: %zu bytes are beyond the 2 GiB that an ONNX file can have",
                       path, bytes);
    cf_protobuf head = {0};
    put_file_head(&head, graph_name, bytes);
    cf_writer writer;
    cfine_status status = cf_writer_open(&writer, path, err);
    if (status == CFINE_OK) {
        status = write_parts(model, &head, &writer, err);
        if (status == CFINE_OK)
            status = cf_writer_commit(&writer, err);
        else
            cf_writer_abort(&writer);
    }
    cf_protobuf_release(&head);
    return status;
}
