// SPDX-License-Identifier: Apache-2.0
// cfine.h: what a search for a good plan needs: operators in a precision of their own, and what was measured of a plan.
#include "api/handles.h"
#include "base/memory.h"
#include "graph/passes/passes.h"

enum { MAX_OPERATORS = 100000 };

cfine_status cf_raise_operators(cf_graph *graph, const cfine_plan_options *options, cfine_error *err) {
    if (!options->operator_count) return CFINE_OK;
    if (!options->operators || options->operator_count > MAX_OPERATORS)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "operators: %zu of them are %s", options->operator_count,
                       options->operators ? "too many" : "not given");
    cf_raised *raised = cf_alloc(options->operator_count, sizeof *raised);
    if (!raised) return cf_fail_memory(err, "operators", options->operator_count * sizeof *raised);
    cfine_status status = CFINE_OK;
    size_t count = 0;
    for (size_t i = 0; i < options->operator_count && status == CFINE_OK; i++) {
        const cfine_operator_precision *wanted = &options->operators[i];
        if (!wanted->name || wanted->precision <= CFINE_PRECISION_DEFAULT || wanted->precision > CFINE_FP8)
            status = cf_fail(err, CFINE_ERROR_ARGUMENT, "operators: number %zu has no name or precision", i);
        else if (wanted->precision >= CFINE_INT8 ||
                 (options->precision >= CFINE_INT8 && wanted->precision != CFINE_FP32))
            continue; // nothing is lower; and what leaves int8 was left out by its pass, where only it changes
        else
            raised[count++] = (cf_raised){wanted->name, wanted->precision == CFINE_FP32   ? CF_F32
                                                        : wanted->precision == CFINE_FP16 ? CF_F16
                                                                                          : CF_BF16};
    }
    if (status == CFINE_OK) status = cf_raise_precision(graph, raised, count, err);
    cf_free(raised);
    return status;
}

cfine_status cfine_plan_set_accuracy(cfine_plan *handle, const cfine_accuracy *accuracy, cfine_error *error) {
    if (!handle || !accuracy) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_set_accuracy: NULL argument");
    cfine_accuracy given;
    CF_READ_OPTIONS(given, accuracy);
    cf_plan_accuracy *kept = &handle->plan->accuracy;
    *kept = (cf_plan_accuracy){.ap = given.ap,
                               .ap50 = given.ap50,
                               .reference_ap = given.reference_ap,
                               .milliseconds = given.milliseconds,
                               .images = given.images};
    memcpy(kept->data, given.data, sizeof kept->data - 1);
    memcpy(kept->machine, given.machine, sizeof kept->machine - 1);
    return CFINE_OK;
}

cfine_status cfine_plan_get_accuracy(const cfine_plan *handle, cfine_accuracy *out, cfine_error *error) {
    if (!handle || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_plan_get_accuracy: NULL argument");
    const cf_plan_accuracy *kept = &handle->plan->accuracy;
    cfine_accuracy accuracy = {.ap = kept->ap,
                               .ap50 = kept->ap50,
                               .reference_ap = kept->reference_ap,
                               .images = (int)kept->images,
                               .milliseconds = kept->milliseconds};
    memcpy(accuracy.data, kept->data, sizeof accuracy.data);
    memcpy(accuracy.machine, kept->machine, sizeof accuracy.machine);
    cf_write_info(out, &accuracy, sizeof accuracy);
    return CFINE_OK;
}
