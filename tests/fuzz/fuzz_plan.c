// SPDX-License-Identifier: Apache-2.0
// A plan file with bytes changed. Plan files belong to one build on one kind of machine, so none is stored: the tiny
// model is compiled here, and the input says which bytes of its file to change: 5 bytes a change, place (32 bits) and
// what to flip. The first byte of the input says how:
//
//     even   as it is: unless nothing changed, it must be refused
//     odd    with both checksums forged: refused, or a plan that stays within its memory when it runs
//
// An input that begins like a plan file is taken as one.
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/memory.h"
#include "exec/session.h"
#include "graph/passes/passes.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "plan/planfile.h"

// Of the header: the checksums, where the weights begin, and its size. See planfile.c.
enum {
    BODY_HASH = 72,
    HEADER_HASH = 80,
    WEIGHTS_OFFSET = 40,
    HEADER = 88,
    CHANGE = 5,
    MOST_CHANGES = 64,
    MOST_MEMORY = 64 << 20
};

static void need(cfine_status status, const cfine_error *error) {
    if (status == CFINE_OK) return;
    fprintf(stderr, "fuzz_plan: %s\n", error->message);
    abort();
}

static cf_bytes original;

static void make_original(void) {
    cfine_error error = {0};
    cf_checkpoint *checkpoint;
    cf_graph *graph;
    cf_plan *plan;
    cf_model_options options = {.width = 64, .height = 64, .queries = 10};
    cf_plan_request request = {.precision = CFINE_FP32,
                               .batch = 1,
                               .threads = 1,
                               .target = {.backend = CF_CPU, .features = cf_cpu_features()}};
    need(cf_checkpoint_open(CFINE_SOURCE_DIR "/tests/data/tiny", &checkpoint, &error), &error);
    need(cf_model_build(checkpoint, &options, &graph, &error), &error);
    need(cf_passes_run(graph, &error), &error);
    need(cf_plan_compile(graph, &request, &plan, &error), &error);
    plan->detections = plan->queries;
    plan->label_names = cf_alloc((size_t)plan->labels, sizeof *plan->label_names);
    for (int i = 0; plan->label_names && i < plan->labels; i++)
        plan->label_names[i] = cf_strdup(checkpoint->config.label_names[i]);
    char path[4096];
    snprintf(path, sizeof path, "%s/fuzz-%ld.plan", CFINE_BINARY_DIR, (long)getpid());
    need(cf_planfile_save(plan, path, &error), &error);
    need(cf_file_load(path, &original, &error), &error);
    unlink(path);
    cf_plan_release(plan);
    cf_graph_destroy(graph);
    cf_checkpoint_close(checkpoint);
}

static void forge(uint8_t *file, size_t size) {
    uint64_t weights, hash;
    memcpy(&weights, file + WEIGHTS_OFFSET, sizeof weights);
    if (weights < HEADER || weights > size) return;
    hash = cf_hash64(file + HEADER, weights - HEADER, 0);
    hash = cf_hash64(file + weights, size - weights, hash);
    memcpy(file + BODY_HASH, &hash, sizeof hash);
    hash = cf_hash64(file, HEADER_HASH, 0);
    memcpy(file + HEADER_HASH, &hash, sizeof hash);
}

static void run(cf_plan *plan) {
    cfine_error error = {0};
    cf_session *session;
    cf_session_options options = {.threads = 1};
    if (plan->workspace_bytes > MOST_MEMORY) return;
    if (cf_session_create(plan, &options, &session, &error) != CFINE_OK) return;
    cf_session_forward(session, 1, 0, &error);
    cf_session_destroy(session);
}

// 1 if it was accepted, and then it was run.
static int parse(const uint8_t *file, size_t size) {
    cfine_error error = {0};
    cf_plan *plan;
    if (cf_planfile_parse(file, size, "fuzz", cf_cpu_features(), &plan, &error) != CFINE_OK) {
        if (!error.message[0] || strchr(error.message, '\n')) abort();
        return 0;
    }
    run(plan);
    cf_plan_release(plan);
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!original.data) make_original();
    if (size >= 8 && !memcmp(data, original.data, 8)) {
        parse(data, size);
        return 0;
    }
    if (!size) return 0;
    uint8_t *file = cf_alloc_aligned(original.size); // sections are aligned where a file is read
    if (!file) return 0;
    memcpy(file, original.data, original.size);
    int changes = 0, forged = data[0] & 1;
    for (size_t at = 1; at + CHANGE <= size && changes < MOST_CHANGES; at += CHANGE, changes++) {
        uint32_t place;
        memcpy(&place, data + at, sizeof place);
        file[place % original.size] ^= data[at + CHANGE - 1];
    }
    int changed = memcmp(file, original.data, original.size) != 0;
    if (forged) forge(file, original.size);
    int accepted = parse(file, original.size);
    if (!forged && accepted == changed) {
        fprintf(stderr, "fuzz_plan: a %s file was %s\n", changed ? "changed" : "good",
                accepted ? "accepted" : "refused");
        abort();
    }
    cf_free_aligned(file, original.size);
    return 0;
}
