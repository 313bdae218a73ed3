// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "load/load.h"
#include "report.h"

static int bad_answers(const load_point *point) {
    return point->busy + point->refused + point->lost + point->unsent;
}

// "1" or "20.5": what the load was.
static void print_load(const load_point *point, int width) {
    if (point->plan.clients)
        printf("%*d", width, point->plan.clients);
    else
        printf("%*g", width, point->plan.rate);
}

void load_print_heading(load_form form, const load_target *target, int open_loop) {
    if (form == LOAD_TABLE) {
        printf("%s, %d image%s a request\n", target->url, target->images, target->images == 1 ? "" : "s");
        printf("%8s %9s %7s %9s %9s %9s %9s %9s %9s %9s %9s\n", open_loop ? "rate/s" : "clients", "answers", "errors",
               "images/s", "mean ms", "p50", "p90", "p95", "p99", "p99.9", "max");
    } else if (form == LOAD_CSV) {
        puts("url,protocol,images_per_request,clients,rate,seconds,good,busy,refused,lost,unsent,requests_per_s,"
             "images_per_s,mean_ms,p50_ms,p90_ms,p95_ms,p99_ms,p99_9_ms,max_ms");
    }
}

// What stands in the place of times.
static void print_no_times(const load_point *point) {
    int told = point->problem[0] && !bad_answers(point); // else it follows, behind the numbers of bad answers
    cli_print_text(stdout, told ? point->problem : "no good answer");
    putchar('\n');
}

static void print_row(const load_point *point) {
    print_load(point, 8);
    printf(" %9d %7d ", point->good, bad_answers(point));
    if (point->good)
        printf("%9.1f %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", point->images_per_s, point->mean, point->p50,
               point->p90, point->p95, point->p99, point->p999, point->most);
    else
        print_no_times(point);
    if (point->good && point->problem[0] && !bad_answers(point)) {
        printf("%8s ", "");
        cli_print_text(stdout, point->problem);
        putchar('\n');
    }
    if (!bad_answers(point)) return;
    printf("%8s %d busy (503), %d refused, %d lost, %d not sent", "", point->busy, point->refused, point->lost,
           point->unsent);
    if (point->problem[0]) {
        printf("; first: ");
        cli_print_text(stdout, point->problem);
    }
    putchar('\n');
}

static void print_csv(const load_target *target, const load_point *point) {
    const load_plan *plan = &point->plan;
    putchar('"'); // a URL may have commas; a quotation mark in it would be encoded
    cli_print_text(stdout, target->url);
    printf("\",%s,%d,", load_protocols[target->protocol], target->images);
    if (plan->clients)
        printf("%d,,", plan->clients);
    else
        printf(",%g,", plan->rate);
    printf("%g,%d,%d,%d,%d,%d,%.3f,%.3f", point->seconds, point->good, point->busy, point->refused, point->lost,
           point->unsent, point->requests_per_s, point->images_per_s);
    if (point->good)
        printf(",%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f\n", point->mean, point->p50, point->p90, point->p95, point->p99,
               point->p999, point->most);
    else
        puts(",,,,,,,");
}

static void print_json(const load_target *target, const load_point *point) {
    const load_plan *plan = &point->plan;
    printf("{\"url\":");
    cli_print_json_text(stdout, target->url);
    printf(",\"protocol\":\"%s\",\"images_per_request\":%d,", load_protocols[target->protocol], target->images);
    if (plan->clients)
        printf("\"clients\":%d", plan->clients);
    else
        printf("\"rate\":%g,\"arrivals\":\"%s\"", plan->rate, plan->even ? "even" : "poisson");
    printf(",\"seconds\":%g,\"good\":%d,\"busy\":%d,\"refused\":%d,\"lost\":%d,\"unsent\":%d,\"requests_per_s\":%.3f,"
           "\"images_per_s\":%.3f",
           point->seconds, point->good, point->busy, point->refused, point->lost, point->unsent, point->requests_per_s,
           point->images_per_s);
    if (point->good)
        printf(",\"mean_ms\":%.4f,\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"p99_9_ms\":%.4f,"
               "\"max_ms\":%.4f",
               point->mean, point->p50, point->p90, point->p95, point->p99, point->p999, point->most);
    if (point->problem[0]) {
        printf(",\"first_problem\":");
        cli_print_json_text(stdout, point->problem);
    }
    puts("}");
}

void load_print_point(load_form form, const load_target *target, const load_point *point) {
    if (form == LOAD_TABLE)
        print_row(point);
    else if (form == LOAD_CSV)
        print_csv(target, point);
    else
        print_json(target, point);
}
