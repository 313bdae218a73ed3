// SPDX-License-Identifier: Apache-2.0
// Where every value lives. Concats, slices and token sequences cost nothing: the inputs of a CONCAT or TOKENS are
// written straight into their part of its buffer, the output of a SLICE is a view.
//
// A buffer belongs to a root value; others are placed inside it. A convolution that looks beyond the border needs zero
// pixels around its input: the root's halo. The halo is part of the buffer, and a HALO step zeroes it before the
// buffer's first use (compile.c).
#include "plan/plan.h"

#include <string.h>

#include "base/memory.h"

// Border pixels that readers of a value want: the largest padding.
static int32_t halo_wanted(const cf_graph *graph, int32_t value) {
    int32_t halo = 0;
    for (int i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || node->op != CF_OP_CONV || node->inputs[0] != value) continue;
        const cf_conv_attr *conv = &node->attr.conv;
        const int32_t pads[] = {conv->pad_top, conv->pad_left, conv->pad_bottom, conv->pad_right};
        for (int k = 0; k < 4; k++)
            if (pads[k] > halo) halo = pads[k];
    }
    return halo;
}

static int is_joining(const cf_node *node) {
    return node->op == CF_OP_CONCAT || node->op == CF_OP_TOKENS;
}

// 1 if the input of a joining node can be made right inside the node's buffer.
static int can_join(const cf_graph *graph, const cf_node *node, int32_t value, const uint8_t *taken) {
    const cf_node *producer = cf_graph_producer(graph, value);
    if (taken[value] || producer->op == CF_OP_SLICE || producer->op == CF_OP_INPUT) return 0;
    if (graph->values[value].dtype != graph->values[node->output].dtype) return 0;
    // A map inside a token sequence has neighbours where its halo would be; so has a concat with a halo of its own.
    if (node->op == CF_OP_TOKENS && (halo_wanted(graph, value) > 0 || producer->op == CF_OP_CONCAT)) return 0;
    return 1;
}

static cfine_status insert_copy(cf_graph *graph, int32_t position, int32_t input, cfine_error *err) {
    int32_t source = graph->nodes[position].inputs[input];
    const cf_value *joined = &graph->values[graph->nodes[position].output], *from = &graph->values[source];
    cf_dtype dtype = joined->dtype;
    int alike = from->dtype == dtype; // then the copy keeps the scale of what it copies
    float scale = alike ? from->scale : joined->scale;
    int32_t zero = alike ? from->zero : joined->zero;
    int32_t copy = cf_graph_add(graph, CF_OP_COPY, NULL, &source, 1, NULL, 0, "%s.copy", graph->nodes[position].name);
    if (copy == CF_NONE) return cf_graph_check(graph, err);
    graph->values[copy].dtype = dtype;
    graph->values[copy].scale = scale;
    graph->values[copy].zero = zero;
    // Move the new node from the end to its place.
    cf_node node = graph->nodes[graph->node_count - 1];
    memmove(&graph->nodes[position + 1], &graph->nodes[position],
            (size_t)(graph->node_count - 1 - position) * sizeof *graph->nodes);
    graph->nodes[position] = node;
    for (int i = position; i < graph->node_count; i++) graph->values[graph->nodes[i].output].node = i;
    graph->nodes[position + 1].inputs[input] = copy;
    return CFINE_OK;
}

cfine_status cf_plan_insert_copies(cf_graph *graph, cfine_error *err) {
    // Each copy adds a value; a joining node has at most CF_MAX_INPUTS inputs.
    size_t most = (size_t)graph->value_count + (size_t)graph->node_count * CF_MAX_INPUTS;
    uint8_t *taken = cf_alloc(most, 1);
    if (!taken) return cf_fail_memory(err, "plan", most);
    cfine_status status = CFINE_OK;
    for (int32_t i = 0; i < graph->node_count && status == CFINE_OK; i++) {
        if (graph->nodes[i].dead || !is_joining(&graph->nodes[i])) continue;
        for (int32_t k = 0; k < graph->nodes[i].input_count && status == CFINE_OK; k++) {
            if (!can_join(graph, &graph->nodes[i], graph->nodes[i].inputs[k], taken)) {
                status = insert_copy(graph, i, k, err);
                i += status == CFINE_OK; // the joining node moved one on
            }
            if (status == CFINE_OK) taken[graph->nodes[i].inputs[k]] = 1;
        }
    }
    cf_free(taken);
    return status;
}

static void place_values(const cf_graph *graph, cf_placement *out) {
    for (int32_t v = 0; v < graph->value_count; v++) out->places[v] = (cf_place){.root = v};
    // Backwards, so that the place of a joining node's output is known before those of its inputs.
    for (int32_t i = graph->node_count - 1; i >= 0; i--) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead || !is_joining(node)) continue;
        cf_place place = out->places[node->output];
        for (int k = 0; k < node->input_count; k++) {
            const cf_value *in = &graph->values[node->inputs[k]];
            out->places[node->inputs[k]] = place;
            if (node->op == CF_OP_CONCAT)
                place.channel_offset += in->c;
            else
                place.pixel_offset += (int64_t)in->h * in->w;
        }
    }
    for (int32_t i = 0; i < graph->node_count; i++) { // slices of slices come later: forwards
        const cf_node *node = &graph->nodes[i];
        if (node->dead || node->op != CF_OP_SLICE) continue;
        cf_place place = out->places[node->inputs[0]];
        place.channel_offset += node->attr.slice.first;
        out->places[node->output] = place;
    }
}

