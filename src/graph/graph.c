// SPDX-License-Identifier: Apache-2.0
#include "graph/graph.h"

#include <stdarg.h>
#include <string.h>

#include "base/memory.h"

cfine_status cf_graph_create(cf_graph **out, cfine_error *err) {
    *out = cf_alloc(1, sizeof **out);
    if (!*out) return cf_fail_memory(err, "graph", sizeof **out);
    (*out)->input = (*out)->logits = (*out)->boxes = CF_NONE;
    return CFINE_OK;
}

void cf_constant_release(cf_constant *constant) {
    cf_free(constant->data);
    constant->data = NULL;
}

static void release_node(cf_node *node) {
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) cf_constant_release(&node->constants[i]);
    cf_free(node->name);
    node->name = NULL;
}

void cf_graph_destroy(cf_graph *graph) {
    if (!graph) return;
    for (int i = 0; i < graph->node_count; i++) release_node(&graph->nodes[i]);
    cf_free(graph->nodes);
    cf_free(graph->values);
    cf_free(graph);
}

int32_t cf_graph_fail(cf_graph *graph, cfine_status status, const char *format, ...) {
    if (graph->status == CFINE_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(graph->error.message, sizeof graph->error.message, format, args);
        va_end(args);
        graph->status = graph->error.status = status;
    }
    return CF_NONE;
}

// Makes room for one more element of a growing array.
static int reserve(void **array, int32_t count, int32_t *capacity, size_t size) {
    if (count < *capacity) return 1;
    int32_t wanted = *capacity ? *capacity * 2 : 256;
    void *grown = cf_realloc(*array, (size_t)wanted, size);
    if (!grown) return 0;
    *array = grown;
    *capacity = wanted;
    return 1;
}

static char *format_name(const char *format, va_list args) {
    char text[256];
    vsnprintf(text, sizeof text, format, args);
    return cf_strdup(text);
}

static int32_t append(cf_graph *graph, cf_node node, const char *format, va_list args) {
    if (graph->status == CFINE_OK) {
        for (int i = 0; i < node.input_count; i++)
            if (node.inputs[i] < 0 || node.inputs[i] >= graph->value_count)
                cf_graph_fail(graph, CFINE_ERROR_INTERNAL, "%s: input %d does not exist", cf_op_name(node.op), i);
        if (graph->status == CFINE_OK &&
            (!reserve((void **)&graph->nodes, graph->node_count, &graph->node_capacity, sizeof *graph->nodes) ||
             !reserve((void **)&graph->values, graph->value_count, &graph->value_capacity, sizeof *graph->values)))
            cf_graph_fail(graph, CFINE_ERROR_MEMORY, "out of memory: graph with %d nodes", graph->node_count);
    }
    cf_value value = {0};
    if (graph->status == CFINE_OK) {
        node.name = format_name(format, args);
        if (!node.name) cf_graph_fail(graph, CFINE_ERROR_MEMORY, "out of memory: graph");
    }
    if (graph->status == CFINE_OK) {
        cfine_error error;
        cfine_status status = cf_shape_infer(graph, &node, &value, &error);
        if (status != CFINE_OK) cf_graph_fail(graph, status, "%s: %s", node.name, error.message);
    }
    if (graph->status != CFINE_OK) {
        release_node(&node);
        return CF_NONE;
    }
    value.node = graph->node_count;
    value.scale = 1;
    node.output = graph->value_count;
    graph->nodes[graph->node_count++] = node;
    graph->values[graph->value_count] = value;
    return graph->value_count++;
}

int32_t cf_graph_add(cf_graph *graph, cf_op op, const cf_attr *attr, const int32_t *inputs, int32_t input_count,
                     const cf_constant *constants, int32_t constant_count, const char *name, ...) {
    cf_node node = {.op = op, .input_count = input_count};
    if (attr) node.attr = *attr;
    for (int i = 0; i < input_count; i++) node.inputs[i] = inputs[i];
    for (int i = 0; i < constant_count; i++) node.constants[i] = constants[i];
    va_list args;
    va_start(args, name);
    int32_t value = append(graph, node, name, args);
    va_end(args);
    return value;
}

int32_t cf_graph_add_input(cf_graph *graph, int32_t h, int32_t w, int32_t c) {
    graph->input = cf_graph_add(graph, CF_OP_INPUT, NULL, NULL, 0, NULL, 0, "image");
    if (graph->input == CF_NONE) return CF_NONE;
    cf_value *value = &graph->values[graph->input];
    value->h = h;
    value->w = w;
    value->c = c;
    return graph->input;
}

int64_t cf_constant_count(const cf_constant *constant) {
    int64_t count = 1;
    for (int i = 0; i < constant->rank; i++) count *= constant->shape[i];
    return count;
}

