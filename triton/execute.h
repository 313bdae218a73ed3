// SPDX-License-Identifier: Apache-2.0
// Requests of one execution: read, run together, answered each for itself.
#ifndef TRITON_EXECUTE_H
#define TRITON_EXECUTE_H

#include "loaded_model.h"

typedef struct loaded_instance {
    const loaded_model *model;
    cfine_session *session;
} loaded_instance;

// Answers and releases all requests.
void execute_requests(triton_instance *instance, loaded_instance *loaded, triton_request **requests, uint32_t count);

#endif
