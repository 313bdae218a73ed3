// SPDX-License-Identifier: Apache-2.0
// The compiler's parts: memory by lifetime, passes, barriers, and plan files that are refused when anything is off.
#include "unit/test.h"

#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "exec/session.h"
#include "graph/passes/passes.h"
#include "model/model.h"
#include "plan/planfile.h"

static cfine_error error;

static uint32_t random_state = 1;

static uint32_t next_random(uint32_t limit) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % limit;
}

// No two buffers that live at the same time share a byte, and the total is what the last one needs.
static void memory_never_overlaps(void **state) {
    (void)state;
    enum { COUNT = 60 };
    for (int round = 0; round < 200; round++) {
        cf_buffer buffers[COUNT] = {0};
        int32_t scratch[COUNT];
        for (int i = 0; i < COUNT; i++) {
            buffers[i].first = (int32_t)next_random(50);
            buffers[i].last = buffers[i].first + (int32_t)next_random(10);
            buffers[i].bytes = next_random(4) ? 1 + next_random(10000) : 0;
        }
        int64_t total = cf_memory_plan(buffers, COUNT, scratch), most = 0;
        for (int i = 0; i < COUNT; i++) {
            if (buffers[i].bytes == 0) continue;
            if (buffers[i].offset + buffers[i].bytes > most) most = buffers[i].offset + buffers[i].bytes;
            assert_int_equal(buffers[i].offset % 64, 0);
            for (int k = 0; k < i; k++) {
                int together =
                    buffers[k].bytes && buffers[i].first <= buffers[k].last && buffers[k].first <= buffers[i].last;
                int apart = buffers[i].offset >= buffers[k].offset + buffers[k].bytes ||
                            buffers[k].offset >= buffers[i].offset + buffers[i].bytes;
                assert_true(!together || apart);
            }
        }
        assert_int_equal(total, most);
    }
}

static cf_plan *build_tuned(int passes, int batch, int threads, int tune) {
    cf_checkpoint *checkpoint;
    cf_graph *graph;
    cf_plan *plan;
    assert_ok(cf_checkpoint_open(CFINE_SOURCE_DIR "/tests/data/tiny", &checkpoint, &error));
    assert_ok(cf_model_build(checkpoint, NULL, &graph, &error));
    if (passes) assert_ok(cf_passes_run(graph, &error));
    cf_plan_request request = {.precision = CFINE_FP32,
                               .batch = batch,
                               .threads = threads,
                               .target = {.backend = CF_CPU, .features = cf_cpu_features()}};
    request.tune = tune;
    assert_ok(cf_plan_compile(graph, &request, &plan, &error));
    plan->detections = plan->queries;
    plan->label_names = cf_alloc((size_t)plan->labels, sizeof *plan->label_names);
    for (int i = 0; i < plan->labels; i++) plan->label_names[i] = cf_strdup(checkpoint->config.label_names[i]);
    cf_graph_destroy(graph);
    cf_checkpoint_close(checkpoint);
    return plan;
}

static cf_plan *build_tiny(int passes, int batch, int threads) {
    return build_tuned(passes, batch, threads, 0);
}

// Logits of made-up images; the caller frees them.
static float *run_plan(cf_plan *plan, int images, int threads) {
    cf_session *session;
    cf_session_options options = {.threads = threads};
    assert_ok(cf_session_create(plan, &options, &session, &error));
    cf_tensor input = session->input;
    for (int n = 0; n < images; n++)
        for (int y = 0; y < input.h; y++)
            for (int x = 0; x < input.w; x++)
                for (int c = 0; c < 3; c++)
                    cf_tensor_set(&input, n, y, x, c, (float)((x / 9 * 7 + y / 5 * 3 + c * 11 + n * 5) % 16) / 16);
    assert_ok(cf_session_forward(session, images, 0, &error));
    cf_tensor logits = session->logits;
    float *copy = cf_alloc((size_t)(images * logits.w * logits.c), sizeof *copy), *out = copy;
    for (int n = 0; n < images; n++)
        for (int q = 0; q < logits.w; q++)
            for (int c = 0; c < logits.c; c++) *out++ = cf_tensor_get(&logits, n, 0, q, c);
    cf_session_destroy(session);
    return copy;
}

// Passes leave fewer steps; many threads without most barriers give bit for bit what one gives, also where they split
// into lanes with an image each (two threads: lanes of one; four: of two for two images) and where images are left
// over.
static void passes_shrink_and_threads_agree(void **state) {
    (void)state;
    enum { BATCH = 5 };
    cf_plan *unpassed = build_tiny(0, 1, 1), *plan = build_tiny(1, BATCH, 3);
    assert_true(plan->step_count < unpassed->step_count * 2 / 3);
    int meetings = 0;
    uint8_t *waits = cf_alloc((size_t)plan->step_count, 1);
    cf_session_find_barriers(plan, 3, waits);
    for (int i = 0; i < plan->step_count; i++) meetings += waits[i];
    assert_in_range(meetings, 1, plan->step_count * 9 / 10);
    cf_free(waits);
    float *one = run_plan(plan, BATCH, 1);
    for (int round = 0; round < 20; round++) {
        int images = 1 + round % BATCH;
        float *many = run_plan(plan, images, 2 + round % 3);
        assert_memory_equal(one, many, (size_t)(images * plan->queries * plan->labels) * sizeof(float));
        cf_free(many);
    }
    cf_free(one);
    cf_plan_release(unpassed);
    cf_plan_release(plan);
}

