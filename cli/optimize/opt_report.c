// SPDX-License-Identifier: Apache-2.0
// What the search found, on the terminal and as a page that needs nothing from outside itself.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "draw/chart.h"
#include "heap.h"
#include "message.h"
#include "optimize.h"
#include "output_file.h"
#include "report.h"

enum { MOST_BARS = 25 };

static double images_per_s(const opt_result *result) {
    return result->milliseconds > 0 ? result->setting.batch * 1e3 / result->milliseconds : 0;
}

static int by_share(const void *a, const void *b) {
    double x = (*(const opt_result *const *)a)->share, y = (*(const opt_result *const *)b)->share;
    return (x > y) - (x < y);
}

// Results in order of time; returns how many.
static int sorted(const opt_search *search, const opt_result **list) {
    int count = 0;
    for (int i = 0; i < search->result_count; i++) // settings that cannot be have no time
        if (search->results[i].share > 0) list[count++] = &search->results[i];
    qsort(list, (size_t)count, sizeof *list, by_share);
    return count;
}

// What the AP is of.
static void name_pictures(const opt_search *search, char *text, size_t size) {
    int read = search->parts[OPT_ALL].limit;
    if (read == search->annotated)
        snprintf(text, size, "all %d pictures", read);
    else
        snprintf(text, size, "the %d of %d pictures that can be read", read, search->annotated);
}

static const opt_result *chosen_of(const opt_search *search) {
    return &search->results[search->chosen];
}

// The fastest uniform setting that keeps within the loss, of those that were timed beside the choice at the end.
static const opt_result *best_uniform(const opt_search *search) {
    const opt_result *best = &search->results[search->baseline];
    for (int i = 0; i < search->result_count; i++) {
        const opt_result *r = &search->results[i];
        int good = r->uniform && r->share > 0;
        for (int part = 0; part < OPT_PARTS; part++) good = good && opt_good_enough(search, r, (opt_part)part);
        if (good && r->share < best->share) best = r;
    }
    return best;
}

// ---------------------------------------------------------------------------------------------------------------------
// Terminal

static void print_score(const opt_search *search, const opt_result *result, opt_part part) {
    if (result->score[part].ap >= 0)
        printf(" %7.4f %+7.2f%%", result->score[part].ap, 0 - 100 * opt_lost(search, result, part));
    else
        printf(" %7s %8s", "-", "-");
}

static void print_row(const opt_search *search, const opt_result *result) {
    char words[256];
    opt_describe(search, &result->setting, words, sizeof words);
    printf("%s %-58s %8.2f %9.1f %7.2fx",
           result == chosen_of(search)    ? ">"
           : opt_on_front(search, result) ? "*"
                                          : " ",
           words, result->milliseconds, images_per_s(result), 1 / result->share);
    print_score(search, result, OPT_CHOOSE);
    print_score(search, result, OPT_CONFIRM);
    putchar('\n');
}

static void print_heading(void) {
    printf("  %-58s %8s %9s %8s %16s %16s\n", "", "ms", "images/s", "speed-up", "AP, to choose", "AP, to confirm");
}

void opt_print(const opt_search *search) {
    const opt_result *list[OPT_MOST_RESULTS] = {0};
    int count = sorted(search, list);
    printf("The front (*), the fastest first; > is the choice:\n");
    print_heading();
    for (int i = 0; i < count; i++)
        if (opt_on_front(search, list[i]) || list[i] == chosen_of(search)) print_row(search, list[i]);
    printf("\nEvery uniform setting: one precision, at most one other knob turned:\n");
    print_heading();
    for (int i = 0; i < count; i++)
        if (list[i]->uniform) print_row(search, list[i]);
    const opt_result *uniform = best_uniform(search), *best = chosen_of(search);
    char words[256], plain[256];
    opt_describe(search, &best->setting, words, sizeof words);
    opt_describe(search, &uniform->setting, plain, sizeof plain);
    printf("\n%s: %s\n", search->output, words);
    char pictures[80];
    name_pictures(search, pictures, sizeof pictures);
    printf("  AP %.4f of %.4f on %s (%+.2f %%; %.2f %% may be lost), %.2f ms, %.1f images/s, %.2fx FP32\n",
           best->score[OPT_ALL].ap, search->results[search->baseline].score[OPT_ALL].ap, pictures,
           0 - 100 * opt_lost(search, best, OPT_ALL), 100 * search->max_loss, best->milliseconds, images_per_s(best),
           1 / best->share);
    if (uniform == best)
        printf("  No combination was faster than this uniform setting.\n");
    else
        printf("  %.2fx the fastest uniform setting within the loss (%s)\n", uniform->share / best->share, plain);
    if (search->stopped)
        printf("  The budget ended the search early; the same command with a larger --budget goes on.\n");
}

