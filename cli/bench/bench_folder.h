// SPDX-License-Identifier: Apache-2.0
// The folder in /tmp where a bench puts networks for other engines. Whoever uses one holds a lock on a file in it,
// which the system gives back however the program ends: a folder that nobody holds was left by a bench that was killed,
// and the next one removes it.
#ifndef CLI_BENCH_FOLDER_H
#define CLI_BENCH_FOLDER_H

#include "cfine/cfine.h"

typedef struct bench_folder {
    char path[40]; // empty: there is none
    int lock;      // file descriptor
    int place;     // in the list of what a signal removes
} bench_folder;

// Removes what killed benches left, and makes a new one.
cfine_status bench_folder_make(bench_folder *folder, cfine_error *error);
// Removes it with the files in it, if there is one.
void bench_folder_remove(bench_folder *folder);

#endif
