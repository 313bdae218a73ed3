// SPDX-License-Identifier: Apache-2.0
// What the opaque handles of cfine.h hold, and how option structs of older callers are read.
#ifndef CF_API_HANDLES_H
#define CF_API_HANDLES_H

#include <string.h>

#include "exec/session.h"
#include "model/checkpoint.h"
#include "plan/plan.h"
#include "preprocess/preprocess.h"
#include "quant/calibration.h"

struct cfine_model {
    cf_checkpoint *checkpoint;
};

struct cfine_plan {
    cf_plan *plan;
    char device[160];
};

struct cfine_session {
    cf_session *exec;
    cfine_plan plan; // holds a reference of its own
    cf_resizer resizer;
    cf_pixel_scale scale;
};

// Copies an options struct of the caller (which may be older and so shorter, or NULL) over zeroed memory of ours.
static inline void cf_read_options(void *ours, size_t size, const void *theirs) {
    memset(ours, 0, size);
    if (!theirs) return;
    size_t given;
    memcpy(&given, theirs, sizeof given); // struct_size comes first in every one
    memcpy(ours, theirs, given < size ? given : size);
}

#define CF_READ_OPTIONS(ours, theirs) cf_read_options(&(ours), sizeof(ours), theirs)

// Fills an info struct of the caller from ours, as much as the caller knows of.
static inline void cf_write_info(void *theirs, const void *ours, size_t size) {
    size_t given;
    memcpy(&given, theirs, sizeof given);
    size_t copied = given < size ? given : size;
    memcpy((char *)theirs + sizeof given, (const char *)ours + sizeof given,
           copied > sizeof given ? copied - sizeof given : 0);
}

// Raises the operators that the options name (api_measured.c). Behind the precision passes.
cfine_status cf_raise_operators(cf_graph *graph, const cfine_plan_options *options, cfine_error *err);

// Runs both plans in turns on their device: *winner is 0 if the first one is clearly faster, else 1.
cfine_status cf_plan_race(cf_plan *first, cf_plan *second, int *winner, cfine_error *error);
// What to compile for: target, ordinal and, of a GPU, threads. `features`: of a CPU.
cfine_status cf_find_target(const char *device, uint32_t features, cf_plan_request *request, cfine_error *error);
// "cpu" (or NULL), "cuda", "cuda:N".
cfine_status cf_parse_device(const char *device, cf_backend *backend, int32_t *ordinal, cfine_error *error);

// Ranges of a few random images, for plans whose time alone is of interest.
cfine_status cf_calibrate_for_timing(const cfine_model *model, const cfine_plan_options *options, cf_calibration **out,
                                     cfine_error *err);

// Path of a model that is given by name: what names a file or directory stands for itself; otherwise a folder of that
// name below CFINE_MODELS, the installed models, or the pulled ones. NULL asks for the bundled default. Free the
// result.
cfine_status cf_model_resolve(const char *model, char **path, cfine_error *err);

#endif
