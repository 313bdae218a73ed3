// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/failure.h"
#include "cairo_api.h"

static const char ellipsis[] = "\xE2\x80\xA6";

// Bytes of the UTF-8 character at text, or 0.
static int character_length(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    int length = at[0] < 0x80                     ? 1
                 : at[0] >= 0xC2 && at[0] < 0xE0  ? 2
                 : at[0] >= 0xE0 && at[0] < 0xF0  ? 3
                 : at[0] >= 0xF0 && at[0] <= 0xF4 ? 4
                                                  : 0;
    for (int i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80) return 0;
    // Overlong forms, surrogates, and what lies beyond Unicode.
    if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) || (at[0] == 0xF0 && at[1] < 0x90) ||
        (at[0] == 0xF4 && at[1] > 0x8F))
        return 0;
    return length;
}

void draw_text_clean(const char *text, char out[DRAW_TEXT_BYTES]) {
    size_t used = 0;
    while (*text) {
        int length = character_length(text), control = (unsigned char)*text < 0x20 || *text == 0x7F;
        if (used + 4 >= DRAW_TEXT_BYTES - sizeof ellipsis) break;
        if (length && !control) {
            memcpy(out + used, text, (size_t)length);
            used += (size_t)length;
        } else {
            out[used++] = '?';
        }
        text += length ? length : 1;
    }
    out[used] = 0;
}

// Shortens the text by its last character and ends it with "…". Returns 0 when nothing is left to cut.
static int shorten(char *text) {
    size_t length = strlen(text), tail = sizeof ellipsis - 1;
    if (length >= tail && strcmp(text + length - tail, ellipsis) == 0) length -= tail;
    if (!length) return 0;
    do length--;
    while (length && ((unsigned char)text[length] & 0xC0) == 0x80);
    memcpy(text + length, ellipsis, sizeof ellipsis);
    return length > 0;
}

// The system's sans-serif, or cairo's built-in strokes on machines without any font.
static void select_font(const draw_cairo *cairo, cairo_t *context, double size) {
    cairo_font_extents_t font;
    cairo->cairo_select_font_face(context, "sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
    cairo->cairo_set_font_size(context, size);
    cairo->cairo_font_extents(context, &font);
    if (font.height > 0 && font.max_x_advance > 0) return;
    cairo->cairo_select_font_face(context, "@cairo:", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
}

static cfine_status fail_cairo(const draw_cairo *cairo, cairo_status_t status, cfine_error *error) {
    return common_fail(error, status == CAIRO_STATUS_NO_MEMORY ? CFINE_ERROR_MEMORY : CFINE_ERROR_INTERNAL,
                       "cairo cannot draw a label: %s", cairo->cairo_status_to_string(status));
}

// Cuts the text to max_width and measures it.
static cairo_status_t measure(const draw_cairo *cairo, char *text, double size, int max_width, draw_text *out,
                              double *baseline) {
    cairo_surface_t *surface = cairo->cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *context = cairo->cairo_create(surface);
    cairo_text_extents_t extents;
    cairo_font_extents_t font;
    select_font(cairo, context, size);
    do cairo->cairo_text_extents(context, text, &extents);
    while (extents.x_advance > max_width && shorten(text));
    cairo->cairo_font_extents(context, &font);
    cairo_status_t status = cairo->cairo_status(context);
    cairo->cairo_destroy(context);
    cairo->cairo_surface_destroy(surface);
    if (status != CAIRO_STATUS_SUCCESS) return status;
    *baseline = ceil(font.ascent);
    out->width = (int)fmin(fmax(ceil(extents.x_advance), 1), max_width > 1 ? max_width : 1);
    out->height = (int)fmax(*baseline + ceil(font.descent), 1);
    return status;
}

static cfine_status copy_cover(const draw_cairo *cairo, cairo_surface_t *surface, draw_text *out, cfine_error *error) {
    out->cover = malloc((size_t)out->width * (size_t)out->height);
    if (!out->cover) return common_fail(error, CFINE_ERROR_MEMORY, "out of memory for a label");
    cairo->cairo_surface_flush(surface);
    const unsigned char *data = cairo->cairo_image_surface_get_data(surface);
    int stride = cairo->cairo_image_surface_get_stride(surface);
    for (int y = 0; y < out->height; y++)
        memcpy(out->cover + (size_t)y * (size_t)out->width, data + (size_t)y * (size_t)stride, (size_t)out->width);
    return CFINE_OK;
}

cfine_status draw_text_render(const char *utf8, double size, int max_width, draw_text *out, cfine_error *error) {
    *out = (draw_text){0};
    const draw_cairo *cairo = draw_cairo_open(error);
    if (!cairo) return CFINE_ERROR_NOT_FOUND;
    char text[DRAW_TEXT_BYTES];
    double baseline;
    draw_text_clean(utf8, text);
    cairo_status_t measured = measure(cairo, text, size, max_width, out, &baseline);
    if (measured != CAIRO_STATUS_SUCCESS) return fail_cairo(cairo, measured, error);

    cairo_surface_t *surface = cairo->cairo_image_surface_create(CAIRO_FORMAT_A8, out->width, out->height);
    cairo_t *context = cairo->cairo_create(surface);
    select_font(cairo, context, size);
    cairo->cairo_move_to(context, 0, baseline);
    cairo->cairo_show_text(context, text);
    cairo_status_t drawn = cairo->cairo_status(context);
    cfine_status status =
        drawn == CAIRO_STATUS_SUCCESS ? copy_cover(cairo, surface, out, error) : fail_cairo(cairo, drawn, error);
    cairo->cairo_destroy(context);
    cairo->cairo_surface_destroy(surface);
    return status;
}

void draw_text_release(draw_text *text) {
    free(text->cover);
    *text = (draw_text){0};
}
