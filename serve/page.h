// SPDX-License-Identifier: Apache-2.0
// page.html, put into the program by embed.cmake.
#ifndef SERVE_PAGE_H
#define SERVE_PAGE_H

#include <stddef.h>

extern const unsigned char serve_page[];
extern const size_t serve_page_size;

#endif
