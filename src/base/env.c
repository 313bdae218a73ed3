// SPDX-License-Identifier: Apache-2.0
#include "base/env.h"

#include <stdlib.h>

// An empty variable counts as unset.
static const char *get(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : 0;
}

const char *cf_env_cpu(void) {
    return get("CFINE_CPU");
}
const char *cf_env_models(void) {
    return get("CFINE_MODELS");
}
const char *cf_env_cache(void) {
    return get("CFINE_CACHE");
}
const char *cf_env_home(void) {
    return get("HOME");
}
const char *cf_env_xdg_cache(void) {
    return get("XDG_CACHE_HOME");
}
