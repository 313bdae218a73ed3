// SPDX-License-Identifier: Apache-2.0
// An ONNX model under construction: nodes are added one after another, each returns the name of what it gives.
//
// Errors (memory) are sticky: cf_onnx_save reports them. Names are values, so that expressions can be nested:
//
//     y = cf_onnx_2(m, "Mul", x, cf_onnx_1(m, "Sigmoid", x));
#ifndef CF_EXPORT_ONNX_MODEL_H
#define CF_EXPORT_ONNX_MODEL_H

#include "base/status.h"
#include "export/protobuf.h"

enum { CF_ONNX_OPSET = 17, CF_ONNX_IR = 8, CF_ONNX_MOST_DIMS = 5, CF_ONNX_NAME_SIZE = 224 };

typedef struct cf_onnx_name {
    char text[CF_ONNX_NAME_SIZE]; // "" where an optional input is absent
} cf_onnx_name;

// An attribute: an integer, a float, a text, or a list of integers, whichever is given.
typedef struct cf_onnx_attr {
    enum { CF_ONNX_INT, CF_ONNX_FLOAT, CF_ONNX_TEXT, CF_ONNX_INTS } kind;
    const char *name;
    int64_t i;
    float f;
    const char *s;
    int64_t ints[4];
    int count;
} cf_onnx_attr;

#define CF_ONNX_I(label, value) ((cf_onnx_attr){.kind = CF_ONNX_INT, .name = label, .i = value})
#define CF_ONNX_F(label, value) ((cf_onnx_attr){.kind = CF_ONNX_FLOAT, .name = label, .f = value})
#define CF_ONNX_S(label, value) ((cf_onnx_attr){.kind = CF_ONNX_TEXT, .name = label, .s = value})
#define CF_ONNX_L(label, n, ...)                                                                                       \
    ((cf_onnx_attr){.kind = CF_ONNX_INTS, .name = label, .ints = {__VA_ARGS__}, .count = n})

// Types of tensors, by their numbers in onnx.proto.
typedef enum cf_onnx_type { CF_ONNX_F32 = 1, CF_ONNX_I64 = 7, CF_ONNX_F16 = 10 } cf_onnx_type;

// A tensor stored in the file.
typedef struct cf_onnx_constant {
    char *name;
    int64_t dims[CF_ONNX_MOST_DIMS];
    int rank;
    cf_onnx_type type;
    const void *data;
    size_t bytes;
    int owned; // 1: data is freed with the model
} cf_onnx_constant;

typedef struct cf_onnx {
    cf_protobuf nodes, inputs, outputs; // of the GraphProto
    cf_onnx_constant *constants;
    int constant_count, constant_capacity;
    int number;        // of nodes and constants: makes names unique
    const char *where; // the part of the network that is being written; becomes part of names
    int half;          // 1: floats that are added are stored as FP16
    int failed;
} cf_onnx;

void cf_onnx_release(cf_onnx *model);

// Adds a node with 1..2 outputs and returns the first's name; second (or NULL) takes the other's.
cf_onnx_name cf_onnx_node(cf_onnx *model, const char *op, const cf_onnx_name *inputs, int input_count,
                          const cf_onnx_attr *attrs, int attr_count, cf_onnx_name *second);
// The usual ones: inputs alone, or one input with an attribute.
cf_onnx_name cf_onnx_1(cf_onnx *model, const char *op, cf_onnx_name a);
cf_onnx_name cf_onnx_2(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_name b);
cf_onnx_name cf_onnx_3(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_name b, cf_onnx_name c);
cf_onnx_name cf_onnx_1a(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_attr attr);
cf_onnx_name cf_onnx_2a(cf_onnx *model, const char *op, cf_onnx_name a, cf_onnx_name b, cf_onnx_attr attr);

cf_onnx_name cf_onnx_cast(cf_onnx *model, cf_onnx_name x, cf_onnx_type to);

// Constants. Data of cf_onnx_weight must live as long as the model; the others copy. owned = 1 hands it over.
cf_onnx_name cf_onnx_weight(cf_onnx *model, const char *label, const float *data, int owned, int rank,
                            const int64_t *dims);
cf_onnx_name cf_onnx_scalar(cf_onnx *model, float value);
cf_onnx_name cf_onnx_ints(cf_onnx *model, int count, const int64_t *values); // one dimension

cf_onnx_name cf_onnx_named(const char *name);

// Declares an input or output of the model; dims[0] = 0 is the free dimension "batch".
void cf_onnx_input(cf_onnx *model, const char *name, cf_onnx_type type, int rank, const int64_t *dims);
// The node that gives an output its name.
void cf_onnx_output(cf_onnx *model, const char *name, cf_onnx_name value, cf_onnx_type type, int rank,
                    const int64_t *dims);

// Writes the file, under a temporary name until it is complete.
cfine_status cf_onnx_save(const cf_onnx *model, const char *graph_name, const char *path, cfine_error *err);

#endif