void opt_print_json(const opt_search *search) {
    const opt_result *list[OPT_MOST_RESULTS] = {0};
    int count = sorted(search, list);
    for (int i = 0; i < count; i++) {
        const opt_result *r = list[i];
        char words[256];
        opt_describe(search, &r->setting, words, sizeof words);
        printf("{\"setting\":");
        cli_print_json_text(stdout, words);
        printf(",\"chosen\":%s,\"front\":%s,\"uniform\":%s,\"ms\":%.4f,\"batch\":%d,\"images_per_s\":%.3f,"
               "\"speed_up\":%.4f",
               r == chosen_of(search) ? "true" : "false", opt_on_front(search, r) ? "true" : "false",
               r->uniform ? "true" : "false", r->milliseconds, r->setting.batch, images_per_s(r), 1 / r->share);
        static const char *const names[OPT_PARTS] = {"choose", "confirm", "all"};
        for (int part = 0; part < OPT_PARTS; part++)
            if (r->score[part].ap >= 0)
                printf(",\"AP_%s\":%.10g,\"AP50_%s\":%.10g,\"lost_%s\":%.6g", names[part], r->score[part].ap,
                       names[part], r->score[part].ap50, names[part], opt_lost(search, r, (opt_part)part));
        printf("}\n");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// HTML

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>cfine optimize</title>\n<style>\n"
    "body{font:15px/1.5 system-ui,'Segoe UI',Helvetica,Arial,sans-serif;color:#111827;max-width:1000px;margin:2.5rem "
    "auto;"
    "padding:0 1.25rem}\n"
    "h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{margin:.4rem 0}\n"
    ".grey{color:#6b7280}.cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0}\n"
    ".card{border:1px solid #e5e7eb;border-radius:.6rem;padding:.7rem 1rem;min-width:9rem}\n"
    ".card b{display:block;font-size:1.5rem;line-height:1.3}.card span{color:#6b7280;font-size:.85rem}\n"
    "table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}\n"
    "th,td{text-align:right;padding:.32rem .5rem;border-bottom:1px solid #e5e7eb;white-space:nowrap}\n"
    "th:first-child,td:first-child{text-align:left;white-space:normal}th{color:#6b7280;font-weight:500}\n"
    "tr.chosen td{background:#eff6ff;font-weight:600}tr.bad td{color:#9ca3af}\n"
    ".wide{overflow-x:auto}svg{max-width:100%;height:auto}code{background:#f3f4f6;padding:.1em "
    ".3em;border-radius:.25em}\n"
    "</style></head><body>\n";

static void put_html(FILE *page, const char *text) {
    for (; *text; text++) switch (*text) {
        case '<': fputs("&lt;", page); break;
        case '>': fputs("&gt;", page); break;
        case '&': fputs("&amp;", page); break;
        default: fputc((unsigned char)*text < 0x20 ? ' ' : *text, page);
        }
}

static void put_svg(FILE *page, draw_canvas *canvas) {
    uint8_t *bytes;
    size_t size;
    if (draw_canvas_svg(canvas, &bytes, &size, NULL) == CFINE_OK) {
        fwrite(bytes, 1, size, page);
        free(bytes);
    }
    draw_canvas_release(canvas);
}

static void put_card(FILE *page, const char *value, const char *what) {
    fprintf(page, "<div class=\"card\"><b>%s</b><span>%s</span></div>\n", value, what);
}

static void put_summary(FILE *page, const opt_search *search) {
    const opt_result *best = chosen_of(search), *base = &search->results[search->baseline];
    char words[256], text[64], when[64], pictures[80];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&now, &local));
    opt_describe(search, &best->setting, words, sizeof words);
    fprintf(page, "<h1>");
    put_html(page, words);
    fprintf(page, "</h1>\n<p class=\"grey\">");
    put_html(page, search->info.source);
    fprintf(
        page,
        " (%s %s), chosen by <code>cfine optimize</code> %s on %s; at most %.2f&nbsp;%% of the AP may be lost</p>\n",
        search->info.family, search->info.size, cfine_version(), when, 100 * search->max_loss);
    fprintf(page, "<div class=\"cards\">\n");
    snprintf(text, sizeof text, "%.2f ms", best->milliseconds);
    put_card(page, text, best->setting.batch > 1 ? "a run of the batch" : "an image");
    snprintf(text, sizeof text, "%.1f", images_per_s(best));
    put_card(page, text, "images a second");
    snprintf(text, sizeof text, "%.2fx", 1 / best->share);
    put_card(page, text, "the speed of FP32 as trained");
    snprintf(text, sizeof text, "%.2fx", best_uniform(search)->share / best->share);
    put_card(page, text, "the fastest uniform setting within the loss");
    snprintf(text, sizeof text, "%.4f", best->score[OPT_ALL].ap);
    put_card(page, text, "AP on all pictures");
    snprintf(text, sizeof text, "%+.2f %%", 0 - 100 * opt_lost(search, best, OPT_ALL));
    put_card(page, text, "of the AP of FP32");
    name_pictures(search, pictures, sizeof pictures);
    fprintf(page,
            "</div>\n<p class=\"grey\">%s, %d threads%s%s%s. On %s: %d to choose with, the other %d to confirm. "
            "FP32 as "
            "trained: AP %.4f, %.2f ms.</p>\n",
            search->machine, search->model_args.threads ? search->model_args.threads : cfine_cpu_count(),
            search->on_gpu ? "" : " (", search->on_gpu ? "" : search->features, search->on_gpu ? "" : ")", pictures,
            search->parts[OPT_CHOOSE].limit, search->parts[OPT_CONFIRM].limit, base->score[OPT_ALL].ap,
            base->milliseconds);
    if (search->stopped)
        fprintf(page,
                "<p>The budget ended the search early: the same command with a larger <code>--budget</code> goes on "
                "where it stopped.</p>\n");
}

