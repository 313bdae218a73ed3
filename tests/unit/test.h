// SPDX-License-Identifier: Apache-2.0
// What every cmocka test includes, in the order cmocka wants it.
#ifndef CF_TESTS_UNIT_TEST_H
#define CF_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

// The call succeeds; otherwise its error text is shown.
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        error.message[0] = 0;                                                                                          \
        if ((call) != CFINE_OK) fail_msg("%s", error.message);                                                         \
    } while (0)

// The call fails with this status, and its text contains `words`.
#define assert_fails(call, expected, words)                                                                            \
    do {                                                                                                               \
        error.message[0] = 0;                                                                                          \
        assert_int_equal((call), (expected));                                                                          \
        if (!strstr(error.message, (words))) fail_msg("text '%s' lacks '%s'", error.message, (words));                 \
    } while (0)

#endif