static void assert_f32(const cf_graph *graph, int32_t value) {
    assert_int_equal(graph->values[value].dtype, CF_F32);
}

// In half precision queries' features are bf16, and everything that boxes and scores are made from is not.
static void boxes_stay_exact(void **state) {
    (void)state;
    cf_checkpoint *checkpoint;
    cf_graph *graph;
    assert_ok(cf_checkpoint_open(CFINE_SOURCE_DIR "/tests/data/tiny", &checkpoint, &error));
    assert_ok(cf_model_build(checkpoint, NULL, &graph, &error));
    assert_ok(cf_passes_run(graph, &error));
    assert_ok(cf_assign_half(graph, CF_BF16, &error));
    assert_f32(graph, graph->input);
    assert_f32(graph, graph->logits);
    assert_f32(graph, graph->boxes);
    int attentions = 0, samplings = 0, quality = 0;
    for (int32_t i = 0; i < graph->node_count; i++) {
        const cf_node *node = &graph->nodes[i];
        if (node->dead) continue;
        switch (node->op) {
        case CF_OP_ATTENTION:
            assert_int_equal(graph->values[node->output].dtype, CF_BF16);
            attentions++;
            break;
        case CF_OP_DEFORM:
            for (int k = 0; k < 3; k++) assert_f32(graph, node->inputs[k]);
            assert_int_equal(graph->values[node->inputs[3]].dtype, CF_BF16);
            samplings++;
            break;
        case CF_OP_QUALITY:
            quality = 1;
            assert_f32(graph, node->output);
            assert_f32(graph, node->inputs[0]);
            break;
        case CF_OP_REFINE:
        case CF_OP_SHIFT_BOX:
            for (int k = 0; k < 2; k++) assert_f32(graph, node->inputs[k]);
            break;
        case CF_OP_REFERENCE:
        case CF_OP_TOP_QUERIES: assert_f32(graph, node->inputs[0]); break;
        case CF_OP_CONV:
            if (quality && strstr(node->name, "reg_conf")) assert_f32(graph, node->output);
            break;
        default: break;
        }
    }
    assert_true(quality && samplings > 1 && attentions > samplings);
    cf_graph_destroy(graph);
    cf_checkpoint_close(checkpoint);
}

static char path[64];

static cf_bytes saved_plan(cf_plan **plan) {
    *plan = build_tiny(1, 1, 2);
    snprintf(path, sizeof path, "/tmp/cfine-test-%ld.plan", (long)getpid());
    assert_ok(cf_planfile_save(*plan, path, &error));
    cf_bytes bytes;
    assert_ok(cf_file_read(path, 1 << 28, &bytes, &error));
    return bytes;
}

static void plan_files_run_as_built(void **state) {
    (void)state;
    cf_plan *built, *opened;
    cf_bytes bytes = saved_plan(&built);
    assert_true(cf_planfile_probe(path));
    assert_ok(cf_planfile_open(path, cf_cpu_features(), &opened, &error));
    assert_int_equal(opened->step_count, built->step_count);
    assert_string_equal(opened->label_names[0], built->label_names[0]);
    float *expected = run_plan(built, 1, 2), *got = run_plan(opened, 1, 2);
    assert_memory_equal(expected, got, (size_t)(built->queries * built->labels) * sizeof(float));
    cf_free(expected);
    cf_free(got);
    cf_plan_release(built);
    cf_plan_release(opened);
    cf_bytes_release(&bytes);
    unlink(path);
}

// A tuned plan runs what was fastest, says what was timed, and keeps both in its file.
static void tuned_plans_keep_their_times(void **state) {
    (void)state;
    cf_plan *plan = build_tuned(1, 1, 2, 1), *opened;
    snprintf(path, sizeof path, "/tmp/cfine-test-%ld.plan", (long)getpid());
    assert_ok(cf_planfile_save(plan, path, &error));
    assert_ok(cf_planfile_open(path, cf_cpu_features(), &opened, &error));
    int timed = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const cf_step *step = &plan->steps[i], *again = &opened->steps[i];
        assert_int_equal(step->tried_count, again->tried_count);
        float least = 1e9f;
        const cf_kernel *fastest = step->kernel;
        for (int k = 0; k < step->tried_count; k++) {
            assert_ptr_equal(step->tried[k].kernel, again->tried[k].kernel);
            assert_true(step->tried[k].milliseconds > 0);
            if (step->tried[k].milliseconds < least)
                least = step->tried[k].milliseconds, fastest = step->tried[k].kernel;
        }
        assert_ptr_equal(step->kernel, fastest);
        assert_ptr_equal(again->kernel, fastest);
        timed += step->tried_count > 0;
    }
    assert_true(timed > 20 || plan->request.target.features == 0);
    float *got = run_plan(opened, 1, 2);
    cf_free(got);
    cf_plan_release(plan);
    cf_plan_release(opened);
    unlink(path);
}

