// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <stdlib.h>

static const char *get(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *cli_env_cpu(void) {
    return get("CFINE_CPU");
}
const char *cli_env_hf_endpoint(void) {
    return get("HF_ENDPOINT");
}
const char *cli_env_hf_token(void) {
    return get("HF_TOKEN");
}
const char *cli_env_onnxruntime(void) {
    return get("CFINE_ONNXRUNTIME");
}
const char *cli_env_openvino(void) {
    return get("CFINE_OPENVINO");
}
