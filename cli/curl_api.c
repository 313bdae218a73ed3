// SPDX-License-Identifier: Apache-2.0
#include "curl_api.h"

#include "message.h"

static cli_curl functions;
static const late_function list[] = {CLI_CURL_FUNCTIONS(LATE_FUNCTION)};
static late_library library = LATE_LIBRARY("libcurl.so.4", "libcurl4", "this verb", list);

const cli_curl *cli_curl_open(void) {
    cfine_error error;
    if (late_library_open(&library, &error) != CFINE_OK)
        cli_error("%s", error.message);
    else if (functions.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        cli_error("libcurl cannot be set up: out of memory?");
    else
        return &functions;
    return NULL;
}
