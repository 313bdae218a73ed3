// SPDX-License-Identifier: Apache-2.0
// libmicrohttpd, opened when a server starts.
#ifndef SERVE_MHD_API_H
#define SERVE_MHD_API_H

#include <microhttpd.h>

#include "cfine/cfine.h"
#include "common/late_library.h"

// clang-format off
#define SERVE_MHD_FUNCTIONS(function) \
    function(MHD_start_daemon) function(MHD_stop_daemon) function(MHD_quiesce_daemon) function(MHD_get_daemon_info) \
    function(MHD_queue_response) function(MHD_create_response_from_buffer_with_free_callback) \
    function(MHD_destroy_response) function(MHD_add_response_header) function(MHD_lookup_connection_value) \
    function(MHD_get_connection_values) function(MHD_suspend_connection) function(MHD_resume_connection) \
    function(MHD_get_connection_info) function(MHD_is_feature_supported) function(MHD_add_connection)
// clang-format on

typedef struct serve_mhd {
    SERVE_MHD_FUNCTIONS(LATE_FIELD)
} serve_mhd;

// The functions, or NULL with an error that says what to install. Any thread.
const serve_mhd *serve_mhd_open(cfine_error *error);

#endif
