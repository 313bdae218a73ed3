// SPDX-License-Identifier: Apache-2.0
#include "batcher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/failure.h"

typedef struct {
    serve_job *first, *last;
} job_list;

struct serve_batcher {
    serve_batcher_options options;
    serve_run_observer *observer;
    void *observer_context;
    pthread_mutex_t lock;
    pthread_cond_t for_hands, for_workers;
    serve_engine *engine;
    job_list arrived, ready, done; // to prepare, to run, to finish
    int waiting;                   // jobs from reserve to worker
    int unfinished;                // jobs from reserve to the end of finish
    size_t ready_bytes;
    int stopping;
    int thread_count, workers_named;
    pthread_t *threads; // [workers + hands]
};

static void append(job_list *list, serve_job *job) {
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static serve_job *take_first(job_list *list) {
    serve_job *job = list->first;
    list->first = job->next;
    if (!list->first) list->last = NULL;
    return job;
}

// ---------------------------------------------------------------------------------------------------------------------
// Hands

static void prepare_job(serve_batcher *batcher, serve_job *job) {
    job->engine = serve_engine_retain(batcher->engine);
    pthread_mutex_unlock(&batcher->lock);
    if (job->is_gone(job))
        job->gone = job->refused = 1;
    else if (job->deadline > common_now())
        job->prepare(job);
    else
        job->late = job->refused = 1;
    job->prepared = common_now();
    pthread_mutex_lock(&batcher->lock);
    if (job->refused) {
        batcher->waiting--;
        append(&batcher->done, job);
        pthread_cond_signal(&batcher->for_hands);
    } else {
        batcher->ready_bytes += job->bytes;
        append(&batcher->ready, job);
        pthread_cond_signal(&batcher->for_workers);
    }
}

static void finish_job(serve_batcher *batcher, serve_job *job) {
    pthread_mutex_unlock(&batcher->lock);
    serve_engine *engine = job->engine;
    job->finish(job); // the job may be gone now
    serve_engine_release(engine);
    pthread_mutex_lock(&batcher->lock);
    if (--batcher->unfinished == 0 && batcher->stopping) {
        pthread_cond_broadcast(&batcher->for_hands);
        pthread_cond_broadcast(&batcher->for_workers);
    }
}

static void *hand(void *arg) {
    serve_batcher *batcher = arg;
    pthread_mutex_lock(&batcher->lock);
    for (;;) {
        if (batcher->done.first)
            finish_job(batcher, take_first(&batcher->done));
        else if (batcher->arrived.first && batcher->ready_bytes <= batcher->options.ready_bytes)
            prepare_job(batcher, take_first(&batcher->arrived));
        else if (batcher->stopping && batcher->unfinished == 0)
            break;
        else
            pthread_cond_wait(&batcher->for_hands, &batcher->lock);
    }
    pthread_mutex_unlock(&batcher->lock);
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// Workers

static void leave_queue(serve_batcher *batcher, serve_job *job) {
    batcher->waiting--;
    batcher->ready_bytes -= job->bytes;
}

// A job that does not run.
static void drop_job(serve_batcher *batcher, serve_job *job, double now) {
    job->started = job->ended = now;
    leave_queue(batcher, job);
    append(&batcher->done, job);
    pthread_cond_signal(&batcher->for_hands);
}

static void drop_late_jobs(serve_batcher *batcher, double now) {
    job_list kept = {0};
    while (batcher->ready.first) {
        serve_job *job = take_first(&batcher->ready);
        if (job->deadline > now) {
            append(&kept, job);
            continue;
        }
        job->late = 1;
        drop_job(batcher, job, now);
    }
    batcher->ready = kept;
}

static int fits(const serve_job *job, const serve_job *head, int images) {
    return job->engine == head->engine && job->kind == head->kind && images + job->count <= head->engine->info.batch;
}

// Images that could run together with the head of the list.
static int count_batch(const job_list *list) {
    int images = 0;
    for (const serve_job *job = list->first; job; job = job->next)
        if (fits(job, list->first, images)) images += job->count;
    return images;
}

// The list's head and what fits to it. Nothing, where nobody waits for any of them.
static job_list take_batch(serve_batcher *batcher, double now) {
    job_list taken = {0}, kept = {0};
    const serve_job *head = batcher->ready.first;
    int images = 0;
    while (batcher->ready.first) {
        serve_job *job = take_first(&batcher->ready);
        if (!fits(job, head, images)) {
            append(&kept, job);
        } else if (job->is_gone(job)) {
            job->gone = 1;
            drop_job(batcher, job, now);
        } else {
            images += job->count;
            leave_queue(batcher, job);
            append(&taken, job);
        }
    }
    batcher->ready = kept;
    if (kept.first) pthread_cond_signal(&batcher->for_workers);
    return taken;
}

static void wait_until(serve_batcher *batcher, double time) {
    struct timespec at = {(time_t)time, (long)((time - (double)(time_t)time) * 1e9)};
    pthread_cond_timedwait(&batcher->for_workers, &batcher->lock, &at);
}

static cfine_status run_images(cfine_session *session, const job_list *jobs, int images, float threshold,
                               cfine_error *error) {
    cfine_image *all = malloc((size_t)images * sizeof *all);
    cfine_detections *found = calloc((size_t)images, sizeof *found);
    cfine_status status = CFINE_OK;
    if (!all || !found) status = common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
    int n = 0;
    for (const serve_job *job = jobs->first; job && status == CFINE_OK; job = job->next)
        for (int i = 0; i < job->count; i++) all[n++] = job->images[i];
    cfine_detect_options options = CFINE_INIT(cfine_detect_options);
    options.threshold = threshold > 0 ? threshold : -1;
    if (status == CFINE_OK) status = cfine_detect(session, all, images, &options, found, error);
    n = 0;
    for (serve_job *job = jobs->first; job && found; job = job->next)
        for (int i = 0; i < job->count; i++, n++) {
            if (status == CFINE_OK)
                job->found[i] = found[n];
            else
                cfine_detections_release(&found[n]);
        }
    free(found);
    free(all);
    return status;
}

static cfine_status run_pixels(cfine_session *session, const job_list *jobs, int images, cfine_error *error) {
    serve_job *one = jobs->first;
    if (!one->next) return cfine_session_run(session, one->pixels, images, one->logits, one->boxes, error);
    const cfine_plan_info *info = &one->engine->info;
    size_t pixels = 3 * (size_t)info->width * (size_t)info->height;
    size_t logits = (size_t)info->queries * (size_t)info->labels, boxes = (size_t)info->queries * 4;
    float *all = malloc((pixels + logits + boxes) * (size_t)images * sizeof *all);
    if (!all) return common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
    float *all_logits = all + pixels * (size_t)images, *all_boxes = all_logits + logits * (size_t)images;
    size_t n = 0;
    for (const serve_job *job = jobs->first; job; n += (size_t)job->count, job = job->next)
        memcpy(all + n * pixels, job->pixels, (size_t)job->count * pixels * sizeof *all);
    cfine_status status = cfine_session_run(session, all, images, all_logits, all_boxes, error);
    n = 0;
    for (serve_job *job = jobs->first; job; n += (size_t)job->count, job = job->next) {
        memcpy(job->logits, all_logits + n * logits, (size_t)job->count * logits * sizeof *all);
        memcpy(job->boxes, all_boxes + n * boxes, (size_t)job->count * boxes * sizeof *all);
    }
    free(all);
    return status;
}

static void run_jobs(cfine_session *session, const job_list *jobs) {
    int images = 0;
    float threshold = 1;
    double start = common_now();
    for (serve_job *job = jobs->first; job; job = job->next) {
        images += job->count;
        if (job->threshold < threshold) threshold = job->threshold;
    }
    cfine_error error;
    cfine_status status = jobs->first->kind == SERVE_IMAGES ? run_images(session, jobs, images, threshold, &error)
                                                            : run_pixels(session, jobs, images, &error);
    double end = common_now();
    for (serve_job *job = jobs->first; job; job = job->next) {
        job->status = status;
        if (status != CFINE_OK) job->error = error;
        job->batch = images;
        job->started = start;
        job->ended = end;
    }
}

// One bad image must not fail its neighbours: after a failure every job runs alone.
static void run_batch(cfine_session *session, const job_list *jobs) {
    run_jobs(session, jobs);
    if (jobs->first->status == CFINE_OK || !jobs->first->next) return;
    for (serve_job *job = jobs->first, *next; job; job = next) {
        next = job->next;
        job_list alone = {job, job};
        job->next = NULL;
        run_jobs(session, &alone);
        job->next = next;
    }
}

static void *worker(void *arg) {
    serve_batcher *batcher = arg;
    pthread_mutex_lock(&batcher->lock);
    int index = batcher->workers_named++;
    for (;;) {
        double now = common_now();
        drop_late_jobs(batcher, now);
        const serve_job *head = batcher->ready.first;
        if (!head) {
            if (batcher->stopping && batcher->unfinished == 0) break;
            pthread_cond_wait(&batcher->for_workers, &batcher->lock);
            continue;
        }
        double until = head->prepared + batcher->options.max_delay;
        if (now < until && !batcher->stopping && count_batch(&batcher->ready) < head->engine->info.batch) {
            wait_until(batcher, until);
            continue;
        }
        job_list jobs = take_batch(batcher, now);
        if (!jobs.first) continue;
        pthread_cond_broadcast(&batcher->for_hands); // there is room for prepared jobs
        pthread_mutex_unlock(&batcher->lock);
        run_batch(jobs.first->engine->sessions[index], &jobs);
        if (batcher->observer && jobs.first->status == CFINE_OK)
            batcher->observer(batcher->observer_context, jobs.first->batch, jobs.first->ended - jobs.first->started);
        pthread_mutex_lock(&batcher->lock);
        while (jobs.first) {
            append(&batcher->done, take_first(&jobs));
            pthread_cond_signal(&batcher->for_hands);
        }
    }
    pthread_mutex_unlock(&batcher->lock);
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------

static void release(serve_batcher *batcher) {
    serve_engine_release(batcher->engine);
    pthread_cond_destroy(&batcher->for_workers);
    pthread_cond_destroy(&batcher->for_hands);
    pthread_mutex_destroy(&batcher->lock);
    free(batcher->threads);
    free(batcher);
}

cfine_status serve_batcher_start(const serve_batcher_options *options, serve_engine *engine,
                                 serve_run_observer *observer, void *context, serve_batcher **out, cfine_error *error) {
    int count = engine->workers + options->hands;
    serve_batcher *batcher = calloc(1, sizeof *batcher);
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    if (!batcher || !threads) {
        free(batcher);
        free(threads);
        serve_engine_release(engine);
        return common_fail(error, CFINE_ERROR_MEMORY, "out of memory");
    }
    batcher->options = *options;
    batcher->observer = observer;
    batcher->observer_context = context;
    batcher->engine = engine;
    batcher->threads = threads;
    pthread_mutex_init(&batcher->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&batcher->for_hands, NULL);
    pthread_cond_init(&batcher->for_workers, &attributes);
    pthread_condattr_destroy(&attributes);
    for (; batcher->thread_count < count; batcher->thread_count++)
        if (pthread_create(&threads[batcher->thread_count], NULL,
                           batcher->thread_count < engine->workers ? worker : hand, batcher) != 0) {
            serve_batcher_stop(batcher);
            return common_fail(error, CFINE_ERROR_MEMORY, "cannot start %d threads; ask for fewer", count);
        }
    *out = batcher;
    return CFINE_OK;
}

int serve_batcher_reserve(serve_batcher *batcher) {
    pthread_mutex_lock(&batcher->lock);
    int room = batcher->waiting < batcher->options.capacity && !batcher->stopping;
    if (room) {
        batcher->waiting++;
        batcher->unfinished++;
    }
    pthread_mutex_unlock(&batcher->lock);
    return room;
}

void serve_batcher_submit(serve_batcher *batcher, serve_job *job) {
    job->arrived = common_now();
    pthread_mutex_lock(&batcher->lock);
    append(&batcher->arrived, job);
    pthread_cond_signal(&batcher->for_hands);
    pthread_mutex_unlock(&batcher->lock);
}

void serve_batcher_swap(serve_batcher *batcher, serve_engine *engine) {
    pthread_mutex_lock(&batcher->lock);
    serve_engine *old = batcher->engine;
    batcher->engine = engine;
    pthread_mutex_unlock(&batcher->lock);
    serve_engine_release(old);
}

serve_engine *serve_batcher_engine(serve_batcher *batcher) {
    pthread_mutex_lock(&batcher->lock);
    serve_engine *engine = serve_engine_retain(batcher->engine);
    pthread_mutex_unlock(&batcher->lock);
    return engine;
}

int serve_batcher_waiting(serve_batcher *batcher) {
    pthread_mutex_lock(&batcher->lock);
    int waiting = batcher->waiting;
    pthread_mutex_unlock(&batcher->lock);
    return waiting;
}

void serve_batcher_stop(serve_batcher *batcher) {
    if (!batcher) return;
    pthread_mutex_lock(&batcher->lock);
    batcher->stopping = 1;
    pthread_cond_broadcast(&batcher->for_hands);
    pthread_cond_broadcast(&batcher->for_workers);
    pthread_mutex_unlock(&batcher->lock);
    for (int i = 0; i < batcher->thread_count; i++) pthread_join(batcher->threads[i], NULL);
    release(batcher);
}
