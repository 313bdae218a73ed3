// SPDX-License-Identifier: Apache-2.0
// What an operator would take on a plan's device with its values stored in other types, so that precision can be chosen
// by it: seconds by the clock where the plan's kernels are timed, else a number from the kernels' own estimates.
#ifndef CF_PLAN_PRICE_H
#define CF_PLAN_PRICE_H

#include "plan/plan.h"

typedef struct cf_pricer cf_pricer;

// request->tune: by the clock; else by estimates, which only kernels of a GPU have.
cfine_status cf_pricer_create(const cf_plan_request *request, cf_pricer **out, cfine_error *err);
void cf_pricer_destroy(cf_pricer *pricer); // NULL is allowed

// The node with its inputs stored in in[0 .. input_count-1] and its output in `out`. A price that no operator reaches
// where only the kernel that accepts everything would do it. Nodes that were priced before cost nothing.
cfine_status cf_price(cf_pricer *pricer, const cf_graph *graph, const cf_node *node, const cf_dtype *in, cf_dtype out,
                      double *price, cfine_error *err);
// A copy of a value from one type to another.
cfine_status cf_price_copy(cf_pricer *pricer, const cf_value *value, cf_dtype from, cf_dtype to, double *price,
                           cfine_error *err);

#endif