static void put_front(FILE *page, const opt_search *search) {
    draw_point *points = cli_alloc((size_t)search->result_count, sizeof *points);
    char(*names)[256] = cli_alloc((size_t)search->result_count, sizeof *names);
    int used = 0;
    for (int i = 0; i < search->result_count; i++) {
        const opt_result *r = &search->results[i];
        if (r->share <= 0 || r->score[OPT_CHOOSE].ap < 0 ||
            opt_lost(search, r, OPT_CHOOSE) > 6 * search->max_loss + 0.02)
            continue;
        opt_describe(search, &r->setting, names[used], sizeof *names);
        int front = opt_on_front(search, r), best = r == chosen_of(search);
        points[used] = (draw_point){.label = front || best || r->uniform ? names[used] : NULL,
                                    .x = 1 / r->share,
                                    .y = 0 - 100 * opt_lost(search, r, OPT_CHOOSE),
                                    .rgb = best         ? 0x1d4ed8
                                           : r->uniform ? 0xf59e0b
                                                        : 0x93c5fd,
                                    .front = front};
        used++;
    }
    fprintf(page,
            "<h2>Speed against accuracy</h2>\n<p class=\"grey\">Every setting that was measured, on the half of the "
            "pictures to choose with. Dark: the choice; amber: uniform settings; line: the front. Settings that lose "
            "far more are left out.</p>\n");
    draw_canvas *canvas = draw_canvas_create(960, 460);
    draw_points(canvas, 0, 0, 960, 460, "times the speed of FP32", "change of AP, %", points, used);
    put_svg(page, canvas);
    free(names);
    free(points);
}

