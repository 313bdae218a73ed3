// SPDX-License-Identifier: Apache-2.0
// Where this code lies: an installation that was moved, or installed under another prefix than was configured, still
// finds what belongs to it.
#ifndef CF_BASE_INSTALLED_H
#define CF_BASE_INSTALLED_H

#include <stddef.h>

// The folder of bundled models of the installation that holds this code, be that the library or a program that it was
// linked into: PREFIX/share/cfine/models of PREFIX/bin/cfine or PREFIX/lib/libcfine.so.0. Returns 0 if there is none.
int cf_installed_models(char *path, size_t size);

#endif
