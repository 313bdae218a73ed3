// SPDX-License-Identifier: Apache-2.0
// Status codes and error text, as every internal function returns them.
//
// A function that can fail returns cfine_status and takes `cfine_error *err` last (NULL is allowed). The text says what
// was wrong, where, and what to do, in one line without a trailing newline.
#ifndef CF_BASE_STATUS_H
#define CF_BASE_STATUS_H

#include "cfine/cfine.h"

// Writes the text into err (if any) and returns code, so that `return cf_fail(err, CFINE_ERROR_FORMAT, "...")` works.
cfine_status cf_fail(cfine_error *err, cfine_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Puts "prefix: " in front of the text that err already holds and returns code: adds the file name on the way up.
cfine_status cf_fail_within(cfine_error *err, cfine_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

cfine_status cf_fail_memory(cfine_error *err, const char *what, size_t bytes);

// Returns from the calling function when the expression is not CFINE_OK.
#define CF_TRY(expression)                                                                                             \
    do {                                                                                                               \
        cfine_status cf_try_status_ = (expression);                                                                    \
        if (cf_try_status_ != CFINE_OK) return cf_try_status_;                                                         \
    } while (0)

#endif
