// SPDX-License-Identifier: Apache-2.0
// `cfine triton`: a model repository for NVIDIA's Triton server, with the backend beside the model.
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cfine/cfine.h"
#include "heap.h"
#include "message.h"
#include "model_args.h"
#include "output_file.h"
#include "verbs.h"

static const char *const kinds[] = {"complete", "raw", NULL};

typedef struct {
    cli_model_args model;
    const char *out, *name, *backend;
    int kind, instances;
    double threshold;
} triton_args;

static const cli_option options[] = {
    CLI_MODEL_OPTION_MODEL(triton_args, model),
    {"out", 'o', "REPOSITORY", "folder of the model repository; made if it is not there", CLI_TEXT,
     offsetof(triton_args, out), .completion = CLI_COMPLETE_FOLDERS},
    {"name", 0, "NAME", "name of the model (default: cfine, or cfine_raw)", CLI_TEXT, offsetof(triton_args, name)},
    {"kind", 0, "KIND", "complete: pictures to boxes; raw: pixel_values to logits and pred_boxes (default: complete)",
     CLI_CHOICE, offsetof(triton_args, kind), .choices = kinds},
    {"precision", 'p', "P",
     "precision of the network: fp32, bf16, fp16, or default, which is fp32 or the plan's; int8 and fp8: as a plan",
     CLI_CHOICE, offsetof(triton_args, model.precision), .choices = cli_precision_choices},
    {"queries", 'q', "N", "object queries (default: as trained)", CLI_INT, offsetof(triton_args, model.queries),
     .least = 1, .most = 100000},
    {"max-batch", 0, "N", "most images in a run of the network (default: 8, or what the plan has)", CLI_INT,
     offsetof(triton_args, model.batch), .least = 1, .most = 1024},
    {"threshold", 'T', "T", "least score to report (default: 0.5)", CLI_REAL, offsetof(triton_args, threshold),
     .least = 0, .most = 1},
    {"instances", 0, "N", "runs of the network at the same time; they share the cores (default: 1)", CLI_INT,
     offsetof(triton_args, instances), .least = 1, .most = 256},
    {"backend", 0, "FILE", "libtriton_cfine.so (default: the one installed with this program)", CLI_TEXT,
     offsetof(triton_args, backend), .completion = CLI_COMPLETE_FILES},
};

// ---------------------------------------------------------------------------------------------------------------------
// Files

static int make_folder(const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return 1;
    cli_error("%s: cannot make this folder: %s", path, strerror(errno));
    return 0;
}

static int copy_stream(FILE *in, const char *from, const char *to) {
    cli_output_file out;
    char block[1 << 16];
    size_t size;
    if (!cli_output_open(&out, to)) return 0;
    while ((size = fread(block, 1, sizeof block, in)) > 0)
        if (!cli_output_write(&out, block, size)) {
            cli_output_abort(&out);
            return 0;
        }
    if (!ferror(in)) return cli_output_close(&out);
    cli_error("%s: cannot be read: %s", from, strerror(errno));
    cli_output_abort(&out);
    return 0;
}

static int copy_file(const char *from, const char *to) {
    FILE *in = fopen(from, "rbe");
    if (!in) {
        cli_error("%s: cannot be read: %s", from, strerror(errno));
        return 0;
    }
    int ok = copy_stream(in, from, to);
    fclose(in);
    return ok;
}

static int is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int copy_into(const char *from, const char *to, const char *name) {
    char *source = cli_format("%s/%s", from, name), *target = cli_format("%s/%s", to, name);
    int ok = copy_file(source, target);
    free(source);
    free(target);
    return ok;
}

static int holds(const char *folder, const char *name) {
    char *path = cli_format("%s/%s", folder, name);
    int found = access(path, F_OK) == 0;
    free(path);
    return found;
}

