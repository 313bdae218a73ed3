// SPDX-License-Identifier: Apache-2.0
#include "quant/sensitivity.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { SCORES, FEATURES, MEMORY, SEEN };

typedef struct seen {
    float *values; // [tokens, channels], FP32
    int32_t tokens, channels;
} seen;

struct cf_judge {
    int images, known; // known: 1 once the FP32 session has run
    seen *of;          // [images][SEEN]
    float *weight;     // of each token of the image at hand
    int32_t weights;
    int step[SEEN], input[SEEN]; // where a session shows them: an input of a step
    int next;                    // image of the session being watched
    int failed;                  // 1: out of memory
    double wrong[SEEN], all[SEEN];
};

cfine_status cf_judge_create(int images, cf_judge **out, cfine_error *err) {
    *out = cf_alloc(1, sizeof **out);
    if (*out) (*out)->of = cf_alloc((size_t)images * SEEN, sizeof *(*out)->of);
    if (!*out || !(*out)->of) {
        cf_judge_destroy(*out);
        *out = NULL;
        return cf_fail_memory(err, "calibration", (size_t)images * SEEN * sizeof(seen));
    }
    (*out)->images = images;
    return CFINE_OK;
}

void cf_judge_destroy(cf_judge *judge) {
    if (!judge) return;
    for (int i = 0; judge->of && i < judge->images * SEEN; i++) cf_free(judge->of[i].values);
    cf_free(judge->of);
    cf_free(judge->weight);
    cf_free(judge);
}

static float probability(float score) {
    return 1 / (1 + expf(-score));
}

static void remember(cf_judge *judge, const cf_tensor *t, int what) {
    seen *to = &judge->of[judge->next * SEEN + what];
    *to = (seen){cf_alloc((size_t)t->h * (size_t)t->w * (size_t)t->c, sizeof(float)), t->h * t->w, t->c};
    judge->failed |= !to->values;
    for (int i = 0; to->values && i < to->tokens; i++)
        for (int c = 0; c < to->channels; c++) {
            float value = cf_tensor_get(t, 0, i / t->w, i % t->w, c);
            to->values[(size_t)i * (size_t)to->channels + (size_t)c] = what == SCORES ? probability(value) : value;
        }
}

// The best probability of each token, as FP32 had it.
static void weigh(cf_judge *judge) {
    const seen *scores = &judge->of[judge->next * SEEN + SCORES];
    if (judge->weights != scores->tokens) {
        cf_free(judge->weight);
        judge->weights = scores->tokens;
        judge->weight = cf_alloc((size_t)scores->tokens, sizeof *judge->weight);
        judge->failed |= !judge->weight;
    }
    for (int i = 0; judge->weight && i < scores->tokens; i++) {
        const float *row = scores->values + (size_t)i * (size_t)scores->channels;
        judge->weight[i] = 0;
        for (int c = 0; c < scores->channels; c++) judge->weight[i] = fmaxf(judge->weight[i], row[c]);
    }
}

static void compare(cf_judge *judge, const cf_tensor *t, int what) {
    const seen *right = &judge->of[judge->next * SEEN + what];
    if (!right->values || right->tokens != t->h * t->w || right->channels != t->c) return;
    if (what == SCORES) weigh(judge);
    for (int i = 0; judge->weight && i < right->tokens; i++) {
        double wrong = 0, all = 0;
        const float *row = right->values + (size_t)i * (size_t)right->channels;
        for (int c = 0; c < right->channels; c++) {
            float value = cf_tensor_get(t, 0, i / t->w, i % t->w, c);
            if (what == SCORES) value = probability(value);
            wrong += ((double)value - (double)row[c]) * ((double)value - (double)row[c]);
            all += (double)row[c] * (double)row[c];
        }
        double weight = what == SCORES ? 1 : (double)judge->weight[i];
        judge->wrong[what] += weight * wrong;
        judge->all[what] += weight * all;
    }
}

static cf_look look(void *arg, int step) {
    const cf_judge *judge = arg;
    for (int what = 0; what < SEEN; what++)
        if (judge->step[what] == step) return CF_LOOK_AT_INPUTS;
    return CF_LOOK_AWAY;
}

static void see(void *arg, int step, const cf_call *call) {
    cf_judge *judge = arg;
    for (int what = 0; what < SEEN && judge->next < judge->images; what++) {
        if (judge->step[what] != step) continue;
        if (judge->known)
            compare(judge, &call->in[judge->input[what]], what);
        else
            remember(judge, &call->in[judge->input[what]], what);
    }
    if (step == judge->step[MEMORY]) judge->next++; // the last of the three
}

cfine_status cf_judge_watch(cf_judge *judge, cf_session *session, cfine_error *err) {
    static const cf_op shown_by[SEEN] = {CF_OP_TOP_QUERIES, CF_OP_GATHER, CF_OP_DEFORM};
    static const int input[SEEN] = {0, 0, 3};
    const cf_plan *plan = session->plan;
    judge->known = judge->known || judge->next > 0;
    judge->next = 0;
    for (int what = 0; what < SEEN; what++) {
        judge->step[what] = -1;
        judge->input[what] = input[what];
        judge->wrong[what] = judge->all[what] = 0;
        for (int i = plan->step_count - 1; i >= 0; i--)
            if (plan->steps[i].problem.op == shown_by[what]) judge->step[what] = i;
        if (judge->step[what] < 0)
            return cf_fail(err, CFINE_ERROR_UNSUPPORTED, "calibration: the plan has no %s", cf_op_name(shown_by[what]));
    }
    session->observer = (cf_observer){look, see, judge};
    return CFINE_OK;
}

double cf_judge_error(const cf_judge *judge) {
    double error = 0;
    for (int what = 0; what < SEEN; what++)
        if (judge->all[what] > 0) error += judge->wrong[what] / judge->all[what];
    return judge->failed ? INFINITY : error;
}
