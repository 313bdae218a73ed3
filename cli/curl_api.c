// SPDX-License-Identifier: Apache-2.0
#include "curl_api.h"

#include <dlfcn.h>
#include <string.h>

#include "message.h"

static const char library_name[] = "libcurl.so.4";

// dlsym gives an object pointer; copying its bytes makes it the function pointer that POSIX says it is.
static int find(void *library, const char *name, void *pointer) {
    void *symbol = dlsym(library, name);
    if (!symbol) cli_error("%s has no %s: it is too old", library_name, name);
    memcpy(pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

const cli_curl *cli_curl_open(void) {
    static cli_curl functions;
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        cli_error("downloads need libcurl: %s; install it: apt install libcurl4", dlerror());
        return NULL;
    }
    int found = 1;
#define FIND(name) found &= find(library, #name, &functions.name);
    CLI_CURL_FUNCTIONS(FIND)
    if (!found || functions.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return NULL;
    return &functions;
}
