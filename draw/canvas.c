// SPDX-License-Identifier: Apache-2.0
#include "canvas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cairo_api.h"
#include "common/failure.h"
#include "encode.h"
#include "text.h"

enum { WHITE = 0xffffff, MOST_PIXELS = 100000000 };
static const double half_turn = 3.141592653589793;

typedef enum { BOX, LINE, DOT, WORDS } kind;

typedef struct {
    kind kind;
    double x, y, u, v; // box: u, v its size; line: its end; dot: u the radius
    double width;      // line: thickness; box: radius of the corners
    int dashed;
    uint32_t rgb;
    draw_style style;
    char *text;
} shape;

struct draw_canvas {
    double width, height;
    shape *shapes;
    size_t count, capacity;
    int failed; // memory ran out
};

draw_canvas *draw_canvas_create(double width, double height) {
    draw_canvas *canvas = calloc(1, sizeof *canvas);
    if (canvas) draw_canvas_resize(canvas, width, height);
    return canvas;
}

void draw_canvas_resize(draw_canvas *canvas, double width, double height) {
    if (!canvas) return;
    canvas->width = width;
    canvas->height = height;
}

void draw_canvas_release(draw_canvas *canvas) {
    if (!canvas) return;
    for (size_t i = 0; i < canvas->count; i++) free(canvas->shapes[i].text);
    free(canvas->shapes);
    free(canvas);
}

static void add(draw_canvas *canvas, const shape *what) {
    if (canvas && canvas->count == canvas->capacity && !canvas->failed) {
        size_t wanted = canvas->capacity ? 2 * canvas->capacity : 64;
        shape *grown = reallocarray(canvas->shapes, wanted, sizeof *grown);
        canvas->failed = !grown;
        if (grown) {
            canvas->shapes = grown;
            canvas->capacity = wanted;
        }
    }
    if (canvas && !canvas->failed)
        canvas->shapes[canvas->count++] = *what;
    else
        free(what->text);
}

void draw_canvas_box(draw_canvas *canvas, double x, double y, double width, double height, double radius,
                     uint32_t rgb) {
    add(canvas, &(shape){.kind = BOX, .x = x, .y = y, .u = width, .v = height, .width = radius, .rgb = rgb});
}

void draw_canvas_line(draw_canvas *canvas, double x0, double y0, double x1, double y1, double width, uint32_t rgb,
                      int dashed) {
    add(canvas,
        &(shape){.kind = LINE, .x = x0, .y = y0, .u = x1, .v = y1, .width = width, .rgb = rgb, .dashed = dashed});
}

void draw_canvas_dot(draw_canvas *canvas, double x, double y, double radius, uint32_t rgb) {
    add(canvas, &(shape){.kind = DOT, .x = x, .y = y, .u = radius, .rgb = rgb});
}

void draw_canvas_words(draw_canvas *canvas, double x, double y, draw_style style, const char *text) {
    char clean[DRAW_TEXT_BYTES];
    draw_text_clean(text, clean);
    char *copy = strdup(clean);
    if (!copy && canvas) canvas->failed = 1;
    if (copy) add(canvas, &(shape){.kind = WORDS, .x = x, .y = y, .style = style, .rgb = style.rgb, .text = copy});
}

double draw_words_width(const char *text, double size, int bold) {
    double sum = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c & 0xC0) == 0x80) continue; // inside a character
        sum += strchr("ijl.,:;'|!", c)   ? 0.27
               : strchr("ftr()[]/ -", c) ? 0.36
               : strchr("mwMW%@", c)     ? 0.87
               : (c >= 'A' && c <= 'Z')  ? 0.69
               : c >= 0x80               ? 0.7
                                         : 0.57;
    }
    return sum * size * (bold ? 1.22 : 1.1); // as wide as the widest common ones
}

// ---------------------------------------------------------------------------------------------------------------------
// SVG

static void put_xml(FILE *stream, const char *text) {
    for (; *text; text++) switch (*text) {
        case '<': fputs("&lt;", stream); break;
        case '>': fputs("&gt;", stream); break;
        case '&': fputs("&amp;", stream); break;
        case '"': fputs("&quot;", stream); break;
        default: fputc(*text, stream);
        }
}

