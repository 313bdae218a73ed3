// SPDX-License-Identifier: Apache-2.0
// The hot path: every thread of the team walks the same list of calls and meets the others behind each one.
#include "exec/session.h"

#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/memory.h"

static cf_tensor resolve(const cf_session *session, const cf_tensor *tensor, int64_t offset) {
    cf_tensor resolved = *tensor;
    resolved.data = session->workspace + offset;
    return resolved;
}

cf_tensor cf_session_input(const cf_session *session) {
    return resolve(session, &session->plan->input.tensor, session->plan->input.offset);
}

cf_tensor cf_session_logits(const cf_session *session) {
    return resolve(session, &session->plan->logits.tensor, session->plan->logits.offset);
}

cf_tensor cf_session_boxes(const cf_session *session) {
    return resolve(session, &session->plan->boxes.tensor, session->plan->boxes.offset);
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
    cf_call *call = session->calls;
    for (int i = 0; i < plan->step_count; i++) {
        session->problems[i] = plan->steps[i].problem;
        session->problems[i].threads = threads;
    }
    for (int chunk = 0; chunk < chunks_of(plan, plan->request.batch); chunk++)
        for (int i = 0; i < plan->step_count; i++, call++) {
            const cf_step *step = &plan->steps[i];
            call->problem = &session->problems[i];
            for (int k = 0; k < step->problem.inputs; k++)
                call->in[k] =
                    resolve_chunk(session, &step->problem.in[k], step->in_offset[k], step->in_whole[k], chunk);
            call->out[0] = resolve_chunk(session, &step->problem.out[0], step->out_offset, step->out_whole, chunk);
            call->packed = plan->weights + step->packed_offset;
            call->scratch = session->scratch;
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

cfine_status cf_session_create(cf_plan *plan, int threads, int pin, int profile, cf_session **out, cfine_error *err) {
    *out = NULL;
    cf_session *session = cf_alloc(1, sizeof *session);
    if (!session) return cf_fail_memory(err, "session", sizeof *session);
    pthread_mutex_init(&session->lock, NULL);
    session->plan = cf_plan_retain(plan);
    session->profile = profile;
    session->workspace = cf_alloc_aligned((size_t)plan->workspace_bytes);
    session->scratch_bytes = scratch_wanted(plan, threads);
    session->scratch = cf_alloc_aligned(session->scratch_bytes);
    session->problems = cf_alloc((size_t)plan->step_count, sizeof *session->problems);
    session->calls =
        cf_alloc((size_t)plan->step_count * (size_t)chunks_of(plan, plan->request.batch), sizeof *session->calls);
    session->step_seconds = cf_alloc((size_t)plan->step_count, sizeof *session->step_seconds);
    cfine_status status = CFINE_OK;
    if (!session->workspace || !session->scratch || !session->problems || !session->calls || !session->step_seconds)
        status = cf_fail_memory(err, "session workspace", (size_t)plan->workspace_bytes + session->scratch_bytes);
    if (status == CFINE_OK) status = cf_pool_create(threads, pin, &session->pool, err);
    if (status != CFINE_OK) {
        cf_session_destroy(session);
        return status;
    }
    resolve_calls(session, threads);
    *out = session;
    return CFINE_OK;
}

void cf_session_destroy(cf_session *session) {
    if (!session) return;
    cf_pool_destroy(session->pool);
    if (session->workspace) cf_free_aligned(session->workspace, (size_t)session->plan->workspace_bytes);
    if (session->scratch) cf_free_aligned(session->scratch, session->scratch_bytes);
    cf_free(session->problems);
    cf_free(session->calls);
    cf_free(session->step_seconds);
    cf_plan_release(session->plan);
    pthread_mutex_destroy(&session->lock);
    cf_free(session);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_chunk(cf_session *session, int chunk, const cf_team *team) {
    const cf_plan *plan = session->plan;
    const cf_call *calls = session->calls + (size_t)chunk * (size_t)plan->step_count;
    int timing = session->profile && team->thread == 0;
    double before = timing ? now() : 0;
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].waits || session->profile) cf_team_barrier(team); // profiles need one step at a time
        plan->steps[i].kernel->run(&calls[i], team);
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

void cf_session_forward(cf_session *session, int images) {
    const cf_plan *plan = session->plan;
    if (images != session->images) {
        session->images = images;
        for (int chunk = 0; chunk < chunks_of(plan, images); chunk++) {
            int left = images - chunk * plan->chunk;
            cf_call *calls = session->calls + (size_t)chunk * (size_t)plan->step_count;
            for (int i = 0; i < plan->step_count; i++) calls[i].images = left < plan->chunk ? left : plan->chunk;
        }
    }
    if (session->profile) memset(session->step_seconds, 0, (size_t)plan->step_count * sizeof *session->step_seconds);
    cf_pool_run(session->pool, run_chunks, session);
}