static void put_score(FILE *page, const opt_search *search, const opt_result *r, opt_part part) {
    if (r->score[part].ap >= 0)
        fprintf(page, "<td>%.4f</td><td>%+.2f&nbsp;%%</td>", r->score[part].ap, 0 - 100 * opt_lost(search, r, part));
    else
        fprintf(page, "<td></td><td></td>");
}

static void put_rows(FILE *page, const opt_search *search, int uniform) {
    const opt_result *list[OPT_MOST_RESULTS] = {0};
    int count = sorted(search, list);
    fprintf(page, "<div class=\"wide\"><table><tr><th>setting</th><th>ms</th><th>images/s</th><th>speed-up</th>"
                  "<th colspan=\"2\">AP, to choose</th><th colspan=\"2\">AP, to confirm</th><th colspan=\"2\">AP, "
                  "all</th></tr>\n");
    for (int i = 0; i < count; i++) {
        const opt_result *r = list[i];
        if (r != chosen_of(search) && r->uniform != uniform) continue;
        int bad = 0;
        for (int part = 0; part < OPT_PARTS; part++)
            bad |= r->score[part].ap >= 0 && !opt_good_enough(search, r, (opt_part)part);
        char words[256];
        opt_describe(search, &r->setting, words, sizeof words);
        fprintf(page, "<tr%s><td>", r == chosen_of(search) ? " class=\"chosen\"" : bad ? " class=\"bad\"" : "");
        put_html(page, words);
        fprintf(page, "</td><td>%.2f</td><td>%.1f</td><td>%.2fx</td>", r->milliseconds, images_per_s(r), 1 / r->share);
        for (int part = 0; part < OPT_PARTS; part++) put_score(page, search, r, (opt_part)part);
        fprintf(page, "</tr>\n");
    }
    fprintf(page, "</table></div>\n");
}

static void put_operators(FILE *page, const opt_search *search) {
    const opt_result *best = chosen_of(search);
    int raised = best->setting.level == search->lowest ? best->setting.raised : 0;
    if (!search->operator_count) return;
    fprintf(page,
            "<h2>Operators</h2>\n<p class=\"grey\">What raising one operator from %s to %s brings (distance of the "
            "detections from FP32's, in thousandths; all of them together: %.2f) and costs in time. The %d best of %d; "
            "dark: raised in the plan that was chosen.</p>\n",
            opt_level_name(search, search->lowest), opt_level_name(search, search->lowest + 1), 1e3 * search->harm,
            search->operator_count < MOST_BARS ? search->operator_count : MOST_BARS, search->operator_count);
    draw_bar bars[MOST_BARS];
    int count = 0;
    for (int i = 0; i < search->operator_count && count < MOST_BARS; i++) {
        const opt_operator *operator= & search->operators[i];
        bars[count++] = (draw_bar){.label = operator->name,
                                   .value = cli_format("%.3f   %+.3f ms", 1e3 * operator->harm, operator->milliseconds),
                                   .length = fmax(operator->harm, 1e-9),
                                   .rgb = i < raised ? 0x1d4ed8 : 0xbfdbfe};
    }
    draw_canvas *canvas = draw_canvas_create(960, count * 26 + 16);
    draw_bars(canvas, 0, 8, 960, bars, count);
    put_svg(page, canvas);
    for (int i = 0; i < count; i++) free((char *)bars[i].value);
}

int opt_save_report(const opt_search *search, const char *path) {
    cli_output_file file;
    if (!cli_output_open(&file, path)) return 0;
    fputs(page_head, file.stream);
    put_summary(file.stream, search);
    put_front(file.stream, search);
    fprintf(file.stream,
            "<h2>Beside every uniform setting</h2>\n<p class=\"grey\">One precision for the whole network and at "
            "most one other knob turned. Grey: loses more than is allowed.</p>\n");
    put_rows(file.stream, search, 1);
    put_operators(file.stream, search);
    fprintf(file.stream, "<h2>Combinations that were tried</h2>\n");
    put_rows(file.stream, search, 0);
    fprintf(file.stream, "<p class=\"grey\">The log of the search: <code>");
    put_html(file.stream, search->log.path);
    fprintf(file.stream, "</code></p>\n</body></html>\n");
    return cli_output_close(&file);
}
