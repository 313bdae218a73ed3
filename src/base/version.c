// SPDX-License-Identifier: Apache-2.0
#include "cfine/cfine.h"

#define TEXT_OF(number) TEXT(number)
#define TEXT(number) #number

const char *cfine_version(void) {
    return TEXT_OF(CFINE_VERSION_MAJOR) "." TEXT_OF(CFINE_VERSION_MINOR) "." TEXT_OF(CFINE_VERSION_PATCH);
}
