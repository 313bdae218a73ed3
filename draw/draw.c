// SPDX-License-Identifier: Apache-2.0
#include "draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/failure.h"
#include "text.h"

typedef struct {
    int x0, y0, x1, y1; // x1 and y1 are outside
} rectangle;

// What scales with the image, in pixels.
typedef struct {
    double letters; // font size
    int line;       // of a frame
    int edge;       // dark line around it
    int padding;    // around a label's text
} measures;

typedef struct {
    rectangle box; // of the detection, with its edge
    rectangle at;  // where the label lies
    draw_text text;
    int label;
    int shown;
} placed_label;

// ---------------------------------------------------------------------------------------------------------------------
// Colours

static uint8_t to_srgb(double linear) {
    if (linear <= 0) return 0;
    if (linear >= 1) return 255;
    double value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
    return (uint8_t)(value * 255 + 0.5);
}

// Equal steps of hue in the OKLCH space, whose colours of one lightness look equally bright; hues a golden angle
// apart never repeat.
void draw_class_colour(int label, uint8_t rgb[3]) {
    static const double lightness[] = {0.78, 0.72, 0.86}, chroma = 0.16;
    double hue = 6.283185307179586 * fmod(0.08 + 0.6180339887498949 * label, 1), l = lightness[label % 3];
    double a = chroma * cos(hue), b = chroma * sin(hue);
    double long_cone = l + 0.3963377774 * a + 0.2158037573 * b;
    double middle_cone = l - 0.1055613458 * a - 0.0638541728 * b;
    double short_cone = l - 0.0894841775 * a - 1.2914855480 * b;
    long_cone *= long_cone * long_cone;
    middle_cone *= middle_cone * middle_cone;
    short_cone *= short_cone * short_cone;
    rgb[0] = to_srgb(4.0767416621 * long_cone - 3.3077115913 * middle_cone + 0.2309699292 * short_cone);
    rgb[1] = to_srgb(-1.2684380046 * long_cone + 2.6097574011 * middle_cone - 0.3413193965 * short_cone);
    rgb[2] = to_srgb(-0.0041960863 * long_cone - 0.7034186147 * middle_cone + 1.7076147010 * short_cone);
}

// ---------------------------------------------------------------------------------------------------------------------
// Pixels

static void blend(uint8_t *pixel, const uint8_t rgb[3], int alpha) {
    for (int c = 0; c < 3; c++) pixel[c] = (uint8_t)((rgb[c] * alpha + pixel[c] * (255 - alpha) + 127) / 255);
}

static rectangle clip(const cfine_image *image, rectangle r) {
    if (r.x0 < 0) r.x0 = 0;
    if (r.y0 < 0) r.y0 = 0;
    if (r.x1 > image->width) r.x1 = image->width;
    if (r.y1 > image->height) r.y1 = image->height;
    return r;
}

static void fill(cfine_image *image, rectangle r, const uint8_t rgb[3], int alpha) {
    r = clip(image, r);
    for (int y = r.y0; y < r.y1; y++)
        for (int x = r.x0; x < r.x1; x++)
            blend(image->rgb + ((size_t)y * (size_t)image->width + (size_t)x) * 3, rgb, alpha);
}

// The ring between r and r shrunk by `line`.
static void frame(cfine_image *image, rectangle r, int line, const uint8_t rgb[3], int alpha) {
    int height = r.y1 - r.y0, width = r.x1 - r.x0;
    if (width <= 2 * line || height <= 2 * line) {
        fill(image, r, rgb, alpha);
        return;
    }
    fill(image, (rectangle){r.x0, r.y0, r.x1, r.y0 + line}, rgb, alpha);
    fill(image, (rectangle){r.x0, r.y1 - line, r.x1, r.y1}, rgb, alpha);
    fill(image, (rectangle){r.x0, r.y0 + line, r.x0 + line, r.y1 - line}, rgb, alpha);
    fill(image, (rectangle){r.x1 - line, r.y0 + line, r.x1, r.y1 - line}, rgb, alpha);
}

