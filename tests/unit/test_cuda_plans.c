// SPDX-License-Identifier: Apache-2.0
// What of the GPU backend needs no GPU: kernels for every operator, plans for every chip.
#include "unit/test.h"

#include "graph/passes/passes.h"
#include "model/model.h"
#include "plan/plan.h"

static cfine_error error;

static int can_be_in_a_plan(cf_op op) {
    return op != CF_OP_INPUT && op != CF_OP_CONCAT && op != CF_OP_TOKENS && op != CF_OP_SLICE && op != CF_OP_HALO;
}

// The last kernel of every operator runs on any chip.
static void every_operator_has_kernels(void **state) {
    (void)state;
    for (int op = 0; op < CF_OP_COUNT; op++) {
        int count;
        const cf_kernel *const *list = cf_cuda_kernels_of((cf_op)op, &count);
        if (can_be_in_a_plan((cf_op)op) != (count > 0)) fail_msg("%s: %d kernels", cf_op_name((cf_op)op), count);
        for (int i = 0; i < count; i++) {
            assert_int_equal(list[i]->op, op);
            assert_non_null(list[i]->launch);
            assert_non_null(list[i]->refuse);
        }
        if (count) assert_int_equal(list[count - 1]->compute_from, 0);
    }
}

static cf_plan *build(const char *model, cf_dtype half, int compute, int batch) {
    cf_checkpoint *checkpoint;
    cf_graph *graph;
    cf_plan *plan;
    assert_ok(cf_checkpoint_open(model, &checkpoint, &error));
    assert_ok(cf_model_build(checkpoint, NULL, &graph, &error));
    assert_ok(cf_passes_run(graph, &error));
    if (half != CF_F32) assert_ok(cf_assign_half(graph, half, &error));
    cfine_precision precision = half == CF_F16 ? CFINE_FP16 : half == CF_BF16 ? CFINE_BF16 : CFINE_FP32;
    enum { MULTIPROCESSORS = 132 };
    cf_plan_request request = {.precision = precision,
                               .batch = batch,
                               .threads = MULTIPROCESSORS,
                               .target = {.backend = CF_CUDA, .compute = compute}};
    assert_ok(cf_plan_compile(graph, &request, &plan, &error));
    cf_graph_destroy(graph);
    cf_checkpoint_close(checkpoint);
    return plan;
}

static const char *const models[] = {CFINE_SOURCE_DIR "/tests/data/tiny", CFINE_SOURCE_DIR "/models/tabletop"};

static void plans_are_made_for_every_chip(void **state) {
    (void)state;
    static const int chips[] = {75, 80, 89, 90, 100};
    static const cf_dtype types[] = {CF_F32, CF_F16, CF_BF16};
    for (int m = 0; m < 2; m++)
        for (size_t c = 0; c < sizeof chips / sizeof *chips; c++)
            for (int t = 0; t < 3; t++) {
                cf_plan *plan = build(models[m], types[t], chips[c], 1);
                for (int i = 0; i < plan->step_count; i++) {
                    const cf_kernel *kernel = plan->steps[i].kernel;
                    assert_true(cf_kernel_runs_on(kernel, &plan->request.target));
                    if (kernel->compute_from > chips[c]) fail_msg("%s on %d", kernel->name, chips[c]);
                }
                cf_plan_release(plan);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_has_kernels),
        cmocka_unit_test(plans_are_made_for_every_chip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
