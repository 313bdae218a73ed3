// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/failure.h"

static const double REDRAW_SECONDS = 0.1;
static int drawn; // a bar stands on the terminal's last line

double cli_seconds(void) {
    return common_now();
}

void cli_progress_start(cli_progress *progress, const char *unit, int64_t first, int64_t total) {
    *progress = (cli_progress){.unit = unit, .total = total, .first = first, .start = cli_seconds()};
    progress->active = isatty(STDERR_FILENO);
}

// "12 images", or "3.4 MB"; rates the same.
static void format_amount(const char *unit, double amount, int rate, char *text, size_t size) {
    if (strcmp(unit, "B") != 0) {
        snprintf(text, size, rate ? "%.1f" : "%.0f", amount);
        return;
    }
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int scale = 0;
    for (; amount >= 1000 && scale < 4; scale++) amount /= 1000;
    snprintf(text, size, "%.*f %s", scale ? 1 : 0, amount, units[scale]);
}

static void format_duration(double seconds, char *text, size_t size) {
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%ld:%02ld", whole / 60, whole % 60);
}

static void draw(const cli_progress *progress, int64_t done, double elapsed) {
    enum { CELLS = 24 };
    char bar[CELLS + 1] = "", amount[32], total[32] = "?", rate[32], left[32] = "-:--";
    double per_second = elapsed > 0 ? (double)(done - progress->first) / elapsed : 0;
    int bytes = strcmp(progress->unit, "B") == 0;
    format_amount(progress->unit, (double)done, 0, amount, sizeof amount);
    format_amount(progress->unit, per_second, 1, rate, sizeof rate);
    int filled = 0;
    if (progress->total > 0) {
        format_amount(progress->unit, (double)progress->total, 0, total, sizeof total);
        filled = done >= progress->total ? CELLS : (int)(CELLS * done / progress->total);
        if (per_second > 0) format_duration((double)(progress->total - done) / per_second, left, sizeof left);
    }
    memset(bar, '#', (size_t)filled);
    memset(bar + filled, '.', (size_t)(CELLS - filled));
    fprintf(stderr, "\r\033[K[%s] %s/%s%s%s  %s/s  %s left", bar, amount, total, bytes ? "" : " ",
            bytes ? "" : progress->unit, rate, left);
    fflush(stderr);
    drawn = 1;
}

void cli_progress_show(cli_progress *progress, int64_t done) {
    if (!progress->active) return;
    double now = cli_seconds();
    if (now - progress->shown < REDRAW_SECONDS) return;
    progress->shown = now;
    draw(progress, done, now - progress->start);
}

void cli_progress_end(cli_progress *progress) {
    if (progress->active) cli_progress_wipe();
    progress->active = 0;
}

void cli_progress_wipe(void) {
    if (!drawn) return;
    fputs("\r\033[K", stderr);
    drawn = 0;
}