static void refuse(const uint8_t *data, size_t size, cfine_status status, const char *words) {
    cf_plan *plan;
    assert_fails(cf_planfile_parse(data, size, "x.plan", cf_cpu_features(), &plan, &error), status, words);
    assert_null(plan);
}

static void damaged_plan_files_are_refused(void **state) {
    (void)state;
    cf_plan *built, *plan;
    cf_bytes bytes = saved_plan(&built);
    uint8_t *copy = cf_alloc(bytes.size, 1);
    memcpy(copy, bytes.data, bytes.size);
    for (int round = 0; round < 600; round++) { // any one byte
        size_t at = round < 300 ? (size_t)round : next_random((uint32_t)bytes.size);
        uint8_t bit = (uint8_t)(1 << next_random(8));
        copy[at] ^= bit;
        assert_int_not_equal(cf_planfile_parse(copy, bytes.size, "x.plan", ~0u, &plan, &error), CFINE_OK);
        copy[at] ^= bit;
    }
    for (size_t size = 0; size < bytes.size; size += 1 + bytes.size / 97)
        assert_int_not_equal(cf_planfile_parse(copy, size, "x.plan", ~0u, &plan, &error), CFINE_OK);
    refuse(copy, bytes.size - 1, CFINE_ERROR_FORMAT, "the end is missing; rebuild it: cfine build");
    if (cf_cpu_features()) // a lesser processor
        assert_fails(cf_planfile_parse(copy, bytes.size, "x.plan", 0, &plan, &error), CFINE_ERROR_MISMATCH,
                     "which this one lacks; rebuild it: cfine build");
    if (cf_cpu_features()) { // this one, limited
        cf_cpu_set_mask(0);
        refuse(copy, bytes.size, CFINE_ERROR_MISMATCH, "which this CPU has, but --cpu or CFINE_CPU forbids");
        cf_cpu_set_mask(~0u);
    }
    copy[8] = 99; // format version
    refuse(copy, bytes.size, CFINE_ERROR_MISMATCH, "plan of format 99");
    copy[0] = 'X';
    refuse(copy, bytes.size, CFINE_ERROR_FORMAT, "is not a plan file");
    cf_free(copy);
    cf_bytes_release(&bytes);
    cf_plan_release(built);
    unlink(path);
}

// Whoever forges the checksums as well still cannot make a step reach outside the workspace.
static void forged_plan_files_are_refused(void **state) {
    (void)state;
    enum { FILE_SIZE_AT = 32, WEIGHTS_AT = 40, BODY_HASH_AT = 72, HEADER_HASH_AT = 80, HEADER_SIZE = 88 };
    cf_plan *built, *plan;
    cf_bytes bytes = saved_plan(&built);
    uint8_t *copy = cf_alloc(bytes.size, 1);
    uint64_t weights_at;
    memcpy(&weights_at, bytes.data + WEIGHTS_AT, 8);
    int refused = 0;
    for (int round = 0; round < 3000; round++) {
        memcpy(copy, bytes.data, bytes.size);
        size_t at = HEADER_SIZE + next_random((uint32_t)(weights_at - HEADER_SIZE));
        copy[at] ^= (uint8_t)(1 << next_random(8));
        uint64_t body = cf_hash64(copy + HEADER_SIZE, weights_at - HEADER_SIZE, 0);
        body = cf_hash64(copy + weights_at, bytes.size - weights_at, body);
        memcpy(copy + BODY_HASH_AT, &body, 8);
        uint64_t head = cf_hash64(copy, HEADER_HASH_AT, 0);
        memcpy(copy + HEADER_HASH_AT, &head, 8);
        if (cf_planfile_parse(copy, bytes.size, "x.plan", cf_cpu_features(), &plan, &error) != CFINE_OK) {
            refused++;
            continue;
        }
        float *out = run_plan(plan, 1, 1); // what is accepted must at least run (a sanitizer build looks on)
        cf_free(out);
        cf_plan_release(plan);
    }
    assert_in_range(refused, 300, 3000);
    cf_free(copy);
    cf_bytes_release(&bytes);
    cf_plan_release(built);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_never_overlaps),         cmocka_unit_test(passes_shrink_and_threads_agree),
        cmocka_unit_test(plan_files_run_as_built),       cmocka_unit_test(damaged_plan_files_are_refused),
        cmocka_unit_test(forged_plan_files_are_refused), cmocka_unit_test(boxes_stay_exact),
        cmocka_unit_test(tuned_plans_keep_their_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
