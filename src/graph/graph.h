// SPDX-License-Identifier: Apache-2.0
// A graph: nodes in an order that respects their inputs, and the values that flow between them.
//
// Every node has one output value. Shapes are per image; the batch appears only in the plan. Errors are sticky: the
// first one is kept, later calls do nothing and return CF_NONE, so that model code reads as a list of operators and
// asks once at the end (cf_graph_check).
#ifndef CF_GRAPH_GRAPH_H
#define CF_GRAPH_GRAPH_H

#include <stdio.h>

#include "base/status.h"
#include "graph/op.h"

enum { CF_NONE = -1 };

typedef struct cf_value {
    int32_t h, w, c;
    int32_t node;   // the producer
    cf_dtype dtype; // F32 until the precision pass
    float scale;    // quantised values, and the image: real = scale * (stored - zero)
    int32_t zero;
} cf_value;

typedef struct cf_node {
    cf_op op;
    char *name; // where in the network: "backbone.stages.0.blocks.0.layers.3"
    cf_attr attr;
    int32_t inputs[CF_MAX_INPUTS], input_count;
    int32_t output;                          // value
    cf_constant constants[CF_MAX_CONSTANTS]; // owned by the graph
    int32_t dead;                            // 1: removed by a pass; skipped everywhere
} cf_node;

typedef struct cf_graph {
    cf_node *nodes;
    cf_value *values;
    int32_t node_count, node_capacity, value_count, value_capacity;
    int32_t input;         // the image, [h, w, 3], or [h, w, 4] in bf16
    int32_t logits, boxes; // outputs: [queries, labels] and [queries, 4]
    cfine_status status;   // of the first error
    cfine_error error;
} cf_graph;

cfine_status cf_graph_create(cf_graph **out, cfine_error *err);
void cf_graph_destroy(cf_graph *graph); // NULL is allowed

// Appends a node and returns its output value, or CF_NONE. attr may be NULL where the operator has no attributes. The
// graph takes over the constants (also when it fails). name is a printf format.
int32_t cf_graph_add(cf_graph *graph, cf_op op, const cf_attr *attr, const int32_t *inputs, int32_t input_count,
                     const cf_constant *constants, int32_t constant_count, const char *name, ...)
    __attribute__((format(printf, 8, 9)));

// Appends the input node.
int32_t cf_graph_add_input(cf_graph *graph, int32_t h, int32_t w, int32_t c);

// Records an error (the first one stays) and returns CF_NONE.
int32_t cf_graph_fail(cf_graph *graph, cfine_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The first error, if any; else checks that every input exists before its use and every shape follows from shape.c.
cfine_status cf_graph_check(const cf_graph *graph, cfine_error *err);

// A constant of this shape with zeroed data; data is NULL (and the graph failed) when memory runs out.
cf_constant cf_constant_create(cf_graph *graph, int32_t rank, const int32_t *shape);
int64_t cf_constant_count(const cf_constant *constant);
void cf_constant_release(cf_constant *constant);

// The shape rule of the node's operator: fills *out from inputs, attributes and constants, or says why it cannot be.
cfine_status cf_shape_infer(const cf_graph *graph, const cf_node *node, cf_value *out, cfine_error *err);

// How many live nodes read a value; graph outputs count as one more reader.
int32_t cf_graph_uses(const cf_graph *graph, int32_t value);
// Makes every reader of `from` (and the graph outputs) read `to` instead.
void cf_graph_replace(cf_graph *graph, int32_t from, int32_t to);
static inline cf_node *cf_graph_producer(const cf_graph *graph, int32_t value) {
    return &graph->nodes[graph->values[value].node];
}
// Marks nodes that no output needs as dead.
void cf_graph_drop_unused(cf_graph *graph);
// Moves live nodes together and renumbers nothing else; call after passes that killed nodes.
void cf_graph_compact(cf_graph *graph);

// Multiply-adds count as two; elementwise work is not counted.
double cf_node_flops(const cf_graph *graph, const cf_node *node);

// One line a node: name, operator, shapes, attributes.
void cf_graph_print(const cf_graph *graph, FILE *stream);

#endif
