// SPDX-License-Identifier: Apache-2.0
#include "mhd_api.h"

static serve_mhd functions;
static const late_function list[] = {SERVE_MHD_FUNCTIONS(LATE_FUNCTION)};
static late_library library = LATE_LIBRARY("libmicrohttpd.so.12", "libmicrohttpd12", "the server", list);

const serve_mhd *serve_mhd_open(cfine_error *error) {
    return late_library_open(&library, error) == CFINE_OK ? &functions : NULL;
}
