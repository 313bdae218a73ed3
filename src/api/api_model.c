// SPDX-License-Identifier: Apache-2.0
// cfine.h: version, CPU, models.
#include <stdio.h>

#include "api/handles.h"
#include "base/cpu.h"
#include "base/env.h"
#include "base/installed.h"
#include "base/memory.h"
#include "graph/passes/passes.h"
#include "model/model.h"
#include "plan/planfile.h"

static const char default_model[] = "tabletop";

void cfine_cpu_features(char *text, size_t size) {
    cf_cpu_describe(cf_cpu_features(), text, size);
}
void cfine_cpu_model(char *text, size_t size) {
    cf_cpu_model(text, size);
}
int cfine_cpu_count(void) {
    return cf_cpu_count();
}

int cfine_gpu_count(void) {
    return cf_cuda_count();
}

cfine_status cfine_gpu_describe(int index, char *text, size_t size, cfine_error *error) {
    cf_cuda_device gpu;
    CF_TRY(cf_cuda_describe(index, &gpu, error));
    snprintf(text, size, "%s, compute capability %d.%d, %d multiprocessors, %.1f GB%s", gpu.name, gpu.compute / 10,
             gpu.compute % 10, gpu.multiprocessors, (double)gpu.memory_bytes * 1e-9,
             cf_cuda_is_built() ? "" : "; this build has no GPU kernels (nvcc was missing)");
    return CFINE_OK;
}

cfine_status cfine_cpu_limit(const char *level, cfine_error *error) {
    uint32_t mask;
    if (!level || !cf_cpu_mask_parse(level, &mask))
        return cf_fail(
            error, CFINE_ERROR_ARGUMENT,
            "cpu level '%s': must be scalar, avx2, avxvnni, avx512, avx512vnni, avx512bf16, avx512fp16, amx or native",
            level ? level : "");
    cf_cpu_set_mask(mask);
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Names of models

int cfine_cache_folder(char *path, size_t size) {
    const char *cache = cf_env_cache(), *xdg_cache = cf_env_xdg_cache(), *home = cf_env_home();
    int length = cache       ? snprintf(path, size, "%s", cache)
                 : xdg_cache ? snprintf(path, size, "%s/cfine", xdg_cache)
                 : home      ? snprintf(path, size, "%s/.cache/cfine", home)
                             : -1;
    return length > 0 && (size_t)length < size;
}

int cfine_model_folder(int index, char *path, size_t size) {
    char beside[4096];
    const char *installed = cf_installed_models(beside, sizeof beside) ? beside : CFINE_MODEL_DIR;
    const char *const bundled[] = {cf_env_models(), installed, CFINE_SOURCE_MODEL_DIR};
    for (size_t i = 0; i < sizeof bundled / sizeof *bundled; i++)
        if (bundled[i] && index-- == 0) return snprintf(path, size, "%s", bundled[i]) < (int)size;
    return index == 0 && cfine_cache_folder(path, size);
}

static cfine_status find_by_name(const char *name, char **path) {
    char folder[4096];
    if (!*name || strstr(name, "..") || name[0] == '/' || name[0] == '.') return CFINE_ERROR_NOT_FOUND;
    for (int i = 0; cfine_model_folder(i, folder, sizeof folder); i++) {
        *path = cf_format("%s/%s", folder, name);
        if (!*path) return CFINE_ERROR_MEMORY;
        if (cf_is_directory(*path)) return CFINE_OK;
        cf_free(*path);
        *path = NULL;
    }
    return CFINE_ERROR_NOT_FOUND;
}

cfine_status cf_model_resolve(const char *model, char **path, cfine_error *err) {
    *path = NULL;
    const char *name = model ? model : default_model;
    if (!*name)
        return cf_fail(err, CFINE_ERROR_ARGUMENT,
                       "model: the name is empty; give a directory with config.json and model.safetensors, a .pth, a "
                       ".plan, or the name of a bundled or pulled model");
    if (model && cf_file_exists(model)) {
        *path = cf_strdup(model);
        return *path ? CFINE_OK : cf_fail_memory(err, "path", strlen(model));
    }
    cfine_status status = find_by_name(name, path);
    if (status == CFINE_OK) return CFINE_OK;
    if (status == CFINE_ERROR_MEMORY) return cf_fail_memory(err, "path", strlen(name));
    return cf_fail(err, CFINE_ERROR_NOT_FOUND,
                   "%s: no such file or directory, and no bundled or pulled model of that name; published models: "
                   "cfine pull --list",
                   name);
}

cfine_status cfine_model_open(const char *model, cfine_model **out, cfine_error *error) {
    if (!out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_model_open: out is NULL");
    *out = NULL;
    char *path;
    CF_TRY(cf_model_resolve(model, &path, error));
    cfine_status status = CFINE_OK;
    cfine_model *handle = cf_alloc(1, sizeof *handle);
    if (!handle) status = cf_fail_memory(error, "model", sizeof *handle);
    if (status == CFINE_OK && cf_planfile_probe(path))
        status = cf_fail(error, CFINE_ERROR_ARGUMENT,
                         "%s: is a plan, not a checkpoint; give the checkpoint that it was built from", path);
    if (status == CFINE_OK) status = cf_checkpoint_open(path, &handle->checkpoint, error);
    cf_free(path);
    if (status != CFINE_OK) {
        cf_free(handle);
        return status;
    }
    *out = handle;
    return CFINE_OK;
}

void cfine_model_close(cfine_model *model) {
    if (!model) return;
    cf_checkpoint_close(model->checkpoint);
    cf_free(model);
}

cfine_status cfine_model_get_info(const cfine_model *model, cfine_model_info *out, cfine_error *error) {
    if (!model || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_model_get_info: NULL argument");
    const cf_model_config *config = &model->checkpoint->config;
    cfine_model_info info = {.family = cf_model_family_name(config->family),
                             .size = model->checkpoint->size,
                             .source = model->checkpoint->source,
                             .labels = config->labels,
                             .queries = config->decoder.queries,
                             .decoder_layers = config->decoder.layers,
                             .levels = config->levels,
                             .width = config->preprocess.width,
                             .height = config->preprocess.height,
                             .parameters = model->checkpoint->parameters,
                             .weight_bytes = model->checkpoint->weight_bytes};
    cf_write_info(out, &info, sizeof info);
    return CFINE_OK;
}

const char *cfine_model_label(const cfine_model *model, int label) {
    const cf_model_config *config = model ? &model->checkpoint->config : NULL;
    return config && label >= 0 && label < config->labels ? config->label_names[label] : NULL;
}

cfine_status cfine_model_dump_graph(const cfine_model *model, const cfine_plan_options *options, int passes,
                                    void *stream, cfine_error *error) {
    if (!model || !stream) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_model_dump_graph: NULL argument");
    cfine_plan_options wanted;
    CF_READ_OPTIONS(wanted, options);
    cf_model_options shape = {wanted.width, wanted.height, wanted.queries, wanted.decoder_layers};
    cf_graph *graph;
    CF_TRY(cf_model_build(model->checkpoint, &shape, &graph, error));
    cfine_status status = passes ? cf_passes_run(graph, error) : CFINE_OK;
    if (status == CFINE_OK) cf_graph_print(graph, stream);
    cf_graph_destroy(graph);
    return status;
}
