// SPDX-License-Identifier: Apache-2.0
// The hot path on a CPU: every thread of a team walks the same list of calls and meets the others where steps need
// each other. Images of a batch do not need each other: the team splits into lanes, as many as there are images to take
// side by side, each with a workspace of its own. Of five images four threads take four in a lane each, then all of
// them the fifth.
#include "exec/session.h"

#include <time.h>

#include "base/cpu.h"
#include "base/memory.h"

// A way to split the team, and what a lane then needs beside the plan.
typedef struct {
    int lanes;
    cf_problem *problems; // one a step: the plan's, with the number of threads
    uint8_t *waits;       // one a step: the lane's threads must meet before it
    size_t scratch_bytes;
} cpu_split;

enum { MOST_SPLITS = 32 }; // divisors of a number up to 1024

// Chunks of the batch that are taken with one split, the first `lanes` of them side by side, and so on.
typedef struct {
    int first, last;
    const cpu_split *split;
} cpu_phase;

typedef struct cpu_state {
    uint8_t *workspace, *scratch;
    size_t workspace_bytes, scratch_bytes;
    int split_count, phase_count;
    cpu_split splits[MOST_SPLITS]; // the most lanes first
    cpu_phase phases[MOST_SPLITS];
    cf_call *calls; // one a step for each chunk of the batch, resolved to pointers
    int images;     // for which phases and calls are set; 0: none
} cpu_state;

static int chunks_of(const cf_plan *plan, int images) {
    return (images + plan->chunk - 1) / plan->chunk;
}

// Bytes of the workspace that a lane has for itself.
static int64_t lane_bytes(const cf_plan *plan) {
    return plan->workspace_bytes - plan->whole_bytes;
}

// A tensor as a chunk sees it: its part of what holds the whole batch, or what is its lane's.
static cf_tensor resolve(const cf_session *session, const cf_tensor *tensor, int64_t offset, int whole, int chunk,
                         int lane) {
    const cpu_state *state = session->state;
    const cf_plan *plan = session->plan;
    if (whole)
        offset += (int64_t)chunk * plan->chunk * tensor->image * cf_dtype_size(tensor->dtype);
    else
        offset += lane * lane_bytes(plan);
    cf_tensor resolved = *tensor;
    resolved.data = state->workspace + offset;
    return resolved;
}

// The calls of a chunk of `images` images.
static void resolve_calls(cf_session *session, const cpu_split *split, int chunk, int lane, int images) {
    const cf_plan *plan = session->plan;
    cpu_state *state = session->state;
    cf_call *call = state->calls + (size_t)chunk * (size_t)plan->step_count;
    for (int i = 0; i < plan->step_count; i++, call++) {
        const cf_step *step = &plan->steps[i];
        call->images = images;
        call->problem = &split->problems[i];
        for (int k = 0; k < step->problem.inputs; k++)
            call->in[k] = resolve(session, &step->problem.in[k], step->in_offset[k], step->in_whole[k], chunk, lane);
        call->out[0] = resolve(session, &step->problem.out[0], step->out_offset, step->out_whole, chunk, lane);
        call->packed = plan->weights + step->packed_offset;
        call->scratch = state->scratch + (size_t)lane * split->scratch_bytes;
    }
}

// Cuts a run into phases: as many lanes as there are chunks for, then with those left over fewer. While somebody looks
// on all threads take one chunk after the other.
static void set_phases(cf_session *session) {
    const cf_plan *plan = session->plan;
    cpu_state *state = session->state;
    int alone = session->options.profile || session->observer.see, chunks = chunks_of(plan, session->images);
    const cpu_split *split = alone ? &state->splits[state->split_count - 1] : state->splits;
    state->phase_count = 0;
    for (int first = 0, last; first < chunks; first = last, split++) {
        while (split->lanes > chunks - first) split++;
        last = chunks - (chunks - first) % split->lanes;
        state->phases[state->phase_count++] = (cpu_phase){first, last, split};
        for (int chunk = first; chunk < last; chunk++) {
            int left = session->images - chunk * plan->chunk;
            resolve_calls(session, split, chunk, (chunk - first) % split->lanes,
                          left < plan->chunk ? left : plan->chunk);
        }
    }
}

