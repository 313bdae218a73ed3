// SPDX-License-Identifier: Apache-2.0
#include "image_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "heap.h"
#include "progress.h"

enum { MAX_THREADS = 64, USUAL_THREADS = 4, CORES_PER_THREAD = 4 };

// Image i lives in slot i % depth. Indices only grow: given_back <= taken <= started <= given_back + depth.
struct cli_image_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *const *paths;
    size_t count, depth;
    size_t started, taken, given_back;
    int stopping;
    cfine_image_options options;
    cli_queued_image *slots;
    pthread_t threads[MAX_THREADS];
    int thread_count;
};

static void decode(cli_image_queue *queue, size_t index) {
    cli_queued_image *slot = &queue->slots[index % queue->depth];
    double start = cli_seconds();
    slot->path = queue->paths[index];
    slot->index = index;
    slot->status = cfine_image_load(slot->path, &queue->options, &slot->image, &slot->error);
    slot->seconds = cli_seconds() - start;
}

static void *decode_ahead(void *argument) {
    cli_image_queue *queue = argument;
    pthread_mutex_lock(&queue->lock);
    while (!queue->stopping && queue->started < queue->count) {
        if (queue->started == queue->given_back + queue->depth) {
            pthread_cond_wait(&queue->changed, &queue->lock);
            continue;
        }
        size_t index = queue->started++;
        pthread_mutex_unlock(&queue->lock);
        decode(queue, index);
        pthread_mutex_lock(&queue->lock);
        queue->slots[index % queue->depth].ready = 1;
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

cli_image_queue *cli_image_queue_start(char *const *paths, size_t count, const cli_image_queue_options *options) {
    cli_image_queue *queue = cli_alloc(1, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    queue->paths = paths;
    queue->count = count;
    size_t depth = queue->depth = options->depth;
    queue->options = options->image;
    queue->slots = cli_alloc(depth, sizeof *queue->slots);
    size_t usual = (size_t)(cfine_cpu_count() / CORES_PER_THREAD);
    size_t wanted = options->threads ? (size_t)options->threads : usual < USUAL_THREADS ? usual : USUAL_THREADS;
    if (wanted > MAX_THREADS) wanted = MAX_THREADS;
    if (wanted > depth) wanted = depth;
    if (wanted > count) wanted = count;
    if (wanted < 1) wanted = 1;
    while ((size_t)queue->thread_count < wanted &&
           pthread_create(&queue->threads[queue->thread_count], NULL, decode_ahead, queue) == 0)
        queue->thread_count++;
    return queue;
}

cli_queued_image *cli_image_queue_next(cli_image_queue *queue) {
    if (queue->taken == queue->count) return NULL;
    cli_queued_image *slot = &queue->slots[queue->taken % queue->depth];
    if (!queue->thread_count) { // no thread could be started
        decode(queue, queue->taken++);
        return slot;
    }
    pthread_mutex_lock(&queue->lock);
    while (!slot->ready) pthread_cond_wait(&queue->changed, &queue->lock);
    queue->taken++;
    pthread_mutex_unlock(&queue->lock);
    return slot;
}

void cli_image_queue_give_back(cli_image_queue *queue, size_t count) {
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        cli_queued_image *slot = &queue->slots[queue->given_back++ % queue->depth];
        cfine_image_release(&slot->image);
        slot->ready = 0;
    }
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

void cli_image_queue_stop(cli_image_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->stopping = 1;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    for (int i = 0; i < queue->thread_count; i++) pthread_join(queue->threads[i], NULL);
    for (size_t i = 0; i < queue->depth; i++) cfine_image_release(&queue->slots[i].image);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue->slots);
    free(queue);
}
