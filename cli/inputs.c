// SPDX-License-Identifier: Apache-2.0
#include "inputs.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "heap.h"
#include "message.h"

static const char *const image_endings[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"};
static const char *const video_endings[] = {".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"};

static int ends_with_any(const char *name, const char *const *endings, size_t count) {
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < count; i++)
        if (strcasecmp(dot, endings[i]) == 0) return 1;
    return 0;
}

#define ENDS_WITH_ANY(name, endings) ends_with_any(name, endings, sizeof(endings) / sizeof *(endings))

static void add_path(cli_inputs *inputs, char *path) {
    if ((inputs->count & (inputs->count - 1)) == 0) // grows at the powers of two
        inputs->paths = cli_grow(inputs->paths, inputs->count ? inputs->count * 2 : 1, sizeof *inputs->paths);
    inputs->paths[inputs->count++] = path;
}

static int is_image_name(const struct dirent *entry) {
    return entry->d_name[0] != '.' && ENDS_WITH_ANY(entry->d_name, image_endings);
}

static void add_folder(cli_inputs *inputs, const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_image_name, alphasort);
    if (count < 0) {
        cli_error("%s: cannot read the folder: %s", folder, strerror(errno));
        inputs->failed++;
        return;
    }
    size_t before = inputs->count;
    for (int i = 0; i < count; i++) {
        char *path = cli_path(folder, entries[i]->d_name);
        struct stat info;
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            free(path);
        else
            add_path(inputs, path);
        free(entries[i]);
    }
    free(entries);
    if (inputs->count == before) {
        cli_error(
            "%s: there is no image in this folder (.jpg, .png, .webp, .bmp, .ppm); folders below are not searched",
            folder);
        inputs->failed++;
    }
}

static void add_existing(cli_inputs *inputs, const char *path, const struct stat *info) {
    if (S_ISDIR(info->st_mode)) {
        add_folder(inputs, path);
    } else if (ENDS_WITH_ANY(path, video_endings)) {
        cli_error("%s: this version does not read videos; extract frames first: ffmpeg -i %s frame%%05d.png", path,
                  path);
        inputs->failed++;
    } else {
        add_path(inputs, cli_format("%s", path));
    }
}

static void add_pattern(cli_inputs *inputs, const char *pattern) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) {
        cli_error("%s: no file matches this pattern", pattern);
        inputs->failed++;
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat info;
        if (stat(found.gl_pathv[i], &info) == 0)
            add_existing(inputs, found.gl_pathv[i], &info);
        else // a link to nowhere: opening it says so
            add_path(inputs, cli_format("%s", found.gl_pathv[i]));
    }
    globfree(&found);
}

void cli_inputs_expand(char **words, int count, cli_inputs *out) {
    *out = (cli_inputs){0};
    for (int i = 0; i < count; i++) {
        struct stat info;
        if (strcmp(words[i], "-") == 0) {
            if (!out->standard_input) add_path(out, cli_format("-"));
            out->standard_input = 1;
        } else if (stat(words[i], &info) == 0) {
            add_existing(out, words[i], &info);
        } else if (errno == ENOENT && strpbrk(words[i], "*?[")) {
            add_pattern(out, words[i]);
        } else {
            cli_error("%s: cannot open: %s", *words[i] ? words[i] : "an empty INPUT", strerror(errno));
            out->failed++;
        }
    }
}

void cli_inputs_release(cli_inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++) free(inputs->paths[i]);
    free(inputs->paths);
    *inputs = (cli_inputs){0};
}