static void print(cfine_image *image, const draw_text *text, int left, int top) {
    static const uint8_t black[3] = {0, 0, 0};
    for (int y = 0; y < text->height; y++)
        for (int x = 0; x < text->width; x++) {
            int px = left + x, py = top + y;
            int cover = text->cover[(size_t)y * (size_t)text->width + (size_t)x];
            if (cover && px >= 0 && py >= 0 && px < image->width && py < image->height)
                blend(image->rgb + ((size_t)py * (size_t)image->width + (size_t)px) * 3, black, cover);
        }
}

// ---------------------------------------------------------------------------------------------------------------------
// Frames

static int to_pixel(float value, int size) {
    if (!(value > 0)) return 0; // NaN, too
    return value >= (float)size ? size : (int)lrintf(value);
}

// The box in whole pixels, its part inside the image.
static rectangle box_rectangle(const cfine_image *image, const float box[4]) {
    return (rectangle){to_pixel(box[0], image->width), to_pixel(box[1], image->height), to_pixel(box[2], image->width),
                       to_pixel(box[3], image->height)};
}

static void draw_frame(cfine_image *image, const cfine_detection *item, const measures *sizes) {
    static const uint8_t black[3] = {0, 0, 0};
    uint8_t colour[3];
    draw_class_colour(item->label, colour);
    rectangle r = box_rectangle(image, item->box);
    int edge = sizes->edge;
    rectangle around = {r.x0 - edge, r.y0 - edge, r.x1 + edge, r.y1 + edge};
    rectangle within = {r.x0 + sizes->line, r.y0 + sizes->line, r.x1 - sizes->line, r.y1 - sizes->line};
    frame(image, around, edge, black, 110);
    if (within.x1 - within.x0 > 2 * edge && within.y1 - within.y0 > 2 * edge) frame(image, within, edge, black, 110);
    frame(image, r, sizes->line, colour, 255);
}

// ---------------------------------------------------------------------------------------------------------------------
// Labels

static int64_t overlap(const rectangle *a, const rectangle *b) {
    int width = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
    int height = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
    return width > 0 && height > 0 ? (int64_t)width * height : 0;
}

// The same rectangle, moved into the image as far as it fits.
static rectangle move_inside(const cfine_image *image, rectangle r) {
    int right = r.x1 - image->width, down = r.y1 - image->height;
    if (right > 0) r.x0 -= right, r.x1 -= right;
    if (r.x0 < 0) r.x1 -= r.x0, r.x0 = 0;
    if (down > 0) r.y0 -= down, r.y1 -= down;
    if (r.y0 < 0) r.y1 -= r.y0, r.y0 = 0;
    return r;
}

// The i-th best place for a label of width x height at a box, 0: on top of its upper left corner; then inside that
// corner, below the box, to its right and left, and further down along its sides. Returns 0 when there are no more.
static int candidate(const rectangle *box, int width, int height, int i, rectangle *out) {
    enum { COLUMNS = 5, FIXED_ROWS = 4, MOST_ROWS = 12 };
    int row = i / COLUMNS, column = i % COLUMNS, left, top;
    if (row >= MOST_ROWS) return 0;
    if (row == 0)
        top = box->y0 - height; // above
    else if (row == 1)
        top = box->y0; // inside
    else if (row == 2)
        top = box->y1; // below
    else if (row == 3)
        top = box->y1 - height;
    else
        top = box->y0 + height * (row - FIXED_ROWS + 1);
    if (row >= FIXED_ROWS && top + height > box->y1) return 0;
    if (column == 3)
        left = box->x1; // to the right
    else if (column == 4)
        left = box->x0 - width;
    else
        left = box->x0 + (box->x1 - box->x0 - width) * column / 2;
    *out = (rectangle){left, top, left + width, top + height};
    return 1;
}

