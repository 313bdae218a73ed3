// SPDX-License-Identifier: Apache-2.0
#include "download.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cfine/cfine.h"
#include "heap.h"
#include "message.h"
#include "progress.h"
#include "sha256.h"

enum { CONNECT_SECONDS = 20, STALL_SECONDS = 30, STALL_BYTES_PER_SECOND = 100, MAX_REDIRECTS = 10 };
static const double FIRST_WAIT_SECONDS = 0.5, LONGEST_WAIT_SECONDS = 60;

// One try. The server may redirect: headers of every answer on the way are read.
typedef struct {
    const cli_curl *curl;
    CURL *handle;
    const cli_download *download;
    char *part;
    FILE *file;
    int64_t offset;       // bytes of the part file when the try began
    int64_t done;         // bytes of the file so far
    int64_t total;        // of the whole file, or -1
    int status;           // HTTP status of the answer being read
    int range_mismatch;   // the answer begins elsewhere than asked
    int write_errno;      // 0, or why the disk refused
    char linked_etag[65]; // of the redirecting hub: the file's SHA-256, or empty
    char etag[65];        // of the last answer, if it looks like one
    cli_progress progress;
} attempt;

typedef enum { TRY_DONE, TRY_AGAIN, TRY_RESTART, TRY_ABSENT, TRY_HOPELESS } try_result;

// ---------------------------------------------------------------------------------------------------------------------
// What the server says

// Copies the value of a header if it is 64 hexadecimal digits, quoted or not.
static void read_sha256(const char *value, size_t length, char out[65]) {
    while (length && (*value == ' ' || *value == '"')) value++, length--;
    if (length < 64) return;
    for (size_t i = 0; i < 64; i++)
        if (!isxdigit((unsigned char)value[i])) return;
    if (length > 64 && isxdigit((unsigned char)value[64])) return;
    for (size_t i = 0; i < 64; i++) out[i] = (char)tolower((unsigned char)value[i]);
    out[64] = 0;
}

// "Content-Range: bytes 100-999/1000", or "bytes */1000" where what was asked for lies behind the end.
static void read_range(attempt *try, const char *value) {
    long long first, last, total;
    if (try->status == 416 && sscanf(value, " bytes */%lld", &total) == 1) try->total = total;
    if (try->status != 206 || sscanf(value, " bytes %lld-%lld/%lld", &first, &last, &total) != 3) return;
    try->total = total;
    try->range_mismatch = first != try->offset;
}

static size_t on_header(char *data, size_t size, size_t count, void *argument) {
    attempt *try = argument;
    size_t length = size * count;
    char line[512];
    snprintf(line, sizeof line, "%.*s", (int)(length < sizeof line ? length : sizeof line - 1), data);
    char *colon = strchr(line, ':');
    if (strncmp(line, "HTTP/", 5) == 0) { // a new answer
        const char *space = strchr(line, ' ');
        try->status = space ? atoi(space + 1) : 0;
        try->total = -1;
        try->range_mismatch = 0;
        try->etag[0] = 0;
    } else if (colon) {
        *colon = 0;
        const char *value = colon + 1;
        if (strcasecmp(line, "x-linked-etag") == 0) read_sha256(value, strlen(value), try->linked_etag);
        if (strcasecmp(line, "etag") == 0) read_sha256(value, strlen(value), try->etag);
        if (strcasecmp(line, "content-length") == 0 && try->status == 200) try->total = atoll(value);
        if (strcasecmp(line, "content-range") == 0) read_range(try, value);
    }
    return length;
}

// ---------------------------------------------------------------------------------------------------------------------
// What goes to disk

static int open_part(attempt *try) {
    int append = try->status == 206;
    try->file = fopen(try->part, append ? "abe" : "wbe");
    if (!try->file) {
        try->write_errno = errno;
        return 0;
    }
    try->done = append ? try->offset : 0;
    cli_progress_start(&try->progress, "B", try->done, try->total > 0 ? try->total : 0);
    return 1;
}

static size_t on_body(char *data, size_t size, size_t count, void *argument) {
    attempt *try = argument;
    size_t length = size * count;
    if (try->status != 200 && try->status != 206) return length; // an error page
    if (try->range_mismatch) return 0;
    if (!try->file && !open_part(try)) return 0;
    if (fwrite(data, 1, length, try->file) != length) {
        try->write_errno = errno ? errno : EIO;
        return 0;
    }
    try->done += (int64_t)length;
    cli_progress_show(&try->progress, try->done);
    return length;
}

