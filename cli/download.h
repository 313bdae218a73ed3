// SPDX-License-Identifier: Apache-2.0
// One file from a web server to disk: resumed where an earlier try ended, tried again after hiccups, and checked.
#ifndef CLI_DOWNLOAD_H
#define CLI_DOWNLOAD_H

#include "curl_api.h"

typedef struct cli_download {
    const char *url;
    const char *token; // NULL: none; sent to the first server only, not to those it redirects to
    const char *path;  // where the file goes; unfinished, it is "<path>.part"
    int retries;       // after the first try; a try that brought bytes does not count
} cli_download;

typedef enum cli_download_result {
    CLI_DOWNLOADED,
    CLI_DOWNLOAD_ABSENT, // the server has no such file (404); nothing was printed
    CLI_DOWNLOAD_FAILED  // after an error message
} cli_download_result;

// Takes what "<path>.part" holds for the beginning of the file. The size must be what the server said, and the
// checksum, where it gave one (64 hexadecimal digits in X-Linked-ETag or ETag), that of the bytes.
cli_download_result cli_download_run(const cli_curl *curl, const cli_download *download);

#endif
