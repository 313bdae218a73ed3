// SPDX-License-Identifier: Apache-2.0
#include "annotate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "draw/draw.h"
#include "draw/encode.h"
#include "heap.h"
#include "message.h"
#include "options.h"
#include "output_file.h"

static int has_ending(const char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcasecmp(path + length - tail, ending) == 0;
}

static int is_jpeg_name(const char *path) {
    return has_ending(path, ".jpg") || has_ending(path, ".jpeg");
}

// "folder/photo.jpg" for "some/photo.jpg"; "folder/scan.png" for "scan.webp".
static char *output_path(const char *folder, const char *input) {
    const char *slash = strrchr(input, '/'), *name = slash ? slash + 1 : input;
    if (strcmp(input, "-") == 0) name = "stdin.jpg";
    if (is_jpeg_name(name) || has_ending(name, ".png")) return cli_path(folder, name);
    const char *dot = strrchr(name, '.');
    char *png = cli_format("%.*s.png", dot && dot != name ? (int)(dot - name) : (int)strlen(name), name);
    char *path = cli_path(folder, png);
    free(png);
    return path;
}

static int make_folder(const char *folder) {
    struct stat info;
    if (!*folder) {
        cli_error("--out: the name of the folder is empty");
        return CLI_USAGE;
    }
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        if (errno == ENOENT)
            cli_error("%s: cannot make this folder: the one it is to lie in does not exist; make that first", folder);
        else
            cli_error("%s: cannot make this folder: %s", folder, strerror(errno));
        return CLI_FAILED;
    }
    if (stat(folder, &info) == 0 && S_ISDIR(info.st_mode)) return CLI_OK;
    cli_error("%s: is not a folder; name one, or a new one", folder);
    return CLI_FAILED;
}

typedef struct {
    const char *output, *input;
} named_output;

static int by_output(const void *a, const void *b) {
    return strcmp(((const named_output *)a)->output, ((const named_output *)b)->output);
}

static int check_different(const cli_annotations *annotations, const cli_inputs *inputs) {
    named_output *sorted = cli_alloc(annotations->count, sizeof *sorted);
    for (size_t i = 0; i < annotations->count; i++) sorted[i] = (named_output){annotations->paths[i], inputs->paths[i]};
    qsort(sorted, annotations->count, sizeof *sorted, by_output);
    int status = CLI_OK;
    for (size_t i = 1; i < annotations->count && status == CLI_OK; i++)
        if (strcmp(sorted[i - 1].output, sorted[i].output) == 0) {
            cli_error("--out: %s and %s would both become %s; give them one at a time", sorted[i - 1].input,
                      sorted[i].input, sorted[i].output);
            status = CLI_USAGE;
        }
    free(sorted);
    return status;
}

static int check_not_input(const char *output, const char *input) {
    if (!cli_same_file(output, input)) return CLI_OK;
    cli_error("--out: %s would be replaced by its annotated copy; choose another folder", input);
    return CLI_USAGE;
}

int cli_annotations_plan(const char *folder, const cli_inputs *inputs, cli_annotations *out) {
    *out = (cli_annotations){0};
    int status = make_folder(folder);
    if (status != CLI_OK) return status;
    out->paths = cli_alloc(inputs->count, sizeof *out->paths);
    for (; out->count < inputs->count; out->count++)
        out->paths[out->count] = output_path(folder, inputs->paths[out->count]);
    for (size_t i = 0; i < out->count && status == CLI_OK; i++)
        status = check_not_input(out->paths[i], inputs->paths[i]);
    return status == CLI_OK ? check_different(out, inputs) : status;
}

void cli_annotations_release(cli_annotations *annotations) {
    for (size_t i = 0; i < annotations->count; i++) free(annotations->paths[i]);
    free(annotations->paths);
    *annotations = (cli_annotations){0};
}

static const char *label_name(const void *session, int label) {
    return cfine_session_label(session, label);
}

int cli_annotate(const char *path, cfine_image *image, const cfine_detections *found, const cfine_session *session) {
    cfine_error error;
    uint8_t *bytes = NULL;
    size_t size;
    draw_format format = is_jpeg_name(path) ? DRAW_JPEG : DRAW_PNG;
    if (draw_detections(image, found, label_name, session, &error) != CFINE_OK ||
        draw_encode(image, format, &bytes, &size, &error) != CFINE_OK) {
        cli_error("%s: %s", path, error.message);
        return 0;
    }
    int ok = cli_output_save(path, bytes, size);
    free(bytes);
    return ok;
}
