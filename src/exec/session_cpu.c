// SPDX-License-Identifier: Apache-2.0
// The hot path on a CPU: every thread of the team walks the same list of calls and meets the others where steps need
// each other.
#include "exec/session.h"

#include <time.h>

#include "base/cpu.h"
#include "base/memory.h"

typedef struct cpu_state {
    uint8_t *workspace, *scratch;
    size_t scratch_bytes;
    cf_problem *problems; // one a step: the plan's, with the number of threads in `pool`
    cf_call *calls;       // one a step for each chunk of the batch, resolved to pointers
    int images;           // for which the calls are set
} cpu_state;

static cf_tensor resolve(const cf_session *session, const cf_tensor *tensor, int64_t offset) {
    cf_tensor resolved = *tensor;
    const cpu_state *state = session->state;
    resolved.data = state->workspace + offset;
    return resolved;
}

static int chunks_of(const cf_plan *plan, int images) {
    return (images + plan->chunk - 1) / plan->chunk;
}

// As resolve, at the first image of a chunk where the tensor holds the whole batch.
static cf_tensor resolve_chunk(const cf_session *session, const cf_tensor *tensor, int64_t offset, int whole,
                               int chunk) {
    int64_t first = whole ? (int64_t)chunk * session->plan->chunk * tensor->image : 0;
    return resolve(session, tensor, offset + first * cf_dtype_size(tensor->dtype));
}

static void resolve_calls(cf_session *session, int threads) {
    const cf_plan *plan = session->plan;
    cpu_state *state = session->state;
    cf_call *call = state->calls;
    for (int i = 0; i < plan->step_count; i++) {
        state->problems[i] = plan->steps[i].problem;
        state->problems[i].threads = threads;
    }
    for (int chunk = 0; chunk < chunks_of(plan, plan->request.batch); chunk++)
        for (int i = 0; i < plan->step_count; i++, call++) {
            const cf_step *step = &plan->steps[i];
            call->problem = &state->problems[i];
            for (int k = 0; k < step->problem.inputs; k++)
                call->in[k] =
                    resolve_chunk(session, &step->problem.in[k], step->in_offset[k], step->in_whole[k], chunk);
            call->out[0] = resolve_chunk(session, &step->problem.out[0], step->out_offset, step->out_whole, chunk);
            call->packed = plan->weights + step->packed_offset;
            call->scratch = state->scratch;
        }
}

// Steps share one scratch area: the largest that any of them wants for this team.
static size_t scratch_wanted(const cf_plan *plan, int threads) {
    size_t most = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const cf_kernel *kernel = plan->steps[i].kernel;
        cf_problem problem = plan->steps[i].problem;
        problem.threads = threads;
        size_t bytes = kernel->scratch_size ? kernel->scratch_size(&problem) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static cfine_status create(cf_session *session, cfine_error *err) {
    const cf_plan *plan = session->plan;
    int threads = session->options.threads;
    size_t steps = (size_t)plan->step_count, calls = steps * (size_t)chunks_of(plan, plan->request.batch);
    cpu_state *state = session->state = cf_alloc(1, sizeof *state);
    if (!state) return cf_fail_memory(err, "session", sizeof *state);
    state->workspace = cf_alloc_aligned((size_t)plan->workspace_bytes);
    state->scratch_bytes = scratch_wanted(plan, threads);
    state->scratch = cf_alloc_aligned(state->scratch_bytes);
    state->problems = cf_alloc(steps, sizeof *state->problems);
    state->calls = cf_alloc(calls, sizeof *state->calls);
    if (!state->workspace || !state->scratch || !state->problems || !state->calls)
        return cf_fail_memory(err, "session workspace", (size_t)plan->workspace_bytes + state->scratch_bytes);
    resolve_calls(session, threads);
    session->input = resolve(session, &plan->input.tensor, plan->input.offset);
    session->logits = resolve(session, &plan->logits.tensor, plan->logits.offset);
    session->boxes = resolve(session, &plan->boxes.tensor, plan->boxes.offset);
    return CFINE_OK;
}

static void destroy(cf_session *session) {
    cpu_state *state = session->state;
    if (!state) return;
    if (state->workspace) cf_free_aligned(state->workspace, (size_t)session->plan->workspace_bytes);
    if (state->scratch) cf_free_aligned(state->scratch, state->scratch_bytes);
    cf_free(state->problems);
    cf_free(state->calls);
    cf_free(state);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_chunk(cf_session *session, int chunk, const cf_team *team) {
    const cf_plan *plan = session->plan;
    const cpu_state *state = session->state;
    const cf_call *calls = state->calls + (size_t)chunk * (size_t)plan->step_count;
    int timing = session->options.profile && team->thread == 0, seen = session->observer.see != NULL;
    int alone = session->options.profile || seen; // a step at a time
    double before = timing ? now() : 0;
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].waits || alone) cf_team_barrier(team);
        plan->steps[i].kernel->run(&calls[i], team);
        if (seen) cf_team_barrier(team);
        if (seen && team->thread == 0 && session->observer.look(session->observer.arg, i))
            session->observer.see(session->observer.arg, i, &calls[i]);
        if (timing) {
            double after = now();
            session->step_seconds[i] += after - before;
            before = after;
        }
    }
}

static void run_chunks(void *arg, const cf_team *team) {
    cf_session *session = arg;
    uint32_t mode = cf_cpu_flush_subnormals();
    for (int chunk = 0; chunk < chunks_of(session->plan, session->images); chunk++) {
        if (chunk) cf_team_barrier(team); // the workspace of the chunk before is free
        run_chunk(session, chunk, team);
    }
    cf_cpu_set_float_mode(mode);
}

static cfine_status forward(cf_session *session, int images, cf_pixels_from from, cfine_error *err) {
    (void)from; // the input lies where the steps read it
    (void)err;
    const cf_plan *plan = session->plan;
    cpu_state *state = session->state;
    session->images = images;
    if (images != state->images) {
        state->images = images;
        for (int chunk = 0; chunk < chunks_of(plan, images); chunk++) {
            int left = images - chunk * plan->chunk;
            cf_call *calls = state->calls + (size_t)chunk * (size_t)plan->step_count;
            for (int i = 0; i < plan->step_count; i++) calls[i].images = left < plan->chunk ? left : plan->chunk;
        }
    }
    cf_pool_run(session->pool, run_chunks, session);
    return CFINE_OK;
}

const cf_session_runner cf_session_cpu = {create, destroy, forward, NULL, NULL};
