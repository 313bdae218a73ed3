// SPDX-License-Identifier: Apache-2.0
// Any bytes as a .safetensors file: an error of one line, or tensors whose every element can be read.
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/names.h"
#include "model/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cfine_error error = {0};
    cf_weights *weights = cf_weights_new();
    if (!weights) return 0;
    if (cf_safetensors_parse(data, size, "fuzz", weights, &error) != CFINE_OK) {
        if (!error.message[0] || strchr(error.message, '\n')) abort();
        cf_weights_free(weights);
        return 0;
    }
    cf_model_config config = {.family = CF_FAMILY_DFINE, .decoder = {.shared_box_head = size % 2 == 1}};
    cf_names_unify(weights, &config, &error);
    for (size_t i = 0; i < cf_weights_count(weights); i++) {
        const cf_weight *weight = cf_weights_at(weights, i);
        if (cf_weights_find(weights, weight->name) != weight) abort();
        if (weight->count > size) abort(); // even of single bytes there cannot be more
        float *out = cf_alloc(weight->count, sizeof *out);
        if (out) cf_weights_read_f32(weights, weight, out, &error);
        cf_free(out);
    }
    cf_weights_check_leftovers(weights, 3, &error);
    cf_weights_free(weights);
    return 0;
}