cf_constant cf_constant_create(cf_graph *graph, int32_t rank, const int32_t *shape) {
    cf_constant constant = {.rank = rank};
    for (int i = 0; i < rank; i++) constant.shape[i] = shape[i];
    if (graph->status != CFINE_OK) return constant;
    size_t count = (size_t)cf_constant_count(&constant);
    constant.data = cf_alloc(count, sizeof(float));
    if (!constant.data) cf_graph_fail(graph, CFINE_ERROR_MEMORY, "out of memory: %zu bytes of weights", count * 4);
    return constant;
}

cfine_status cf_graph_check(const cf_graph *graph, cfine_error *err) {
    if (graph->status != CFINE_OK) return cf_fail(err, graph->status, "%s", graph->error.message);
    for (int i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->input_count; k++) {
            const cf_node *source = cf_graph_producer(graph, node->inputs[k]);
            if (source->dead || source - graph->nodes >= i)
                return cf_fail(err, CFINE_ERROR_INTERNAL, "graph: %s reads %s before it is made", node->name,
                               source->name);
        }
        if (node->op == CF_OP_INPUT) continue;
        cf_value expected = {0};
        CF_TRY(cf_shape_infer(graph, node, &expected, err));
        const cf_value *value = &graph->values[node->output];
        if (value->h != expected.h || value->w != expected.w || value->c != expected.c)
            return cf_fail(err, CFINE_ERROR_INTERNAL, "graph: %s is %dx%dx%d, should be %dx%dx%d", node->name, value->h,
                           value->w, value->c, expected.h, expected.w, expected.c);
    }
    return CFINE_OK;
}

int32_t cf_graph_uses(const cf_graph *graph, int32_t value) {
    int32_t uses = (graph->logits == value) + (graph->boxes == value);
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].input_count && !graph->nodes[i].dead; k++)
            uses += graph->nodes[i].inputs[k] == value;
    return uses;
}

void cf_graph_replace(cf_graph *graph, int32_t from, int32_t to) {
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            if (graph->nodes[i].inputs[k] == from) graph->nodes[i].inputs[k] = to;
    if (graph->logits == from) graph->logits = to;
    if (graph->boxes == from) graph->boxes = to;
}

void cf_graph_drop_unused(cf_graph *graph) {
    for (int i = graph->node_count - 1; i >= 0; i--) { // readers come later, so one walk backwards is enough
        cf_node *node = &graph->nodes[i];
        if (!node->dead && node->op != CF_OP_INPUT && cf_graph_uses(graph, node->output) == 0) node->dead = 1;
    }
}

void cf_graph_compact(cf_graph *graph) {
    int32_t kept = 0;
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].dead) {
            release_node(&graph->nodes[i]);
            continue;
        }
        graph->nodes[kept] = graph->nodes[i];
        graph->values[graph->nodes[kept].output].node = kept;
        kept++;
    }
    graph->node_count = kept;
}

double cf_node_flops(const cf_graph *graph, const cf_node *node) {
    const cf_value *out = &graph->values[node->output];
    double pixels = (double)out->h * out->w;
    if (node->op == CF_OP_CONV) {
        const cf_constant *weight = &node->constants[0];
        return 2 * pixels * out->c * weight->shape[1] * weight->shape[2] * weight->shape[3];
    }
    if (node->op == CF_OP_ATTENTION) {
        const cf_value *keys = &graph->values[node->inputs[1]];
        return 4 * pixels * keys->h * keys->w * out->c;
    }
    return 0;
}

void cf_graph_print(const cf_graph *graph, FILE *stream) {
    for (int i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        const cf_value *out = &graph->values[node->output];
        fprintf(stream, "%%%-4d %-11s [%d,%d,%d]", node->output, cf_op_name(node->op), out->h, out->w, out->c);
        for (int k = 0; k < node->input_count; k++) fprintf(stream, "%s%%%d", k ? ", " : "  <- ", node->inputs[k]);
        if (node->op == CF_OP_CONV) {
            const cf_conv_attr *conv = &node->attr.conv;
            fprintf(stream, "  %dx%d", conv->kernel_h, conv->kernel_w);
            if (conv->stride > 1) fprintf(stream, " stride %d", conv->stride);
            if (conv->groups > 1) fprintf(stream, " groups %d", conv->groups);
            if (conv->coarse) fprintf(stream, " +upsampled");
            if (conv->act) fprintf(stream, " %s", cf_act_name((cf_act)conv->act));
            if (conv->affine) fprintf(stream, " *%g%+g", (double)conv->scale, (double)conv->shift);
        } else if (node->op == CF_OP_ACTIVATION) {
            fprintf(stream, "  %s", cf_act_name((cf_act)node->attr.activation.act));
        }
        fprintf(stream, "  # %s\n", node->name);
    }
    fprintf(stream, "logits %%%d\nboxes  %%%d\n", graph->logits, graph->boxes);
}
