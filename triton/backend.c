// SPDX-License-Identifier: Apache-2.0
// libtriton_cfine.so: what Triton calls. A model has one plan; each of its instances has a session on it.
#include <stdio.h>
#include <stdlib.h>

#include "execute.h"

triton_error *TRITONBACKEND_Initialize(triton_backend *backend) {
    (void)backend;
    uint32_t major, minor;
    TRITON_TRY(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major == TRITON_API_MAJOR && minor >= TRITON_API_MINOR) return NULL;
    return triton_fail(TRITON_UNSUPPORTED, "the server's backend interface is %u.%u; cfine needs %d.%d or later %d.x",
                       major, minor, TRITON_API_MAJOR, TRITON_API_MINOR, TRITON_API_MAJOR);
}

triton_error *TRITONBACKEND_ModelInitialize(triton_model *model) {
    loaded_model *loaded;
    const char *name;
    char text[512];
    TRITON_TRY(TRITONBACKEND_ModelName(model, &name));
    TRITON_TRY(loaded_model_open(model, &loaded));
    snprintf(text, sizeof text, "cfine %s: %.200s: %s %s, %s, batches to %d, %d threads an instance", cfine_version(),
             name, loaded->info.family, loaded->info.size, loaded->kind == KIND_RAW ? "raw" : "complete",
             loaded->info.batch, loaded->threads);
    triton_error *error = TRITONSERVER_LogMessage(TRITON_LOG_INFO, __FILE__, __LINE__, text);
    if (error) TRITONSERVER_ErrorDelete(error);
    return TRITONBACKEND_ModelSetState(model, loaded);
}

triton_error *TRITONBACKEND_ModelFinalize(triton_model *model) {
    void *state;
    TRITON_TRY(TRITONBACKEND_ModelState(model, &state));
    loaded_model_close(state);
    return NULL;
}

triton_error *TRITONBACKEND_ModelInstanceInitialize(triton_instance *instance) {
    triton_model *model;
    void *state;
    triton_kind kind;
    cfine_error error;
    TRITON_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    TRITON_TRY(TRITONBACKEND_ModelState(model, &state));
    TRITON_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    if (kind == TRITON_KIND_GPU)
        return triton_fail(TRITON_UNSUPPORTED, "this build of cfine has only CPU instances: set kind: KIND_CPU");
    loaded_instance *loaded = calloc(1, sizeof *loaded);
    if (!loaded) return triton_fail(TRITON_UNAVAILABLE, "out of memory");
    loaded->model = state;
    cfine_session_options options = CFINE_INIT(cfine_session_options);
    options.threads = loaded->model->threads;
    if (cfine_session_open(loaded->model->plan, &options, &loaded->session, &error) != CFINE_OK) {
        free(loaded);
        return triton_failure(&error);
    }
    return TRITONBACKEND_ModelInstanceSetState(instance, loaded);
}

triton_error *TRITONBACKEND_ModelInstanceFinalize(triton_instance *instance) {
    void *state;
    TRITON_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    loaded_instance *loaded = state;
    if (loaded) cfine_session_close(loaded->session);
    free(loaded);
    return NULL;
}

triton_error *TRITONBACKEND_ModelInstanceExecute(triton_instance *instance, triton_request **requests,
                                                 const uint32_t count) {
    void *state;
    TRITON_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    execute_requests(instance, state, requests, count);
    return NULL;
}
