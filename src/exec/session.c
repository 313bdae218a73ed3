// SPDX-License-Identifier: Apache-2.0
#include "exec/session.h"

#include <string.h>

#include "base/memory.h"

cfine_status cf_session_create(cf_plan *plan, const cf_session_options *options, cf_session **out, cfine_error *err) {
    *out = NULL;
    cf_session *session = cf_alloc(1, sizeof *session);
    if (!session) return cf_fail_memory(err, "session", sizeof *session);
    pthread_mutex_init(&session->lock, NULL);
    session->plan = cf_plan_retain(plan);
    session->options = *options;
    session->runner = plan->request.target.backend == CF_CUDA ? &cf_session_cuda : &cf_session_cpu;
    session->step_seconds = cf_alloc((size_t)plan->step_count, sizeof *session->step_seconds);
    cfine_status status = CFINE_OK;
    if (!session->step_seconds) status = cf_fail_memory(err, "session", (size_t)plan->step_count);
    if (status == CFINE_OK) status = cf_pool_create(options->threads, options->pin, &session->pool, err);
    if (status == CFINE_OK) status = session->runner->create(session, err);
    if (status != CFINE_OK) {
        cf_session_destroy(session);
        return status;
    }
    *out = session;
    return CFINE_OK;
}

void cf_session_destroy(cf_session *session) {
    if (!session) return;
    session->runner->destroy(session);
    cf_pool_destroy(session->pool);
    cf_free(session->step_seconds);
    cf_plan_release(session->plan);
    pthread_mutex_destroy(&session->lock);
    cf_free(session);
}

cfine_status cf_session_forward(cf_session *session, int images, cf_pixels_from from, cfine_error *err) {
    size_t steps = (size_t)session->plan->step_count;
    if (session->options.profile) memset(session->step_seconds, 0, steps * sizeof *session->step_seconds);
    return session->runner->forward(session, images, from, err);
}

int cf_session_takes(const cf_session *session, int width, int height) {
    return session->runner->takes && session->runner->takes(session, width, height);
}

void cf_session_send(cf_session *session, int n, const cf_resizer *resizer, const uint8_t *rgb) {
    session->runner->send(session, n, resizer, rgb);
}
