// SPDX-License-Identifier: Apache-2.0
// Any bytes as an official .pth, or (when they do not begin as a zip) as the pickle in one: an error of one line, or
// tensors whose every element can be read, and a config deduced from them or refused.
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/names.h"
#include "model/unpickler.h"
#include "model/weights.h"

static void check_error(const cfine_error *error) {
    if (!error->message[0] || strchr(error->message, '\n')) abort();
}

static void read_all(const cf_weights *weights) {
    cfine_error error = {0};
    for (size_t i = 0; i < cf_weights_count(weights); i++) {
        const cf_weight *weight = cf_weights_at(weights, i);
        float *out = cf_alloc(weight->count, sizeof *out);
        if (out) cf_weights_read_f32(weights, weight, out, &error);
        cf_free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cfine_error error = {0};
    if (size < 2 || memcmp(data, "PK", 2) != 0) {
        cf_pickle pickle;
        if (cf_unpickle(data, size, &pickle, &error) != CFINE_OK) check_error(&error);
        cf_pickle_get(cf_pickle_get(pickle.root, "ema"), "module");
        cf_pickle_release(&pickle);
        return 0;
    }
    cf_weights *weights = cf_weights_new();
    if (!weights) return 0;
    cfine_status status = cf_pth_parse(data, size, "fuzz", weights, &error);
    if (status == CFINE_OK) {
        read_all(weights);
        status = cf_names_from_official(weights, &error);
    }
    if (status == CFINE_OK) {
        read_all(weights);
        cf_model_config config;
        status = cf_model_config_deduce(weights, "fuzz", &config, &error);
        cf_model_config_release(&config);
    }
    if (status != CFINE_OK) check_error(&error);
    cf_weights_free(weights);
    return 0;
}
