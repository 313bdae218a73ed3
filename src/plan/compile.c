// SPDX-License-Identifier: Apache-2.0
// From a graph to a plan: a step for every node that computes, a kernel for every step, constants packed.
#include "plan/plan.h"

#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "plan/tune.h"

enum { PACK_ALIGNMENT = 64 };

static int computes(const cf_node *node) {
    return !node->dead && node->op != CF_OP_INPUT && node->op != CF_OP_CONCAT && node->op != CF_OP_TOKENS &&
           node->op != CF_OP_SLICE;
}

static int64_t align(int64_t bytes) {
    return (bytes + PACK_ALIGNMENT - 1) / PACK_ALIGNMENT * PACK_ALIGNMENT;
}

static double tensor_bytes(const cf_tensor *tensor) {
    return (double)tensor->h * tensor->w * tensor->c * cf_dtype_size(tensor->dtype);
}

static cfine_status add_step(cf_plan *plan, const char *name, const cf_problem *problem, const int64_t *in_offset,
                             int64_t out_offset, double flops, cfine_error *err) {
    cf_step *step = &plan->steps[plan->step_count];
    *step = (cf_step){.problem = *problem, .out_offset = out_offset, .flops = flops};
    for (int i = 0; i < problem->inputs; i++) {
        step->in_offset[i] = in_offset[i];
        step->bytes += tensor_bytes(&problem->in[i]);
    }
    step->bytes += tensor_bytes(&problem->out[0]);
    step->kernel = cf_kernel_select(problem, &plan->request.target, plan->request.reference);
    if (!step->kernel) return cf_fail(err, CFINE_ERROR_INTERNAL, "%s: no kernel for %s", name, cf_op_name(problem->op));
    if (plan->tuner) CF_TRY(cf_tune(plan->tuner, plan->steps, plan->step_count, step, err));
    step->name = cf_strdup(name);
    if (!step->name) return cf_fail_memory(err, "plan", strlen(name));
    plan->step_count++;
    if (step->kernel->packed_size) step->packed_bytes = (int64_t)step->kernel->packed_size(problem);
    step->packed_offset = plan->weight_bytes;
    plan->weight_bytes += align(step->packed_bytes);
    step->bytes += (double)step->packed_bytes;
    return CFINE_OK;
}

static cf_problem problem_of(const cf_graph *graph, const cf_placement *placement, const cf_node *node,
                             const cf_plan *plan, int64_t *in_offset, int64_t *out_offset) {
    cf_problem problem = {.op = node->op,
                          .attr = node->attr,
                          .inputs = node->input_count,
                          .outputs = 1,
                          .images = plan->chunk,
                          .threads = plan->request.threads};
    for (int k = 0; k < node->input_count; k++) {
        cf_plan_tensor in = cf_placement_tensor(graph, placement, node->inputs[k]);
        problem.in[k] = in.tensor;
        in_offset[k] = in.offset;
    }
    cf_plan_tensor out = cf_placement_tensor(graph, placement, node->output);
    problem.out[0] = out.tensor;
    *out_offset = out.offset;
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) problem.constant[k] = node->constants[k];
    return problem;
}

static cfine_status add_halo_step(cf_plan *plan, const cf_graph *graph, const cf_placement *placement, int32_t value,
                                  cfine_error *err) {
    cf_plan_tensor tensor = cf_placement_tensor(graph, placement, value);
    cf_problem problem = {.op = CF_OP_HALO,
                          .outputs = 1,
                          .images = plan->chunk,
                          .threads = plan->request.threads,
                          .out = {tensor.tensor}};
    char name[160];
    snprintf(name, sizeof name, "%s.halo", cf_graph_producer(graph, value)->name);
    CF_TRY(add_step(plan, name, &problem, NULL, tensor.offset, 0, err));
    plan->steps[plan->step_count - 1].out_whole = (uint8_t)cf_placement_is_whole(graph, placement, value);
    return CFINE_OK;
}

