// SPDX-License-Identifier: Apache-2.0
// What the case makers of the operators beside conv share: tensors of each dtype, and running through dtypes, gaps and
// values.
#ifndef CF_CHECKOPS_MAKE_H
#define CF_CHECKOPS_MAKE_H

#include "checkops/checkops.h"

// The dtypes of a case: of its inputs (all alike) and of its output.
typedef struct {
    const char *name;
    cf_dtype in, out;
} make_kind;

enum { MAKE_KINDS = 10, MAKE_REAL_KINDS = 5 }; // the first are those that graphs of real values use
extern const make_kind make_kinds[MAKE_KINDS];

// A tensor h w c; quantised ones cover about -2 .. 2 (U8) or -1 .. 1 (S8).
cf_tensor make_tensor(int h, int w, int c, cf_dtype dtype);

// A case of `images` images, without inputs and constants, named "op text".
check_case make_case_of(cf_op op, int images, const char *format, ...) __attribute__((format(printf, 3, 4)));

void make_input(check_case *one, cf_tensor tensor);
void make_constant(check_case *one, int rank, int rows, int cols); // [cols] or [rows, cols]

// Emits the case dense, with its output in a slice of a wider buffer, and all in slices with halos; seeds differ.
void make_emit(check_run *run, check_case one);

// Emits it so for each kind of values; in a quick run random ones and one other kind.
void make_emit_values(check_run *run, check_case one);

#endif
