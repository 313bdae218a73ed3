// SPDX-License-Identifier: Apache-2.0
// Opens whatever a person has: a Hugging Face directory or a file in it, or an official .pth.
#include "model/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "model/names.h"

enum { MAX_CONFIG = 16 << 20 };

// "folder/name" for a file beside or inside `path`; `folder` is how many bytes of path to keep. Free with cf_free.
static cfine_status join(const char *path, size_t folder, const char *name, char **out, cfine_error *err) {
    const char *separator = folder && path[folder - 1] != '/' ? "/" : "";
    *out = cf_format("%.*s%s%s", (int)folder, path, separator, name);
    return *out ? CFINE_OK : cf_fail_memory(err, name, folder);
}

// ---------------------------------------------------------------------------------------------------------------------
// Hugging Face

typedef cfine_status parse_config(const char *json, size_t size, const char *file, cf_model_config *config,
                                  cfine_error *err);

static cfine_status read_config(const char *path, size_t folder, const char *name, parse_config *parse, int optional,
                                cf_model_config *config, cfine_error *err) {
    char *file;
    CF_TRY(join(path, folder, name, &file, err));
    cfine_status status = CFINE_OK;
    cf_bytes bytes = {0};
    if (!optional || cf_file_exists(file)) {
        status = cf_file_read(file, MAX_CONFIG, &bytes, err);
        if (status == CFINE_OK) status = parse((const char *)bytes.data, bytes.size, file, config, err);
    }
    cf_bytes_release(&bytes);
    cf_free(file);
    return status;
}

// model.safetensors, or the index of shards, in a directory.
static cfine_status open_directory_weights(const char *path, size_t folder, cf_weights *weights, cfine_error *err) {
    char *single, *index;
    CF_TRY(join(path, folder, "model.safetensors", &single, err));
    cfine_status status = join(path, folder, "model.safetensors.index.json", &index, err);
    if (status == CFINE_OK) {
        if (cf_file_exists(single))
            status = cf_safetensors_open(single, weights, err);
        else if (cf_file_exists(index))
            status = cf_safetensors_open_index(index, weights, err);
        else
            status = cf_fail(err, CFINE_ERROR_NOT_FOUND,
                             "%s: there is neither model.safetensors nor model.safetensors.index.json beside "
                             "config.json: download it, "
                             "or write it with save_pretrained of transformers",
                             path);
        cf_free(index);
    }
    cf_free(single);
    return status;
}

// Reads a scalar that training may have changed from its config value; leaves *value where there is no such tensor.
static cfine_status read_scalar(const cf_weights *weights, const char *name, double *value, cfine_error *err) {
    const cf_weight *weight = cf_weights_find(weights, name);
    if (!weight) return CFINE_OK;
    float number;
    int64_t one = 1;
    CF_TRY(cf_weights_load(weights, name, weight->rank == 0 ? 0 : 1, &one, &number, err));
    *value = number;
    return CFINE_OK;
}

// What the tensors know better than the config: the weighting function, the number of classes where none was given.
static cfine_status complete_config(cf_model_config *config, const cf_weights *weights, const char *file,
                                    cfine_error *err) {
    CF_TRY(read_scalar(weights, "model.decoder.reg_scale", &config->decoder.reg_scale, err));
    CF_TRY(read_scalar(weights, "model.decoder.up", &config->decoder.up, err));
    const cf_weight *scores = cf_weights_find(weights, "model.enc_score_head.bias");
    if (!config->labels && scores && scores->rank == 1 && scores->shape[0] > 0 && scores->shape[0] <= 1 << 16)
        CF_TRY(cf_model_config_default_labels(config, (int)scores->shape[0], err));
    if (!config->labels)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: says neither id2label nor num_labels, and the weights do not tell",
                       file);
    if (scores && scores->rank == 1 && scores->shape[0] != config->labels)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: names %d classes (id2label), the weights have %lld", file,
                       config->labels, (long long)scores->shape[0]);
    return cf_model_config_check(config, file, err);
}

