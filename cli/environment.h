// SPDX-License-Identifier: Apache-2.0
// Every environment variable that the command reads beside those of the library, and CFINE_CPU, of which the library
// takes no notice if it names nothing. An empty one counts as unset: NULL.
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

const char *cli_env_cpu(void);         // CFINE_CPU: highest instruction level to use
const char *cli_env_hf_endpoint(void); // HF_ENDPOINT: base URL of the hub
const char *cli_env_hf_token(void);    // HF_TOKEN
const char *cli_env_onnxruntime(void); // CFINE_ONNXRUNTIME: file of this library
const char *cli_env_openvino(void);    // CFINE_OPENVINO: the same

#endif
