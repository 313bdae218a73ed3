// SPDX-License-Identifier: Apache-2.0
// A session: a plan with its workspace and its team of threads. Runs batches.
#ifndef CF_EXEC_SESSION_H
#define CF_EXEC_SESSION_H

#include <pthread.h>

#include "plan/plan.h"

typedef struct cf_session {
    cf_plan *plan; // retained
    cf_pool *pool;
    uint8_t *workspace, *scratch;
    size_t scratch_bytes;
    cf_problem *problems; // one a step: the plan's, with the number of threads in `pool`
    cf_call *calls;       // one a step for each chunk of the batch, resolved to pointers
    double *step_seconds; // of the last run, when profiling
    int profile;
    int images; // of the last run
    pthread_mutex_t lock;
} cf_session;

cfine_status cf_session_create(cf_plan *plan, int threads, int pin, int profile, cf_session **out, cfine_error *err);
void cf_session_destroy(cf_session *session); // NULL is allowed

// The tensors a caller fills and reads, resolved: the network input [h, w, 3], logits [1, queries, labels] and boxes
// [1, queries, 4].
cf_tensor cf_session_input(const cf_session *session);
cf_tensor cf_session_logits(const cf_session *session);
cf_tensor cf_session_boxes(const cf_session *session);

// Runs all steps for `images` images (1..batch) whose pixels are in the input tensor. The caller holds the lock.
void cf_session_forward(cf_session *session, int images);

#endif
