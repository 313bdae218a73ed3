// SPDX-License-Identifier: Apache-2.0
// Graph to graph: fewer, larger operators with the same results up to rounding. In this order (pass_list.c):
//
//     fold_batch_norm    conv, batch_norm           -> conv with bias
//     merge_repvgg       conv 3x3 + conv 1x1 of one input -> conv 3x3
//     split_sliced       conv whose value is only sliced -> a conv for each slice
//     pad_channels       odd channel counts between convs -> multiples of 8
//     merge_siblings     1x1 convs of one input     -> one wider conv, sliced
//     fuse_epilogue      conv, activation, scale_shift, add -> one conv
#ifndef CF_GRAPH_PASSES_H
#define CF_GRAPH_PASSES_H

#include "graph/graph.h"

typedef struct cf_pass {
    const char *name;
    cfine_status (*run)(cf_graph *graph, cfine_error *err);
} cf_pass;

// The passes every plan runs, in order.
const cf_pass *cf_pass_list(int *count);

// Runs them all, checking the graph after each.
cfine_status cf_passes_run(cf_graph *graph, cfine_error *err);

cfine_status cf_pass_fold_batch_norm(cf_graph *graph, cfine_error *err);
cfine_status cf_pass_merge_repvgg(cf_graph *graph, cfine_error *err);
cfine_status cf_pass_split_sliced(cf_graph *graph, cfine_error *err);
cfine_status cf_pass_pad_channels(cf_graph *graph, cfine_error *err);
cfine_status cf_pass_merge_siblings(cf_graph *graph, cfine_error *err);
cfine_status cf_pass_fuse_epilogue(cf_graph *graph, cfine_error *err);

// After the passes: stores values in bf16 (or f16) wherever the network bears it; see assign_precision.c.
cfine_status cf_assign_half(cf_graph *graph, cf_dtype half, cfine_error *err);

// An operator (or all whose names begin as one that ends in '*') and the type of what it shall read.
typedef struct cf_raised {
    const char *name;
    cf_dtype dtype;
} cf_raised;

// After the precision was assigned: keeps some operators in a higher one; see raise_precision.c. A name that no
// operator has is an error.
cfine_status cf_raise_precision(cf_graph *graph, const cf_raised *raised, size_t count, cfine_error *err);

// After that, where the image is to be bf16: makes it so, exactly where it was bytes; see narrow_input.c. An image
// whose readers cannot take that stays FP32.
cfine_status cf_narrow_input(cf_graph *graph, cfine_error *err);

// After the precision was assigned, for plans of a CPU that are not int8 (whose calibrations know the operators as they
// were): takes upsampling out of 1x1 convolutions; see split_upsampled.c.
cfine_status cf_split_upsampled(cf_graph *graph, cfine_error *err);

#endif
