// SPDX-License-Identifier: Apache-2.0
// Rounds odd channel counts between convolutions up to a multiple of 8, so that every kernel sees full groups: N's
// fusion blocks have 21 channels, DEIMv2-Atto's 10.
//
// The added filters are zero, so the added channels hold the activation of 0 (or a shift); convolutions that read them
// get zero weights there, so nothing changes. Only values that end in convolutions are touched.
#include <string.h>

#include "base/memory.h"
#include "graph/passes/passes.h"

enum { UNIT = 8 };

typedef struct pad_state {
    cf_graph *graph;
    uint8_t *padded;    // by value: 1 if it may be padded
    int32_t *old_count; // by value: channels before
} pad_state;

static int32_t round_up(int32_t channels) {
    return (channels + UNIT - 1) / UNIT * UNIT;
}

// Operators that work channel by channel, so that padding passes through.
static int passes_through(const cf_node *node) {
    switch (node->op) {
    case CF_OP_ACTIVATION:
    case CF_OP_SCALE_SHIFT:
    case CF_OP_UPSAMPLE:
    case CF_OP_MAX_POOL:
    case CF_OP_AVG_POOL: return 1;
    case CF_OP_ADD: return node->input_count == 2; // of equal shapes: all_inputs_padded
    default: return 0;
    }
}

static int makes_padding(const cf_node *node) {
    return node->op == CF_OP_CONV && node->attr.conv.groups == 1 && node->input_count == 1;
}

static int all_inputs_padded(const pad_state *s, const cf_node *node) {
    for (int k = 0; k < node->input_count; k++)
        if (!s->padded[node->inputs[k]] || s->old_count[node->inputs[k]] != s->old_count[node->inputs[0]]) return 0;
    return 1;
}

// 1 if this reader is content with a padded input.
static int reader_accepts(const pad_state *s, const cf_node *reader) {
    if (reader->op == CF_OP_CONV) return reader->attr.conv.groups == 1 && reader->input_count == 1;
    if (reader->op == CF_OP_CONCAT) { // whose own readers must all be convolutions
        for (int32_t i = 0; i < s->graph->node_count; i++) {
            const cf_node *next = &s->graph->nodes[i];
            for (int k = 0; k < next->input_count && !next->dead; k++)
                if (next->inputs[k] == reader->output && !makes_padding(next)) return 0;
        }
        return reader->output != s->graph->logits && reader->output != s->graph->boxes;
    }
    return passes_through(reader) && s->padded[reader->output] && all_inputs_padded(s, reader);
}

static int keeps(const pad_state *s, const cf_node *producer) {
    const cf_graph *graph = s->graph;
    int32_t value = producer->output;
    if (value == graph->logits || value == graph->boxes) return 0;
    if (!makes_padding(producer) && !(passes_through(producer) && all_inputs_padded(s, producer))) return 0;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *reader = &graph->nodes[i];
        for (int k = 0; k < reader->input_count && !reader->dead; k++)
            if (reader->inputs[k] == value && !reader_accepts(s, reader)) return 0;
    }
    return 1;
}

// Starts from every value with an odd count and strikes out what cannot be padded until nothing changes.
static int find_padded(pad_state *s) {
    const cf_graph *graph = s->graph;
    int left = 0;
    for (int32_t v = 0; v < graph->value_count; v++) {
        s->old_count[v] = graph->values[v].c;
        s->padded[v] = s->old_count[v] % UNIT != 0 && s->old_count[v] >= UNIT;
    }
    for (int changed = 1; changed;) {
        changed = left = 0;
        for (int32_t i = 0; i < graph->node_count; i++) {
            const cf_node *node = &graph->nodes[i];
            if (node->dead || !s->padded[node->output]) continue;
            if (keeps(s, node)) {
                left++;
            } else {
                s->padded[node->output] = 0;
                changed = 1;
            }
        }
    }
    return left;
}

// New position of input channel c of a value, which may be a concat of padded parts.
static int32_t position(const pad_state *s, int32_t value, int32_t c) {
    const cf_node *node = cf_graph_producer(s->graph, value);
    if (node->op != CF_OP_CONCAT) return c;
    int32_t start = 0;
    for (int k = 0; k < node->input_count; k++) {
        int32_t count = s->old_count[node->inputs[k]];
        if (c < count) return start + c;
        c -= count;
        start += s->graph->values[node->inputs[k]].c;
    }
    return start;
}

static cfine_status widen(pad_state *s, cf_node *conv, cfine_error *err) {
    cf_graph *graph = s->graph;
    cf_constant old = conv->constants[0];
    int32_t shape[4] = {graph->values[conv->output].c, graph->values[conv->inputs[0]].c, old.shape[2], old.shape[3]};
    if (shape[0] == old.shape[0] && shape[1] == old.shape[1]) return CFINE_OK;
    cf_constant wide = cf_constant_create(graph, 4, shape);
    if (!wide.data) return cf_graph_check(graph, err);
    size_t taps = (size_t)(shape[2] * shape[3]);
    for (int32_t o = 0; o < old.shape[0]; o++)
        for (int32_t i = 0; i < old.shape[1]; i++)
            memcpy(wide.data + ((size_t)o * (size_t)shape[1] + (size_t)position(s, conv->inputs[0], i)) * taps,
                   old.data + ((size_t)o * (size_t)old.shape[1] + (size_t)i) * taps, taps * sizeof(float));
    cf_constant_release(&conv->constants[0]);
    conv->constants[0] = wide;
    if (conv->constants[1].data && shape[0] != old.shape[0]) {
        cf_constant bias = cf_constant_create(graph, 1, shape);
        if (!bias.data) return cf_graph_check(graph, err);
        memcpy(bias.data, conv->constants[1].data, (size_t)old.shape[0] * sizeof(float));
        cf_constant_release(&conv->constants[1]);
        conv->constants[1] = bias;
    }
    return CFINE_OK;
}

static cfine_status apply(pad_state *s, cfine_error *err) {
    cf_graph *graph = s->graph;
    for (int32_t i = 0; i < graph->node_count; i++) { // in order, so that inputs have their new counts
        cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        cf_value *out = &graph->values[node->output];
        if (s->padded[node->output]) out->c = round_up(out->c);
        if (node->op == CF_OP_CONCAT) {
            out->c = 0;
            for (int k = 0; k < node->input_count; k++) out->c += graph->values[node->inputs[k]].c;
        }
        if (node->op == CF_OP_CONV && node->attr.conv.groups == 1) CF_TRY(widen(s, node, err));
    }
    return CFINE_OK;
}

cfine_status cf_pass_pad_channels(cf_graph *graph, cfine_error *err) {
    size_t count = (size_t)graph->value_count;
    pad_state s = {graph, cf_alloc(count, 1), cf_alloc(count, sizeof(int32_t))};
    cfine_status status = s.padded && s.old_count ? CFINE_OK : cf_fail_memory(err, "pass", count);
    if (status == CFINE_OK && find_padded(&s)) status = apply(&s, err);
    cf_free(s.padded);
    cf_free(s.old_count);
    return status;
}
