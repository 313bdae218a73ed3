// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <math.h>
#include <string.h>

// Length of the UTF-8 sequence at text, or 0 if its bytes are none (cut short, overlong, surrogate, beyond U+10FFFF).
static int utf8_length(const unsigned char *text) {
    if (text[0] < 0x80) return 1;
    int length = text[0] >= 0xC2 && text[0] < 0xE0 ? 2
                 : (text[0] & 0xF0) == 0xE0        ? 3
                 : (text[0] & 0xF8) == 0xF0        ? 4
                                                   : 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    if (length == 3 && ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] >= 0xA0))) return 0;
    if (length == 4 && ((text[0] == 0xF0 && text[1] < 0x90) || text[0] > 0xF4 || (text[0] == 0xF4 && text[1] >= 0x90)))
        return 0;
    return length;
}

void cli_print_json_text(FILE *stream, const char *text) {
    putc('"', stream);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        int length = utf8_length(at);
        if (length == 0)
            fputs("\\ufffd", stream);
        else if (*at == '"' || *at == '\\')
            fprintf(stream, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7F)
            fprintf(stream, "\\u%04x", *at);
        else
            fwrite(at, 1, (size_t)length, stream);
        at += length ? length : 1;
    }
    putc('"', stream);
}

void cli_print_json_number(FILE *stream, double value, int digits) {
    if (!isfinite(value)) {
        fputs("null", stream);
        return;
    }
    char text[400];
    int length = snprintf(text, sizeof text, "%.*f", digits, value);
    while (length > 2 && text[length - 1] == '0' && text[length - 2] != '.') text[--length] = 0;
    fputs(strcmp(text, "-0.0") == 0 ? "0.0" : text, stream);
}

void cli_print_text(FILE *stream, const char *text) {
    for (; *text; text++) putc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, stream);
}

int cli_text_width(const char *text) {
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

// The name of a class; a model may lack one.
static const char *label_name(const cfine_session *session, int label) {
    const char *name = cfine_session_label(session, label);
    return name ? name : "?";
}

void cli_print_detections(const char *path, const cfine_detections *found, const cfine_session *session) {
    int width = 5; // of the heading "label"
    for (size_t i = 0; i < found->count; i++) {
        int needed = cli_text_width(label_name(session, found->items[i].label));
        if (needed > width) width = needed;
    }
    cli_print_text(stdout, path);
    printf(": %dx%d, ", found->width, found->height);
    if (!found->count) {
        puts("no objects");
        return;
    }
    printf("%zu object%s\n  score  label%*s       x1       y1       x2       y2\n", found->count,
           found->count == 1 ? "" : "s", width - 5, "");
    for (size_t i = 0; i < found->count; i++) {
        const cfine_detection *item = &found->items[i];
        const char *name = label_name(session, item->label);
        printf("  %5.3f  ", item->score);
        cli_print_text(stdout, name);
        printf("%*s %8.1f %8.1f %8.1f %8.1f\n", width - cli_text_width(name), "", item->box[0], item->box[1],
               item->box[2], item->box[3]);
    }
}

void cli_print_detections_json(const char *path, const cfine_detections *found, const cfine_session *session) {
    fputs("{\"file\": ", stdout);
    cli_print_json_text(stdout, path);
    printf(", \"width\": %d, \"height\": %d, \"detections\": [", found->width, found->height);
    for (size_t i = 0; i < found->count; i++) {
        const cfine_detection *item = &found->items[i];
        printf("%s{\"label\": %d, \"name\": ", i ? ", " : "", item->label);
        cli_print_json_text(stdout, label_name(session, item->label));
        fputs(", \"score\": ", stdout);
        cli_print_json_number(stdout, item->score, 6);
        fputs(", \"box\": [", stdout);
        for (int k = 0; k < 4; k++) {
            if (k) fputs(", ", stdout);
            cli_print_json_number(stdout, item->box[k], 3);
        }
        fputs("]}", stdout);
    }
    puts("]}");
}