// What a label at this place would hide: *hidden pixels of labels, and in the result those and, counting a quarter,
// pixels of boxes so small that a label could hide what is in them.
static int64_t cost_of(const rectangle *at, const placed_label *labels, size_t count, size_t index, int64_t *hidden) {
    int64_t soft = 0, area = (int64_t)(at->x1 - at->x0) * (at->y1 - at->y0);
    *hidden = 0;
    for (size_t k = 0; k < count; k++) {
        const rectangle *box = &labels[k].box;
        if (k < index && labels[k].shown) *hidden += overlap(at, &labels[k].at);
        if ((int64_t)(box->x1 - box->x0) * (box->y1 - box->y0) < 4 * area) soft += overlap(at, box);
    }
    return *hidden + soft / 4;
}

// Chooses the first place that hides nothing, else the one that hides the least. A label that could not be read, or
// that would make another unreadable, is left out: its frame is still there.
static void place(const cfine_image *image, placed_label *labels, size_t count, size_t index, int width, int height) {
    int64_t least = INT64_MAX, hidden, hidden_at_best = 0;
    placed_label *label = &labels[index];
    rectangle at;
    for (int i = 0; least > 0 && candidate(&label->box, width, height, i, &at); i++) {
        at = move_inside(image, at);
        int64_t cost = cost_of(&at, labels, count, index, &hidden);
        if (cost >= least) continue;
        least = cost;
        hidden_at_best = hidden;
        label->at = at;
    }
    label->shown = 6 * hidden_at_best <= (int64_t)width * height;
}

static cfine_status render_label(const cfine_image *image, const cfine_detection *item, const char *name,
                                 const measures *sizes, placed_label *label, cfine_error *error) {
    char text[160];
    snprintf(text, sizeof text, "%.120s %.2f", name ? name : "?", (double)item->score);
    rectangle box = box_rectangle(image, item->box);
    label->label = item->label;
    label->box = (rectangle){box.x0 - sizes->edge, box.y0 - sizes->edge, box.x1 + sizes->edge, box.y1 + sizes->edge};
    return draw_text_render(text, sizes->letters, image->width - 2 * sizes->padding, &label->text, error);
}

static void draw_label(cfine_image *image, const placed_label *label, const measures *sizes) {
    uint8_t colour[3];
    draw_class_colour(label->label, colour);
    fill(image, label->at, colour, 235);
    print(image, &label->text, label->at.x0 + sizes->padding, label->at.y0);
}

static measures measures_of(const cfine_image *image) {
    measures sizes;
    double scale = 0.018 * sqrt((double)image->width * image->height);
    sizes.letters = fmax(11, scale); // smaller ones cannot be read
    sizes.line = (int)fmax(1, lrint(scale / 6));
    sizes.edge = (int)fmax(1, lrint(sizes.letters / 24));
    sizes.padding = (int)ceil(sizes.letters / 4);
    return sizes;
}

cfine_status draw_detections(cfine_image *image, const cfine_detections *found, draw_name_function *name,
                             const void *context, cfine_error *error) {
    if (!found->count) return CFINE_OK;
    measures sizes = measures_of(image);
    placed_label *labels = calloc(found->count, sizeof *labels);
    if (!labels) return common_fail(error, CFINE_ERROR_MEMORY, "out of memory for %zu labels", found->count);
    cfine_status status = CFINE_OK;
    for (size_t i = 0; i < found->count && status == CFINE_OK; i++)
        status = render_label(image, &found->items[i], name(context, found->items[i].label), &sizes, &labels[i], error);
    // The best detections come first: they get the best places, and are drawn last, on top.
    for (size_t i = 0; i < found->count && status == CFINE_OK; i++)
        place(image, labels, found->count, i, labels[i].text.width + 2 * sizes.padding, labels[i].text.height);
    if (status == CFINE_OK) {
        for (size_t i = found->count; i-- > 0;) draw_frame(image, &found->items[i], &sizes);
        for (size_t i = found->count; i-- > 0;)
            if (labels[i].shown) draw_label(image, &labels[i], &sizes);
    }
    for (size_t i = 0; i < found->count; i++) draw_text_release(&labels[i].text);
    free(labels);
    return status;
}
