// SPDX-License-Identifier: Apache-2.0
// Plan files: a compiled plan, read instead of rebuilt. planfile.c describes the layout.
#ifndef CF_PLAN_PLANFILE_H
#define CF_PLAN_PLANFILE_H

#include "plan/plan.h"

// Writes a plan: to a temporary name, then renamed.
cfine_status cf_planfile_save(const cf_plan *plan, const char *path, cfine_error *err);

// Maps a plan file and checks all of it: magic, format and library version, size, checksums, CPU features against
// `features`, and every step (kernel, shapes, and that each tensor lies inside the workspace), so that a damaged or
// foreign file is refused with the command that rebuilds it.
cfine_status cf_planfile_open(const char *path, uint32_t features, cf_plan **out, cfine_error *err);

// The same from memory, which must stay valid as long as the plan.
cfine_status cf_planfile_parse(const uint8_t *data, size_t size, const char *name, uint32_t features, cf_plan **out,
                               cfine_error *err);

// 1 if the file begins like a plan.
int cf_planfile_probe(const char *path);

#endif
