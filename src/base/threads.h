// SPDX-License-Identifier: Apache-2.0
// A pool of threads that run one function together, and the barrier they meet at between steps.
#ifndef CF_BASE_THREADS_H
#define CF_BASE_THREADS_H

#include "base/status.h"

typedef struct cf_pool cf_pool;

// One member of the team that a pool runs: its number, and the size of the team.
typedef struct cf_team {
    cf_pool *pool;
    int thread, threads; // thread is 0..threads-1; 0 is the calling thread
    int lane;            // where its members meet: 0 the whole team, 1.. the parts of one that was split
} cf_team;

typedef void (*cf_pool_task)(void *arg, const cf_team *team);

// A pool of `threads` including the caller, so 1 starts none. pin binds worker i to the i-th allowed core.
cfine_status cf_pool_create(int threads, int pin, cf_pool **out, cfine_error *err);
void cf_pool_destroy(cf_pool *pool); // NULL is allowed
int cf_pool_threads(const cf_pool *pool);

// Runs task on every thread and returns when all are done. One run at a time per pool.
void cf_pool_run(cf_pool *pool, cf_pool_task task, void *arg);

// Waits until every member of the running team has arrived. Spins for some microseconds, then sleeps in the kernel.
void cf_team_barrier(const cf_team *team);

// The part of the team that this member belongs to when the team is split into `lanes` of equal size, each with
// barriers of its own. lanes divides the number of threads. All must leave their parts before the whole team splits
// again.
cf_team cf_team_split(const cf_team *team, int lanes);

// The part [*begin, *end) of `count` items that this member takes: contiguous, sizes differ by at most one.
static inline void cf_team_range(const cf_team *team, long count, long *begin, long *end) {
    *begin = count * team->thread / team->threads;
    *end = count * (team->thread + 1) / team->threads;
}

#endif
