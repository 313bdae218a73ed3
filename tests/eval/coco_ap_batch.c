// SPDX-License-Identifier: Apache-2.0
// Evaluates many pairs of COCO files: reads lines "ANNOTATIONS<tab>RESULTS" and prints the twelve numbers of each on
// one line, or "error: ...". Notes of the files follow as "note: ..." lines on standard error.
#include <stdio.h>
#include <string.h>

#include "coco_ap.h"

static void print_notes(const coco_notes *notes) {
    for (int i = 0; i < notes->count; i++) fprintf(stderr, "note: %s\n", notes->lines[i]);
}

static void evaluate(const char *annotations, const char *results_path) {
    coco_dataset dataset = {0};
    coco_results results = {0};
    coco_summary summary = {0};
    cfine_error error = {0};
    if (coco_dataset_read(annotations, &dataset, &error) != CFINE_OK ||
        coco_results_read(results_path, &dataset, &results, &error) != CFINE_OK ||
        coco_evaluate(&dataset, &results, &summary, &error) != CFINE_OK) {
        printf("error: %s\n", error.message);
    } else {
        for (int i = 0; i < COCO_NUMBERS; i++) printf("%.17g%c", summary.numbers[i], i + 1 < COCO_NUMBERS ? ' ' : '\n');
        print_notes(&dataset.notes);
        print_notes(&results.notes);
    }
    coco_summary_release(&summary);
    coco_results_release(&results);
    coco_dataset_release(&dataset);
}

int main(void) {
    char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *tab = strchr(line, '\t');
        if (!tab) return 2;
        *tab = 0;
        evaluate(line, tab + 1);
        fflush(stdout);
    }
    return 0;
}