static void close_part(attempt *try) {
    if (!try->file) return;
    errno = 0;
    if ((fflush(try->file) != 0 || fsync(fileno(try->file)) != 0) && !try->write_errno) try->write_errno = errno;
    if (fclose(try->file) != 0 && !try->write_errno) try->write_errno = errno;
    try->file = NULL;
    cli_progress_end(&try->progress);
}

static int64_t size_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

// The checksum of the part file; 0 after an error message.
static int sum_file(const char *path, char text[65]) {
    enum { CHUNK = 1 << 16 };
    FILE *file = fopen(path, "rbe");
    if (!file) {
        cli_error("%s: cannot read: %s", path, strerror(errno));
        return 0;
    }
    uint8_t *buffer = cli_alloc(CHUNK, 1);
    cli_sha256 hash;
    cli_sha256_start(&hash);
    size_t got;
    while ((got = fread(buffer, 1, CHUNK, file)) > 0) cli_sha256_add(&hash, buffer, got);
    int ok = !ferror(file);
    if (!ok) cli_error("%s: cannot read: %s", path, strerror(errno));
    fclose(file);
    free(buffer);
    cli_sha256_end(&hash, text);
    return ok;
}

// ---------------------------------------------------------------------------------------------------------------------
// One try

static struct curl_slist *set_up(attempt *try) {
    const cli_curl *curl = try->curl;
    CURL *handle = try->handle;
    struct curl_slist *headers = NULL;
    int secure = strncmp(try->download->url, "https://", 8) == 0;
    curl->curl_easy_setopt(handle, CURLOPT_URL, try->download->url);
    curl->curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl->curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
    curl->curl_easy_setopt(handle, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
#if LIBCURL_VERSION_NUM >= 0x075500 // names; before, bits
    curl->curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
#else
    curl->curl_easy_setopt(handle, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl->curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS,
                           (long)(secure ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl->curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl->curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
    curl->curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl->curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl->curl_easy_setopt(handle, CURLOPT_HEADERDATA, try);
    curl->curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl->curl_easy_setopt(handle, CURLOPT_WRITEDATA, try);
    curl->curl_easy_setopt(handle, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)try->offset);
    char agent[64];
    snprintf(agent, sizeof agent, "cfine/%s", cfine_version());
    curl->curl_easy_setopt(handle, CURLOPT_USERAGENT, agent);
    if (try->download->token) {
        char *header = cli_format("Authorization: Bearer %s", try->download->token);
        headers = curl->curl_slist_append(headers, header);
        free(header);
        curl->curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    }
    return headers;
}

static try_result judge_status(const attempt *try) {
    const char *url = try->download->url;
    switch (try->status) {
    case 200:
    case 206: return TRY_DONE;
    case 404: return TRY_ABSENT;
    case 416: return try->total == try->offset ? TRY_DONE : TRY_RESTART; // the part file is whole, or too long
    case 401:
    case 403:
        cli_error("%s: the server refuses access (HTTP %d): the name is wrong, or the model is private: set HF_TOKEN",
                  url, try->status);
        return TRY_HOPELESS;
    default: break;
    }
    if (try->status == 408 || try->status == 429 || try->status >= 500) {
        cli_note("%s: the server answers HTTP %d", url, try->status);
        return TRY_AGAIN;
    }
    cli_error("%s: the server answers HTTP %d", url, try->status);
    return TRY_HOPELESS;
}

static try_result judge_transfer(const attempt *try, CURLcode code) {
    const char *url = try->download->url, *reason = try->curl->curl_easy_strerror(code);
    if (try->write_errno) {
        cli_error("%s: cannot write: %s", try->part, strerror(try->write_errno));
        return TRY_HOPELESS;
    }
    if (try->range_mismatch) return TRY_RESTART;
    switch (code) {
    case CURLE_OK: return judge_status(try);
    case CURLE_RANGE_ERROR: return TRY_RESTART; // the server cannot resume
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: cli_error("%s: %s", url, reason); return TRY_HOPELESS;
    default: break;
    }
    cli_note("%s: %s", url, reason);
    return TRY_AGAIN;
}

// Size and checksum of what a good answer brought.
static try_result check_part(const attempt *try) {
    int64_t size = size_of(try->part);
    if (try->total >= 0 && size != try->total) {
        cli_note("%s: %lld of %lld bytes arrived", try->download->url, (long long)size, (long long)try->total);
        return size < try->total ? TRY_AGAIN : TRY_RESTART;
    }
    const char *expected = try->linked_etag[0] ? try->linked_etag : try->etag;
    char found[65];
    if (!*expected) return TRY_DONE;
    if (!sum_file(try->part, found)) return TRY_HOPELESS;
    if (strcmp(expected, found) == 0) return TRY_DONE;
    cli_note("%s: the checksum is wrong: SHA-256 of the bytes is %s, the server says %s", try->download->url, found,
             expected);
    return TRY_RESTART;
}

// Runs one try. *grew: bytes arrived. *wait: the least seconds to wait that the server asks for.
static try_result try_once(const cli_curl *curl, const cli_download *download, char *part, int *grew, double *wait) {
    attempt try = {.curl = curl, .download = download, .part = part, .total = -1, .offset = size_of(part)};
    try.handle = curl->curl_easy_init();
    if (!try.handle) {
        cli_error("libcurl cannot be initialised");
        return TRY_HOPELESS;
    }
    struct curl_slist *headers = set_up(&try);
    CURLcode code = curl->curl_easy_perform(try.handle);
    int empty = code == CURLE_OK && try.status == 200 && !try.file; // a file of no bytes calls no on_body
    if (empty) open_part(&try);
    close_part(&try);
    curl_off_t asked = 0;
    curl->curl_easy_getinfo(try.handle, CURLINFO_RETRY_AFTER, &asked);
    *wait = (double)asked;
    *grew = try.done > try.offset;
    try_result result = judge_transfer(&try, code);
    if (result == TRY_DONE) result = check_part(&try);
    curl->curl_slist_free_all(headers);
    curl->curl_easy_cleanup(try.handle);
    return result;
}

static void sleep_seconds(double seconds) {
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

static cli_download_result finish(const cli_download *download, const char *part) {
    if (rename(part, download->path) == 0) return CLI_DOWNLOADED;
    cli_error("%s: cannot rename: %s", download->path, strerror(errno));
    return CLI_DOWNLOAD_FAILED;
}

// Whether to go on after a try that brought no file, and how long to wait before: keeps count of the tries.
typedef struct {
    int tries_left, restarts_left;
    double pause;
} patience;

static int try_again(const cli_download *download, try_result tried, int grew, patience *left) {
    if (tried == TRY_RESTART && left->restarts_left-- == 0) {
        cli_error("%s: given up: the server sends wrong bytes again and again", download->url);
        return 0;
    }
    if (grew) { // it goes forward, however slowly
        left->tries_left = download->retries;
        left->pause = FIRST_WAIT_SECONDS;
    } else if (left->tries_left-- == 0) {
        cli_error("%s: given up after %d tries; is there a network? HF_ENDPOINT can name a mirror. Run the command "
                  "again to go on where it ended",
                  download->url, download->retries + 1);
        return 0;
    }
    return 1;
}

cli_download_result cli_download_run(const cli_curl *curl, const cli_download *download) {
    char *part = cli_format("%s.part", download->path);
    cli_download_result result = CLI_DOWNLOAD_FAILED;
    patience left = {.tries_left = download->retries, .restarts_left = 2, .pause = FIRST_WAIT_SECONDS};
    for (;;) {
        int grew;
        double asked;
        try_result tried = try_once(curl, download, part, &grew, &asked);
        if (tried == TRY_RESTART) unlink(part);
        if (tried == TRY_DONE) result = finish(download, part);
        if (tried == TRY_ABSENT) result = CLI_DOWNLOAD_ABSENT;
        if ((tried != TRY_AGAIN && tried != TRY_RESTART) || !try_again(download, tried, grew, &left)) break;
        double wait = asked > left.pause ? asked : left.pause;
        sleep_seconds(wait < LONGEST_WAIT_SECONDS ? wait : LONGEST_WAIT_SECONDS);
        left.pause *= 2;
    }
    free(part);
    return result;
}
