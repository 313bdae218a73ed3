// SPDX-License-Identifier: Apache-2.0
#include "bench_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coco_ap.h"
#include "on_signal.h"

#define PLACE "/tmp"
#define PREFIX "cfine-bench-"

enum { RANDOM_LETTERS = 6 }; // of mkdtemp

static int is_our_name(const char *name) {
    size_t prefix = strlen(PREFIX);
    return strncmp(name, PREFIX, prefix) == 0 && strlen(name) == prefix + RANDOM_LETTERS &&
           strspn(name + prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == RANDOM_LETTERS;
}

// The lock of this user's own folder, not held yet; -1: there is none. Anybody may put a link into /tmp: none is
// followed.
static int open_lock(const char *path, int flags) {
    struct stat info;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int own = folder >= 0 && fstat(folder, &info) == 0 && info.st_uid == geteuid();
    int lock = own ? openat(folder, CLI_LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600) : -1;
    if (folder >= 0) close(folder);
    return lock;
}

// 0: another bench holds it, or held it and removed the folder.
static int hold(int lock) {
    struct stat info;
    return flock(lock, LOCK_EX | LOCK_NB) == 0 && fstat(lock, &info) == 0 && info.st_nlink > 0;
}

static void remove_stale(void) {
    DIR *place = opendir(PLACE);
    const struct dirent *entry;
    while (place && (entry = readdir(place))) {
        if (!is_our_name(entry->d_name)) continue;
        char path[sizeof PLACE + sizeof entry->d_name];
        snprintf(path, sizeof path, PLACE "/%s", entry->d_name);
        int lock = open_lock(path, 0);
        if (lock < 0) continue;
        if (hold(lock)) cli_remove_folder(path);
        close(lock); // after that: who waits to hold it finds it removed
    }
    if (place) closedir(place);
}

// 1, or 0: errno says why.
static int make(bench_folder *folder) {
    snprintf(folder->path, sizeof folder->path, PLACE "/" PREFIX "XXXXXX");
    if (!mkdtemp(folder->path)) return 0;
    folder->lock = open_lock(folder->path, O_CREAT | O_EXCL);
    if (folder->lock >= 0 && hold(folder->lock)) return 1;
    int why = errno;
    cli_remove_folder(folder->path);
    if (folder->lock >= 0) close(folder->lock);
    errno = why;
    return 0;
}

cfine_status bench_folder_make(bench_folder *folder, cfine_error *error) {
    remove_stale();
    // Once more, if a bench that starts at the same time took the first for stale before it was held.
    if (!make(folder) && !make(folder)) {
        folder->path[0] = 0;
        return coco_fail(error, CFINE_ERROR_IO, PLACE ": cannot make a folder: %s", strerror(errno));
    }
    folder->place = cli_on_signal_remove(folder->path);
    return CFINE_OK;
}

void bench_folder_remove(bench_folder *folder) {
    if (!folder->path[0]) return;
    cli_remove_folder(folder->path);
    cli_on_signal_forget(folder->place);
    close(folder->lock);
    folder->path[0] = 0;
}
