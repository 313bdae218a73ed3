// SPDX-License-Identifier: Apache-2.0
// Sessions on a GPU: all launches of a run are captured once into a graph, one for each number of images, and a run
// copies the pixels there, starts the graph, copies logits and boxes back, and waits once.
#include <string.h>

#include "base/memory.h"
#include "cuda/queue.h"
#include "exec/session.h"

typedef struct cuda_state {
    const cf_cuda_device *device;
    cf_cuda_queue queue;
    unsigned char *workspace, *scratch;    // of the GPU
    unsigned char *input, *logits, *boxes; // of the host: what the session's tensors point at
    cf_call *calls;                        // one a step
    cf_cu_graph_exec *graphs;              // [batch + 1], by the number of images; made when first wanted
    cf_cu_event *events;                   // [steps + 1], when profiling
} cuda_state;

// Bytes from a tensor's first element behind its last one.
static size_t span_bytes(const cf_tensor *t, int images) {
    int64_t last = (images - 1) * t->image + (t->h - 1) * t->row + (t->w - 1) * t->pixel + t->c;
    return (size_t)(last * cf_dtype_size(t->dtype));
}

static size_t scratch_wanted(const cf_plan *plan) {
    size_t most = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const cf_step *step = &plan->steps[i];
        size_t bytes = step->kernel->scratch_size ? step->kernel->scratch_size(&step->problem) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static void resolve_calls(const cf_plan *plan, cuda_state *state, const unsigned char *weights) {
    for (int i = 0; i < plan->step_count; i++) {
        const cf_step *step = &plan->steps[i];
        cf_call *call = &state->calls[i];
        call->problem = &step->problem;
        for (int k = 0; k < step->problem.inputs; k++) {
            call->in[k] = step->problem.in[k];
            call->in[k].data = state->workspace + step->in_offset[k];
        }
        call->out[0] = step->problem.out[0];
        call->out[0].data = state->workspace + step->out_offset;
        call->packed = weights + step->packed_offset;
        call->scratch = state->scratch;
    }
}

static cfine_status create_host_tensor(cuda_state *state, const cf_plan *plan, const cf_plan_tensor *from,
                                       unsigned char **memory, cf_tensor *out, cfine_error *err) {
    *out = from->tensor;
    void *host;
    cfine_status status = cf_cuda_host_alloc(state->device, span_bytes(&from->tensor, plan->request.batch), &host, err);
    out->data = *memory = host;
    return status;
}

static cfine_status create_events(cuda_state *state, int count, cfine_error *err) {
    state->events = cf_alloc((size_t)count, sizeof *state->events);
    if (!state->events) return cf_fail_memory(err, "session", (size_t)count * sizeof *state->events);
    for (int i = 0; i < count; i++) {
        cf_cu_result result = state->device->cu->event_create(&state->events[i], 0);
        if (result) return cf_cu_fail(state->device->cu, result, "creating an event", err);
    }
    return CFINE_OK;
}

static cfine_status create(cf_session *session, cfine_error *err) {
    cf_plan *plan = session->plan;
    size_t steps = (size_t)plan->step_count, batch = (size_t)plan->request.batch;
    cuda_state *state = session->state = cf_alloc(1, sizeof *state);
    if (!state) return cf_fail_memory(err, "session", sizeof *state);
    CF_TRY(cf_cuda_open(session->options.gpu, &state->device, err));
    CF_TRY(cf_plan_fits_gpu(plan, state->device, err));
    CF_TRY(cf_cuda_queue_create(state->device, &state->queue, err));
    enum { HOPPER = 90 }; // kernels of older chips cannot wait for one another by themselves
    state->queue.overlap = state->device->compute >= HOPPER && !session->options.profile;

    state->calls = cf_alloc(steps, sizeof *state->calls);
    state->graphs = cf_alloc(batch + 1, sizeof *state->graphs);
    if (!state->calls || !state->graphs) return cf_fail_memory(err, "session", steps * sizeof *state->calls);
    if (session->options.profile) CF_TRY(create_events(state, plan->step_count + 1, err));

    const void *weights;
    void *memory;
    CF_TRY(cf_plan_weights_on(plan, state->device, &state->queue, &weights, err));
    CF_TRY(cf_cuda_alloc(state->device, (size_t)plan->workspace_bytes, "the workspace", &memory, err));
    state->workspace = memory;
    CF_TRY(cf_cuda_alloc(state->device, scratch_wanted(plan), "the scratch memory", &memory, err));
    state->scratch = memory;
    CF_TRY(create_host_tensor(state, plan, &plan->input, &state->input, &session->input, err));
    CF_TRY(create_host_tensor(state, plan, &plan->logits, &state->logits, &session->logits, err));
    CF_TRY(create_host_tensor(state, plan, &plan->boxes, &state->boxes, &session->boxes, err));
    resolve_calls(plan, state, weights);
    // Pixels that were never set may be read by padded lanes: let them be numbers.
    cf_cuda_fill(&state->queue, state->workspace, 0, (size_t)plan->workspace_bytes);
    return cf_cuda_queue_wait(&state->queue, err);
}

static void destroy(cf_session *session) {
    cuda_state *state = session->state;
    if (!state) return;
    const cf_cuda_device *device = state->device;
    if (device) {
        device->cu->context_set(device->context);
        for (int i = 0; state->graphs && i <= session->plan->request.batch; i++)
            if (state->graphs[i]) device->cu->graph_exec_destroy(state->graphs[i]);
        for (int i = 0; state->events && i <= session->plan->step_count; i++)
            if (state->events[i]) device->cu->event_destroy(state->events[i]);
        cf_cuda_free(device, state->workspace);
        cf_cuda_free(device, state->scratch);
        cf_cuda_host_free(device, state->input);
        cf_cuda_host_free(device, state->logits);
        cf_cuda_host_free(device, state->boxes);
        cf_cuda_queue_destroy(&state->queue);
    }
    cf_free(state->calls);
    cf_free(state->graphs);
    cf_free(state->events);
    cf_free(state);
}

static void launch_steps(cf_session *session, int images) {
    const cf_plan *plan = session->plan;
    cuda_state *state = session->state;
    const cf_cu *cu = state->device->cu;
    if (state->events) cu->event_record(state->events[0], state->queue.stream);
    for (int i = 0; i < plan->step_count; i++) {
        state->calls[i].images = images;
        plan->steps[i].kernel->launch(&state->calls[i], &state->queue);
        if (state->events) cu->event_record(state->events[i + 1], state->queue.stream);
    }
}

static cfine_status capture(cf_session *session, int images, cfine_error *err) {
    cuda_state *state = session->state;
    const cf_cu *cu = state->device->cu;
    cf_cu_graph graph = NULL;
    cf_cu_result result = cu->capture_begin(state->queue.stream, CF_CU_CAPTURE_RELAXED);
    if (result) return cf_cu_fail(cu, result, "capturing a graph", err);
    launch_steps(session, images);
    result = cu->capture_end(state->queue.stream, &graph);
    cfine_status status = CFINE_OK;
    if (state->queue.result) status = cf_cuda_queue_wait(&state->queue, err); // a launch failed: says which
    if (status == CFINE_OK && !result) result = cu->graph_instantiate(&state->graphs[images], graph, 0);
    if (graph) cu->graph_destroy(graph);
    return status == CFINE_OK && result ? cf_cu_fail(cu, result, "making a graph", err) : status;
}

static void read_profile(cf_session *session) {
    cuda_state *state = session->state;
    for (int i = 0; i < session->plan->step_count; i++) {
        float milliseconds = 0;
        state->device->cu->event_elapsed(&milliseconds, state->events[i], state->events[i + 1]);
        session->step_seconds[i] = (double)milliseconds * 1e-3;
    }
}

static cfine_status forward(cf_session *session, int images, int keep_input, cfine_error *err) {
    const cf_plan *plan = session->plan;
    cuda_state *state = session->state;
    const cf_cu *cu = state->device->cu;
    session->images = images;
    cu->context_set(state->device->context);
    if (!session->options.profile && !state->graphs[images]) CF_TRY(capture(session, images, err));
    if (!keep_input)
        cf_cuda_upload(&state->queue, state->workspace + plan->input.offset, state->input,
                       span_bytes(&plan->input.tensor, images));
    if (session->options.profile) {
        launch_steps(session, images);
    } else if (!state->queue.result) {
        state->queue.result = cu->graph_launch(state->graphs[images], state->queue.stream);
        if (state->queue.result) strcpy(state->queue.what, "starting the graph");
    }
    cf_cuda_download(&state->queue, state->logits, state->workspace + plan->logits.offset,
                     span_bytes(&plan->logits.tensor, images));
    cf_cuda_download(&state->queue, state->boxes, state->workspace + plan->boxes.offset,
                     span_bytes(&plan->boxes.tensor, images));
    CF_TRY(cf_cuda_queue_wait(&state->queue, err));
    if (session->options.profile) read_profile(session);
    return CFINE_OK;
}

const cf_session_runner cf_session_cuda = {create, destroy, forward};