// `folder` bytes of path are the directory; `file` is 1 when path itself holds the weights.
static cfine_status open_hugging_face(const char *path, size_t folder, int file, cf_checkpoint *checkpoint,
                                      cfine_error *err) {
    cf_model_config *config = &checkpoint->config;
    CF_TRY(read_config(path, folder, "config.json", cf_model_config_parse, 0, config, err));
    CF_TRY(read_config(path, folder, "preprocessor_config.json", cf_preprocess_config_parse, 1, config, err));
    if (file)
        CF_TRY(cf_safetensors_open(path, checkpoint->weights, err));
    else
        CF_TRY(open_directory_weights(path, folder, checkpoint->weights, err));
    cfine_status status = cf_names_unify(checkpoint->weights, config, err);
    if (status == CFINE_OK) status = complete_config(config, checkpoint->weights, "config.json", err);
    return status == CFINE_OK ? CFINE_OK : cf_fail_within(err, status, "%s", path);
}

// ---------------------------------------------------------------------------------------------------------------------
// Official

static cfine_status open_official(const char *path, cf_checkpoint *checkpoint, cfine_error *err) {
    CF_TRY(cf_pth_open(path, checkpoint->weights, err));
    cfine_status status = cf_names_from_official(checkpoint->weights, err);
    if (status != CFINE_OK) return cf_fail_within(err, status, "%s", path);
    CF_TRY(cf_model_config_deduce(checkpoint->weights, path, &checkpoint->config, err));
    return complete_config(&checkpoint->config, checkpoint->weights, path, err);
}

