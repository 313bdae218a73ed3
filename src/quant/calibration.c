// SPDX-License-Identifier: Apache-2.0
#include "quant/calibration.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

const char *cf_range_method_name(cf_range_method method) {
    static const char *const names[] = {"minmax", "percentile", "entropy", "mse"};
    return (unsigned)method < sizeof names / sizeof *names ? names[method] : "?";
}

cfine_status cf_calibration_create(int32_t ranges, int32_t operators, cf_calibration **out, cfine_error *err) {
    *out = NULL;
    cf_calibration *made = cf_alloc(1, sizeof *made);
    if (made) {
        made->ranges = cf_alloc((size_t)ranges, sizeof *made->ranges);
        made->operators = cf_alloc((size_t)operators, sizeof *made->operators);
    }
    if (!made || (ranges && !made->ranges) || (operators && !made->operators)) {
        cf_calibration_destroy(made);
        return cf_fail_memory(err, "calibration", (size_t)ranges * sizeof(cf_value_range));
    }
    made->range_count = ranges;
    made->operator_count = operators;
    *out = made;
    return CFINE_OK;
}

void cf_calibration_destroy(cf_calibration *calibration) {
    if (!calibration) return;
    for (int32_t i = 0; calibration->ranges && i < calibration->range_count; i++) cf_free(calibration->ranges[i].name);
    for (int32_t i = 0; calibration->operators && i < calibration->operator_count; i++) {
        cf_free(calibration->operators[i].name);
        cf_free(calibration->operators[i].correction);
    }
    cf_free(calibration->ranges);
    cf_free(calibration->operators);
    cf_free(calibration);
}

// Both arrays hold structs that begin with their name.
static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void cf_calibration_sort(cf_calibration *calibration) {
    if (calibration->range_count)
        qsort(calibration->ranges, (size_t)calibration->range_count, sizeof *calibration->ranges, by_name);
    if (calibration->operator_count)
        qsort(calibration->operators, (size_t)calibration->operator_count, sizeof *calibration->operators, by_name);
}

const cf_value_range *cf_calibration_range(const cf_calibration *calibration, const char *name) {
    if (!calibration->range_count) return NULL;
    return bsearch(&name, calibration->ranges, (size_t)calibration->range_count, sizeof *calibration->ranges, by_name);
}

cf_quant_operator *cf_calibration_operator(const cf_calibration *calibration, const char *name) {
    if (!calibration->operator_count) return NULL;
    return bsearch(&name, calibration->operators, (size_t)calibration->operator_count, sizeof *calibration->operators,
                   by_name);
}

int32_t cf_calibration_leave(cf_calibration *calibration, const char *pattern) {
    size_t length = strlen(pattern), compared = length && pattern[length - 1] == '*' ? length - 1 : length + 1;
    int32_t left = 0;
    for (int32_t i = 0; i < calibration->operator_count; i++) {
        cf_quant_operator *entry = &calibration->operators[i];
        if (strncmp(entry->name, pattern, compared) != 0) continue;
        left += entry->int8;
        entry->int8 = 0;
    }
    return left;
}
