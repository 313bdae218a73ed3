// SPDX-License-Identifier: Apache-2.0
// Makes a calibration: ranges from images, bias corrections, and the operators that int8 should leave alone.
//
//     images -> FP32 plan, every value watched -> histograms -> ranges (range.h)
//     each candidate alone in int8 -> error against FP32 (sensitivity.h) -> those worth it run in int8
#ifndef CF_QUANT_CALIBRATE_H
#define CF_QUANT_CALIBRATE_H

#include "exec/session.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "quant/calibration.h"

typedef struct cf_calibrate_request {
    cf_model_options shape; // input size; the rest as trained
    cf_range_method method;
    int images, random;
    int judged;                 // images to measure sensitivity with; 0: do not, all candidates run in int8
    int threads;                //
    const cf_plan_request *gpu; // of which only target, threads and ordinal count; NULL: this CPU
    double budget;              // most error, as sensitivity.h has it, that the chosen operators may sum up to
    // Puts image number `image` into the session's input.
    cfine_status (*fill)(void *arg, cf_session *session, int image, cfine_error *err);
    // How far; may be NULL. stage: "ranges", "sensitivity".
    void (*progress)(void *arg, const char *stage, int done, int total);
    void *arg;
} cf_calibrate_request;

cfine_status cf_calibrate(const cf_checkpoint *checkpoint, const cf_calibrate_request *request, cf_calibration **out,
                          cfine_error *err);

#endif