// Steps share one scratch area: the largest that any of them wants for this team.
static cfine_status make_split(const cf_plan *plan, int threads, int lanes, cpu_split *split, cfine_error *err) {
    size_t steps = (size_t)plan->step_count;
    split->lanes = lanes;
    split->problems = cf_alloc(steps, sizeof *split->problems);
    split->waits = cf_alloc(steps, sizeof *split->waits);
    if (!split->problems || !split->waits) return cf_fail_memory(err, "session", steps * sizeof *split->problems);
    for (int i = 0; i < plan->step_count; i++) {
        const cf_kernel *kernel = plan->steps[i].kernel;
        cf_problem *problem = &split->problems[i];
        *problem = plan->steps[i].problem;
        problem->threads = threads / lanes;
        size_t bytes = kernel->scratch_size ? kernel->scratch_size(problem) : 0;
        if (bytes > split->scratch_bytes) split->scratch_bytes = bytes;
    }
    split->scratch_bytes = (split->scratch_bytes + 63) / 64 * 64;
    cf_session_find_barriers(plan, threads / lanes, split->waits);
    return CFINE_OK;
}

static cfine_status create(cf_session *session, cfine_error *err) {
    const cf_plan *plan = session->plan;
    int threads = session->options.threads, chunks = chunks_of(plan, plan->request.batch);
    size_t calls = (size_t)plan->step_count * (size_t)chunks;
    cpu_state *state = session->state = cf_alloc(1, sizeof *state);
    if (!state) return cf_fail_memory(err, "session", sizeof *state);
    for (int lanes = threads < chunks ? threads : chunks; lanes > 0; lanes--) {
        if (threads % lanes) continue;
        cpu_split *split = &state->splits[state->split_count++];
        CF_TRY(make_split(plan, threads, lanes, split, err));
        size_t scratch = (size_t)lanes * split->scratch_bytes;
        if (scratch > state->scratch_bytes) state->scratch_bytes = scratch;
    }
    state->workspace_bytes = (size_t)(plan->workspace_bytes + (state->splits[0].lanes - 1) * lane_bytes(plan));
    state->workspace = cf_alloc_aligned(state->workspace_bytes);
    state->scratch = cf_alloc_aligned(state->scratch_bytes);
    state->calls = cf_alloc(calls, sizeof *state->calls);
    if (!state->workspace || !state->scratch || !state->calls)
        return cf_fail_memory(err, "session workspace", state->workspace_bytes + state->scratch_bytes);
    session->input = resolve(session, &plan->input.tensor, plan->input.offset, 1, 0, 0);
    session->logits = resolve(session, &plan->logits.tensor, plan->logits.offset, 1, 0, 0);
    session->boxes = resolve(session, &plan->boxes.tensor, plan->boxes.offset, 1, 0, 0);
    return CFINE_OK;
}

static void destroy(cf_session *session) {
    cpu_state *state = session->state;
    if (!state) return;
    if (state->workspace) cf_free_aligned(state->workspace, state->workspace_bytes);
    if (state->scratch) cf_free_aligned(state->scratch, state->scratch_bytes);
    for (int i = 0; i < state->split_count; i++) {
        cf_free(state->splits[i].problems);
        cf_free(state->splits[i].waits);
    }
    cf_free(state->calls);
    cf_free(state);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_chunk(cf_session *session, int chunk, const cpu_split *split, const cf_team *team) {
    const cf_plan *plan = session->plan;
    const cpu_state *state = session->state;
    const cf_call *calls = state->calls + (size_t)chunk * (size_t)plan->step_count;
    int timing = session->options.profile && team->thread == 0, seen = session->observer.see != NULL;
    int alone = session->options.profile || seen; // a step at a time
    double before = timing ? now() : 0;
    for (int i = 0; i < plan->step_count; i++) {
        if (split->waits[i] || alone) cf_team_barrier(team);
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
    cf_team_barrier(team); // the workspace is free for the next chunk
}

static void run_phases(void *arg, const cf_team *team) {
    cf_session *session = arg;
    const cpu_state *state = session->state;
    uint32_t mode = cf_cpu_flush_subnormals();
    for (int i = 0; i < state->phase_count; i++) {
        const cpu_phase *phase = &state->phases[i];
        int lanes = phase->split->lanes;
        if (i) cf_team_barrier(team); // lanes change hands
        cf_team part = cf_team_split(team, lanes);
        for (int chunk = phase->first + part.lane - 1; chunk < phase->last; chunk += lanes)
            run_chunk(session, chunk, phase->split, &part);
    }
    cf_cpu_set_float_mode(mode);
}

static cfine_status forward(cf_session *session, int images, cf_pixels_from from, cfine_error *err) {
    (void)from; // the input lies where the steps read it
    (void)err;
    cpu_state *state = session->state;
    session->images = images;
    if (images != state->images || session->observer.see) {
        set_phases(session);
        state->images = session->observer.see ? 0 : images; // without an observer phases are others
    }
    cf_pool_run(session->pool, run_phases, session);
    return CFINE_OK;
}

const cf_session_runner cf_session_cpu = {create, destroy, forward, NULL, NULL};
