// SPDX-License-Identifier: Apache-2.0
#include "graph/passes/passes.h"

const cf_pass *cf_pass_list(int *count) {
    static const cf_pass passes[] = {
        {"fold_batch_norm", cf_pass_fold_batch_norm}, {"merge_repvgg", cf_pass_merge_repvgg},
        {"split_sliced", cf_pass_split_sliced},       {"pad_channels", cf_pass_pad_channels},
        {"merge_siblings", cf_pass_merge_siblings},   {"fuse_epilogue", cf_pass_fuse_epilogue},
    };
    *count = (int)(sizeof passes / sizeof *passes);
    return passes;
}

cfine_status cf_passes_run(cf_graph *graph, cfine_error *err) {
    int count;
    const cf_pass *passes = cf_pass_list(&count);
    for (int i = 0; i < count; i++) {
        CF_TRY(passes[i].run(graph, err));
        cf_graph_drop_unused(graph);
        cf_graph_compact(graph);
        cfine_status status = cf_graph_check(graph, err);
        if (status != CFINE_OK) return cf_fail_within(err, status, "after pass %s", passes[i].name);
    }
    return CFINE_OK;
}