static void put_shape(FILE *stream, const shape *s) {
    static const char *const anchors[] = {"start", "middle", "end"};
    switch (s->kind) {
    case BOX:
        fprintf(stream, "<rect x=\"%.6g\" y=\"%.6g\" width=\"%.6g\" height=\"%.6g\" rx=\"%.6g\" fill=\"#%06x\"/>\n",
                s->x, s->y, s->u, s->v, s->width, s->rgb);
        break;
    case LINE:
        fprintf(stream,
                "<line x1=\"%.6g\" y1=\"%.6g\" x2=\"%.6g\" y2=\"%.6g\" stroke=\"#%06x\" stroke-width=\"%.6g\"%s/>\n",
                s->x, s->y, s->u, s->v, s->rgb, s->width, s->dashed ? " stroke-dasharray=\"4 4\"" : "");
        break;
    case DOT:
        fprintf(stream,
                "<circle cx=\"%.6g\" cy=\"%.6g\" r=\"%.6g\" fill=\"#%06x\" stroke=\"#ffffff\" stroke-width=\"1.5\"/>\n",
                s->x, s->y, s->u, s->rgb);
        break;
    case WORDS:
        fprintf(stream, "<text x=\"%.6g\" y=\"%.6g\" font-size=\"%.6g\" fill=\"#%06x\"%s text-anchor=\"%s\">", s->x,
                s->y, s->style.size, s->rgb, s->style.bold ? " font-weight=\"600\"" : "", anchors[s->style.at]);
        put_xml(stream, s->text);
        fputs("</text>\n", stream);
    }
}

static cfine_status no_memory(cfine_error *error) {
    return common_fail(error, CFINE_ERROR_MEMORY, "out of memory for a picture");
}

