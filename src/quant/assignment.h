// SPDX-License-Identifier: Apache-2.0
// Which convolutions run in int8 and which values are bytes then: what assign_int8.c and price_int8.c share.
#ifndef CF_QUANT_ASSIGNMENT_H
#define CF_QUANT_ASSIGNMENT_H

#include "quant/assign_int8.h"

typedef struct cf_assignment {
    cf_graph *graph;
    const cf_calibration *calibration;
    const cf_byte_costs *costs;   // NULL: they do not matter, or prices are known
    cf_dtype stored;              // of bytes: U8, or E4M3
    uint8_t *queries;             // by value: depends on the chosen queries
    uint8_t *want, *plain, *byte; // by value: someone wants it in bytes; someone needs it whole; stored as such
    uint8_t *chosen;              // by node: an int8 convolution
    int32_t *copy;                // by value: its copy in bytes, or CF_NONE
    double *share;                // by value: what its copy costs each of its readers
    int32_t values, nodes;        // room in those arrays
} cf_assignment;

// From `chosen` to want, plain and byte.
void cf_assignment_find_bytes(cf_assignment *a);

// Calls visit(a, value, arg) for every value that must be copied to bytes so that `value` can be read in bytes.
void cf_assignment_each_copy(cf_assignment *a, int32_t value, void (*visit)(cf_assignment *, int32_t, double *),
                             double *arg);

// Takes convolutions out of `chosen` (and puts some of them back) until nothing makes the network cheaper.
cfine_status cf_assignment_lower_price(cf_assignment *a, cf_pricer *pricer, cfine_error *err);

#endif
