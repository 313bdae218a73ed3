// SPDX-License-Identifier: Apache-2.0
// `cfine doctor`: what this machine has, what will run on it, and what is in the way.
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cfine/cfine.h"
#include "heap.h"
#include "message.h"
#include "model_args.h"
#include "report.h"
#include "verbs.h"

typedef struct {
    cli_model_args model;
} doctor_args;

static const cli_option options[] = {CLI_MODEL_OPTIONS(doctor_args, model)};

static int problems;

static void report_problem(const char *what, const char *remedy) {
    fputs("problem      ", stdout);
    cli_print_text(stdout, what);
    putchar('\n');
    if (remedy) printf("remedy       %s\n", remedy);
    problems++;
}

static void report_machine(void) {
    char text[512];
    printf("cfine        %s\n", cfine_version());
    cfine_cpu_model(text, sizeof text);
    printf("processor    %s\n", text);
    cfine_cpu_features(text, sizeof text);
    printf("instructions %s\n", *text ? text : "none beyond plain C");
    printf("cores        %d\n", cfine_cpu_count());
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) printf("memory       %.1f GB\n", (double)pages * (double)page / 1e9);
    static const struct {
        const char *name;
        int code;
    } caches[] = {{"L1d", _SC_LEVEL1_DCACHE_SIZE}, {"L2", _SC_LEVEL2_CACHE_SIZE}, {"L3", _SC_LEVEL3_CACHE_SIZE}};
    fputs("caches      ", stdout);
    for (size_t i = 0; i < CLI_COUNT(caches); i++) {
        long bytes = sysconf(caches[i].code);
        if (bytes > 0) printf(" %s %ld kB", caches[i].name, bytes / 1024);
    }
    putchar('\n');
    cfine_error why;
    if (cfine_gpu_count() == 0 && cfine_gpu_describe(0, text, sizeof text, &why) != CFINE_OK)
        printf("gpu          none: %s\n", why.message);
    for (int i = 0; i < cfine_gpu_count(); i++)
        if (cfine_gpu_describe(i, text, sizeof text, &why) == CFINE_OK) printf("gpu          cuda:%d %s\n", i, text);
    cfine_cpu_features(text, sizeof text);
    if (!strstr(text, "avx2"))
        report_problem("this processor has no AVX2, or CFINE_CPU hides it: plain C kernels will run, slowly",
                       "unset CFINE_CPU, or use a processor made after 2013");
}

static int is_model_entry(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

// Folders with a config.json below `folder`.
static int report_folder(const char *folder, int pulled) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_model_entry, alphasort), found = 0;
    for (int i = 0; i < count; i++) {
        char *config = cli_format("%s/%s/config.json", folder, entries[i]->d_name);
        if (access(config, R_OK) == 0) {
            printf("model        ");
            cli_print_text(stdout, entries[i]->d_name);
            printf(" (%s: ", pulled ? "pulled" : "bundled");
            cli_print_text(stdout, folder);
            puts(")");
            found++;
        }
        free(config);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return found;
}

static void report_models(void) {
    char folder[4096], cache[4096] = "";
    int found = 0;
    int has_cache = cfine_cache_folder(cache, sizeof cache);
    for (int i = 0; cfine_model_folder(i, folder, sizeof folder); i++)
        found += report_folder(folder, strcmp(folder, cache) == 0);
    if (!found) report_problem("there is no model, neither bundled nor pulled", "cfine pull dfine-nano-coco");
    if (!has_cache)
        report_problem("no folder for pulled models: HOME is not set", "set CFINE_CACHE to a folder");
    else
        printf("cache        %s\n", cache);
}

// Libraries that are opened when they are first needed.
static void report_libraries(void) {
    static const struct {
        const char *file, *purpose, *package;
    } libraries[] = {{"libcairo.so.2", "labels on pictures (detect --out)", "apt install libcairo2"},
                     {"libcurl.so.4", "cfine pull", "apt install libcurl4"}};
    for (size_t i = 0; i < CLI_COUNT(libraries); i++) {
        void *library = dlopen(libraries[i].file, RTLD_LAZY | RTLD_LOCAL);
        if (library) {
            printf("library      %s: found, for %s\n", libraries[i].file, libraries[i].purpose);
            continue;
        }
        char *what = cli_format("%s is missing: no %s", libraries[i].file, libraries[i].purpose);
        report_problem(what, libraries[i].package);
        free(what);
    }
}

typedef struct {
    const char *op, *kernel;
    int steps;
    double flops;
} kernel_use;

static int more_work_first(const void *a, const void *b) {
    double x = ((const kernel_use *)a)->flops, y = ((const kernel_use *)b)->flops;
    return (x < y) - (x > y);
}

static void report_kernels(const cfine_session *session) {
    size_t count = cfine_session_step_times(session, NULL, 0), kinds = 0;
    cfine_step_time *steps = cli_alloc(count, sizeof *steps);
    kernel_use *uses = cli_alloc(count, sizeof *uses);
    cfine_session_step_times(session, steps, count);
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < kinds && (strcmp(uses[k].kernel, steps[i].kernel) != 0 || strcmp(uses[k].op, steps[i].op) != 0)) k++;
        if (k == kinds) uses[kinds++] = (kernel_use){.op = steps[i].op, .kernel = steps[i].kernel};
        uses[k].steps++;
        uses[k].flops += steps[i].flops;
        total += steps[i].flops;
    }
    qsort(uses, kinds, sizeof *uses, more_work_first);
    puts("kernels      share of the arithmetic, steps, operator, kernel");
    for (size_t k = 0; k < kinds; k++)
        printf("             %5.1f %% %5d  %-14s %s\n", total > 0 ? 100 * uses[k].flops / total : 0, uses[k].steps,
               uses[k].op, uses[k].kernel);
    free(uses);
    free(steps);
}

// Opens the model and runs it once on black pixels.
static void report_run(const cli_model_args *args) {
    cfine_session *session;
    cfine_error error;
    if (cli_open_session(args, 1, &session, &error) != CFINE_OK) {
        report_problem(error.message, NULL);
        return;
    }
    cfine_plan_info info = CFINE_INIT(cfine_plan_info);
    cfine_plan_get_info(cfine_session_plan(session), &info, &error);
    float *pixels = cli_alloc((size_t)info.batch * (size_t)info.width * (size_t)info.height, 3 * sizeof *pixels);
    if (cfine_session_run(session, pixels, info.batch, NULL, NULL, &error) != CFINE_OK) {
        report_problem(error.message, NULL);
    } else {
        printf("runs         %s %s, %s, %dx%d\n", info.family, info.size, cli_precisions[info.precision - CFINE_FP32],
               info.width, info.height);
        report_kernels(session);
    }
    free(pixels);
    cfine_session_close(session);
}

static int run(int argc, char **argv) {
    doctor_args args = {0};
    int operands, status;
    if (!cli_parse(&cli_verb_doctor, argc, argv, &args, &operands, &status)) return status;
    cfine_error error;
    cfine_open_options unused;
    if (cli_open_options(&args.model, &unused, &error) != CFINE_OK) { // --cpu shows in what follows
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    report_machine();
    report_libraries();
    report_models();
    report_run(&args.model);
    if (!problems) puts("All is well.");
    return problems ? CLI_FAILED : CLI_OK;
}

const cli_verb cli_verb_doctor = {
    .name = "doctor",
    .summary = "tell what this machine has and which kernels will run",
    .operands = "",
    .about = "Exit status 1 if something is in the way of working well; each problem comes with its remedy.\n",
    .example = "cfine doctor\n"
               "cfine doctor --model dfine-nano-coco --cpu avx2\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run,
};
