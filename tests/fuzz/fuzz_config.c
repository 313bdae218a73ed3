// SPDX-License-Identifier: Apache-2.0
// Any text as config.json and as preprocessor_config.json: an error of one line, or a config that passes its checks.
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "model/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cfine_error error = {0};
    cf_model_config config;
    const char *text = (const char *)data;
    if (cf_model_config_parse(text, size, "fuzz", &config, &error) == CFINE_OK) {
        if (cf_model_config_check(&config, "fuzz", &error) != CFINE_OK || !cf_model_config_size(&config)) abort();
        if (config.levels < 1 || config.levels > CF_MAX_LEVELS || config.decoder.layers > config.decoder.layers_stored)
            abort();
    } else if (!error.message[0] || strchr(error.message, '\n')) {
        abort();
    }
    cf_model_config_release(&config);

    static const char least[] = "{\"model_type\":\"d_fine\"}";
    if (cf_model_config_parse(least, sizeof least - 1, "least", &config, &error) != CFINE_OK) abort();
    error.message[0] = 0;
    if (cf_preprocess_config_parse(text, size, "fuzz", &config, &error) != CFINE_OK &&
        (!error.message[0] || strchr(error.message, '\n')))
        abort();
    cf_model_config_release(&config);
    return 0;
}
