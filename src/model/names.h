// SPDX-License-Identifier: Apache-2.0
// One set of tensor names for all checkpoints: those that Hugging Face's published D-FINE and DEIMv2 files have.
#ifndef CF_MODEL_NAMES_H
#define CF_MODEL_NAMES_H

#include "model/model_config.h"
#include "model/weights.h"

// A renaming rule. In `from`, '#' stands for digits and a '*' at the end for any rest; in `to`, the n-th '#' and the
// '*' are what those were. An empty `to` means that the tensor repeats another one and is dropped. `tied`: where the
// target name exists already, the tensor is a second name of the same weight and is dropped too.
typedef struct cf_name_rule {
    const char *from, *to;
    int tied;
} cf_name_rule;

// Applies the first rule that fits to each tensor; names that no rule fits stay.
cfine_status cf_names_apply(cf_weights *weights, const cf_name_rule *rules, size_t count, cfine_error *err);

// Names that other versions of transformers give (o_proj for out_proj, ...), tied duplicates.
cfine_status cf_names_unify(cf_weights *weights, const cf_model_config *config, cfine_error *err);

// Names of the official D-FINE and DEIM repositories to Hugging Face's; splits the fused query/key/value projections.
cfine_status cf_names_from_official(cf_weights *weights, cfine_error *err);

// The config of a D-FINE whose tensors (already with Hugging Face's names) are all there is. `file` is for errors.
// Release `out` in any case.
cfine_status cf_model_config_deduce(const cf_weights *weights, const char *file, cf_model_config *out,
                                    cfine_error *err);

#endif
