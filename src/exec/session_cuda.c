// SPDX-License-Identifier: Apache-2.0
// Sessions on a GPU: all launches of a run are captured once into a graph, one for each number of images, and a run
// sends the pixels there (as bytes where they come from images), starts the graph, copies logits and boxes back, and
// waits once.
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cuda/queue.h"
#include "exec/pictures_cuda.h"
#include "exec/session.h"
#include "preprocess/preprocess.h"

typedef struct cuda_state {
    const cf_cuda_device *device;
    cf_cuda_queue queue;
    unsigned char *workspace, *scratch; // of the GPU
    unsigned char *bytes;               // of the GPU: images [batch, h, w, 3], made floats in the workspace
    float *pixel_values;                // of the GPU: [3][256], what each byte becomes
    cf_cuda_pictures pictures;          // as they come, resized into the workspace
    unsigned char *seen;                // of the host: what an observer sees, grown when it sees more
    size_t seen_bytes;
    cf_call *calls;           // one a step
    cf_cu_graph_exec *graphs; // [batch + 1], by the number of images; made when first wanted
    cf_cu_event *events;      // [steps + 1], when profiling
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

// The tensor of an input or output in the host's memory.
static cfine_status create_host_tensor(cuda_state *state, int batch, const cf_tensor *like, cf_tensor *out,
                                       cfine_error *err) {
    *out = *like;
    return cf_cuda_host_alloc(state->device, span_bytes(like, batch), &out->data, err);
}

// Room for images as bytes on both sides, and what each byte becomes.
static cfine_status create_bytes(cf_session *session, cfine_error *err) {
    cuda_state *state = session->state;
    const cf_preprocess_config *config = &session->plan->preprocess;
    cf_tensor bytes = session->plan->input.tensor;
    bytes.dtype = CF_U8;
    bytes.c = 3;
    bytes.pixel = 3;
    bytes.row = 3 * (int64_t)bytes.w;
    bytes.image = bytes.row * bytes.h;
    int batch = session->plan->request.batch;
    CF_TRY(create_host_tensor(state, batch, &bytes, &session->bytes, err));
    cf_pixel_scale scale;
    cf_pixel_scale_init(&scale, config->rescale ? config->rescale_factor : 1, config->normalize ? config->mean : NULL,
                        config->normalize ? config->std : NULL);
    void *memory;
    CF_TRY(cf_cuda_alloc(state->device, span_bytes(&bytes, batch), "the images", &memory, err));
    state->bytes = memory;
    CF_TRY(cf_cuda_alloc(state->device, sizeof scale.table, "the pixel values", &memory, err));
    state->pixel_values = memory;
    cf_cuda_upload(&state->queue, state->pixel_values, scale.table, sizeof scale.table);
    return cf_cuda_queue_wait(&state->queue, err);
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

// Bytes of the GPU's memory that a session takes for each image of its batch.
static size_t bytes_per_image(const cf_plan *plan) {
    const cf_tensor *input = &plan->input.tensor;
    return ((size_t)plan->workspace_bytes + scratch_wanted(plan)) / (size_t)plan->request.batch +
           (size_t)(3 * input->h * input->w);
}

// Bytes of free memory for images: without the weights, if they are still to come, what the driver takes and what each
// session takes whatever its batch.
static size_t bytes_for_images(const cf_plan *plan, const cf_cuda_device *device, int sessions, size_t *free,
                               size_t *total) {
    enum { DRIVER_BYTES = 64 << 20 };
    *free = *total = 0;
    device->cu->context_set(device->context);
    device->cu->memory_info(free, total);
    const cf_tensor *input = &plan->input.tensor;
    size_t other = DRIVER_BYTES + (size_t)sessions * cf_cuda_pictures_bytes(input->w, input->h);
    if (!plan->device_weights[device->ordinal]) other += (size_t)plan->weight_bytes;
    return *free > other ? *free - other : 0;
}

cfine_status cf_session_fitting(const cf_plan *plan, int gpu, int sessions, int *images, cfine_error *err) {
    const cf_cuda_device *device;
    size_t free, total;
    *images = 0;
    CF_TRY(cf_cuda_open(gpu, &device, err));
    size_t most = bytes_for_images(plan, device, sessions, &free, &total) / (size_t)sessions / bytes_per_image(plan);
    *images = most < INT32_MAX ? (int)most : INT32_MAX;
    return CFINE_OK;
}

static cfine_status check_memory(const cf_plan *plan, const cf_cuda_device *device, cfine_error *err) {
    size_t free, total, room = bytes_for_images(plan, device, 1, &free, &total);
    size_t most = room / bytes_per_image(plan), batch = (size_t)plan->request.batch;
    if (most >= batch) return CFINE_OK;
    char remedy[96] = "not even one image fits: take a smaller input (--size) or another GPU";
    if (most) snprintf(remedy, sizeof remedy, "a batch of %zu would fit: --batch %zu, or --batch auto", most, most);
    return cf_fail(err, CFINE_ERROR_MEMORY,
                   "cuda:%d: a batch of %zu needs %.2f GB of the GPU's memory, %.2f of %.2f GB are free; %s",
                   device->ordinal, batch, (double)(batch * bytes_per_image(plan) + free - room) * 1e-9,
                   (double)free * 1e-9, (double)total * 1e-9, remedy);
}

static cfine_status create(cf_session *session, cfine_error *err) {
    cf_plan *plan = session->plan;
    size_t steps = (size_t)plan->step_count, batch = (size_t)plan->request.batch;
    cuda_state *state = session->state = cf_alloc(1, sizeof *state);
    if (!state) return cf_fail_memory(err, "session", sizeof *state);
    CF_TRY(cf_cuda_open(session->options.gpu, &state->device, err));
    CF_TRY(cf_plan_fits_gpu(plan, state->device, err));
    CF_TRY(check_memory(plan, state->device, err));
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
    int images = plan->request.batch;
    CF_TRY(create_host_tensor(state, images, &plan->input.tensor, &session->input, err));
    CF_TRY(create_host_tensor(state, images, &plan->logits.tensor, &session->logits, err));
    CF_TRY(create_host_tensor(state, images, &plan->boxes.tensor, &session->boxes, err));
    CF_TRY(create_bytes(session, err));
    const cf_tensor *input = &plan->input.tensor;
    CF_TRY(cf_cuda_pictures_create(&state->pictures, state->device, input->w, input->h, err));
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
        cf_cuda_free(device, state->bytes);
        cf_cuda_free(device, state->pixel_values);
        cf_cuda_pictures_destroy(&state->pictures, device);
        cf_cuda_host_free(device, session->input.data);
        cf_cuda_host_free(device, session->bytes.data);
        cf_cuda_host_free(device, session->logits.data);
        cf_cuda_host_free(device, session->boxes.data);
        cf_cuda_queue_destroy(&state->queue);
    }
    cf_free(state->seen);
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

static void send_pixels(cf_session *session, int images, cf_pixels_from from) {
    const cf_plan *plan = session->plan;
    cuda_state *state = session->state;
    cf_tensor input = plan->input.tensor;
    input.data = state->workspace + plan->input.offset;
    if (from == CF_PIXELS_INPUT)
        cf_cuda_upload(&state->queue, input.data, session->input.data, span_bytes(&input, images));
    if (from != CF_PIXELS_BYTES) return;
    enum { THREADS = 128, PIXELS = 4 }; // PIXELS: of a thread of cf_pixels
    cf_cuda_upload(&state->queue, state->bytes, session->bytes.data, span_bytes(&session->bytes, images));
    const void *arguments[] = {&state->bytes, &state->pixel_values, &input};
    cf_cuda_shape grid = {cf_cuda_blocks((int64_t)input.h * input.w, THREADS * PIXELS), (uint32_t)images, 1};
    cf_cuda_launch(&state->queue, "cf_pixels", grid, (cf_cuda_shape){THREADS, 1, 1}, 0, arguments);
}

// Copies the tensors that an observer looks at to the host, where `call` shows them then.
static cfine_status fetch(cuda_state *state, cf_tensor *const *tensors, int count, int images, cfine_error *err) {
    size_t bytes = 0;
    for (int k = 0; k < count; k++) bytes += span_bytes(tensors[k], images);
    if (bytes > state->seen_bytes) {
        unsigned char *grown = cf_realloc(state->seen, bytes, 1);
        if (!grown) return cf_fail_memory(err, "session", bytes);
        state->seen = grown;
        state->seen_bytes = bytes;
    }
    unsigned char *to = state->seen;
    for (int k = 0; k < count; k++) {
        cf_cuda_download(&state->queue, to, tensors[k]->data, span_bytes(tensors[k], images));
        tensors[k]->data = to;
        to += span_bytes(tensors[k], images);
    }
    return cf_cuda_queue_wait(&state->queue, err);
}

static cfine_status observe_steps(cf_session *session, int images, cfine_error *err) {
    const cf_observer *observer = &session->observer;
    cuda_state *state = session->state;
    for (int i = 0; i < session->plan->step_count; i++) {
        cf_call *call = &state->calls[i], shown = *call;
        call->images = shown.images = images;
        session->plan->steps[i].kernel->launch(call, &state->queue);
        cf_look look = observer->look(observer->arg, i);
        if (look == CF_LOOK_AWAY) continue;
        cf_tensor *tensors[CF_MAX_INPUTS];
        int count = look == CF_LOOK_AT_INPUTS ? call->problem->inputs : 1;
        for (int k = 0; k < count; k++) tensors[k] = look == CF_LOOK_AT_INPUTS ? &shown.in[k] : &shown.out[0];
        CF_TRY(fetch(state, tensors, count, images, err));
        observer->see(observer->arg, i, &shown);
    }
    return CFINE_OK;
}

static cfine_status forward(cf_session *session, int images, cf_pixels_from from, cfine_error *err) {
    const cf_plan *plan = session->plan;
    cuda_state *state = session->state;
    const cf_cu *cu = state->device->cu;
    session->images = images;
    cu->context_set(state->device->context);
    int by_step = session->options.profile || session->observer.see;
    if (!by_step && !state->graphs[images]) CF_TRY(capture(session, images, err));
    send_pixels(session, images, from);
    if (session->observer.see) {
        CF_TRY(observe_steps(session, images, err));
    } else if (session->options.profile) {
        launch_steps(session, images);
    } else if (!state->queue.result) {
        state->queue.result = cu->graph_launch(state->graphs[images], state->queue.stream);
        if (state->queue.result) strcpy(state->queue.what, "starting the graph");
    }
    cf_cuda_download(&state->queue, session->logits.data, state->workspace + plan->logits.offset,
                     span_bytes(&plan->logits.tensor, images));
    cf_cuda_download(&state->queue, session->boxes.data, state->workspace + plan->boxes.offset,
                     span_bytes(&plan->boxes.tensor, images));
    CF_TRY(cf_cuda_queue_wait(&state->queue, err));
    if (session->options.profile) read_profile(session);
    return CFINE_OK;
}

static int takes(const cf_session *session, int width, int height) {
    const cf_tensor *input = &session->plan->input.tensor;
    return cf_cuda_picture_fits(width, height, input->w, input->h);
}

static void send(cf_session *session, int n, const cf_resizer *resizer, const uint8_t *rgb) {
    cuda_state *state = session->state;
    cf_tensor input = session->plan->input.tensor;
    input.data = state->workspace + session->plan->input.offset;
    input.data = cf_tensor_at(&input, n, 0, 0);
    state->device->cu->context_set(state->device->context);
    cf_cuda_picture_send(&state->pictures, &state->queue, session->pool, resizer, rgb, state->pixel_values, &input);
}

const cf_session_runner cf_session_cuda = {create, destroy, forward, takes, send};
