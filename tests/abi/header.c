// SPDX-License-Identifier: Apache-2.0
// The public header, alone and first, as C11 and (renamed) as C++17: it needs no other header and raises no warning.
#include <cfine/cfine.h>

int header_test(void);

int header_test(void) {
    cfine_open_options options = CFINE_INIT(cfine_open_options);
    return options.struct_size == sizeof options && options.plan.batch == 0 ? 0 : 1;
}
