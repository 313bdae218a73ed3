// SPDX-License-Identifier: Apache-2.0
#include "raw_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "message.h"

// Header, length included: spaces fill what the text leaves. A constant, so that the data can be written first.
enum { HEADER = 512, COPIED = 1 << 18 };

static size_t pixel_bytes(const cli_raw_file *raw) {
    return 3 * (size_t)raw->width * (size_t)raw->height * sizeof(float);
}
static size_t logit_bytes(const cli_raw_file *raw) {
    return (size_t)raw->queries * (size_t)raw->labels * sizeof(float);
}
static size_t box_bytes(const cli_raw_file *raw) {
    return (size_t)raw->queries * 4 * sizeof(float);
}

static void give_up(cli_raw_file *raw) {
    if (raw->spool && raw->spool != raw->file.stream) fclose(raw->spool);
    raw->spool = NULL;
    if (raw->file.path) cli_output_abort(&raw->file);
}

static int fail(cli_raw_file *raw) {
    cli_error("%s: cannot write: %s", raw->file.path, strerror(errno));
    give_up(raw);
    return 0;
}

int cli_raw_start(cli_raw_file *raw, const char *path, const cfine_session *session, size_t most, int batch) {
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_plan_get_info(cfine_session_plan(session), &info, NULL);
    *raw = (cli_raw_file){
        .width = info.width, .height = info.height, .queries = info.queries, .labels = info.labels, .most = most};
    if (!cli_output_open(&raw->file, path)) return 0;
    raw->spool = raw->file.temporary ? raw->file.stream : tmpfile();
    if (!raw->spool) return fail(raw);
    raw->pixels = cli_alloc((size_t)batch, pixel_bytes(raw));
    raw->logits = cli_alloc((size_t)batch, logit_bytes(raw));
    raw->boxes = cli_alloc((size_t)batch, box_bytes(raw));
    return 1;
}

static int put(cli_raw_file *raw, size_t at, const void *data, size_t size) {
    return fseeko(raw->spool, (off_t)at, SEEK_SET) == 0 && fwrite(data, 1, size, raw->spool) == size;
}

int cli_raw_write(cli_raw_file *raw, size_t images) {
    size_t logits = HEADER + raw->most * pixel_bytes(raw), boxes = logits + raw->most * logit_bytes(raw);
    int ok = put(raw, HEADER + raw->count * pixel_bytes(raw), raw->pixels, images * pixel_bytes(raw)) &&
             put(raw, logits + raw->count * logit_bytes(raw), raw->logits, images * logit_bytes(raw)) &&
             put(raw, boxes + raw->count * box_bytes(raw), raw->boxes, images * box_bytes(raw)) &&
             fflush(raw->spool) == 0; // a full disk shows now, not after thousands of images
    raw->count += images;
    return ok || fail(raw);
}

// Moves bytes of the spool towards its beginning.
static int move(cli_raw_file *raw, size_t from, size_t to, size_t size, char *buffer) {
    for (size_t done = 0, part; from != to && done < size; done += part) {
        part = size - done < COPIED ? size - done : COPIED;
        if (fseeko(raw->spool, (off_t)(from + done), SEEK_SET) != 0 || fread(buffer, 1, part, raw->spool) != part ||
            !put(raw, to + done, buffer, part))
            return 0;
    }
    return 1;
}

// Fewer images came than might have: closes the gaps behind them.
static int close_gaps(cli_raw_file *raw, char *buffer) {
    size_t from = HEADER + raw->most * pixel_bytes(raw), to = HEADER + raw->count * pixel_bytes(raw);
    if (!move(raw, from, to, raw->count * logit_bytes(raw), buffer)) return 0;
    from += raw->most * logit_bytes(raw), to += raw->count * logit_bytes(raw);
    if (!move(raw, from, to, raw->count * box_bytes(raw), buffer) || fflush(raw->spool) != 0) return 0;
    return ftruncate(fileno(raw->spool), (off_t)(to + raw->count * box_bytes(raw))) == 0;
}

static int put_header(cli_raw_file *raw) {
    size_t pixels = raw->count * pixel_bytes(raw), logits = pixels + raw->count * logit_bytes(raw);
    uint64_t length = HEADER - sizeof length;
    char *json = cli_format("{\"pixel_values\":{\"dtype\":\"F32\",\"shape\":[%zu,3,%d,%d],\"data_offsets\":[0,%zu]},"
                            "\"logits\":{\"dtype\":\"F32\",\"shape\":[%zu,%d,%d],\"data_offsets\":[%zu,%zu]},"
                            "\"pred_boxes\":{\"dtype\":\"F32\",\"shape\":[%zu,%d,4],\"data_offsets\":[%zu,%zu]}}",
                            raw->count, raw->height, raw->width, pixels, raw->count, raw->queries, raw->labels, pixels,
                            logits, raw->count, raw->queries, logits, logits + raw->count * box_bytes(raw));
    char *header = cli_format("%-*s", (int)length, json);
    int ok = put(raw, 0, &length, sizeof length) && put(raw, sizeof length, header, length) && fflush(raw->spool) == 0;
    free(header);
    free(json);
    return ok;
}

// Into the pipe or device that the spool stood in front of.
static int pass_on(cli_raw_file *raw, char *buffer) {
    size_t part;
    rewind(raw->spool);
    while ((part = fread(buffer, 1, COPIED, raw->spool)) > 0)
        if (fwrite(buffer, 1, part, raw->file.stream) != part) return 0;
    return !ferror(raw->spool) && fflush(raw->file.stream) == 0;
}

int cli_raw_finish(cli_raw_file *raw) {
    if (!raw->file.path || !raw->count) {
        int ok = raw->file.path != NULL; // what went wrong was said
        give_up(raw);
        return ok;
    }
    char *buffer = cli_alloc(1, COPIED);
    int direct = raw->spool == raw->file.stream;
    int ok = close_gaps(raw, buffer) && put_header(raw) && (direct || pass_on(raw, buffer));
    free(buffer);
    if (!ok) return fail(raw);
    if (!direct) fclose(raw->spool);
    raw->spool = NULL;
    return cli_output_close(&raw->file);
}

void cli_raw_release(cli_raw_file *raw) {
    give_up(raw);
    free(raw->pixels);
    free(raw->logits);
    free(raw->boxes);
    *raw = (cli_raw_file){0};
}
