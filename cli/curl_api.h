// SPDX-License-Identifier: Apache-2.0
// libcurl, opened by the verbs that need it.
#ifndef CLI_CURL_API_H
#define CLI_CURL_API_H

#define CURL_DISABLE_TYPECHECK // its macros stand in the way of calls through pointers
#include <curl/curl.h>

#include "common/late_library.h"

#define CLI_CURL_FUNCTIONS(function)                                                                                   \
    function(curl_global_init) function(curl_easy_init) function(curl_easy_cleanup) function(curl_easy_perform)        \
        function(curl_easy_setopt) function(curl_easy_getinfo) function(curl_easy_strerror)                            \
            function(curl_slist_append) function(curl_slist_free_all) function(curl_multi_init)                        \
                function(curl_multi_cleanup) function(curl_multi_setopt) function(curl_multi_add_handle)               \
                    function(curl_multi_remove_handle) function(curl_multi_perform) function(curl_multi_poll)          \
                        function(curl_multi_info_read)

typedef struct cli_curl {
    CLI_CURL_FUNCTIONS(LATE_FIELD)
} cli_curl;

// libcurl's functions, or NULL after an error message.
const cli_curl *cli_curl_open(void);

#endif