cfine_status draw_canvas_svg(const draw_canvas *canvas, uint8_t **bytes, size_t *size, cfine_error *error) {
    *bytes = NULL;
    *size = 0;
    char *text = NULL;
    FILE *stream = canvas && !canvas->failed ? open_memstream(&text, size) : NULL;
    if (!stream) return no_memory(error);
    fprintf(stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.6g\" height=\"%.6g\" viewBox=\"0 0 %.6g %.6g\" "
            "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            canvas->width, canvas->height, canvas->width, canvas->height);
    for (size_t i = 0; i < canvas->count; i++) put_shape(stream, &canvas->shapes[i]);
    fputs("</svg>\n", stream);
    int failed = ferror(stream);
    if (fclose(stream) != 0 || failed) {
        free(text);
        *size = 0;
        return no_memory(error);
    }
    *bytes = (uint8_t *)text;
    return CFINE_OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// PNG

static void set_colour(const draw_cairo *cairo, cairo_t *to, uint32_t rgb) {
    cairo->cairo_set_source_rgb(to, (rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0);
}

static void round_box(const draw_cairo *cairo, cairo_t *to, const shape *s) {
    double r = fmin(s->width, fmin(s->u, s->v) / 2), right = s->x + s->u, below = s->y + s->v;
    cairo->cairo_new_path(to);
    cairo->cairo_arc(to, right - r, s->y + r, r, -half_turn / 2, 0);
    cairo->cairo_arc(to, right - r, below - r, r, 0, half_turn / 2);
    cairo->cairo_arc(to, s->x + r, below - r, r, half_turn / 2, half_turn);
    cairo->cairo_arc(to, s->x + r, s->y + r, r, half_turn, 1.5 * half_turn);
    cairo->cairo_close_path(to);
    cairo->cairo_fill(to);
}

static void paint_words(const draw_cairo *cairo, cairo_t *to, const shape *s) {
    cairo_text_extents_t extents;
    cairo->cairo_select_font_face(to, "sans", CAIRO_FONT_SLANT_NORMAL,
                                  s->style.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo->cairo_set_font_size(to, s->style.size);
    cairo->cairo_text_extents(to, s->text, &extents);
    cairo->cairo_move_to(to, s->x - extents.x_advance * s->style.at / 2, s->y);
    cairo->cairo_show_text(to, s->text);
}

static void paint(const draw_cairo *cairo, cairo_t *to, const shape *s) {
    static const double dashes[] = {4, 4};
    set_colour(cairo, to, s->rgb);
    switch (s->kind) {
    case BOX:
        if (s->u > 0 && s->v > 0) round_box(cairo, to, s);
        break;
    case LINE:
        cairo->cairo_set_line_width(to, s->width);
        cairo->cairo_set_dash(to, dashes, s->dashed ? 2 : 0, 0);
        cairo->cairo_move_to(to, s->x, s->y);
        cairo->cairo_line_to(to, s->u, s->v);
        cairo->cairo_stroke(to);
        break;
    case DOT:
        cairo->cairo_new_path(to);
        cairo->cairo_arc(to, s->x, s->y, s->u, 0, 2 * half_turn);
        cairo->cairo_fill_preserve(to);
        set_colour(cairo, to, WHITE);
        cairo->cairo_set_dash(to, dashes, 0, 0);
        cairo->cairo_set_line_width(to, 1.5);
        cairo->cairo_stroke(to);
        break;
    case WORDS: paint_words(cairo, to, s);
    }
}

// cairo's 32-bit pixels to plain RGB.
static cfine_status read_pixels(const draw_cairo *cairo, cairo_surface_t *surface, cfine_image *image,
                                cfine_error *error) {
    image->rgb = malloc((size_t)image->width * (size_t)image->height * 3);
    if (!image->rgb) return no_memory(error);
    cairo->cairo_surface_flush(surface);
    const unsigned char *data = cairo->cairo_image_surface_get_data(surface);
    int stride = cairo->cairo_image_surface_get_stride(surface);
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            uint32_t pixel;
            memcpy(&pixel, data + (size_t)y * (size_t)stride + (size_t)x * 4, sizeof pixel);
            uint8_t *to = image->rgb + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
            to[0] = (uint8_t)(pixel >> 16);
            to[1] = (uint8_t)(pixel >> 8);
            to[2] = (uint8_t)pixel;
        }
    return CFINE_OK;
}

cfine_status draw_canvas_png(const draw_canvas *canvas, double scale, uint8_t **bytes, size_t *size,
                             cfine_error *error) {
    *bytes = NULL;
    *size = 0;
    if (!canvas || canvas->failed) return no_memory(error);
    const draw_cairo *cairo = draw_cairo_open(error);
    if (!cairo) return CFINE_ERROR_NOT_FOUND;
    cfine_image image = {.width = (int)ceil(canvas->width * scale), .height = (int)ceil(canvas->height * scale)};
    if (image.width < 1 || image.height < 1 || (int64_t)image.width * image.height > MOST_PIXELS)
        return common_fail(error, CFINE_ERROR_ARGUMENT, "a picture of %dx%d pixels is too large", image.width,
                           image.height);
    cairo_surface_t *surface = cairo->cairo_image_surface_create(CAIRO_FORMAT_RGB24, image.width, image.height);
    cairo_t *to = cairo->cairo_create(surface);
    set_colour(cairo, to, WHITE);
    cairo->cairo_paint(to);
    cairo->cairo_scale(to, scale, scale);
    for (size_t i = 0; i < canvas->count; i++) paint(cairo, to, &canvas->shapes[i]);
    cairo_status_t painted = cairo->cairo_status(to);
    cfine_status status = painted == CAIRO_STATUS_SUCCESS
                              ? read_pixels(cairo, surface, &image, error)
                              : common_fail(error, CFINE_ERROR_INTERNAL, "cairo cannot draw a picture: %s",
                                            cairo->cairo_status_to_string(painted));
    cairo->cairo_destroy(to);
    cairo->cairo_surface_destroy(surface);
    if (status == CFINE_OK) status = draw_encode(&image, DRAW_PNG, bytes, size, error);
    free(image.rgb);
    return status;
}