// 1 if the value is a concat of quantised parts whose zero points differ, so that each needs a border of its own.
static int has_own_zeros(const cf_graph *graph, int32_t value) {
    const cf_node *node = cf_graph_producer(graph, value);
    if (node->op != CF_OP_CONCAT || cf_dtype_size(graph->values[value].dtype) != 1) return 0;
    for (int k = 0; k < node->input_count; k++)
        if (graph->values[node->inputs[k]].zero != graph->values[value].zero || has_own_zeros(graph, node->inputs[k]))
            return 1;
    return 0;
}

// The border of a buffer in the zero of what it holds.
static cfine_status add_border(cf_plan *plan, const cf_graph *graph, const cf_placement *placement, int32_t value,
                               cfine_error *err) {
    if (!has_own_zeros(graph, value)) return add_halo_step(plan, graph, placement, value, err);
    const cf_node *concat = cf_graph_producer(graph, value);
    for (int k = 0; k < concat->input_count; k++) CF_TRY(add_border(plan, graph, placement, concat->inputs[k], err));
    return CFINE_OK;
}

// Zeroes the border of a buffer that the node `first` is the first to write. What holds the whole batch has its memory
// for itself, which sessions begin with zeroes.
static cfine_status add_halo_steps(cf_plan *plan, const cf_graph *graph, const cf_placement *placement, int32_t first,
                                   cfine_error *err) {
    for (int32_t v = 0; v < graph->value_count; v++) {
        const cf_buffer *buffer = &placement->buffers[v];
        if (placement->places[v].root != v || !buffer->bytes || !buffer->halo || buffer->first != first ||
            buffer->placed)
            continue;
        CF_TRY(add_border(plan, graph, placement, v, err));
    }
    return CFINE_OK;
}

static cfine_status add_steps(cf_plan *plan, const cf_graph *graph, const cf_placement *placement, cfine_error *err) {
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        CF_TRY(add_halo_steps(plan, graph, placement, i, err));
        if (!computes(node)) continue;
        int64_t in_offset[CF_MAX_INPUTS], out_offset;
        cf_problem problem = problem_of(graph, placement, node, plan, in_offset, &out_offset);
        CF_TRY(add_step(plan, node->name, &problem, in_offset, out_offset, cf_node_flops(graph, node), err));
        cf_step *step = &plan->steps[plan->step_count - 1];
        for (int k = 0; k < node->input_count; k++)
            step->in_whole[k] = (uint8_t)cf_placement_is_whole(graph, placement, node->inputs[k]);
        step->out_whole = (uint8_t)cf_placement_is_whole(graph, placement, node->output);
    }
    return CFINE_OK;
}

typedef struct {
    cf_plan *plan;
    cf_graph *graph;
    const int32_t *node; // of every step, -1 where it has none
    atomic_int next;     // step that nobody has taken yet
    atomic_llong freed;  // bytes since memory was given back
} packing;

// Packs steps that nobody has taken and frees the constants of each as soon as it is packed.
static void pack_some(void *argument, const cf_team *team) {
    enum { GIVE_BACK = 16 << 20 };
    (void)team;
    packing *all = argument;
    for (int i; (i = atomic_fetch_add(&all->next, 1)) < all->plan->step_count;) {
        if (all->node[i] < 0) continue;
        cf_step *step = &all->plan->steps[i];
        cf_node *node = &all->graph->nodes[all->node[i]];
        if (step->kernel->pack) step->kernel->pack(&step->problem, all->plan->weights + step->packed_offset);
        long long freed = 0;
        for (int k = 0; k < CF_MAX_CONSTANTS; k++) {
            freed += node->constants[k].data ? cf_constant_count(&node->constants[k]) * (long long)sizeof(float) : 0;
            cf_constant_release(&node->constants[k]);
            step->problem.constant[k].data = NULL;
        }
        if (atomic_fetch_add(&all->freed, freed) + freed < GIVE_BACK) continue;
        atomic_store(&all->freed, 0);
        cf_memory_give_back();
    }
}

