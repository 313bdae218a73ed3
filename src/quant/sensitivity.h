// SPDX-License-Identifier: Apache-2.0
// How far int8 moves what the decoder gets: the error of a plan against FP32, over a few images.
//
// The decoder sees three things of an image: the memory that it samples, the features that become queries, and the
// scores that choose them. The error is the sum over the three of |x - x_fp32|^2 / |x_fp32|^2, where scores count as
// probabilities, and tokens of memory and features by their best probability, so that the background hardly counts.
// Errors of single operators about add up to the error of all together.
#ifndef CF_QUANT_SENSITIVITY_H
#define CF_QUANT_SENSITIVITY_H

#include "exec/session.h"

// What FP32 gave, for every image.
typedef struct cf_judge cf_judge;

// Room for `images` images.
cfine_status cf_judge_create(int images, cf_judge **out, cfine_error *err);
void cf_judge_destroy(cf_judge *judge); // NULL is allowed

// Watches a session that runs image after image, 0 .. images-1, one a run. The first session watched is the FP32 one
// and is remembered; of later ones cf_judge_error gives the error once all images have run.
cfine_status cf_judge_watch(cf_judge *judge, cf_session *session, cfine_error *err);
double cf_judge_error(const cf_judge *judge);

#endif
