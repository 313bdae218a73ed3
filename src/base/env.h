// SPDX-License-Identifier: Apache-2.0
// Every environment variable that the library reads, in one place.
#ifndef CF_BASE_ENV_H
#define CF_BASE_ENV_H

const char *cf_env_cpu(void);       // CFINE_CPU: highest instruction level to use, as cf_cpu_mask_parse names them
const char *cf_env_models(void);    // CFINE_MODELS: folder of bundled models, instead of the installed one
const char *cf_env_cache(void);     // CFINE_CACHE: folder for pulled models, instead of ~/.cache/cfine
const char *cf_env_home(void);      // HOME
const char *cf_env_xdg_cache(void); // XDG_CACHE_HOME

#endif
