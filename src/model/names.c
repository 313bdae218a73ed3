// SPDX-License-Identifier: Apache-2.0
// Renaming by rules, and the rules for the names that versions of transformers differ in.
#include "model/names.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NUMBERS = 8, MAX_NAME = 1024 };

// What '#' and '*' stood for in a name that fits a rule.
typedef struct captures {
    const char *numbers[MAX_NUMBERS];
    int lengths[MAX_NUMBERS], count;
    const char *rest;
} captures;

static int fits(const char *name, const char *from, captures *out) {
    *out = (captures){.rest = ""};
    for (; *from; from++) {
        if (*from == '*') {
            out->rest = name;
            return 1;
        }
        if (*from == '#') {
            size_t digits = strspn(name, "0123456789");
            if (!digits || out->count == MAX_NUMBERS) return 0;
            out->numbers[out->count] = name;
            out->lengths[out->count++] = (int)digits;
            name += digits;
        } else if (*name++ != *from) {
            return 0;
        }
    }
    return !*name;
}

// Writes the new name; captured parts are at most as long as the old name, so MAX_NAME suffices.
static void fill(const char *to, const captures *found, char *out) {
    size_t used = 0;
    int next = 0;
    for (; *to; to++) {
        const char *part = to;
        int length = 1;
        if (*to == '#' && next < found->count) {
            part = found->numbers[next];
            length = found->lengths[next++];
        } else if (*to == '*') {
            part = found->rest;
            length = (int)strlen(part);
        }
        if (used + (size_t)length >= MAX_NAME) break;
        memcpy(out + used, part, (size_t)length);
        used += (size_t)length;
    }
    out[used] = 0;
}

cfine_status cf_names_apply(cf_weights *weights, const cf_name_rule *rules, size_t count, cfine_error *err) {
    for (size_t i = 0; i < cf_weights_count(weights);) {
        const char *name = cf_weights_at(weights, i)->name;
        captures found;
        size_t rule = 0;
        while (rule < count && !fits(name, rules[rule].from, &found)) rule++;
        if (rule == count) {
            i++;
            continue;
        }
        char renamed[MAX_NAME];
        fill(rules[rule].to, &found, renamed);
        if (!*renamed || (rules[rule].tied && cf_weights_find(weights, renamed))) {
            cf_weights_remove(weights, i); // the last tensor takes this place: look at it next
        } else {
            CF_TRY(cf_weights_rename(weights, i, renamed, err));
            i++;
        }
    }
    return CFINE_OK;
}

static const cf_name_rule any_model[] = {
    // The heads belong to the outer model and to the decoder; files hold either name, or both.
    {"class_embed.#.*", "model.decoder.class_embed.#.*", 1},
    {"bbox_embed.#.*", "model.decoder.bbox_embed.#.*", 1},
};

// Names that transformers 5 uses in memory and a file may have when it was written without going back to the old ones.
static const cf_name_rule dfine[] = {
    {"model.encoder.aifi.#.layers.#.self_attn.o_proj.*", "model.encoder.encoder.#.layers.#.self_attn.out_proj.*", 0},
    {"model.encoder.aifi.#.layers.#.mlp.layers.0.*", "model.encoder.encoder.#.layers.#.fc1.*", 0},
    {"model.encoder.aifi.#.layers.#.mlp.layers.1.*", "model.encoder.encoder.#.layers.#.fc2.*", 0},
    {"model.encoder.aifi.#.layers.#.*", "model.encoder.encoder.#.layers.#.*", 0},
    {"model.encoder.encoder.#.layers.#.self_attn.o_proj.*", "model.encoder.encoder.#.layers.#.self_attn.out_proj.*", 0},
    {"model.encoder.encoder.#.layers.#.mlp.layers.0.*", "model.encoder.encoder.#.layers.#.fc1.*", 0},
    {"model.encoder.encoder.#.layers.#.mlp.layers.1.*", "model.encoder.encoder.#.layers.#.fc2.*", 0},
    {"model.decoder.layers.#.self_attn.o_proj.*", "model.decoder.layers.#.self_attn.out_proj.*", 0},
    {"model.decoder.layers.#.mlp.layers.0.*", "model.decoder.layers.#.fc1.*", 0},
    {"model.decoder.layers.#.mlp.layers.1.*", "model.decoder.layers.#.fc2.*", 0},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

// With one box head for all layers, bbox_embed.1 and up repeat bbox_embed.0.
static void drop_shared_heads(cf_weights *weights) {
    static const char prefix[] = "model.decoder.bbox_embed.";
    for (size_t i = 0; i < cf_weights_count(weights);) {
        const char *name = cf_weights_at(weights, i)->name;
        if (strncmp(name, prefix, sizeof prefix - 1) == 0 && strncmp(name + sizeof prefix - 1, "0.", 2) != 0)
            cf_weights_remove(weights, i);
        else
            i++;
    }
}

cfine_status cf_names_unify(cf_weights *weights, const cf_model_config *config, cfine_error *err) {
    CF_TRY(cf_names_apply(weights, any_model, COUNT(any_model), err));
    if (config->family == CF_FAMILY_DFINE) CF_TRY(cf_names_apply(weights, dfine, COUNT(dfine), err));
    if (config->decoder.shared_box_head) drop_shared_heads(weights);
    return CFINE_OK;
}