static void touch(cf_buffer *buffer, int32_t node) {
    if (node < buffer->first) buffer->first = node;
    if (node > buffer->last) buffer->last = node;
}

static void find_lifetimes(const cf_graph *graph, int halos, cf_placement *out) {
    for (int32_t v = 0; v < graph->value_count; v++) out->buffers[v] = (cf_buffer){.first = INT32_MAX, .last = -1};
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        if (!is_joining(node) && node->op != CF_OP_SLICE) { // those neither read nor write
            touch(&out->buffers[out->places[node->output].root], i);
            for (int k = 0; k < node->input_count; k++) touch(&out->buffers[out->places[node->inputs[k]].root], i);
        }
        int32_t halo = halos ? halo_wanted(graph, node->output) : 0;
        cf_buffer *buffer = &out->buffers[out->places[node->output].root];
        if (halo > buffer->halo) buffer->halo = halo;
    }
    // The input is filled before the first chunk and the outputs are read after the last: they live through all of it.
    const int32_t whole[] = {graph->input, graph->logits, graph->boxes};
    for (int k = 0; k < 3; k++) {
        cf_buffer *buffer = &out->buffers[out->places[whole[k]].root];
        touch(buffer, 0);
        touch(buffer, graph->node_count);
    }
}

int64_t cf_plan_pixel(int32_t channels, cf_dtype dtype, cf_backend backend) {
    int64_t size = cf_dtype_size(dtype), bytes = channels * size;
    return (backend == CF_CPU && bytes >= 2048 && bytes % 1024 == 0 ? bytes + 128 : bytes) / size;
}

int cf_placement_is_whole(const cf_graph *graph, const cf_placement *placement, int32_t value) {
    int32_t root = placement->places[value].root;
    return root == placement->places[graph->input].root || root == placement->places[graph->logits].root ||
           root == placement->places[graph->boxes].root;
}

cfine_status cf_plan_place(const cf_graph *graph, const cf_plan_request *request, cf_placement *out, cfine_error *err) {
    size_t count = (size_t)graph->value_count;
    *out = (cf_placement){cf_alloc(count, sizeof *out->places), cf_alloc(count, sizeof *out->buffers), 0, 0};
    int32_t *scratch = cf_alloc(count, sizeof *scratch);
    if (!out->places || !out->buffers || !scratch) {
        cf_free(scratch);
        cf_placement_release(out);
        return cf_fail_memory(err, "plan", count * sizeof *out->buffers);
    }
    place_values(graph, out);
    int32_t chunk = cf_plan_chunk(request);
    find_lifetimes(graph, request->target.backend == CF_CPU, out); // GPU kernels look where the border is
    for (int32_t v = 0; v < graph->value_count; v++) {
        cf_buffer *buffer = &out->buffers[v];
        if (out->places[v].root != v || buffer->last < 0) continue;
        const cf_value *value = &graph->values[v];
        int64_t pixels = (int64_t)(value->h + 2 * buffer->halo) * (value->w + 2 * buffer->halo);
        buffer->placed = cf_placement_is_whole(graph, out, v);
        buffer->pixel = buffer->placed ? value->c : cf_plan_pixel(value->c, value->dtype, request->target.backend);
        int images = buffer->placed ? request->batch : chunk;
        buffer->bytes =
            images * pixels * buffer->pixel * cf_dtype_size(value->dtype) + 64; // vector loads may run past the end
        if (!buffer->placed) continue;
        buffer->offset = out->whole_bytes; // in front of all others, which lanes have for themselves
        out->whole_bytes += cf_memory_align(buffer->bytes);
    }
    out->workspace_bytes = cf_memory_plan(out->buffers, graph->value_count, scratch);
    cf_free(scratch);
    return CFINE_OK;
}

void cf_placement_release(cf_placement *placement) {
    cf_free(placement->places);
    cf_free(placement->buffers);
    *placement = (cf_placement){0};
}

cf_plan_tensor cf_placement_tensor(const cf_graph *graph, const cf_placement *placement, int32_t v) {
    const cf_value *value = &graph->values[v];
    const cf_place *place = &placement->places[v];
    const cf_value *root = &graph->values[place->root];
    const cf_buffer *buffer = &placement->buffers[place->root];
    int32_t halo = buffer->halo;
    int64_t pixel = buffer->pixel, row = (root->w + 2 * halo) * pixel, image = (root->h + 2 * halo) * row;
    int64_t first = halo * (row + pixel) + place->pixel_offset * pixel + place->channel_offset;
    if (value->w != root->w || value->h != root->h) row = value->w * pixel; // a map inside a token sequence
    return (cf_plan_tensor){{.h = value->h,
                             .w = value->w,
                             .c = value->c,
                             .halo = halo,
                             .image = image,
                             .row = row,
                             .pixel = pixel,
                             .dtype = value->dtype,
                             .scale = value->scale,
                             .zero = value->zero},
                            buffer->offset + first * cf_dtype_size(value->dtype)};
}
