// SPDX-License-Identifier: Apache-2.0
// The parts of Triton's backend interface (version 1) that this backend uses, declared here so that nothing of Triton
// is needed to build it. The server that loads the backend has the functions.
#ifndef TRITON_TRITON_API_H
#define TRITON_TRITON_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Least version with all that is used here.
enum { TRITON_API_MAJOR = 1, TRITON_API_MINOR = 10 };

typedef enum triton_code {
    TRITON_INTERNAL = 1,
    TRITON_NOT_FOUND = 2,
    TRITON_INVALID_ARGUMENT = 3,
    TRITON_UNAVAILABLE = 4,
    TRITON_UNSUPPORTED = 5
} triton_code;
typedef enum triton_type { TRITON_INT64 = 9, TRITON_FP32 = 11, TRITON_BYTES = 13 } triton_type;
typedef enum triton_memory { TRITON_CPU = 0 } triton_memory;
typedef enum triton_kind { TRITON_KIND_CPU = 1, TRITON_KIND_GPU = 2 } triton_kind;
enum { TRITON_RELEASE_ALL = 1, TRITON_RESPONSE_FINAL = 1, TRITON_LOG_INFO = 0 };

typedef struct triton_error triton_error; // NULL: it went well
typedef struct triton_message triton_message;
typedef struct triton_backend triton_backend;
typedef struct triton_model triton_model;
typedef struct triton_instance triton_instance;
typedef struct triton_request triton_request;
typedef struct triton_response triton_response;
typedef struct triton_input triton_input;
typedef struct triton_output triton_output;

// What the server calls.
#define TRITON_ENTRY __attribute__((visibility("default"))) triton_error *
TRITON_ENTRY TRITONBACKEND_Initialize(triton_backend *backend);
TRITON_ENTRY TRITONBACKEND_ModelInitialize(triton_model *model);
TRITON_ENTRY TRITONBACKEND_ModelFinalize(triton_model *model);
TRITON_ENTRY TRITONBACKEND_ModelInstanceInitialize(triton_instance *instance);
TRITON_ENTRY TRITONBACKEND_ModelInstanceFinalize(triton_instance *instance);
TRITON_ENTRY TRITONBACKEND_ModelInstanceExecute(triton_instance *instance, triton_request **requests,
                                                const uint32_t count);

// What the server gives.
triton_error *TRITONSERVER_ErrorNew(triton_code code, const char *text);
void TRITONSERVER_ErrorDelete(triton_error *error);
triton_error *TRITONSERVER_LogMessage(int level, const char *file, const int line, const char *text);
triton_error *TRITONSERVER_MessageNewFromSerializedJson(triton_message **message, const char *text, size_t size);
triton_error *TRITONSERVER_MessageSerializeToJson(triton_message *message, const char **text, size_t *size);
triton_error *TRITONSERVER_MessageDelete(triton_message *message);

triton_error *TRITONBACKEND_ApiVersion(uint32_t *major, uint32_t *minor);
triton_error *TRITONBACKEND_ModelName(triton_model *model, const char **name);
triton_error *TRITONBACKEND_ModelVersion(triton_model *model, uint64_t *version);
triton_error *TRITONBACKEND_ModelRepository(triton_model *model, int *artifact_kind, const char **folder);
triton_error *TRITONBACKEND_ModelConfig(triton_model *model, const uint32_t version, triton_message **config);
triton_error *TRITONBACKEND_ModelAutoCompleteConfig(triton_model *model, bool *wanted);
triton_error *TRITONBACKEND_ModelSetConfig(triton_model *model, const uint32_t version, triton_message *config);
triton_error *TRITONBACKEND_ModelState(triton_model *model, void **state);
triton_error *TRITONBACKEND_ModelSetState(triton_model *model, void *state);
triton_error *TRITONBACKEND_ModelInstanceKind(triton_instance *instance, triton_kind *kind);
triton_error *TRITONBACKEND_ModelInstanceModel(triton_instance *instance, triton_model **model);
triton_error *TRITONBACKEND_ModelInstanceState(triton_instance *instance, void **state);
triton_error *TRITONBACKEND_ModelInstanceSetState(triton_instance *instance, void *state);
triton_error *TRITONBACKEND_ModelInstanceReportStatistics(triton_instance *instance, triton_request *request,
                                                          const bool success, const uint64_t start,
                                                          const uint64_t compute_start, const uint64_t compute_end,
                                                          const uint64_t end);
triton_error *TRITONBACKEND_ModelInstanceReportBatchStatistics(triton_instance *instance, const uint64_t rows,
                                                               const uint64_t start, const uint64_t compute_start,
                                                               const uint64_t compute_end, const uint64_t end);
triton_error *TRITONBACKEND_RequestInput(triton_request *request, const char *name, triton_input **input);
triton_error *TRITONBACKEND_RequestOutputCount(triton_request *request, uint32_t *count);
triton_error *TRITONBACKEND_RequestOutputName(triton_request *request, const uint32_t index, const char **name);
triton_error *TRITONBACKEND_RequestRelease(triton_request *request, uint32_t flags);
triton_error *TRITONBACKEND_InputProperties(triton_input *input, const char **name, triton_type *type,
                                            const int64_t **shape, uint32_t *rank, uint64_t *bytes, uint32_t *buffers);
triton_error *TRITONBACKEND_InputBuffer(triton_input *input, const uint32_t index, const void **buffer, uint64_t *bytes,
                                        triton_memory *memory, int64_t *memory_id);
triton_error *TRITONBACKEND_ResponseNew(triton_response **response, triton_request *request);
triton_error *TRITONBACKEND_ResponseOutput(triton_response *response, triton_output **output, const char *name,
                                           const triton_type type, const int64_t *shape, const uint32_t rank);
triton_error *TRITONBACKEND_OutputBuffer(triton_output *output, void **buffer, const uint64_t bytes,
                                         triton_memory *memory, int64_t *memory_id);
triton_error *TRITONBACKEND_ResponseSend(triton_response *response, const uint32_t flags, triton_error *error);

#endif
