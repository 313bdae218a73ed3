// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"

// Rounds of the spin loop before a thread sleeps: about 50 us, longer than the gap between two steps of a plan and far
// shorter than anyone would notice on an idle machine.
// Every YIELD_ROUNDS, some 2 us, it offers its core: woken beside a neighbour's load two threads may land on one, where
// each would spin while the other could work.
enum { SPIN_ROUNDS = 2000, YIELD_ROUNDS = 64, MAX_THREADS = 1024 };

enum { LINE = 64 };

// Where a team meets. On a cache line of its own: parts of a team meet at the same time.
typedef struct {
    _Alignas(LINE) atomic_uint arrived;
    atomic_uint phase;
} meeting;

struct cf_pool {
    int threads, started;
    meeting *meetings;  // by lane: threads + 1
    pthread_t *workers; // threads - 1
    cf_pool_task task;
    void *arg;
    atomic_uint generation; // one more for every run; workers wait for it to change
    atomic_uint running;    // workers that have not finished the current run
    atomic_uint sleepers;   // threads asleep on any of the words above or at a meeting
    atomic_int stopping;
};

typedef struct {
    cf_pool *pool;
    int thread;
} worker_start;

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Waits until *word is no longer `seen`.
static void wait_for_change(cf_pool *pool, atomic_uint *word, unsigned seen) {
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen) return;
        relax();
        if (i % YIELD_ROUNDS == YIELD_ROUNDS - 1) sched_yield();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(word) == seen) syscall(SYS_futex, (unsigned *)word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void wake_all(cf_pool *pool, atomic_uint *word) {
    if (atomic_load(&pool->sleepers)) syscall(SYS_futex, (unsigned *)word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void cf_team_barrier(const cf_team *team) {
    if (team->threads == 1) return;
    cf_pool *pool = team->pool;
    meeting *here = &pool->meetings[team->lane];
    unsigned phase = atomic_load(&here->phase);
    if (atomic_fetch_add(&here->arrived, 1) + 1 == (unsigned)team->threads) {
        atomic_store(&here->arrived, 0);
        atomic_fetch_add(&here->phase, 1);
        wake_all(pool, &here->phase);
    } else {
        wait_for_change(pool, &here->phase, phase);
    }
}

cf_team cf_team_split(const cf_team *team, int lanes) {
    int threads = team->threads / lanes;
    return (cf_team){team->pool, team->thread % threads, threads, 1 + team->thread / threads};
}

static void *worker(void *start) {
    cf_pool *pool = ((worker_start *)start)->pool;
    cf_team team = {pool, ((worker_start *)start)->thread, pool->threads, 0};
    cf_free(start);
    unsigned seen = 0;
    for (;;) {
        wait_for_change(pool, &pool->generation, seen);
        seen = atomic_load(&pool->generation);
        if (atomic_load(&pool->stopping)) return NULL;
        pool->task(pool->arg, &team);
        if (atomic_fetch_sub(&pool->running, 1) == 1) wake_all(pool, &pool->running);
    }
}

void cf_pool_run(cf_pool *pool, cf_pool_task task, void *arg) {
    cf_team team = {pool, 0, pool->threads, 0};
    if (pool->threads > 1) {
        pool->task = task;
        pool->arg = arg;
        atomic_store(&pool->running, (unsigned)pool->threads - 1);
        atomic_fetch_add(&pool->generation, 1);
        wake_all(pool, &pool->generation);
    }
    task(arg, &team);
    if (pool->threads > 1)
        for (unsigned left; (left = atomic_load(&pool->running)) != 0;) wait_for_change(pool, &pool->running, left);
}

// Binds a thread to the index-th core that this process may use; a refusal is harmless, the scheduler then chooses.
static void pin_thread(pthread_t thread, int index) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &allowed) && index-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            (void)pthread_setaffinity_np(thread, sizeof one, &one);
            return;
        }
}

cfine_status cf_pool_create(int threads, int pin, cf_pool **out, cfine_error *err) {
    *out = NULL;
    if (threads < 1 || threads > MAX_THREADS)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "threads: %d is not between 1 and %d", threads, MAX_THREADS);
    cf_pool *pool = cf_alloc(1, sizeof *pool);
    if (!pool) return cf_fail_memory(err, "thread pool", sizeof *pool);
    pool->threads = threads;
    pool->workers = cf_alloc((size_t)threads, sizeof *pool->workers);
    pool->meetings = cf_alloc_aligned((size_t)(threads + 1) * sizeof *pool->meetings);
    int room = pool->workers && pool->meetings;
    cfine_status status = room ? CFINE_OK : cf_fail_memory(err, "thread pool", (size_t)threads);
    for (int i = 1; i < threads && status == CFINE_OK; i++) {
        worker_start *start = cf_alloc(1, sizeof *start);
        if (!start) {
            status = cf_fail_memory(err, "thread pool", sizeof *start);
            break;
        }
        *start = (worker_start){pool, i};
        int code = pthread_create(&pool->workers[i - 1], NULL, worker, start);
        if (code) {
            cf_free(start);
            status = cf_fail(err, CFINE_ERROR_DEVICE, "cannot start thread %d of %d: %s; lower --threads", i + 1,
                             threads, strerror(code));
            break;
        }
        pool->started++;
        if (pin) pin_thread(pool->workers[i - 1], i);
    }
    if (status != CFINE_OK) {
        cf_pool_destroy(pool);
        return status;
    }
    *out = pool;
    return CFINE_OK;
}

void cf_pool_destroy(cf_pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stopping, 1);
    atomic_fetch_add(&pool->generation, 1);
    wake_all(pool, &pool->generation);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i], NULL);
    cf_free(pool->workers);
    cf_free_aligned(pool->meetings, (size_t)(pool->threads + 1) * sizeof *pool->meetings);
    cf_free(pool);
}

int cf_pool_threads(const cf_pool *pool) {
    return pool->threads;
}