// Packing is a good part of opening a large model, and so is memory touched for the first time: all cores take part.
static cfine_status pack(cf_plan *plan, cf_graph *graph, cfine_error *err) {
    enum { MOST_THREADS = 16 };
    plan->weights = cf_alloc_aligned((size_t)plan->weight_bytes);
    if (!plan->weights) return cf_fail_memory(err, "packed weights", (size_t)plan->weight_bytes);
    int32_t *nodes = cf_alloc((size_t)plan->step_count, sizeof *nodes);
    if (!nodes) return cf_fail_memory(err, "plan", (size_t)plan->step_count * sizeof *nodes);
    int32_t node = 0; // steps follow the nodes, with HALO steps in between
    for (int32_t i = 0; i < plan->step_count; i++) {
        nodes[i] = -1;
        if (plan->steps[i].problem.op == CF_OP_HALO) continue;
        while (!computes(&graph->nodes[node])) node++;
        nodes[i] = node++;
    }
    cf_memory_give_back(); // what passes freed
    packing all = {.plan = plan, .graph = graph, .node = nodes};
    int threads = plan->request.target.backend == CF_CPU ? plan->request.threads : cf_cpu_count();
    cf_pool *pool;
    cfine_status status = cf_pool_create(threads < MOST_THREADS ? threads : MOST_THREADS, 0, &pool, err);
    if (status == CFINE_OK) {
        cf_pool_run(pool, pack_some, &all);
        cf_pool_destroy(pool);
    }
    cf_free(nodes);
    return status;
}

double cf_plan_flops(const cf_graph *graph) {
    double flops = 0;
    for (int32_t i = 0; i < graph->node_count; i++) flops += cf_node_flops(graph, &graph->nodes[i]);
    return flops;
}

int32_t cf_plan_chunk(const cf_plan_request *request) {
    return request->target.backend == CF_CUDA ? request->batch : 1;
}

cfine_status cf_plan_compile(cf_graph *graph, const cf_plan_request *request, cf_plan **out, cfine_error *err) {
    *out = NULL;
    CF_TRY(cf_plan_insert_copies(graph, err));
    cf_placement placement;
    CF_TRY(cf_plan_place(graph, request, &placement, err));
    cfine_status status = CFINE_OK;
    cf_plan *plan = cf_alloc(1, sizeof *plan);
    if (plan) {
        atomic_store(&plan->references, 1);
        plan->request = *request;
        plan->flops = cf_plan_flops(graph);
        plan->chunk = cf_plan_chunk(request);
        plan->steps = cf_alloc((size_t)graph->node_count * 2, sizeof *plan->steps); // a HALO step each at most
    }
    if (!plan || !plan->steps) status = cf_fail_memory(err, "plan", sizeof *plan->steps * (size_t)graph->node_count);
    if (status == CFINE_OK && request->tune && !request->reference)
        status = cf_tuner_create(request, CF_TUNE_MOST, &plan->tuner, err);
    if (status == CFINE_OK) status = add_steps(plan, graph, &placement, err);
    if (plan) {
        cf_tuner_destroy(plan->tuner);
        plan->tuner = NULL;
    }
    if (status == CFINE_OK) status = pack(plan, graph, err);
    if (status == CFINE_OK) {
        plan->workspace_bytes = placement.workspace_bytes;
        plan->whole_bytes = placement.whole_bytes;
        plan->input = cf_placement_tensor(graph, &placement, graph->input);
        plan->logits = cf_placement_tensor(graph, &placement, graph->logits);
        plan->boxes = cf_placement_tensor(graph, &placement, graph->boxes);
        plan->queries = plan->boxes.tensor.w;
        plan->labels = plan->logits.tensor.c;
        *out = plan;
    } else {
        cf_plan_release(plan);
    }
    cf_placement_release(&placement);
    return status;
}

cf_plan *cf_plan_retain(cf_plan *plan) {
    atomic_fetch_add(&plan->references, 1);
    return plan;
}

void cf_plan_release(cf_plan *plan) {
    if (!plan || atomic_fetch_sub(&plan->references, 1) > 1) return;
    for (int i = 0; plan->steps && i < plan->step_count; i++) cf_free(plan->steps[i].name);
    for (int i = 0; plan->label_names && i < plan->labels; i++) cf_free(plan->label_names[i]);
    cf_free(plan->label_names);
    cf_free(plan->steps);
    cf_plan_free_device_weights(plan);
    if (!plan->borrowed) cf_free_aligned(plan->weights, (size_t)plan->weight_bytes);
    cf_bytes_release(&plan->file);
    cf_free(plan);
}