// The index, and every file that could be one of its shards.
static int copy_shards(const char *from, const char *to) {
    if (!copy_into(from, to, "model.safetensors.index.json")) return 0;
    struct dirent **entries;
    int count = scandir(from, &entries, NULL, alphasort), ok = 1;
    for (int i = 0; i < count; i++) {
        if (ok && ends_with(entries[i]->d_name, ".safetensors")) ok = copy_into(from, to, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return ok;
}

// A checkpoint of Hugging Face: the preprocessor's file may be missing, and the weights be in shards.
static int copy_checkpoint(const char *from, const char *to) {
    return copy_into(from, to, "config.json") &&
           (!holds(from, "preprocessor_config.json") || copy_into(from, to, "preprocessor_config.json")) &&
           (holds(from, "model.safetensors") ? copy_into(from, to, "model.safetensors") : copy_shards(from, to));
}

static int copy_model(const char *from, const char *to) {
    if (is_folder(from)) return copy_checkpoint(from, to);
    char *target = cli_format("%s/model.%s", to, ends_with(from, ".plan") ? "plan" : "pth");
    int ok = copy_file(from, target);
    free(target);
    return ok;
}

// The backend: beside an installed program in ../lib*/cfine, in a build tree in ../triton.
static char *find_backend(const char *given) {
    if (given) return cli_format("%s", given);
    static const char *const places[] = {"../lib/cfine", "../lib/" CFINE_MULTIARCH "/cfine", "../triton"};
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) length = 0;
    self[length] = 0;
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    for (size_t i = 0; i < CLI_COUNT(places); i++) {
        char *path = cli_format("%s/%s/libtriton_cfine.so", self, places[i]);
        if (access(path, R_OK) == 0) return path;
        free(path);
    }
    cli_error("libtriton_cfine.so is not beside this program; say where: --backend FILE");
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// Configuration

static void print_parameter(FILE *stream, const char *key, const char *value) {
    fprintf(stream, "parameters { key: \"%s\" value { string_value: \"%s\" } }\n", key, value);
}

// Input and output are left out: the backend fills them in from the model.
static int write_config(const triton_args *args, const char *name, const char *folder) {
    char *path = cli_format("%s/config.pbtxt", folder), number[32];
    cli_output_file file;
    int ok = cli_output_open(&file, path);
    free(path);
    if (!ok) return 0;
    FILE *stream = file.stream;
    fprintf(stream, "name: \"%s\"\nbackend: \"cfine\"\n", name);
    if (args->model.batch) fprintf(stream, "max_batch_size: %d\n", args->model.batch);
    fprintf(stream, "dynamic_batching { }\ninstance_group [ { kind: KIND_CPU count: %d } ]\n", args->instances);
    print_parameter(stream, "kind", kinds[args->kind]);
    if (args->model.precision) print_parameter(stream, "precision", cli_precision_choices[args->model.precision]);
    snprintf(number, sizeof number, "%g", args->threshold);
    print_parameter(stream, "threshold", number);
    snprintf(number, sizeof number, "%d", args->model.queries);
    if (args->model.queries) print_parameter(stream, "queries", number);
    return cli_output_close(&file);
}

// Where the model's files are, after a look whether they are a model at all, and a plan that fits the options.
static char *find_source(const cli_model_args *args) {
    const char *model = args->model;
    cfine_open_options asked;
    cfine_error error;
    if (model && ends_with(model, ".plan")) {
        cfine_plan *plan;
        if (cfine_plan_open(model, &plan, &error) != CFINE_OK) {
            cli_error("%s", error.message);
            return NULL;
        }
        cfine_status status = cli_open_options(args, &asked, &error);
        if (status == CFINE_OK) status = cfine_plan_check(plan, &asked.plan, &error);
        cfine_plan_close(plan);
        if (status == CFINE_OK) return cli_format("%s", model);
        cli_error("%s: %s", model, error.message);
        return NULL;
    }
    cfine_model *opened;
    cfine_model_info info = CFINE_INIT(cfine_model_info);
    if (cfine_model_open(model, &opened, &error) != CFINE_OK) {
        cli_error("%s", error.message);
        return NULL;
    }
    char *source = cfine_model_get_info(opened, &info, &error) == CFINE_OK ? cli_format("%s", info.source) : NULL;
    if (!source) cli_error("%s", error.message);
    cfine_model_close(opened);
    return source;
}

static int write_model(const triton_args *args, const char *name, const char *folder, const char *source,
                       const char *backend) {
    char *version = cli_format("%s/1", folder), *library = cli_format("%s/libtriton_cfine.so", folder);
    int ok = make_folder(version) && copy_model(source, version) && copy_file(backend, library) &&
             write_config(args, name, folder);
    free(version);
    free(library);
    return ok;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *position) {
    (void)info;
    (void)kind;
    (void)position;
    return remove(path);
}

// Made under another name first: Triton serves what looks like a model, also half of one.
static int write_whole_model(const triton_args *args, const char *name, const char *folder, const char *source,
                             const char *backend) {
    char *temporary = cli_format("%s/.%s.tmp-%ld", args->out, name, (long)getpid());
    int made = make_folder(temporary), ok = made && write_model(args, name, temporary, source, backend);
    if (ok && rename(temporary, folder) != 0) {
        cli_error("%s: cannot rename: %s", folder, strerror(errno));
        ok = 0;
    }
    if (made && !ok) nftw(temporary, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(temporary);
    return ok;
}

static int write_repository(const triton_args *args, const char *name) {
    char *folder = cli_format("%s/%s", args->out, name), *backend = NULL, *source = NULL;
    int ok = 0, was_there = is_folder(args->out);
    if (access(folder, F_OK) == 0)
        cli_error("%s: is there already; remove it, or choose another --name", folder);
    else
        ok = (backend = find_backend(args->backend)) && (source = find_source(&args->model)) &&
             make_folder(args->out) && write_whole_model(args, name, folder, source, backend);
    if (!ok && !was_there) rmdir(args->out);
    free(source);
    free(backend);
    free(folder);
    return ok;
}

// ---------------------------------------------------------------------------------------------------------------------

// What can stand in a path and in config.pbtxt.
static int is_name(const char *name) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return length > 0 && length <= 100 && name[length] == 0;
}

static int run_verb(int argc, char **argv) {
    triton_args args = {.threshold = 0.5, .instances = 1};
    int operands, status;
    if (!cli_parse(&cli_verb_triton, argc, argv, &args, &operands, &status)) return status;
    if (!args.out) return cli_usage(&cli_verb_triton, "--out is needed: the folder of the model repository");
    const char *name = args.name ? args.name : args.kind ? "cfine_raw" : "cfine";
    if (args.model.precision == CFINE_INT8 || args.model.precision == CFINE_FP8)
        return cli_usage(&cli_verb_triton,
                         "--precision: %s takes a calibration, which a repository has no place for: cfine build "
                         "--precision %s --calibration FILE -o X.plan, then --model X.plan",
                         cli_precision_choices[args.model.precision], cli_precision_choices[args.model.precision]);
    if (!is_name(name)) return cli_usage(&cli_verb_triton, "--name: letters, digits, '_' and '-', at most 100");
    if (!write_repository(&args, name)) return CLI_FAILED;
    char full[PATH_MAX];
    if (!realpath(args.out, full)) snprintf(full, sizeof full, "%s", args.out);
    cli_note("Wrote %s/%s. To serve it on ports 8000 (HTTP), 8001 (gRPC) and 8002 (metrics):", args.out, name);
    printf("tritonserver --model-repository='%s'\n", full);
    return CLI_OK;
}

const cli_verb cli_verb_triton = {
    .name = "triton",
    .summary = "write a model repository for NVIDIA's Triton server",
    .operands = "",
    .about = "The model's folder holds a copy of the model, config.pbtxt and the backend, libtriton_cfine.so. Prints\n"
             "the command that starts Triton on the repository. Several models may share one repository.\n",
    .example = "cfine triton --model my.plan -o models\n"
               "cfine triton --model dfine-nano-coco --precision bf16 --kind raw --max-batch 16 -o models\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run_verb,
};