// A zip, or the pickle that old versions of torch wrote: decided by the first two bytes, as names say little.
static cfine_status looks_official(const char *path, int *official, cfine_error *err) {
    cf_bytes bytes;
    CF_TRY(cf_file_map(path, &bytes, err));
    *official = bytes.size >= 2 && (memcmp(bytes.data, "PK", 2) == 0 || memcmp(bytes.data, "\x80\x02", 2) == 0);
    cf_bytes_release(&bytes);
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Any path

static int is_parameter(const cf_weight *weight) {
    static const char *const statistics[] = {".running_mean",     ".running_var",
                                             ".num_points_scale", "denoising_class_embed.weight",
                                             ".anchors",          ".valid_mask"};
    size_t length = strlen(weight->name);
    for (size_t i = 0; i < sizeof statistics / sizeof *statistics; i++) {
        size_t tail = strlen(statistics[i]);
        if (length >= tail && strcmp(weight->name + length - tail, statistics[i]) == 0) return 0;
    }
    return cf_weight_type_is_float(weight->type);
}

static void count_weights(cf_checkpoint *checkpoint) {
    for (size_t i = 0; i < cf_weights_count(checkpoint->weights); i++) {
        const cf_weight *weight = cf_weights_at(checkpoint->weights, i);
        checkpoint->weight_bytes += (int64_t)(weight->count * cf_weight_type_size(weight->type));
        if (is_parameter(weight)) checkpoint->parameters += (int64_t)weight->count;
    }
}

static int ends_with(const char *text, const char *tail) {
    size_t length = strlen(text), tail_length = strlen(tail);
    return length >= tail_length && strcmp(text + length - tail_length, tail) == 0;
}

// `folder` bytes of `path` name the folder; 0: the current one.
static cfine_status has_config(const char *path, size_t folder, cfine_error *err) {
    char *config;
    CF_TRY(join(path, folder, "config.json", &config, err));
    int there = cf_file_exists(config);
    cf_free(config);
    if (there) return CFINE_OK;
    return cf_fail(err, CFINE_ERROR_NOT_FOUND,
                   "%s: has no config.json%s; a model's directory holds config.json, model.safetensors and, as a rule, "
                   "preprocessor_config.json; an official checkpoint is given as the .pth itself",
                   path, folder == strlen(path) ? "" : " beside it");
}

static cfine_status open_any(const char *path, cf_checkpoint *checkpoint, cfine_error *err) {
    if (cf_is_directory(path)) {
        CF_TRY(has_config(path, strlen(path), err));
        return open_hugging_face(path, strlen(path), 0, checkpoint, err);
    }
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    if (ends_with(path, ".json") || ends_with(path, ".safetensors")) {
        CF_TRY(has_config(path, folder, err));
        return open_hugging_face(path, folder, !ends_with(path, ".json"), checkpoint, err);
    }
    int official;
    CF_TRY(looks_official(path, &official, err));
    if (official || ends_with(path, ".pth") || ends_with(path, ".pt")) return open_official(path, checkpoint, err);
    return cf_fail(
        err, CFINE_ERROR_FORMAT,
        "%s: is neither a checkpoint (a Hugging Face directory, a .safetensors in one, or a .pth) nor a whole "
        "plan of cfine build",
        path);
}

cfine_status cf_checkpoint_open(const char *path, cf_checkpoint **out, cfine_error *err) {
    *out = NULL;
    cf_checkpoint *checkpoint = cf_alloc(1, sizeof *checkpoint);
    if (!checkpoint) return cf_fail_memory(err, path, sizeof *checkpoint);
    checkpoint->weights = cf_weights_new();
    checkpoint->source = cf_strdup(path);
    cfine_status status = CFINE_OK;
    if (!checkpoint->weights || !checkpoint->source) status = cf_fail_memory(err, path, strlen(path));
    if (status == CFINE_OK) status = open_any(path, checkpoint, err);
    if (status != CFINE_OK) {
        cf_checkpoint_close(checkpoint);
        return status;
    }
    checkpoint->size = cf_model_config_size(&checkpoint->config);
    count_weights(checkpoint);
    *out = checkpoint;
    return CFINE_OK;
}

void cf_checkpoint_close(cf_checkpoint *checkpoint) {
    if (!checkpoint) return;
    cf_model_config_release(&checkpoint->config);
    cf_weights_free(checkpoint->weights);
    cf_free(checkpoint->source);
    cf_free(checkpoint);
}

// ---------------------------------------------------------------------------------------------------------------------
// Identity

static uint64_t hash_reals(const double *values, size_t count, uint64_t seed) {
    return cf_hash64(values, count * sizeof *values, seed);
}

static uint64_t hash_ints(const int *values, size_t count, uint64_t seed) {
    return cf_hash64(values, count * sizeof *values, seed);
}

// Field by field: the bytes between the fields of a struct have no fixed value.
static uint64_t hash_config(const cf_model_config *c) {
    const cf_encoder_config *e = &c->encoder;
    const cf_decoder_config *d = &c->decoder;
    const cf_preprocess_config *p = &c->preprocess;
    const int ints[] = {(int)c->family,
                        c->levels,
                        c->labels,
                        e->lite,
                        e->channels,
                        e->attention_count,
                        e->layers,
                        e->heads,
                        e->ffn,
                        (int)e->ffn_activation,
                        e->normalize_before,
                        e->position_embedding,
                        (int)e->activation,
                        e->block_channels,
                        e->block_depth,
                        e->sum_fusion,
                        e->trailing_conv,
                        d->channels,
                        d->heads,
                        d->ffn,
                        d->layers,
                        d->layers_stored,
                        d->queries,
                        d->discrete,
                        (int)d->activation,
                        (int)d->mlp_activation,
                        d->learned_queries,
                        d->bins,
                        d->lqe_top,
                        d->lqe_hidden,
                        d->lqe_layers,
                        d->rms_norm,
                        d->gateway,
                        d->shared_box_head,
                        d->query_pos_per_layer,
                        d->encoder_output,
                        p->width,
                        p->height,
                        p->rescale,
                        p->normalize};
    const double reals[] = {e->position_temperature,
                            d->offset_scale,
                            d->reg_scale,
                            d->up,
                            d->rms_norm_eps,
                            c->layer_norm_eps,
                            c->batch_norm_eps,
                            p->rescale_factor,
                            p->mean[0],
                            p->mean[1],
                            p->mean[2],
                            p->std[0],
                            p->std[1],
                            p->std[2]};
    uint64_t hash = hash_ints(ints, sizeof ints / sizeof *ints, 1);
    hash = hash_reals(reals, sizeof reals / sizeof *reals, hash);
    hash = hash_ints(e->attention_levels, (size_t)e->attention_count, hash);
    hash = hash_ints(d->points, (size_t)c->levels, hash);
    hash = cf_hash64(&c->backbone, sizeof c->backbone, hash); // ints only
    for (int i = 0; i < c->labels; i++) hash = cf_hash64(c->label_names[i], strlen(c->label_names[i]), hash);
    return hash;
}

uint64_t cf_checkpoint_hash(const cf_checkpoint *checkpoint) {
    uint64_t sum = 0; // of the tensors' hashes, so that their order does not matter
    for (size_t i = 0; i < cf_weights_count(checkpoint->weights); i++) {
        const cf_weight *weight = cf_weights_at(checkpoint->weights, i);
        uint64_t hash = cf_hash64(weight->name, strlen(weight->name), weight->type);
        hash = cf_hash64(weight->shape, (size_t)weight->rank * sizeof *weight->shape, hash);
        sum += cf_hash64(weight->data, weight->count * cf_weight_type_size(weight->type), hash);
    }
    return cf_hash64(&sum, sizeof sum, hash_config(&checkpoint->config));
}
