// SPDX-License-Identifier: Apache-2.0
// A knapsack of few things: knobs and operators each have a price (accuracy) and a worth (time), measured one at a
// time. Sums of them predict every combination well enough to say which to measure next; measurements then rule out
// whole corners: what is harsher than a failure, and what is milder than a success.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optimize.h"

// Loss that a prediction may have more than is allowed and still be worth a measurement; and time, over that of the
// fastest so far: a machine of others moves single measurements by some percent.
static const double slack = 0.3, slack_of_time = 0.02;

double opt_lost(const opt_search *search, const opt_result *result, opt_part part) {
    double base = search->results[search->baseline].score[part].ap;
    return base > 0 ? (base - result->score[part].ap) / base : 0;
}

int opt_good_enough(const opt_search *search, const opt_result *result, opt_part part) {
    return result->score[part].ap >= 0 && opt_lost(search, result, part) <= search->max_loss + 1e-12;
}

int opt_on_front(const opt_search *search, const opt_result *result) {
    for (int i = 0; i < search->result_count; i++) {
        const opt_result *other = &search->results[i];
        if (other == result || other->share <= 0) continue;
        double theirs = other->score[OPT_CHOOSE].ap, ours = result->score[OPT_CHOOSE].ap;
        if (theirs >= ours && other->share <= result->share && (theirs > ours || other->share < result->share))
            return 0;
    }
    return 1;
}

// How far up the precision is: operators raised, then the levels above.
static int height(const opt_search *search, const opt_setting *s) {
    return ((int)s->level - (int)search->lowest) * (search->operator_count + 1) + s->raised;
}

// 1 if a saves at least as much as b with every knob.
static int harsher(const opt_search *search, const opt_setting *a, const opt_setting *b) {
    return height(search, a) <= height(search, b) && a->queries >= b->queries && a->layers >= b->layers &&
           a->size >= b->size && (a->level != OPT_INT8 || b->level != OPT_INT8 || a->calibration == b->calibration);
}

static int failed(const opt_search *search, const opt_result *result) {
    for (int part = 0; part < OPT_ALL; part++)
        if (result->score[part].ap >= 0 && !opt_good_enough(search, result, (opt_part)part)) return 1;
    return 0;
}

static int ruled_out(const opt_search *search, const opt_setting *setting) {
    for (int i = 0; i < search->result_count; i++) {
        const opt_result *known = &search->results[i];
        if (failed(search, known) ? harsher(search, setting, &known->setting)
                                  : harsher(search, &known->setting, setting))
            return 1;
    }
    return 0;
}

// The uniform result of a level with one knob turned, or none (knob 0, value 0).
static const opt_result *find_uniform(const opt_search *search, opt_level level, int calibration, int knob, int value) {
    for (int i = 0; i < search->result_count; i++) {
        const opt_setting *s = &search->results[i].setting;
        const int values[] = {s->queries, s->layers, s->size};
        int fits = search->results[i].uniform && s->level == level && !s->raised &&
                   (level != OPT_INT8 || s->calibration == calibration);
        for (int k = 0; k < 3 && fits; k++) fits = values[k] == (k == knob ? value : 0);
        if (fits) return &search->results[i];
    }
    return NULL;
}

// What a knob costs and how much of the time it leaves by itself, beside the plain setting of this level.
static int effect_at(const opt_search *search, opt_level level, int calibration, int knob, int value, double *loss,
                     double *share) {
    const opt_result *turned = find_uniform(search, level, calibration, knob, value);
    const opt_result *plain = find_uniform(search, level, calibration, 0, 0);
    if (!turned || !plain || turned->share <= 0 || plain->share <= 0) return 0;
    *loss = fmax(opt_lost(search, turned, OPT_CHOOSE) - opt_lost(search, plain, OPT_CHOOSE), 0);
    *share = turned->share / plain->share;
    return 1;
}

// The same as measured in the precision of the setting, else in some other: what a knob saves is not the same in all.
static int knob_effect(const opt_search *search, const opt_setting *s, int knob, int value, double *loss,
                       double *share) {
    *loss = 0;
    *share = 1;
    if (!value || effect_at(search, s->level, s->calibration, knob, value, loss, share)) return 1;
    for (int level = OPT_FP32; level >= (int)search->lowest; level--)
        for (int c = -1; c < search->calibration_count; c++)
            if (effect_at(search, (opt_level)level, c, knob, value, loss, share)) return 1;
    return 0;
}

// Predicts loss and share of the time of FP32; 0 where a knob was not measured.
static int predict(const opt_search *search, const opt_setting *s, double *loss, double *share) {
    const opt_result *plain = find_uniform(search, s->level, s->calibration, 0, 0);
    const opt_result *base = &search->results[search->baseline];
    const int values[] = {s->queries, s->layers, s->size};
    if (!plain || plain->share <= 0 || base->milliseconds <= 0) return 0;
    double left = search->harm, extra = 0;
    for (int i = 0; i < s->raised; i++) {
        left -= fmax(search->operators[i].harm, 0);
        extra += search->operators[i].milliseconds;
    }
    *loss = fmax(opt_lost(search, plain, OPT_CHOOSE), 0);
    if (s->raised && search->harm > 0) *loss *= fmax(left, 0) / search->harm;
    *share = fmax(plain->share + extra / base->milliseconds, 1e-3);
    for (int k = 0; k < 3; k++) {
        double knob_loss, knob_share;
        if (!knob_effect(search, s, k, values[k], &knob_loss, &knob_share)) return 0;
        *loss += knob_loss;
        *share *= knob_share;
    }
    return 1;
}

// The calibration that loses least when everything runs in int8.
static int best_calibration(const opt_search *search) {
    int best = -1;
    double least = INFINITY;
    for (int c = 0; c < search->calibration_count; c++) {
        const opt_result *plain = find_uniform(search, OPT_INT8, c, 0, 0);
        double loss = plain ? opt_lost(search, plain, OPT_CHOOSE) : INFINITY;
        if (loss < least) least = loss, best = c;
    }
    return best;
}

static int next_raised(int raised) {
    return raised < 4 ? raised + 1 : raised + raised / 3;
}

int opt_choose_next(const opt_search *search, opt_setting *out) {
    double best = INFINITY;
    int batch = search->results[search->baseline].setting.batch;
    for (int i = 0; i < search->result_count; i++) { // faster than what is good enough already
        const opt_result *known = &search->results[i];
        if (!failed(search, known) && known->share > 0) best = fmin(best, known->share * (1 + slack_of_time));
    }
    int found = 0, calibration = best_calibration(search);
    for (int level = (int)search->lowest; level < OPT_LEVELS; level++) {
        int most = level == (int)search->lowest && search->operator_count ? search->operator_count - 1 : 0;
        for (int raised = 0; raised <= most; raised = next_raised(raised))
            for (int q = 0; q < search->query_count; q++)
                for (int l = 0; l < search->layer_count; l++)
                    for (int z = 0; z < search->size_count; z++) {
                        opt_setting s = {
                            (opt_level)level, level == OPT_INT8 ? calibration : -1, raised, q, l, z, batch};
                        double loss, share;
                        if (!predict(search, &s, &loss, &share) || share >= best ||
                            loss > search->max_loss * (1 + slack) || ruled_out(search, &s))
                            continue;
                        best = share;
                        *out = s;
                        found = 1;
                    }
    }
    return found;
}
